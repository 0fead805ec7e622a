//! What is done at each stage: ask the vendor, tell the machine.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use songmill_core::job::{Accepted, Attempt, State, Via};
use songmill_core::{Event, Fault, FaultKind, JobId, SongRequest, Stage, TaskId, Timestamp};
use songmill_store::{Lease, Store};
use songmill_vendors::{Callback, Order, TaskRef, Vendor, Watched};

use crate::address::CallbackAddress;
use crate::driver::{Driver, Stopped};
use crate::looks::{Look, Looks};
use crate::meter::Meter;
use crate::pack::{Packer, Submits};
use crate::references::References;
use crate::watch;

/// What work needs.
pub(crate) struct Bench {
    pub(crate) to: Arc<To>,
    pub(crate) looks: Looks,
    pub(crate) packer: Packer,
    pub(crate) references: References,
}

/// What talking to a vendor needs.
pub(crate) struct To {
    pub(crate) store: Store,
    pub(crate) vendor: Arc<dyn Vendor>,
    pub(crate) driver: Driver,
    pub(crate) meter: Meter,
    pub(crate) address: Arc<CallbackAddress>,
    /// A submission has failed of which it is not known yet that another one went well.
    pub(crate) uneasy: AtomicBool,
}

/// Why there is nothing to tell the machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// A job that stands in a queue where its state has no business.
    #[error("job {job} is {state} and has no work at stage {stage}")]
    Misplaced { job: JobId, state: &'static str, stage: Stage },
    /// The work on its submission ended without a word.
    #[error("what came of submitting job {job} is not known")]
    Lost { job: JobId },
}

impl Bench {
    /// Does what the job waits for and says what happened.
    pub(crate) async fn work(&self, lease: &Arc<Lease>) -> Result<Event, NoAnswer> {
        match (lease.stage, &lease.job.state) {
            (Stage::Submit, State::Submitting(attempt)) => {
                // Without an answer it is not known what was sent: the lease runs out, and it is looked up.
                self.submit(lease, *attempt).await.ok_or(NoAnswer::Lost { job: lease.job.id })
            }
            (Stage::Resolve, State::Submitting(attempt) | State::Uncertain { attempt, .. }) => {
                Ok(self.resolve(lease, *attempt).await)
            }
            (Stage::Poll, State::Generating { attempt, task, .. }) => {
                Ok(self.poll(lease, *attempt, task).await)
            }
            (Stage::Cancel, State::Canceling { attempt, task, .. }) => {
                Ok(self.cancel(lease, *attempt, task).await)
            }
            (stage, state) => {
                Err(NoAnswer::Misplaced { job: lease.job.id, state: state.name().as_str(), stage })
            }
        }
    }

    async fn submit(&self, lease: &Arc<Lease>, attempt: Attempt) -> Option<Event> {
        let number = attempt.number;
        if self.to.store.now() > lease.job.until {
            // It waited past its deadline: the machine says what that means.
            watch::unsent(&self.to.store, lease).await;
            return Some(Event::HandedBack { attempt: number });
        }
        let song = match lease.song() {
            Ok(song) => song,
            Err(error) => {
                watch::unsent(&self.to.store, lease).await;
                return Some(Event::SubmitFailed { attempt: number, fault: unreadable(&error) });
            }
        };
        if let Err(fault) = self.references.check(&*self.to.vendor, &song).await {
            watch::unsent(&self.to.store, lease).await;
            return Some(Event::SubmitFailed { attempt: number, fault });
        }
        match self.to.vendor.pack(&song) {
            // Tenants know nothing of each other.
            Some((key, most)) => {
                let key = format!("{} {key}", lease.job.tenant);
                self.packer.submit(lease.clone(), song, (key, most)).await
            }
            None => Some(self.to.submit(lease.clone(), song).await),
        }
    }

    async fn resolve(&self, lease: &Lease, attempt: Attempt) -> Event {
        let number = attempt.number;
        let song = match lease.song() {
            Ok(song) => song,
            Err(error) => return Event::LookFailed { attempt: number, fault: unreadable(&error) },
        };
        let url = self.to.url(lease, number);
        let order = self.to.order(lease, number, &song, &url);
        let Some(exchange) = self.to.vendor.find(&order, attempt.since) else {
            return Event::CannotTell { attempt: number };
        };
        let asked = self.to.store.now();
        let result = self.to.driver.drive(exchange, Some(lease), &self.to.meter).await;
        watch::asked(&self.to.store, lease, &result).await;
        match result {
            Ok(Some(task)) => Event::Found { attempt: number, task },
            Ok(None) => match self.of_leader(lease, number).await {
                Some(event) => event,
                None => Event::NotFound { attempt: number, asked },
            },
            // A list shows other tenants' tasks, and what is said of it may quote them.
            Err(stopped) => {
                Event::LookFailed { attempt: number, fault: stopped.into_fault().without_vendor_message() }
            }
        }
    }

    /// What the job that was submitted for this one as well knows of the task: the callback comes to it alone.
    async fn of_leader(&self, lease: &Lease, number: u32) -> Option<Event> {
        let packed = lease.job.packed.filter(|packed| packed.own == number && packed.job != lease.job.id)?;
        let leader = match self.to.store.load(packed.job).await {
            Ok(leader) => leader?.job,
            Err(error) => {
                let fault = Fault::new(FaultKind::Unavailable, "look_up_incomplete", error.to_string());
                return Some(Event::LookFailed { attempt: number, fault });
            }
        };
        match shared(&leader.state, packed.attempt) {
            Shared::Task(task) => Some(Event::Found { attempt: number, task }),
            Shared::Exists => {
                let words = format!("job {}, which was submitted for it, is in doubt about it", packed.job);
                let fault = Fault::new(FaultKind::Unavailable, "look_up_incomplete", words);
                Some(Event::LookFailed { attempt: number, fault })
            }
            Shared::Unknown => None,
        }
    }

    async fn poll(&self, lease: &Lease, attempt: Attempt, task: &TaskId) -> Event {
        let number = attempt.number;
        let asked = self.to.store.now();
        let nudged = match &lease.job.state {
            State::Generating { nudged, .. } => (*nudged).min(asked),
            _ => Timestamp::default(),
        };
        let step = lease.job.step_kind();
        let result = if lease.job.retrieval.is_new() {
            let watched = Watched { id: task.clone(), since: attempt.since };
            self.looks.look(step, watched, nudged).await
        } else {
            // It has ended, and its output is not to be had: a list still shows what did not serve.
            self.looks.look_alone(step, task).await
        };
        watch::asked(&self.to.store, lease, &result).await;
        match result {
            Ok(Look { report, at }) => {
                watch::reported(&self.to.store, lease, &report).await;
                Event::Reported {
                    attempt: number,
                    vendor: lease.vendor.clone(),
                    task: Some(task.clone()),
                    report,
                    via: Via::Poll { asked: asked.min(at) },
                }
            }
            Err(stopped) => Event::PollFailed { attempt: number, fault: stopped.into_fault() },
        }
    }

    async fn cancel(&self, lease: &Lease, attempt: Attempt, task: &TaskId) -> Event {
        let number = attempt.number;
        let Some(exchange) = self.to.vendor.cancel(&TaskRef { step: lease.job.step_kind(), id: task }) else {
            let fault = Fault::new(FaultKind::Rejected, "cannot_cancel", "the vendor cannot stop a task");
            return Event::CancelFailed { attempt: number, fault };
        };
        let result = self.to.driver.drive(exchange, Some(lease), &self.to.meter).await;
        watch::asked(&self.to.store, lease, &result).await;
        match result {
            Ok(()) => Event::CancelDone { attempt: number },
            Err(stopped) => Event::CancelFailed { attempt: number, fault: stopped.into_fault() },
        }
    }
}

/// What a job knows of a submission that others share.
#[derive(Debug, PartialEq)]
enum Shared {
    Task(TaskId),
    /// It must be taken to exist, or an operator is asked.
    Exists,
    Unknown,
}

/// What a job in this state knows of this submission of its own.
fn shared(state: &State, number: u32) -> Shared {
    let task = match state {
        State::Generating { attempt, task, .. } | State::Canceling { attempt, task, .. }
            if attempt.number == number =>
        {
            Some(task)
        }
        State::Collecting { origin, .. } | State::Completed { origin, .. }
            if origin.attempt.number == number =>
        {
            origin.task.as_ref()
        }
        State::Uncertain { attempt, doubt } if attempt.number == number && doubt.heard => {
            return Shared::Exists;
        }
        State::Held { of, .. } if of.attempt.number == number => {
            return of.task.clone().map_or(Shared::Exists, Shared::Task);
        }
        _ => None,
    };
    task.cloned().map_or(Shared::Unknown, Shared::Task)
}

impl Submits for To {
    async fn submit(&self, lease: Arc<Lease>, song: SongRequest) -> Event {
        let attempt = lease.job.submissions;
        let url = self.url(&lease, attempt);
        let exchange = match self.vendor.submit(&self.order(&lease, attempt, &song, &url)) {
            Ok(exchange) => exchange,
            Err(fault) => {
                watch::unsent(&self.store, &lease).await;
                return Event::SubmitFailed { attempt, fault };
            }
        };
        let mut result = self.driver.drive(exchange, Some(&lease), &self.meter).await;
        if let Err(Stopped::Fault(fault)) = result {
            result = match self.confirmed(fault, &lease, &song).await {
                Ok(task) => Ok(Accepted::Task(task)),
                Err(fault) => Err(Stopped::Fault(fault)),
            };
        }
        let confirms = watch::submitted(&self.store, &self.uneasy, &lease, &result).await;
        match result {
            Ok(accepted) => Event::Accepted { attempt, accepted },
            Err(Stopped::Fault(fault)) => watch::failed(&lease, attempt, fault, confirms),
            Err(Stopped::LeaseShort) => Event::HandedBack { attempt },
        }
    }
}

/// The suspicion that a request which costs nothing can confirm.
const KEY_REFUSED: &str = "key_refused";

impl To {
    /// Finds out whether the vendor refuses our key or this request alone, where it has a look-up: that costs nothing,
    /// and shows none of the request. Should there be a task after all, that is what came of the submission.
    async fn confirmed(&self, fault: Fault, lease: &Lease, song: &SongRequest) -> Result<TaskId, Fault> {
        if fault.suspicion() != Some(KEY_REFUSED) {
            return Err(fault);
        }
        let attempt = lease.job.submissions;
        let url = self.url(lease, attempt);
        let since = match &lease.job.state {
            State::Submitting(attempt) => attempt.since,
            _ => return Err(fault),
        };
        let Some(look_up) = self.vendor.find(&self.order(lease, attempt, song, &url), since) else {
            return Err(fault);
        };
        match self.driver.drive(look_up, Some(lease), &self.meter).await {
            Ok(Some(task)) => Ok(task),
            Ok(None) => Err(fault.dismissed()),
            Err(Stopped::Fault(of_look_up)) if is_of_key(&of_look_up) => Err(fault.confirmed()),
            Err(_) => Err(fault),
        }
    }

    /// The job and the attempt that a submission is known by at the vendor's: those of the one that was submitted.
    fn known_by(lease: &Lease, attempt: u32) -> (JobId, u32) {
        match lease.job.packed {
            Some(packed) if attempt == packed.own => (packed.job, packed.attempt),
            _ => (lease.job.id, attempt),
        }
    }

    fn url(&self, lease: &Lease, attempt: u32) -> String {
        let (job, attempt) = Self::known_by(lease, attempt);
        self.address.of(&lease.vendor, job, attempt)
    }

    fn order<'a>(
        &self,
        lease: &'a Lease,
        attempt: u32,
        song: &'a songmill_core::SongRequest,
        url: &'a str,
    ) -> Order<'a> {
        let (job, attempt) = Self::known_by(lease, attempt);
        Order {
            job,
            attempt,
            step: lease.job.step_kind(),
            song,
            lyrics: lease.job.lyrics.as_ref(),
            callback: Callback { url, live: self.address.is_live() },
        }
    }
}

fn is_of_key(fault: &Fault) -> bool {
    fault.suspicion() == Some(KEY_REFUSED) || (fault.kind == FaultKind::Locked && fault.code == KEY_REFUSED)
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

#[cfg(test)]
mod tests {
    use songmill_core::job::{Doubt, HeldFor};

    use super::*;

    #[test]
    fn what_the_job_that_was_submitted_knows_of_a_shared_task_is_known_to_the_others() {
        let attempt = Attempt { number: 3, since: Timestamp::default() };
        let fault = || Fault::new(FaultKind::Unknown, "output_unreadable", "");
        let held = |task| State::Held {
            at: Timestamp::default(),
            of: HeldFor { attempt, task, fault: fault(), answer: None },
        };
        let uncertain =
            |heard| State::Uncertain { attempt, doubt: Doubt { fault: fault(), looks: 0, heard, fails: 0 } };
        let task = TaskId::new("t").unwrap();
        for (state, known) in [
            (held(Some(task.clone())), Shared::Task(task)),
            (held(None), Shared::Exists),
            (uncertain(true), Shared::Exists),
            (uncertain(false), Shared::Unknown),
            (State::Queued, Shared::Unknown),
        ] {
            assert_eq!(shared(&state, 3), known, "{state:?}");
            assert_eq!(shared(&state, 2), Shared::Unknown, "another submission");
        }
    }
}
