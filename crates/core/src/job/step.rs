//! Every decision about a job's fate.
//!
//! The state is matched first, then the event. What a state does not name is late, doubled, foreign or out of
//! order, and changes nothing: the last arm of each state says so.

use super::event::{Accepted, Event};
use super::policy::{Policy, VendorPolicy};
use super::record::Job;
use super::state::{Attempt, State};
use crate::fault::{Fault, FaultKind};
use crate::id::VendorName;
use crate::time::Timestamp;

mod collect;
mod fate;
mod generate;
mod late;
mod output;
mod stop;
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
    if let Event::Reported { attempt, vendor, .. } = event
        && !turn.is_ours(*attempt, vendor)
    {
        return None;
    }
    let changed = match job.state.clone() {
        State::Queued => turn.queued(event),
        State::Submitting(attempt) => turn.submitting(attempt, None, event),
        State::Uncertain { attempt, doubt } => turn.submitting(attempt, Some(doubt), event),
        State::Generating { attempt, task, polls, nudged, denied, stops } => {
            turn.generating(Following { attempt, task, polls, nudged, denied, stops }, event)
        }
        State::Canceling { attempt, task, tries, because } => {
            turn.canceling(Stopping { attempt, task, tries, because }, event)
        }
        State::Collecting { origin, outputs, extra, tries, accept } => {
            turn.collecting(Bringing { origin, outputs, extra, tries, accept }, event)
        }
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

use collect::Bringing;
use generate::Following;
use stop::Stopping;

impl Turn<'_> {
    fn vendor_policy(&self) -> &VendorPolicy {
        self.policy.vendor(self.job.vendor())
    }

    /// Whether a submission belongs to the step the job is at and is not known to have ended.
    fn is_current(&self, attempt: u32) -> bool {
        (self.job.first.max(1)..=self.job.submissions).contains(&attempt)
            && !self.job.ended.contains(&attempt)
    }

    /// Whether a submission of this number can have been made to this vendor.
    fn is_ours(&self, attempt: u32, vendor: &VendorName) -> bool {
        let (first, last) = (self.job.first.max(1), self.job.submissions);
        match attempt {
            0 => false,
            _ if attempt < first => self.job.routes.iter().any(|route| route.vendor == *vendor),
            _ => attempt <= last && self.job.vendor() == vendor,
        }
    }

    /// A submission that is not the one at hand: when it began is not known any more.
    fn earlier(&self, number: u32) -> Attempt {
        Attempt { number, since: self.job.created }
    }

    /// One more submission of this step created a task, or may have; one that was counted in doubt and is
    /// heard of after all must not make more than there were.
    fn count_paid(&mut self) {
        self.job.paid = self.job.paid.saturating_add(1).min(self.job.submissions);
    }

    /// A submission is known to have created a task, though it may have been taken for not done. Says whether that is
    /// news.
    fn confirm(&mut self, number: u32) -> bool {
        let job = &mut self.job;
        if let Some(place) = job.doubts.iter().position(|(doubted, _)| *doubted == number) {
            let (_, known) = job.doubts.remove(place);
            if known {
                return false;
            }
        }
        if job.confirmed >= job.submissions {
            return false;
        }
        let price = job.booking(number).price;
        if job.possibly_paid() == 0 {
            // It was given back before.
            job.undone = job.undone.saturating_sub(1);
        } else {
            job.settled = job.settled.saturating_add(price);
        }
        job.confirmed += 1;
        job.spent = job.spent.saturating_add(price);
        job.book(number, None);
        true
    }

    /// A submission is known not to have created a task.
    fn undo(&mut self, number: u32) {
        if self.job.possibly_paid() > 0 {
            self.job.undone += 1;
            self.job.settled = self.job.settled.saturating_add(self.job.booking(number).price);
        }
    }

    /// A task was not charged for after all.
    fn refund(&mut self, number: u32) {
        let job = &mut self.job;
        job.paid = job.paid.saturating_sub(1);
        if job.confirmed > 0 {
            job.confirmed -= 1;
            job.undone += 1;
            job.spent = job.spent.saturating_sub(job.booking(number).amount());
            job.book(number, None);
        }
    }

    /// A submission counts: the others may have been paid for beside it, and no more than there are.
    fn count_others(&mut self) {
        self.job.maybe_paid_twice = self.job.maybe_paid_twice.min(self.job.submissions.saturating_sub(1));
    }

    /// A submission that another one has replaced was taken after all.
    fn taken_too(&mut self, number: u32, accepted: &Accepted) -> Changed {
        if !self.is_current(number) {
            return Changed::No;
        }
        match accepted {
            Accepted::Done(product) => self.late_product(number, &self.job.vendor().clone(), None, product),
            Accepted::Task(task) => {
                if self.job.maybe_paid_twice >= self.job.submissions.saturating_sub(1) {
                    return Changed::No;
                }
                self.job.maybe_paid_twice += 1;
                self.confirm(number);
                self.job.note(self.now, "paid_twice", format!("attempt {number} is task {task} too"));
                Changed::Yes
            }
        }
    }

    fn over(&mut self, event: &Event) -> Changed {
        // Of what was erased there is nothing left to ask a vendor for.
        if *event != Event::RetryAsked || self.job.erased.is_some() {
            return Changed::No;
        }
        self.job.note(self.now, "retry_asked", "");
        self.job.cancel_asked = false;
        self.job.until = self.now + self.policy.jobs.deadline.get();
        self.begin(0)
    }
}

fn worker_lost() -> Fault {
    Fault::new(FaultKind::Unknown, "worker_lost", "the worker ended while it submitted")
}

fn task_canceled() -> Fault {
    Fault::new(FaultKind::Rejected, "task_canceled", "the task was stopped at the vendor's")
}

fn overdue() -> Fault {
    Fault::new(FaultKind::Unavailable, "task_overdue", "the task took too long and was stopped")
}
