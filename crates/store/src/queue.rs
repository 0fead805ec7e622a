//! A stage queue as an apalis backend: pump, committer and extender are tasks of their own that wait out Redis.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::worker::context::WorkerContext;
use songmill_core::time::Span;
use songmill_core::{Event, JobId, Stage, VendorName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::claim::{Claimant, LONGEST_SLEEP};
use crate::lease::Lease;
use crate::outcomes::{OutcomeLayer, commit_outcomes};
use crate::store::Store;

/// How a queue is worked on by this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSettings {
    /// Jobs worked on at the same time.
    pub concurrency: usize,
    /// How long a claimed job is ours without a sign of life; a dead worker's jobs move on after this.
    pub lease: Span,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { concurrency: 32, lease: Span::secs(60) }
    }
}

/// What a handler found out: the event that the machine is told of.
pub type Outcome = Event;

/// One stage of one vendor, as an apalis backend. Its tasks are [`Lease`]s, its handlers answer with the
/// [`Outcome`]; a handler that fails or panics leaves its job to the next worker when the lease runs out.
pub struct StageQueue {
    shared: Arc<Shared>,
    leases: mpsc::Receiver<Arc<Lease>>,
    outcomes: Option<mpsc::UnboundedSender<(Arc<Lease>, Event)>>,
    stop: CancellationToken,
    pump: Option<AbortOnDropHandle<()>>,
    committer: Option<AbortOnDropHandle<()>>,
    _extender: AbortOnDropHandle<()>,
    closing: Option<AbortOnDropHandle<()>>,
}

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) stage: Stage,
    pub(crate) vendor: VendorName,
    settings: QueueSettings,
    held: Mutex<HashMap<JobId, (Arc<Lease>, OwnedSemaphorePermit)>>,
}

/// Never fails: what goes wrong with Redis is waited out inside.
#[derive(Debug, thiserror::Error)]
pub enum Never {}

/// After a Redis error, the first wait; doubles.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(100);
/// The longest wait after a Redis error.
pub(crate) const RETRY_MOST: Duration = Duration::from_secs(3);
/// The most jobs asked for in one claim.
const CLAIM_CHUNK: usize = 128;

impl StageQueue {
    /// Starts working on a queue: claims begin at once.
    pub fn start(store: Store, stage: Stage, vendor: VendorName, settings: QueueSettings) -> Self {
        let concurrency = settings.concurrency.max(1);
        let shared = Arc::new(Shared { store, stage, vendor, settings, held: Mutex::default() });
        let (to_worker, leases) = mpsc::channel(concurrency);
        let (outcomes, to_commit) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let slots = Arc::new(Semaphore::new(concurrency));
        let pump =
            tokio::spawn(pump(shared.clone(), slots, to_worker, outcomes.clone().downgrade(), stop.clone()));
        let committer = tokio::spawn(commit_outcomes(shared.clone(), to_commit));
        let extender = tokio::spawn(extend_leases(shared.clone()));
        Self {
            shared,
            leases,
            outcomes: Some(outcomes),
            stop,
            pump: Some(AbortOnDropHandle::new(pump)),
            committer: Some(AbortOnDropHandle::new(committer)),
            _extender: AbortOnDropHandle::new(extender),
            closing: None,
        }
    }

    /// Stops claiming when this token is cancelled; jobs under way go on.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }
}

impl Shared {
    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, (Arc<Lease>, OwnedSemaphorePermit)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees the slot of a lease. Its job may have been claimed anew meanwhile: that lease stays.
    pub(crate) fn let_go(&self, lease: &Arc<Lease>) {
        let mut held = self.held();
        if held.get(&lease.job.id).is_some_and(|(known, _)| Arc::ptr_eq(known, lease)) {
            held.remove(&lease.job.id);
        }
    }

    fn leases(&self) -> Vec<Arc<Lease>> {
        self.held().values().map(|(lease, _)| lease.clone()).collect()
    }
}

/// Claims as many due jobs as there are free slots, again and again.
async fn pump(
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    to_worker: mpsc::Sender<Arc<Lease>>,
    outcomes: mpsc::WeakUnboundedSender<(Arc<Lease>, Event)>,
    stop: CancellationToken,
) {
    let Shared { store, stage, vendor, settings, .. } = &*shared;
    let bell = store.wake().bell(&store.keys().queue(*stage, vendor));
    let most_claims = store.policy().jobs.claims;
    let mut claimant = Claimant::new();
    let mut wait = RETRY_FIRST;
    while !stop.is_cancelled() {
        // Cancel-safe: a permit not yet handed out goes back.
        let first = tokio::select! {
            () = stop.cancelled() => return,
            slot = slots.clone().acquire_owned() => slot.expect("the semaphore is never closed"),
        };
        let mut permits = vec![first];
        while permits.len() < CLAIM_CHUNK
            && let Ok(slot) = slots.clone().try_acquire_owned()
        {
            permits.push(slot);
        }
        let claims = match store
            .claim(&mut claimant, *stage, vendor, permits.len(), settings.lease.get())
            .await
        {
            Ok(claims) => claims,
            Err(error) => {
                tracing::warn!(%stage, %vendor, error = %chain(&error), "queue {stage} of {vendor} waits for redis");
                drop(permits);
                sleep_or_stop(wait, &stop).await;
                wait = (wait * 2).min(RETRY_MOST);
                continue;
            }
        };
        wait = RETRY_FIRST;
        for error in &claims.unreadable {
            tracing::error!(%stage, %vendor, error = %chain(error), "a job's record cannot be read and waits for an operator");
        }
        let full = claims.leases.len() == permits.len();
        let mut unbegun = Vec::new();
        for lease in claims.leases {
            let (lease, permit) = (Arc::new(lease), permits.pop().expect("no more jobs than permits"));
            shared.held().insert(lease.job.id, (lease.clone(), permit));
            if lease.claims > most_claims {
                let poisoned = Event::Poisoned { claims: lease.claims - 1 };
                if let Some(outcomes) = outcomes.upgrade() {
                    let _ = outcomes.send((lease, poisoned));
                }
            } else if let Err(mpsc::error::SendError(lease)) = to_worker.send(lease).await {
                unbegun.push(lease);
            }
        }
        if !unbegun.is_empty() {
            // The worker is closing: what it will not begin goes back.
            if let Some(outcomes) = outcomes.upgrade() {
                give_back(&shared, unbegun, &outcomes).await;
            }
            return;
        }
        drop(permits);
        if full {
            continue;
        }
        let sleep = claims.next_due.map_or(LONGEST_SLEEP, |due| due.since(claims.now)).min(LONGEST_SLEEP);
        tokio::select! {
            () = stop.cancelled() => return,
            () = bell.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

async fn sleep_or_stop(wait: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(wait) => {}
    }
}

/// Lengthens the leases of jobs under way, three times in a lease.
async fn extend_leases(shared: Arc<Shared>) {
    let lease = shared.settings.lease.get();
    loop {
        tokio::time::sleep(lease / 3).await;
        let leases = shared.leases();
        if leases.is_empty() {
            continue;
        }
        if let Err(error) = shared.store.extend(&leases, lease).await {
            tracing::warn!(stage = %shared.stage, error = %chain(&error), "leases cannot be lengthened");
        }
    }
}

/// Gives back what was claimed but not begun.
async fn give_back(
    shared: &Shared,
    leases: Vec<Arc<Lease>>,
    outcomes: &mpsc::UnboundedSender<(Arc<Lease>, Event)>,
) {
    let (submits, others): (Vec<_>, Vec<_>) =
        leases.into_iter().partition(|lease| lease.stage == Stage::Submit);
    for lease in submits {
        let attempt = lease.job.submissions;
        let _ = outcomes.send((lease, Event::HandedBack { attempt }));
    }
    if !others.is_empty() {
        if let Err(error) = shared.store.extend(&others, Duration::ZERO).await {
            tracing::warn!(error = %chain(&error), "claimed jobs come back when their lease runs out");
        }
        others.iter().for_each(|lease| shared.let_go(lease));
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

impl Backend for StageQueue {
    type Task = Task<Arc<Lease>>;
    type Error = Never;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Never>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Never>>> {
        self.leases.poll_recv(cx).map(|lease| lease.map(|lease| Ok(Task::new(lease))))
    }

    /// Ends the queue: gives back what was not begun, waits until all outcomes are durable, and stops the worker
    /// (which waits to be told, even when its backend has no more tasks).
    fn poll_close(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Never>> {
        let closing = self.closing.get_or_insert_with(|| {
            self.stop.cancel();
            self.leases.close();
            let mut unbegun = Vec::new();
            while let Ok(lease) = self.leases.try_recv() {
                unbegun.push(lease);
            }
            let (shared, outcomes) = (self.shared.clone(), self.outcomes.take());
            let (pump, committer) = (self.pump.take(), self.committer.take());
            AbortOnDropHandle::new(tokio::spawn(async move {
                if let Some(pump) = pump {
                    let _ = pump.await;
                }
                if let Some(outcomes) = outcomes {
                    give_back(&shared, unbegun, &outcomes).await;
                }
                if let Some(committer) = committer {
                    let _ = committer.await;
                }
            }))
        });
        std::task::ready!(Pin::new(closing).poll(cx)).ok();
        if worker.is_running() {
            let _ = worker.stop();
        }
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for StageQueue {
    type Args = Arc<Lease>;
    type Id = String;
    type Kind = Ephemeral;
    type Config = QueueSettings;
    type Layer = OutcomeLayer;

    fn config(&self) -> &QueueSettings {
        &self.shared.settings
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> OutcomeLayer {
        let outcomes = self.outcomes.as_ref().expect("a queue is closed last").downgrade();
        OutcomeLayer { outcomes, shared: self.shared.clone() }
    }
}
