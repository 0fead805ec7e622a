//! Fetches due jobs of a queue for as many free slots as there are, again and again; suspects apart from all others.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use songmill_core::{Event, JobId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::claim::{Claimant, Claims, LONGEST_SLEEP, Wanted};
use crate::held::{RETRY_FIRST, RETRY_MOST, Shared, chain};
use crate::isolation::{ALONE, Isolation, NEARLY_ALONE, Place, few};
use crate::lease::Lease;
use crate::queue::QueueSettings;

/// The most jobs asked for in one claim.
const CLAIM_CHUNK: usize = 128;
/// The part of a lease that a queue's other jobs are waited for before suspects are claimed: most work ends sooner, and
/// what waits for its turn at the vendor may not end soon at all.
const DRAIN: u32 = 3;
/// How many leases suspects keep the place that take longer than one.
const KEPT: u32 = 3;

/// What a fetcher works with.
pub(crate) struct Fetcher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) to_worker: mpsc::Sender<Arc<Lease>>,
    pub(crate) outcomes: mpsc::WeakUnboundedSender<(Arc<Lease>, Event)>,
    pub(crate) stop: CancellationToken,
}

/// Suspects that are worked on.
struct Apart {
    _place: Place,
    suspects: Vec<JobId>,
    /// Until when the place is theirs alone: other suspects do not wait for work that does not end.
    until: Instant,
}

/// What is waited for; for ever where that is nothing.
async fn of<F: Future + Unpin>(waited: &mut Option<F>) -> F::Output {
    match waited {
        Some(waited) => waited.await,
        None => std::future::pending().await,
    }
}

/// Waits until suspects no longer keep the place to themselves.
async fn kept(apart: Option<&Apart>) {
    match apart {
        Some(apart) => tokio::time::sleep_until(apart.until).await,
        None => std::future::pending().await,
    }
}

/// The queue is to be stopped.
struct Stopped;

type Going<T> = Result<T, Stopped>;

impl Fetcher {
    /// Fetches until the queue is stopped.
    pub(crate) async fn run(self) {
        // The end is no error.
        let _ = self.fetch().await;
    }

    async fn fetch(&self) -> Going<()> {
        let (store, lease) = (self.shared.store.clone(), self.shared.settings.lease.get());
        let isolation = store.isolation();
        let bell = store.wake().bell(&store.keys().queue(self.shared.stage, &self.shared.vendor));
        let mut claimant = Claimant::new();
        // Suspects under way, with the place that they have.
        let mut apart: Option<Apart> = None;
        // The place is waited for while other jobs are claimed: a queue that always has some has its turn as well.
        let mut entering: Option<BoxFuture<'_, Place>> = None;
        loop {
            apart = apart.filter(|apart| self.shared.has_any(&apart.suspects));
            let slots = tokio::select! {
                biased;
                place = of(&mut entering) => {
                    entering = None;
                    apart = self.isolate(place, &mut claimant).await?;
                    continue;
                }
                () = kept(apart.as_ref()) => {
                    apart = None;
                    continue;
                }
                slots = self.free_slots(isolation) => slots?,
            };
            let asked = slots.len();
            let alone = self.shared.count() == 0 && !isolation.is_occupied();
            let wanted = Wanted { most: asked, lease, suspects: false, alone };
            let claims = self.claim(&mut claimant, wanted).await?;
            let (next, full) = (self.sleep(&claims), claims.leases.len() >= asked);
            let suspects = claims.suspects && apart.is_none();
            self.hand_out(claims, slots).await?;
            if suspects {
                entering.get_or_insert_with(|| isolation.enter().boxed());
            } else if !full {
                entering = None;
            }
            if full {
                continue;
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(Stopped),
                () = bell.notified() => {}
                () = tokio::time::sleep(next) => {}
                () = self.shared.freed.notified(), if apart.is_some() => {}
                place = of(&mut entering) => {
                    entering = None;
                    apart = self.isolate(place, &mut claimant).await?;
                }
            }
        }
    }

    /// Waits for a free slot, and takes those beside it.
    async fn free_slots(&self, isolation: &Isolation) -> Going<Vec<OwnedSemaphorePermit>> {
        loop {
            // Cancel-safe: a permit not yet handed out goes back.
            let first = tokio::select! {
                () = self.stop.cancelled() => return Err(Stopped),
                slot = self.slots.clone().acquire_owned() => slot.expect("the semaphore is never closed"),
            };
            let few = few(self.shared.settings.concurrency);
            let most = isolation.room_beside(self.shared.count(), few).min(CLAIM_CHUNK);
            if most > 0 {
                let mut slots = vec![first];
                self.more_slots(&mut slots, most);
                return Ok(slots);
            }
            drop(first);
            tokio::select! {
                () = self.stop.cancelled() => return Err(Stopped),
                () = isolation.over() => {}
                () = self.shared.freed.notified() => {}
            }
        }
    }

    fn more_slots(&self, slots: &mut Vec<OwnedSemaphorePermit>, most: usize) {
        while slots.len() < most
            && let Ok(slot) = self.slots.clone().try_acquire_owned()
        {
            slots.push(slot);
        }
    }

    /// Claims, and waits while Redis is away: the next claim would hand out what this one took.
    async fn claim(&self, claimant: &mut Claimant, wanted: Wanted) -> Going<Claims> {
        let Shared { store, stage, vendor, .. } = &*self.shared;
        let mut wait = RETRY_FIRST;
        let claims = loop {
            match store.claim(claimant, *stage, vendor, wanted).await {
                Ok(claims) => break claims,
                Err(error) => {
                    tracing::warn!(%stage, %vendor, error = %chain(&error), "queue {stage} of {vendor} waits for redis");
                    self.pause(wait).await?;
                    wait = (wait * 2).min(RETRY_MOST);
                }
            }
        };
        for error in &claims.unreadable {
            tracing::error!(%stage, %vendor, error = %chain(error), "a job's record cannot be read and waits for an operator");
        }
        Ok(claims)
    }

    /// Hands jobs to the worker; those that killed enough workers have their outcome.
    async fn hand_out(&self, claims: Claims, mut slots: Vec<OwnedSemaphorePermit>) -> Going<()> {
        let most_claims = self.shared.store.policy().jobs.claims;
        let mut unbegun = Vec::new();
        for lease in claims.leases {
            // A claim keeps its slots until there is a reply.
            let (lease, slot) = (Arc::new(lease), slots.pop().expect("no more jobs than slots"));
            self.shared.hold(&lease, slot);
            if lease.claims > most_claims && lease.alone >= ALONE {
                let poisoned = Event::Poisoned { claims: lease.claims - 1 };
                if let Some(outcomes) = self.outcomes.upgrade() {
                    let _ = outcomes.send((lease, poisoned));
                }
            } else if let Err(mpsc::error::SendError(lease)) = self.to_worker.send(lease).await {
                unbegun.push(lease);
            }
        }
        if unbegun.is_empty() {
            return Ok(());
        }
        // The worker is closing: what it will not begin goes back.
        if let Some(outcomes) = self.outcomes.upgrade() {
            self.shared.give_back(unbegun, &outcomes).await;
        }
        Err(Stopped)
    }

    /// Has suspects worked on: first the queue's other jobs are waited for, a part of a lease at the most, then nothing
    /// else is claimed until these are over, for a lease at the most. Those
    /// that take too long keep the place, so that no other suspects are beside them.
    async fn isolate(&self, mut place: Place, claimant: &mut Claimant) -> Going<Option<Apart>> {
        let QueueSettings { concurrency, lease } = self.shared.settings;
        let lease = lease.get();
        self.until(|shared| shared.count() == 0, lease / DRAIN).await?;
        place.occupy();
        let mut slots = Vec::new();
        self.more_slots(&mut slots, self.shared.store.isolation().together(few(concurrency)));
        let others = self.shared.count();
        if slots.is_empty() {
            return Ok(None);
        }
        let wanted = Wanted { most: slots.len(), lease, suspects: true, alone: others <= NEARLY_ALONE };
        let claims = self.claim(claimant, wanted).await?;
        let suspects: Vec<_> = claims.leases.iter().map(|lease| lease.job.id).collect();
        if !suspects.is_empty() {
            let Shared { stage, vendor, .. } = &*self.shared;
            tracing::debug!(%stage, %vendor, suspects = suspects.len(), others, "jobs that were lost before are worked on apart");
        }
        self.hand_out(claims, slots).await?;
        self.until(|shared| !shared.has_any(&suspects), lease).await?;
        if !suspects.is_empty() {
            place.ended(!self.shared.has_any(&suspects));
        }
        place.vacate();
        Ok(self.shared.has_any(&suspects).then_some(Apart {
            _place: place,
            suspects,
            until: Instant::now() + lease * KEPT,
        }))
    }

    /// Waits until this is so of the jobs that the process has, or has waited for so long.
    async fn until(&self, so: impl Fn(&Shared) -> bool, patience: Duration) -> Going<()> {
        let until = Instant::now() + patience;
        while !so(&self.shared) {
            tokio::select! {
                () = self.stop.cancelled() => return Err(Stopped),
                () = self.shared.freed.notified() => {}
                () = tokio::time::sleep_until(until) => return Ok(()),
            }
        }
        Ok(())
    }

    fn sleep(&self, claims: &Claims) -> Duration {
        claims.next_due.map_or(LONGEST_SLEEP, |due| due.since(claims.now)).min(LONGEST_SLEEP)
    }

    async fn pause(&self, wait: Duration) -> Going<()> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Stopped),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }
}
