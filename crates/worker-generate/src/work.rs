//! What is done at each stage: ask the vendor, tell the machine.

use std::sync::Arc;

use songmill_core::job::{Attempt, State, Via};
use songmill_core::{Event, Fault, FaultKind, JobId, Stage, TaskId};
use songmill_store::{Lease, Store};
use songmill_vendors::{Callback, Order, TaskRef, Vendor, Watched};

use crate::address::CallbackAddress;
use crate::driver::{Driver, Stopped};
use crate::looks::Looks;
use crate::meter::Meter;
use crate::watch;

/// What work needs.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) vendor: Arc<dyn Vendor>,
    pub(crate) driver: Driver,
    pub(crate) meter: Meter,
    pub(crate) looks: Looks,
    pub(crate) address: Arc<CallbackAddress>,
}

/// A job that stands in a queue where its state has no business.
#[derive(Debug, thiserror::Error)]
#[error("job {job} is {state} and has no work at stage {stage}")]
pub(crate) struct Misplaced {
    job: JobId,
    state: &'static str,
    stage: Stage,
}

impl Bench {
    /// Does what the job waits for and says what happened.
    pub(crate) async fn work(&self, lease: &Lease) -> Result<Event, Misplaced> {
        match (lease.stage, &lease.job.state) {
            (Stage::Submit, State::Submitting(attempt)) => Ok(self.submit(lease, *attempt).await),
            (Stage::Resolve, State::Submitting(attempt) | State::Uncertain { attempt, .. }) => {
                Ok(self.resolve(lease, *attempt).await)
            }
            (Stage::Poll, State::Generating { attempt, task, .. }) => {
                Ok(self.poll(lease, *attempt, task).await)
            }
            (Stage::Cancel, State::Canceling { attempt, task, .. }) => {
                Ok(self.cancel(lease, *attempt, task).await)
            }
            (stage, state) => Err(Misplaced { job: lease.job.id, state: state.name().as_str(), stage }),
        }
    }

    async fn submit(&self, lease: &Lease, attempt: Attempt) -> Event {
        let number = attempt.number;
        if self.store.now() > lease.job.until {
            // It waited past its deadline: the machine says what that means.
            return Event::HandedBack { attempt: number };
        }
        let song = match lease.song() {
            Ok(song) => song,
            Err(error) => return Event::SubmitFailed { attempt: number, fault: unreadable(&error) },
        };
        let url = self.url(lease, number);
        let exchange = match self.vendor.submit(&self.order(lease, number, &song, &url)) {
            Ok(exchange) => exchange,
            Err(fault) => return Event::SubmitFailed { attempt: number, fault },
        };
        let result = self.driver.drive(exchange, Some(lease), &self.meter).await;
        watch::submitted(&self.store, lease, &result).await;
        match result {
            Ok(accepted) => Event::Accepted { attempt: number, accepted },
            Err(Stopped::Fault(fault)) => Event::SubmitFailed { attempt: number, fault },
            Err(Stopped::LeaseShort) => Event::HandedBack { attempt: number },
        }
    }

    async fn resolve(&self, lease: &Lease, attempt: Attempt) -> Event {
        let number = attempt.number;
        let song = match lease.song() {
            Ok(song) => song,
            Err(error) => return Event::LookFailed { attempt: number, fault: unreadable(&error) },
        };
        let url = self.url(lease, number);
        let Some(exchange) = self.vendor.find(&self.order(lease, number, &song, &url), attempt.since) else {
            return Event::CannotTell { attempt: number };
        };
        let asked = self.store.now();
        let result = self.driver.drive(exchange, Some(lease), &self.meter).await;
        watch::asked(&self.store, lease, &result).await;
        match result {
            Ok(Some(task)) => Event::Found { attempt: number, task },
            Ok(None) => Event::NotFound { attempt: number, asked },
            Err(stopped) => Event::LookFailed { attempt: number, fault: stopped.into_fault() },
        }
    }

    async fn poll(&self, lease: &Lease, attempt: Attempt, task: &TaskId) -> Event {
        let number = attempt.number;
        let asked = self.store.now();
        let watched = Watched { id: task.clone(), since: attempt.since };
        let result = self.looks.look(lease.job.step_kind(), watched).await;
        watch::asked(&self.store, lease, &result).await;
        match result {
            Ok(report) => {
                watch::reported(&self.store, lease, &report).await;
                Event::Reported {
                    attempt: number,
                    vendor: lease.vendor.clone(),
                    task: Some(task.clone()),
                    report,
                    via: Via::Poll { asked },
                }
            }
            Err(stopped) => Event::PollFailed { attempt: number, fault: stopped.into_fault() },
        }
    }

    async fn cancel(&self, lease: &Lease, attempt: Attempt, task: &TaskId) -> Event {
        let number = attempt.number;
        let Some(exchange) = self.vendor.cancel(&TaskRef { step: lease.job.step_kind(), id: task }) else {
            let fault = Fault::new(FaultKind::Rejected, "cannot_cancel", "the vendor cannot stop a task");
            return Event::CancelFailed { attempt: number, fault };
        };
        let result = self.driver.drive(exchange, Some(lease), &self.meter).await;
        watch::asked(&self.store, lease, &result).await;
        match result {
            Ok(()) => Event::CancelDone { attempt: number },
            Err(stopped) => Event::CancelFailed { attempt: number, fault: stopped.into_fault() },
        }
    }

    fn url(&self, lease: &Lease, attempt: u32) -> String {
        self.address.of(&lease.vendor, lease.job.id, attempt)
    }

    fn order<'a>(
        &self,
        lease: &'a Lease,
        attempt: u32,
        song: &'a songmill_core::SongRequest,
        url: &'a str,
    ) -> Order<'a> {
        Order {
            job: lease.job.id,
            attempt,
            step: lease.job.step_kind(),
            song,
            lyrics: lease.job.lyrics.as_ref(),
            callback: Callback { url, live: self.address.is_live() },
        }
    }
}

impl Stopped {
    fn into_fault(self) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            Self::LeaseShort => Fault::new(FaultKind::Unavailable, "lease_short", "the worker was too slow"),
        }
    }
}

fn unreadable(error: &serde_json::Error) -> Fault {
    Fault::new(FaultKind::Rejected, "request_unreadable", error.to_string())
}
