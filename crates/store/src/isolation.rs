//! Suspects: jobs that two workers in a row have not come back with. One of them may kill whoever has it, so a process
//! works on few of them at a time and on little else, and the others are soon known to be innocent (ADR 22).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

/// From so many claims in a row without an outcome on a job is a suspect; `taking.lua` says the same.
pub(crate) const SUSPECT: u32 = 2;
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

/// After suspects were worked on, others are worked on so many times as long before the next ones are: however many
/// suspects there are, they take a quarter of the time.
const REST: u32 = 3;
/// The same where the suspects before them came to an end: nothing kills here at present.
const REST_IN_CALM: u32 = 1;
/// How often the number of suspects that are claimed together doubles while they come to an end.
const MOST_DOUBLED: u32 = 2;

/// The place for suspects, of which a process has one.
#[derive(Debug)]
pub(crate) struct Isolation {
    place: Arc<Semaphore>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    occupied: watch::Sender<bool>,
    /// Until when the place is left alone.
    rest: Mutex<Option<Instant>>,
    /// How many rounds of suspects in a row came to an end.
    calm: AtomicU32,
}

impl State {
    fn rest(&self) -> Option<Instant> {
        let rest = *self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        rest.filter(|until| *until > Instant::now())
    }
}

/// Whoever has it may work on suspects.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    state: Arc<State>,
    /// Since when others are kept few; none while they are not.
    since: Option<Instant>,
}

impl Default for Isolation {
    fn default() -> Self {
        let state =
            State { occupied: watch::Sender::new(false), rest: Mutex::default(), calm: AtomicU32::new(0) };
        Self { place: Arc::new(Semaphore::new(1)), state: Arc::new(state) }
    }
}

impl Isolation {
    /// Waits for the place. Cancel-safe.
    pub(crate) async fn enter(&self) -> Place {
        let permit = self.place.clone().acquire_owned().await.expect("the semaphore is never closed");
        // Whoever has the place sets the rest, so there is no other meanwhile.
        if let Some(until) = self.state.rest() {
            tokio::time::sleep_until(until).await;
        }
        Place { _permit: permit, state: self.state.clone(), since: None }
    }

    /// How many suspects may be claimed together: few, and more from round to round while nothing kills, for after a fire
    /// there are many of them and hardly one is guilty.
    pub(crate) fn together(&self, few: usize) -> usize {
        few << self.state.calm.load(Ordering::Relaxed).min(MOST_DOUBLED)
    }

    /// Whether suspects are worked on.
    pub(crate) fn is_occupied(&self) -> bool {
        *self.state.occupied.borrow()
    }

    /// How many more jobs another queue may claim that has so many, where few may be beside suspects.
    pub(crate) fn room_beside(&self, held: usize, few: usize) -> usize {
        if self.is_occupied() { few.saturating_sub(held) } else { usize::MAX }
    }

    /// Waits until no suspects are worked on. Cancel-safe.
    pub(crate) async fn over(&self) {
        let mut occupied = self.state.occupied.subscribe();
        // The sender is ours.
        let _ = occupied.wait_for(|occupied| !occupied).await;
    }
}

impl Place {
    /// Says that suspects are worked on from now on.
    pub(crate) fn occupy(&mut self) {
        self.since = Some(Instant::now());
        self.state.occupied.send_replace(true);
    }

    /// Says whether the suspects of a round came to an end.
    pub(crate) fn ended(&self, all: bool) {
        let calm = if all { self.state.calm.load(Ordering::Relaxed).saturating_add(1) } else { 0 };
        self.state.calm.store(calm, Ordering::Relaxed);
    }

    /// Says that others need not be few any more.
    pub(crate) fn vacate(&mut self) {
        let Some(since) = self.since.take() else { return };
        let times = if self.state.calm.load(Ordering::Relaxed) == 0 { REST } else { REST_IN_CALM };
        let rest = Instant::now() + since.elapsed() * times;
        *self.state.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        self.state.occupied.send_replace(false);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.vacate();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn more_suspects_are_claimed_together_while_they_come_to_an_end() {
        let isolation = Isolation::default();
        let place = isolation.enter().await;
        let mut claimed = Vec::new();
        for all in [true, true, true, false, true] {
            claimed.push(isolation.together(8));
            place.ended(all);
        }
        claimed.push(isolation.together(8));
        assert_eq!(claimed, [8, 16, 32, 32, 8, 16]);
    }

    #[tokio::test]
    async fn who_kept_nobody_from_anything_leaves_no_rest_behind() {
        let isolation = Isolation::default();
        drop(isolation.enter().await);
        let mut place = isolation.enter().now_or_never().expect("the place is free");
        place.occupy();
        tokio::task::yield_now().await;
        assert_eq!(isolation.room_beside(3, 8), 5);
        std::thread::sleep(std::time::Duration::from_millis(50));
        drop(place);
        assert!(isolation.enter().now_or_never().is_none(), "others are first");
        assert_eq!(isolation.room_beside(3, 8), usize::MAX);
    }
}
