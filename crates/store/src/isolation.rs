//! Suspects: jobs that two workers in a row have not come back with. One of them may kill whoever has it, so a process
//! works on few of them at a time and on little else, and the others are soon known to be innocent (ADR 22).

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Claims of a job alone that its workers must not have come back from before it is `poisoned`. Kills that have nothing to
/// do with it meet it so often by chance in no fire that a fleet works under; and what kills beside it is a suspect
/// itself after two.
pub(crate) const ALONE: u32 = 5;
/// As how many of them counts work that failed while its worker lived.
pub(crate) const FAILURE: u32 = 2;
/// Other jobs of a queue that a suspect counts as alone with: those whose work does not end.
pub(crate) const NEARLY_ALONE: usize = 2;
/// Few of the jobs that a queue may work on at once: so many suspects are claimed together the first time, and so many
/// jobs each of the other queues may have meanwhile.
pub(crate) fn few(concurrency: usize) -> usize {
    (concurrency / 32).max(8)
}

/// The place for suspects, of which a process has one.
#[derive(Debug)]
pub(crate) struct Isolation {
    place: Arc<Semaphore>,
    occupied: watch::Sender<bool>,
}

/// Whoever has it may work on suspects.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    occupied: watch::Sender<bool>,
}

impl Default for Isolation {
    fn default() -> Self {
        Self { place: Arc::new(Semaphore::new(1)), occupied: watch::Sender::new(false) }
    }
}

impl Isolation {
    /// Waits for the place. Cancel-safe.
    pub(crate) async fn enter(&self) -> Place {
        let permit = self.place.clone().acquire_owned().await.expect("the semaphore is never closed");
        Place { _permit: permit, occupied: self.occupied.clone() }
    }

    /// The place, if nobody has it.
    pub(crate) fn try_enter(&self) -> Option<Place> {
        let permit = self.place.clone().try_acquire_owned().ok()?;
        Some(Place { _permit: permit, occupied: self.occupied.clone() })
    }

    /// Whether suspects are worked on.
    pub(crate) fn is_occupied(&self) -> bool {
        *self.occupied.borrow()
    }

    /// How many more jobs another queue may claim that has so many, where few may be beside suspects.
    pub(crate) fn room_beside(&self, held: usize, few: usize) -> usize {
        if self.is_occupied() { few.saturating_sub(held) } else { usize::MAX }
    }

    /// Waits until no suspects are worked on. Cancel-safe.
    pub(crate) async fn over(&self) {
        let mut occupied = self.occupied.subscribe();
        // The sender is ours.
        let _ = occupied.wait_for(|occupied| !occupied).await;
    }
}

impl Place {
    /// Says that suspects are worked on from now on.
    pub(crate) fn occupy(&self) {
        self.occupied.send_replace(true);
    }

    /// Says that others need not be few any more.
    pub(crate) fn vacate(&self) {
        self.occupied.send_replace(false);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.occupied.send_replace(false);
    }
}
