//! From the queue to a task: claims, answers, and what to make of it when there is none.

use super::fate::poison;
use super::{Changed, Effect, Turn, worker_lost};
use crate::fault::{Fault, FaultKind};
use crate::id::TaskId;
use crate::job::event::{Accepted, Event, Via};
use crate::job::retrieval::Retrieval;
use crate::job::state::{Attempt, Doubt, State};
use crate::pace::Kind;
use crate::report::Report;
use crate::time::Timestamp;

/// How many times `looks` a task that is known to exist is looked for before an operator is asked.
const LOOKS_WHEN_HEARD: u32 = 4;

impl Turn<'_> {
    pub(super) fn queued(&mut self, event: &Event) -> Changed {
        match event {
            Event::Claimed => {
                self.job.submissions = self.job.submissions.saturating_add(1);
                self.job.state = State::Submitting(Attempt { number: self.job.submissions, since: self.now });
                self.job.retrieval = Retrieval::default();
                self.job.charged = None;
                self.job.booked = u32::try_from(self.now.day()).unwrap_or(u32::MAX);
                // The store has it looked after as soon as the lease ends; nothing else may do so earlier.
                self.job.due = self.now + self.vendor_policy().settle.get();
                Changed::Yes
            }
            Event::CancelAsked => self.cancel("before it was submitted"),
            Event::Shut { vendor, fault } if vendor == self.job.vendor() => self.shut(fault),
            Event::DeadlinePassed => self.deadline(),
            _ => self.late(event),
        }
    }

    /// While a submission's answer has not come; with a doubt once it is known that it may not come.
    pub(super) fn submitting(&mut self, attempt: Attempt, doubt: Option<Doubt>, event: &Event) -> Changed {
        match event {
            Event::HandedBack { attempt: number } if *number == attempt.number && doubt.is_none() => {
                self.undo(attempt.number);
                self.queue_now()
            }
            Event::Packed { attempt: number, into }
                if *number == attempt.number
                    && into.own == attempt.number
                    && doubt.is_none()
                    && self.job.packed != Some(*into) =>
            {
                self.job.packed = Some(*into);
                if into.job != self.job.id {
                    let words = format!("with attempt {} of job {}", into.attempt, into.job);
                    self.job.note(self.now, "packed", words);
                }
                Changed::Yes
            }
            Event::Accepted { attempt: number, accepted } if *number == attempt.number => {
                self.accepted(attempt, accepted)
            }
            Event::Accepted { attempt: number, accepted } => self.taken_too(*number, accepted),
            Event::Found { attempt: number, task } if *number == attempt.number => self.found(attempt, task),
            Event::SubmitFailed { attempt: number, fault } if *number == attempt.number => {
                self.submit_failed(attempt, doubt, fault)
            }
            Event::ProbeFailed { attempt: number, fault } if *number == attempt.number && doubt.is_none() => {
                self.job.note(
                    self.now,
                    "probe_failed",
                    format!("attempt {}: {}", attempt.number, fault.in_full()),
                );
                self.undo(attempt.number);
                self.locked(fault)
            }
            Event::NotFound { attempt: number, asked } if *number == attempt.number => {
                self.not_found(attempt, doubt.unwrap_or_else(lost), *asked)
            }
            Event::CannotTell { attempt: number } if *number == attempt.number => {
                let doubt = doubt.unwrap_or_else(lost);
                let fault = doubt.fault.clone();
                self.unresolved(attempt, &doubt, &fault)
            }
            Event::LookFailed { attempt: number, fault } if *number == attempt.number => {
                self.look_failed(attempt, doubt.unwrap_or_else(lost), fault)
            }
            Event::Reported { attempt: number, task, report, via, .. } if *number == attempt.number => {
                self.reported_first(attempt, doubt, task.as_ref(), (report, *via))
            }
            Event::Reported { attempt: number, vendor, task, report, .. } => {
                self.late_report(*number, vendor, task.as_ref(), report)
            }
            Event::Heard { attempt: number } if *number == attempt.number => self.heard(attempt, doubt),
            Event::CancelAsked if !self.job.cancel_asked => {
                self.job.cancel_asked = true;
                self.job.due = self.job.due.max(self.now);
                self.job.note(self.now, "cancel_asked", "once the submission's outcome is known");
                Changed::Yes
            }
            Event::Poisoned { claims } => {
                let fault = poison(FaultKind::Unknown, *claims);
                self.unresolved(attempt, &doubt.unwrap_or_else(lost), &fault)
            }
            _ => Changed::No,
        }
    }

    pub(super) fn accepted(&mut self, attempt: Attempt, accepted: &Accepted) -> Changed {
        self.count_paid();
        self.confirm(attempt.number);
        match accepted {
            Accepted::Task(task) => {
                self.job.note(self.now, "accepted", format!("attempt {} is task {task}", attempt.number));
                let (vendor, set) = (self.job.vendor(), self.vendor_policy().poll_first.get());
                let first = self.policy.pace.first_look(vendor, Kind::of(&self.job), set);
                let due = self.look_at(attempt, first);
                self.follow(attempt, task.clone(), due)
            }
            Accepted::Done(product) => self.finish(attempt, None, product.clone(), Via::Callback),
        }
    }

    pub(super) fn found(&mut self, attempt: Attempt, task: &TaskId) -> Changed {
        self.job.note(self.now, "found", format!("attempt {} is task {task}", attempt.number));
        self.count_paid();
        self.confirm(attempt.number);
        self.follow(attempt, task.clone(), self.now)
    }

    /// Follows a task from now on.
    pub(super) fn follow(&mut self, mut attempt: Attempt, task: TaskId, due: Timestamp) -> Changed {
        self.job.strikes = 0;
        self.count_others();
        if attempt.since == self.job.created {
            // Not known: its clock starts now, or it would be overdue at once.
            attempt.since = self.now;
        }
        if self.job.cancel_asked {
            return self.cancel_task(attempt, task);
        }
        self.job.state =
            State::Generating { attempt, task, polls: 0, nudged: Timestamp::default(), denied: 0, stops: 0 };
        self.job.due = due;
        Changed::Yes
    }

    /// A report for a submission whose task has not been counted yet.
    pub(super) fn reported_first(
        &mut self,
        attempt: Attempt,
        doubt: Option<Doubt>,
        task: Option<&TaskId>,
        (report, via): (&Report, Via),
    ) -> Changed {
        match (report, task) {
            (Report::Pending, Some(task)) => self.found(attempt, task),
            (Report::Pending | Report::Unreadable(_), None) => self.heard(attempt, doubt),
            (Report::Done(_) | Report::Unreadable(_) | Report::Failed(_) | Report::Canceled, task) => {
                self.count_paid();
                self.confirm(attempt.number);
                self.ended(attempt, task.cloned(), report, via)
            }
        }
    }

    fn submit_failed(&mut self, attempt: Attempt, doubt: Option<Doubt>, fault: &Fault) -> Changed {
        let heard = doubt.is_some_and(|doubt| doubt.heard);
        match fault.kind {
            // Whatever the reply says, the vendor has called back: there is a task.
            FaultKind::Rejected | FaultKind::Locked | FaultKind::Throttled | FaultKind::Unavailable
                if heard =>
            {
                return Changed::No;
            }
            FaultKind::Rejected
            | FaultKind::Locked
            | FaultKind::Throttled
            | FaultKind::Unavailable
            | FaultKind::Unknown
            | FaultKind::Garbled => {}
        }
        self.job.note(self.now, "submit_failed", format!("attempt {}: {}", attempt.number, fault.in_full()));
        if !matches!(fault.kind, FaultKind::Unknown | FaultKind::Garbled) {
            self.undo(attempt.number);
        }
        match fault.kind {
            FaultKind::Rejected => self.next_route(fault),
            FaultKind::Locked => self.locked(fault),
            FaultKind::Throttled => self.throttled(fault),
            FaultKind::Unavailable => self.not_done(fault),
            FaultKind::Unknown | FaultKind::Garbled => {
                if fault.kind == FaultKind::Garbled {
                    self.effects.push(Effect::Alert(fault.clone()));
                }
                let doubt = Doubt { fault: fault.clone(), looks: 0, heard, fails: 0 };
                self.doubt(attempt, doubt)
            }
        }
    }

    /// Has a submission looked up, where that can be done.
    pub(super) fn doubt(&mut self, attempt: Attempt, doubt: Doubt) -> Changed {
        if !self.vendor_policy().look_up {
            let fault = doubt.fault.clone();
            return self.unresolved(attempt, &doubt, &fault);
        }
        self.job.due = self.now + self.wait_after(&doubt.fault, 1);
        self.job.state = State::Uncertain { attempt, doubt };
        Changed::Yes
    }

    fn not_found(&mut self, attempt: Attempt, mut doubt: Doubt, asked: Timestamp) -> Changed {
        let policy = self.vendor_policy();
        let (looks, every) = (policy.looks, policy.look_every.get());
        let settled = attempt.since + policy.settle.get();
        let is_settled = asked.min(self.now) >= settled;
        doubt.looks = doubt.looks.saturating_add(1);
        doubt.fails = 0;
        if doubt.heard {
            // It exists: never submit again, but do not look for ever either.
            if doubt.looks >= looks.saturating_mul(LOOKS_WHEN_HEARD) && is_settled {
                return self.in_doubt_for_good(attempt, &doubt.fault);
            }
        } else if doubt.looks >= looks && is_settled {
            let words = format!("attempt {} was looked up {} times: ", attempt.number, doubt.looks);
            self.job.note(self.now, "not_found", words.clone() + &doubt.fault.in_full());
            self.undo(attempt.number);
            let not_taken = Fault::because_of(FaultKind::Unavailable, "not_taken", &doubt.fault);
            return self.not_done(
                &not_taken.edited(|text| if text.is_empty() { String::new() } else { words.clone() + text }),
            );
        }
        let next = self.now + every;
        self.job.due = if doubt.looks >= looks { next.max(settled) } else { next };
        self.job.state = State::Uncertain { attempt, doubt };
        Changed::Yes
    }

    fn look_failed(&mut self, attempt: Attempt, mut doubt: Doubt, fault: &Fault) -> Changed {
        doubt.fails = doubt.fails.saturating_add(1);
        self.alert_if_ours(fault);
        let policy = self.vendor_policy();
        // After a long outage of ours the first failed look must not end it.
        if self.now.since(attempt.since) > policy.give_up.get() && doubt.fails >= policy.strikes {
            return self.unresolved(attempt, &doubt, fault);
        }
        self.job.due = self.now + self.wait_after(fault, doubt.fails);
        self.job.state = State::Uncertain { attempt, doubt };
        Changed::Yes
    }

    fn heard(&mut self, attempt: Attempt, doubt: Option<Doubt>) -> Changed {
        let mut doubt = doubt.unwrap_or_else(lost);
        if doubt.heard {
            return Changed::No;
        }
        doubt.heard = true;
        let policy = self.vendor_policy();
        // Where it cannot be looked up, the answer may still come.
        let due = if policy.look_up { self.now } else { self.now.max(attempt.since + policy.settle.get()) };
        self.job.due = due;
        self.job.state = State::Uncertain { attempt, doubt };
        Changed::Yes
    }

    /// Nobody can tell what became of a submission.
    fn unresolved(&mut self, attempt: Attempt, doubt: &Doubt, fault: &Fault) -> Changed {
        if doubt.heard {
            return self.in_doubt_for_good(attempt, fault);
        }
        self.in_doubt(attempt, None, fault)
    }
}

fn lost() -> Doubt {
    Doubt { fault: worker_lost(), looks: 0, heard: false, fails: 0 }
}
