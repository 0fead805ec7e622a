//! A stage queue as an apalis backend: fetcher, committer and extender are tasks of their own that wait out Redis.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::worker::context::WorkerContext;
use songmill_core::time::Span;
use songmill_core::{Event, Stage, VendorName};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::fetcher::Fetcher;
use crate::held::{Outcomes, Shared, chain};
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
    outcomes: Option<Outcomes>,
    stop: CancellationToken,
    fetcher: Option<AbortOnDropHandle<()>>,
    committer: Option<AbortOnDropHandle<()>>,
    _extender: AbortOnDropHandle<()>,
    closing: Option<AbortOnDropHandle<()>>,
}

/// Never fails: what goes wrong with Redis is waited out inside.
#[derive(Debug, thiserror::Error)]
pub enum Never {}

/// The jobs that a queue's worker has, also when that is gone.
pub struct UnderWay(Arc<Shared>);

impl UnderWay {
    /// Gives them back: they are due at once, and the claim does not count. To be called when the worker has been ended.
    /// Submissions stay where they are, for nobody knows what came of them.
    pub async fn give_back(self) {
        self.0.give_up().await;
    }
}

impl StageQueue {
    /// Starts working on a queue: claims begin at once.
    pub fn start(store: Store, stage: Stage, vendor: VendorName, settings: QueueSettings) -> Self {
        let concurrency = settings.concurrency.max(1);
        let shared = Arc::new(Shared::new(store, stage, vendor, settings));
        shared.store.queues().add(&shared);
        let (to_worker, leases) = mpsc::channel(concurrency);
        let (outcomes, to_commit) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let slots = Arc::new(Semaphore::new(concurrency));
        let fetcher = Fetcher {
            shared: shared.clone(),
            slots,
            to_worker,
            outcomes: outcomes.downgrade(),
            stop: stop.clone(),
        };
        let fetcher = tokio::spawn(fetcher.run());
        let committer = tokio::spawn(commit_outcomes(shared.clone(), to_commit));
        let extender = tokio::spawn(extend_leases(shared.clone()));
        Self {
            shared,
            leases,
            outcomes: Some(outcomes),
            stop,
            fetcher: Some(AbortOnDropHandle::new(fetcher)),
            committer: Some(AbortOnDropHandle::new(committer)),
            _extender: AbortOnDropHandle::new(extender),
            closing: None,
        }
    }

    /// What gives back the jobs that are still worked on when there is no more time for them.
    pub fn under_way(&self) -> UnderWay {
        UnderWay(self.shared.clone())
    }

    /// Stops claiming when this token is cancelled; jobs under way go on.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
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
            let (fetcher, committer) = (self.fetcher.take(), self.committer.take());
            AbortOnDropHandle::new(tokio::spawn(async move {
                if let Some(fetcher) = fetcher {
                    let _ = fetcher.await;
                }
                if let Some(outcomes) = outcomes {
                    shared.give_back(unbegun, &outcomes).await;
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
