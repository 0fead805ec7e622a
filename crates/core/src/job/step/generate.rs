//! While the vendor works on a task: looking at it, waiting for it, stopping it.

use super::{Changed, Turn, task_canceled};
use crate::fault::{Fault, FaultKind};
use crate::id::TaskId;
use crate::job::event::{Event, Via};
use crate::job::policy::jitter;
use crate::job::state::{Attempt, Ended, State};
use crate::report::Report;
use crate::time::Timestamp;

/// How often the vendor may deny knowing a task before it counts as gone.
const GONE_AFTER: u32 = 3;
/// How often stopping a task is tried.
const CANCEL_TRIES: u32 = 5;

impl Turn<'_> {
    pub(super) fn generating(
        &mut self,
        attempt: Attempt,
        task: &TaskId,
        polls: u32,
        nudged: Timestamp,
        event: &Event,
    ) -> Changed {
        match event {
            Event::Reported { attempt: number, report, via, .. } if *number == attempt.number => match report
            {
                Report::Pending => match via {
                    Via::Poll { asked } => self.still_pending(attempt, task, polls + 1, nudged, *asked),
                    Via::Callback => Changed::No,
                },
                Report::Done(product) => {
                    self.job.note(self.now, "reported", format!("done, by {}", via.as_str()));
                    self.finish(attempt, Some(task.clone()), product.clone())
                }
                Report::Failed(fault) => self.attempt_failed(fault),
                Report::Canceled => self.attempt_failed(&task_canceled()),
            },
            Event::Reported { attempt: number, vendor, task, report, .. } => {
                self.late_success(*number, vendor, task.as_ref(), report)
            }
            Event::Heard { attempt: number } if *number == attempt.number && nudged < self.now => {
                self.job.state = State::Generating { attempt, task: task.clone(), polls, nudged: self.now };
                self.job.due = self.now;
                Changed::Yes
            }
            Event::PollFailed { attempt: number, fault } if *number == attempt.number => {
                self.poll_failed(attempt, task, fault)
            }
            Event::Accepted { attempt: number, .. } if *number < attempt.number => {
                self.job.maybe_paid_twice += 1;
                self.job.note(self.now, "paid_twice", format!("attempt {number} was taken too"));
                Changed::Yes
            }
            Event::CancelAsked => {
                self.job.cancel_asked = true;
                self.cancel_task(attempt, task.clone())
            }
            Event::Poisoned { claims } => self.poisoned(*claims),
            _ => Changed::No,
        }
    }

    pub(super) fn still_pending(
        &mut self,
        attempt: Attempt,
        task: &TaskId,
        polls: u32,
        nudged: Timestamp,
        asked: Timestamp,
    ) -> Changed {
        self.job.strikes = 0;
        if let Some(late) = self.overdue(attempt, task) {
            return late;
        }
        let policy = self.vendor_policy();
        // A callback has said that something happened: look soon, though the vendor's answer lags behind.
        let looks = if nudged > Timestamp::default() { 0 } else { polls - 1 };
        let every = policy.poll_every.get();
        let wait = every
            .mul_f64(1.5f64.powi(i32::try_from(looks.min(30)).unwrap_or(30)))
            .min(policy.poll_most.get());
        let wait = jitter(wait.max(every.min(policy.poll_most.get())), self.spread(attempt.number, polls));
        self.job.due = if nudged > asked { self.now } else { self.now + wait };
        self.job.state = State::Generating { attempt, task: task.clone(), polls, nudged };
        Changed::Yes
    }

    /// What becomes of a task that takes too long.
    pub(super) fn overdue(&mut self, attempt: Attempt, task: &TaskId) -> Option<Changed> {
        let policy = self.vendor_policy();
        let age = self.now.since(attempt.since);
        if age > policy.give_up.get() {
            let fault = Fault::new(FaultKind::Unknown, "task_overdue", "the vendor did not end it in time");
            return Some(self.in_doubt(attempt, Some(task), &fault));
        }
        if age > policy.patience.get() && policy.cancel {
            self.job.note(self.now, "overdue", format!("task {task} is asked to stop"));
            self.job.state =
                State::Canceling { attempt, task: task.clone(), tries: 0, because: Ended::Overdue };
            self.job.due = self.now;
            return Some(Changed::Yes);
        }
        None
    }

    pub(super) fn poll_failed(&mut self, attempt: Attempt, task: &TaskId, fault: &Fault) -> Changed {
        if let Some(late) = self.overdue(attempt, task) {
            return late;
        }
        self.job.strikes = self.job.strikes.saturating_add(1);
        self.alert_if_ours(fault);
        if fault.kind == FaultKind::Rejected && self.job.strikes >= GONE_AFTER {
            let fault = Fault::new(FaultKind::Unknown, "task_gone", &fault.message);
            return self.in_doubt(attempt, Some(task), &fault);
        }
        let wait = self.wait_after(fault, self.job.strikes);
        self.job.due = self.now + wait;
        Changed::Yes
    }

    pub(super) fn cancel_task(&mut self, attempt: Attempt, task: TaskId) -> Changed {
        if !self.vendor_policy().cancel {
            return self.cancel("the vendor cannot stop the task and may charge for it");
        }
        self.job.note(self.now, "cancel_asked", format!("task {task} is asked to stop"));
        self.job.state = State::Canceling { attempt, task, tries: 0, because: Ended::Asked };
        self.job.due = self.now;
        Changed::Yes
    }

    pub(super) fn canceling(
        &mut self,
        attempt: Attempt,
        task: TaskId,
        tries: u32,
        because: Ended,
        event: &Event,
    ) -> Changed {
        match event {
            Event::CancelDone { attempt: number } if *number == attempt.number => match because {
                Ended::Asked => self.cancel("the vendor stopped the task"),
                Ended::Overdue => self.attempt_failed(&overdue()),
            },
            Event::CancelFailed { attempt: number, fault } if *number == attempt.number => {
                if tries + 1 < CANCEL_TRIES {
                    let wait = self.wait_after(fault, tries + 1);
                    self.job.due = self.now + wait;
                    self.job.state = State::Canceling { attempt, task, tries: tries + 1, because };
                    return Changed::Yes;
                }
                self.cannot_stop(attempt, &task, because)
            }
            Event::Poisoned { .. } => self.cannot_stop(attempt, &task, because),
            Event::Reported { attempt: number, vendor, report, task: said, .. } => match (because, report) {
                (Ended::Asked, Report::Pending) | (Ended::Overdue, Report::Pending) => Changed::No,
                (Ended::Asked, _) if *number == attempt.number => self.cancel("the task had ended"),
                (Ended::Asked, _) => Changed::No,
                (Ended::Overdue, Report::Done(product)) if *number == attempt.number => {
                    self.job.note(self.now, "reported", "done, after it was overdue");
                    self.finish(attempt, Some(task), product.clone())
                }
                (Ended::Overdue, Report::Done(_)) => {
                    self.late_success(*number, vendor, said.as_ref(), report)
                }
                (Ended::Overdue, _) if *number == attempt.number => self.attempt_failed(&overdue()),
                (Ended::Overdue, _) => Changed::No,
            },
            Event::CancelAsked if because == Ended::Overdue => {
                self.job.cancel_asked = true;
                self.job.state = State::Canceling { attempt, task, tries, because: Ended::Asked };
                Changed::Yes
            }
            _ => Changed::No,
        }
    }

    pub(super) fn cannot_stop(&mut self, attempt: Attempt, task: &TaskId, because: Ended) -> Changed {
        match because {
            Ended::Asked => self.cancel("the vendor did not stop the task and may charge for it"),
            Ended::Overdue => {
                let fault =
                    Fault::new(FaultKind::Unknown, "task_overdue", "the vendor neither ended nor stopped it");
                self.in_doubt(attempt, Some(task), &fault)
            }
        }
    }
}

fn overdue() -> Fault {
    Fault::new(FaultKind::Unavailable, "task_overdue", "the task took too long and was stopped")
}
