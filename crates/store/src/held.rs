//! What a queue's tasks share: the jobs that this process has, each with its slot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use songmill_core::{Event, JobId, Stage, VendorName};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};

use crate::lease::Lease;
use crate::queue::QueueSettings;
use crate::store::Store;

/// After a Redis error, the first wait; doubles.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(100);
/// The longest wait after a Redis error.
pub(crate) const RETRY_MOST: Duration = Duration::from_secs(3);

/// What is to be written down of jobs.
pub(crate) type Outcomes = mpsc::UnboundedSender<(Arc<Lease>, Event)>;

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) stage: Stage,
    pub(crate) vendor: VendorName,
    pub(crate) settings: QueueSettings,
    held: Mutex<HashMap<JobId, (Arc<Lease>, OwnedSemaphorePermit)>>,
    /// Rung when a job was let go; one task listens.
    pub(crate) freed: Notify,
}

impl Shared {
    pub(crate) fn new(store: Store, stage: Stage, vendor: VendorName, settings: QueueSettings) -> Self {
        Self { store, stage, vendor, settings, held: Mutex::default(), freed: Notify::new() }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<JobId, (Arc<Lease>, OwnedSemaphorePermit)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a job in a slot.
    pub(crate) fn hold(&self, lease: &Arc<Lease>, slot: OwnedSemaphorePermit) {
        self.held().insert(lease.job.id, (lease.clone(), slot));
    }

    /// Frees the slot of a lease. Its job may have been claimed anew meanwhile: that lease stays.
    pub(crate) fn let_go(&self, lease: &Arc<Lease>) {
        let mut held = self.held();
        if held.get(&lease.job.id).is_some_and(|(known, _)| Arc::ptr_eq(known, lease)) {
            held.remove(&lease.job.id);
            self.freed.notify_one();
        }
    }

    /// Counts that the work on a job failed by itself.
    pub(crate) async fn blame(&self, lease: &Arc<Lease>) {
        if let Err(error) = self.store.blame(lease).await {
            tracing::warn!(job.id = %lease.job.id, error = %chain(&error), "that work on a job failed cannot be counted");
        }
    }

    /// How many jobs this process has of the queue.
    pub(crate) fn count(&self) -> usize {
        self.held().len()
    }

    /// Whether this process has one of these.
    pub(crate) fn has_any(&self, jobs: &[JobId]) -> bool {
        let held = self.held();
        jobs.iter().any(|job| held.contains_key(job))
    }

    pub(crate) fn leases(&self) -> Vec<Arc<Lease>> {
        self.held().values().map(|(lease, _)| lease.clone()).collect()
    }

    /// Gives jobs back without having worked on them: the claim does not count.
    pub(crate) async fn give_back(&self, leases: Vec<Arc<Lease>>, outcomes: &Outcomes) {
        let (submits, others): (Vec<_>, Vec<_>) =
            leases.into_iter().partition(|lease| lease.stage == Stage::Submit);
        for lease in submits {
            let attempt = lease.job.submissions;
            let _ = outcomes.send((lease, Event::HandedBack { attempt }));
        }
        self.give_back_now(&others).await;
    }

    async fn give_back_now(&self, leases: &[Arc<Lease>]) {
        if leases.is_empty() {
            return;
        }
        if let Err(error) = self.store.extend(leases, Duration::ZERO).await {
            tracing::warn!(error = %chain(&error), "claimed jobs come back when their lease runs out");
        }
        leases.iter().for_each(|lease| self.let_go(lease));
    }

    /// Gives back what is still worked on when there is no more time for it. Submissions are not: nobody knows what came
    /// of them.
    pub(crate) async fn give_up(&self) {
        let mut leases = self.leases();
        leases.retain(|lease| lease.stage != Stage::Submit);
        self.give_back_now(&leases).await;
    }
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
