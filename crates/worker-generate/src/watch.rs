//! What requests tell of a vendor: its limits and its gate learn from them.

use std::sync::atomic::{AtomicBool, Ordering};

use songmill_core::fault::{REQUEST_FORBIDDEN, is_down};
use songmill_core::{Event, Fault, FaultKind, Report};
use songmill_store::{Heeded, Lease, Signal, Store, StoreError, Watch};

use crate::driver::Stopped;

/// Tells what came of a submission, before the job itself is told. True when it confirms why the gate is shut.
pub(crate) async fn submitted<T>(
    store: &Store,
    uneasy: &AtomicBool,
    lease: &Lease,
    result: &Result<T, Stopped>,
) -> bool {
    // Those that were claimed before the first failure count as well: failures in a row are meant.
    let answered = matches!(result, Ok(_) | Err(Stopped::Fault(Fault { kind: FaultKind::Rejected, .. })));
    let wanted = lease.watch != Watch::None || (answered && uneasy.swap(false, Ordering::Relaxed));
    let signal = match result {
        Ok(_) if wanted => Signal::Answered,
        Err(Stopped::Fault(fault)) => match fault.kind {
            FaultKind::Rejected if wanted => Signal::Answered,
            FaultKind::Rejected => return false,
            _ if fault.suspicion().is_some() => Signal::Suspected(fault),
            FaultKind::Locked => Signal::Locked(fault),
            FaultKind::Throttled => Signal::CreatesThrottled(fault),
            FaultKind::Unavailable if is_down(&fault.code) => Signal::Down(fault),
            // Nobody knows how many tasks a vendor has made that does not answer: it is left alone.
            FaultKind::Unavailable | FaultKind::Unknown | FaultKind::Garbled => Signal::Failing(fault),
        },
        Ok(_) | Err(Stopped::LeaseShort) => {
            unsent(store, lease).await;
            return false;
        }
    };
    if matches!(signal, Signal::Failing(_) | Signal::Suspected(_)) {
        uneasy.store(true, Ordering::Relaxed);
    }
    tell(store, lease, signal).await == Heeded::Confirmed
}

/// Tells that a submission was not made after all: another one may find out whether the gate can open.
pub(crate) async fn unsent(store: &Store, lease: &Lease) {
    if lease.watch == Watch::Probe {
        tell(store, lease, Signal::Unprobed).await;
    }
}

/// What became of a submission, as the machine is told: one that was let through a shut gate and not done is no strike,
/// unless it was refused and nothing says that others would be.
pub(crate) fn failed(lease: &Lease, attempt: u32, fault: Fault, confirms: bool) -> Event {
    let is_of_request = fault.code == REQUEST_FORBIDDEN && !confirms;
    if lease.watch == Watch::Probe && fault.kind == FaultKind::Unavailable && !is_of_request {
        return Event::ProbeFailed { attempt, fault };
    }
    Event::SubmitFailed { attempt, fault }
}

/// Tells what came of a look, a look-up or a cancel.
pub(crate) async fn asked<T>(store: &Store, lease: &Lease, result: &Result<T, Stopped>) {
    let Err(Stopped::Fault(fault)) = result else { return };
    let signal = match fault.kind {
        // The same key submits.
        _ if fault.suspicion() == Some("key_refused") => Signal::Suspected(fault),
        FaultKind::Throttled => Signal::ReadsThrottled(fault),
        FaultKind::Locked if fault.code == "key_refused" => Signal::Locked(fault),
        FaultKind::Rejected
        | FaultKind::Locked
        | FaultKind::Unavailable
        | FaultKind::Unknown
        | FaultKind::Garbled => return,
    };
    tell(store, lease, signal).await;
}

/// Tells what a report means for other tasks.
pub(crate) async fn reported(store: &Store, lease: &Lease, report: &Report) {
    let Report::Failed(fault) = report else { return };
    if fault.suspicion().is_some() {
        tell(store, lease, Signal::SuspectedOfTasks(fault)).await;
    } else if fault.kind == FaultKind::Locked {
        tell(store, lease, Signal::Locked(fault)).await;
    } else if is_down(&fault.code) {
        tell(store, lease, Signal::Down(fault)).await;
    }
}

async fn tell(store: &Store, lease: &Lease, signal: Signal<'_>) -> Heeded {
    let vendor = &lease.vendor;
    let told: Result<Heeded, StoreError> = store.signal(vendor, (&lease.job, lease.watch), signal).await;
    match (&told, signal) {
        (Ok(Heeded::Changed), Signal::Answered) => tracing::info!(%vendor, "gate of {vendor} is open again"),
        (
            Ok(Heeded::Changed),
            Signal::Locked(fault)
            | Signal::Failing(fault)
            | Signal::Down(fault)
            | Signal::Suspected(fault)
            | Signal::SuspectedOfTasks(fault),
        ) => {
            let code = fault.suspicion().unwrap_or(&fault.code);
            tracing::error!(%vendor, code, job.id = %lease.job.id, "gate of {vendor} is shut: {code}");
        }
        (Ok(_), Signal::CreatesThrottled(fault) | Signal::ReadsThrottled(fault)) => {
            tracing::debug!(%vendor, code = %fault.code, "{vendor} is asked less: {fault}");
        }
        (Ok(_), _) => {}
        (Err(error), _) => tracing::warn!(%vendor, %error, "what {vendor} answered is not told to the fleet"),
    }
    told.unwrap_or(Heeded::No)
}
