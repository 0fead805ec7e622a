//! Every decision about a job's fate.
//!
//! The state is matched first, then the event. What is late, doubled, foreign or out of order changes nothing.

use super::event::{Choice, Event};
use super::policy::{Policy, VendorPolicy};
use super::record::Job;
use super::state::{Attempt, HeldFor, State};
use crate::fault::{Fault, FaultKind};
use crate::time::Timestamp;

mod collect;
mod fate;
mod generate;
mod submit;

/// Something to do beside writing the job down.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Tell the operator.
    Alert(Fault),
}

/// What an event makes of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The job as it is now.
    pub job: Job,
    /// What else to do.
    pub effects: Vec<Effect>,
}

/// Says what an event makes of a job; `None` when it changes nothing.
pub fn step(job: &Job, event: &Event, now: Timestamp, policy: &Policy) -> Option<Step> {
    let mut turn = Turn { job: job.clone(), now, policy, effects: Vec::new() };
    let changed = match job.state.clone() {
        State::Queued => turn.queued(event),
        State::Submitting(attempt) => turn.submitting(attempt, None, event),
        State::Uncertain { attempt, doubt } => turn.submitting(attempt, Some(doubt), event),
        State::Generating { attempt, task, polls, nudged } => {
            turn.generating(attempt, &task, polls, nudged, event)
        }
        State::Canceling { attempt, task, tries, because } => {
            turn.canceling(attempt, task, tries, because, event)
        }
        State::Collecting { origin, outputs, tries } => turn.collecting(origin, outputs, tries, event),
        State::Held { of, .. } => turn.held(of, event),
        State::Failed { .. } | State::Canceled { .. } => turn.over(event),
        State::Completed { .. } => Changed::No,
    };
    match changed {
        Changed::Yes => Some(Step { job: turn.job, effects: turn.effects }),
        Changed::No => None,
    }
}

/// Whether an event changed the job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Changed {
    Yes,
    No,
}

/// One call of [`step()`] under way.
struct Turn<'a> {
    job: Job,
    now: Timestamp,
    policy: &'a Policy,
    effects: Vec<Effect>,
}

impl Turn<'_> {
    pub(super) fn vendor_policy(&self) -> &VendorPolicy {
        self.policy.vendor(self.job.vendor())
    }

    /// Whether a submission belongs to the step the job is at.
    pub(super) fn is_current(&self, attempt: u32) -> bool {
        (self.job.first..=self.job.submissions).contains(&attempt)
    }

    fn held(&mut self, of: HeldFor, event: &Event) -> Changed {
        match event {
            Event::Resolved(Choice::Resubmit) => {
                self.job.paid += 1;
                self.job.maybe_paid_twice += 1;
                self.job.note(self.now, "resolved", "an operator had it submitted again");
                self.job.until = self.now + self.policy.jobs.deadline.get();
                self.queue_now()
            }
            Event::Resolved(Choice::Adopt(task)) => {
                self.job.note(self.now, "resolved", format!("an operator had task {task} followed"));
                // The clock starts anew, or a task held for being overdue would be given up at once.
                let attempt = Attempt { number: of.attempt.number, since: self.now };
                self.follow(attempt, task.clone(), self.now)
            }
            Event::Resolved(Choice::Fail) => self.fail(&of.fault),
            Event::CancelAsked => self.cancel("while it was held"),
            _ => self.revived(Some(of.attempt), event),
        }
    }

    fn over(&mut self, event: &Event) -> Changed {
        if *event != Event::RetryAsked {
            return Changed::No;
        }
        self.job.note(self.now, "retry_asked", "");
        self.job.cancel_asked = false;
        self.job.rounds = 0;
        self.job.until = self.now + self.policy.jobs.deadline.get();
        self.begin(0)
    }
}

fn task_canceled() -> Fault {
    Fault::new(FaultKind::Rejected, "task_canceled", "the task was stopped at the vendor's")
}
