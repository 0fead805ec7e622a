//! What handlers found out: handed to the committer, decided by the machine, and written down together.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use futures_util::FutureExt as _;
use songmill_core::Event;
use songmill_core::job::step;
use tokio::sync::mpsc;

use crate::apply::Applied;
use crate::commit::{COMMIT_CHUNK, Commit, Committed};
use crate::connection::StoreError;
use crate::held::{RETRY_FIRST, RETRY_MOST, Shared, chain};
use crate::lease::Lease;
use crate::queue::Outcome;
use crate::store::announce;

/// Hands a handler's outcome to the committer. Outermost of a worker's layers.
#[derive(Clone)]
pub struct OutcomeLayer {
    pub(crate) outcomes: mpsc::WeakUnboundedSender<(Arc<Lease>, Event)>,
    pub(crate) shared: Arc<Shared>,
}

impl<S> tower::Layer<S> for OutcomeLayer {
    type Service = OutcomeService<S>;
    fn layer(&self, inner: S) -> OutcomeService<S> {
        OutcomeService { inner, to: self.clone() }
    }
}

/// See [`OutcomeLayer`].
#[derive(Clone)]
pub struct OutcomeService<S> {
    inner: S,
    to: OutcomeLayer,
}

impl<S> tower::Service<Task<Arc<Lease>>> for OutcomeService<S>
where
    S: tower::Service<Task<Arc<Lease>>, Response = Outcome>,
    S::Error: Into<BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxDynError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, task: Task<Arc<Lease>>) -> Self::Future {
        let lease = task.args.clone();
        let to = self.to.clone();
        let work = self.inner.call(task);
        Box::pin(async move {
            match work.await.map_err(Into::<BoxDynError>::into) {
                Ok(event) => {
                    let sent = to.outcomes.upgrade().map(|outcomes| outcomes.send((lease.clone(), event)));
                    if !matches!(sent, Some(Ok(()))) {
                        to.shared.let_go(&lease);
                    }
                }
                Err(error) => {
                    tracing::error!(
                        job.id = %lease.job.id, stage = %lease.stage, vendor = %lease.vendor, %error,
                        "work on a job failed; the next worker takes it when the lease runs out"
                    );
                    // Work that fails because its lease ran out is no fault of the job's.
                    if lease.is_held_for(Duration::ZERO) {
                        to.shared.blame(&lease).await;
                    }
                    to.shared.let_go(&lease);
                }
            }
            Ok(())
        })
    }
}

/// Writes outcomes down, many in one call; a slot is free again when its job's outcome is durable.
pub(crate) async fn commit_outcomes(
    shared: Arc<Shared>,
    mut outcomes: mpsc::UnboundedReceiver<(Arc<Lease>, Event)>,
) {
    let mut pending = Vec::with_capacity(COMMIT_CHUNK);
    while outcomes.recv_many(&mut pending, COMMIT_CHUNK).await > 0 {
        if commit_all(&shared, &pending).await.is_err() {
            // One of them is the cause, and must not take the others with it.
            for outcome in &pending {
                if let Err(error) = commit_all(&shared, std::slice::from_ref(outcome)).await {
                    tracing::error!(
                        job.id = %outcome.0.job.id, stage = %shared.stage, error = %chain(&*error),
                        "outcome cannot be written down; the next worker takes the job when the lease runs out"
                    );
                    shared.blame(&outcome.0).await;
                }
            }
        }
        for (lease, _) in pending.drain(..) {
            shared.let_go(&lease);
        }
    }
}

/// Commits; waits out whatever passes. An error is one of the jobs' own, and so is a panic.
async fn commit_all(shared: &Shared, pending: &[(Arc<Lease>, Event)]) -> Result<(), BoxDynError> {
    match AssertUnwindSafe(committed(shared, pending)).catch_unwind().await {
        Ok(result) => Ok(result?),
        Err(_) => Err("the work on it panicked".into()),
    }
}

async fn committed(shared: &Shared, pending: &[(Arc<Lease>, Event)]) -> Result<(), StoreError> {
    let store = &shared.store;
    let (now, policy) = (store.now(), store.policy());
    let mut stale = Vec::new();
    let steps: Vec<_> = pending
        .iter()
        .filter_map(|(lease, event)| match step(&lease.job, event, now, &policy) {
            Some(step) => Some((lease, event, step)),
            None => {
                tracing::debug!(job.id = %lease.job.id, event = event.name(), "outcome changes nothing");
                None
            }
        })
        .collect();
    if steps.is_empty() {
        return Ok(());
    }
    let commits: Vec<_> = steps
        .iter()
        .map(|(lease, _, step)| Commit { version: lease.version, before: &lease.job, after: &step.job })
        .collect();
    let results = wait_out(shared, || store.commit(&commits)).await?;
    for ((lease, event, step), result) in steps.iter().zip(results) {
        match result {
            Committed::Done => {
                store.counted().observe(&policy.pace, &lease.job, event, &step.job);
                announce(&step.job, &step.effects);
            }
            Committed::Stale if !outlives_its_lease(event) => {
                tracing::debug!(job.id = %lease.job.id, event = event.name(), "outcome comes too late");
            }
            Committed::Stale => stale.push((lease.job.id, *event)),
            Committed::NoSuchJob => tracing::warn!(job.id = %lease.job.id, "job is not in redis any more"),
        }
    }
    for (id, event) in stale {
        // Somebody else changed the job meanwhile: what we know is told to the job as it is now.
        if let Applied::NoSuchJob = wait_out(shared, || store.apply(id, event)).await? {
            tracing::warn!(job.id = %id, "job is not in redis any more");
        }
    }
    Ok(())
}

/// Whether an event still means something when somebody else has changed the job. What names its attempt does. A
/// poisoning and what came of collecting speak of the job as it was: it has not killed whoever changed it, and audio
/// is collected again for nothing.
fn outlives_its_lease(event: &Event) -> bool {
    !matches!(
        event,
        Event::Poisoned { .. }
            | Event::Stored { .. }
            | Event::QualityRejected { .. }
            | Event::CollectFailed { .. }
    )
}

/// Does it again until Redis answers; an error that is the job's own does not pass.
async fn wait_out<T, F: Future<Output = Result<T, StoreError>>>(
    shared: &Shared,
    mut act: impl FnMut() -> F,
) -> Result<T, StoreError> {
    let mut wait = RETRY_FIRST;
    loop {
        match act().await {
            Ok(done) => return Ok(done),
            Err(error) if error.is_of_a_job() => return Err(error),
            Err(error) => {
                let Shared { stage, vendor, .. } = shared;
                tracing::warn!(%stage, %vendor, error = %chain(&error), "outcomes of {stage} wait for redis");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MOST);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use songmill_core::job::Defect;
    use songmill_core::{Fault, FaultKind};

    use super::*;

    #[test]
    fn what_came_of_collecting_is_not_told_to_a_job_that_has_changed() {
        let fault = || Fault::new(FaultKind::Unknown, "audio_unfit", "");
        for event in [
            Event::QualityRejected { fault: fault(), defect: Defect::Unusable },
            Event::CollectFailed { fault: fault() },
            Event::Stored { assets: vec![], extra: vec![] },
            Event::Poisoned { claims: 5 },
        ] {
            assert!(!outlives_its_lease(&event), "{event:?}");
        }
        assert!(outlives_its_lease(&Event::PollFailed { attempt: 1, fault: fault() }));
    }
}
