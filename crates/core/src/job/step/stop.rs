//! While the vendor is asked to stop a task: because the caller wants it, or because it takes too long.
//!
//! An overdue task that was stopped is looked at once more before another is paid for: it may have ended well
//! in the meantime, and vendors answer a cancel of a task that has ended as if they had stopped it.

use super::generate::{Following, STOP_TRIES};
use super::{Changed, Turn};
use crate::fault::Fault;
use crate::id::TaskId;
use crate::job::event::Event;
use crate::job::state::{Attempt, Ended, State};
use crate::report::Report;
use crate::time::Timestamp;

/// What is known of a task that is being stopped: the fields of [`State::Canceling`].
pub(super) struct Stopping {
    pub(super) attempt: Attempt,
    pub(super) task: TaskId,
    pub(super) tries: u32,
    pub(super) because: Ended,
}

impl Turn<'_> {
    /// The caller wants the task to stop.
    pub(super) fn cancel_task(&mut self, attempt: Attempt, task: TaskId) -> Changed {
        if !self.vendor_policy().cancel {
            return self.cancel("the vendor cannot stop the task and may charge for it");
        }
        self.job.note(self.now, "cancel_asked", format!("task {task} is asked to stop"));
        self.job.state = State::Canceling { attempt, task, tries: 0, because: Ended::Asked };
        self.job.due = self.now;
        Changed::Yes
    }

    pub(super) fn canceling(&mut self, of: Stopping, event: &Event) -> Changed {
        match of.because {
            Ended::Asked => self.canceling_asked(of, event),
            Ended::Overdue => self.canceling_overdue(of, event),
        }
    }

    fn canceling_asked(&mut self, of: Stopping, event: &Event) -> Changed {
        let at = of.attempt.number;
        match event {
            Event::CancelDone { attempt } if *attempt == at => self.cancel("the vendor stopped the task"),
            Event::CancelFailed { attempt, fault } if *attempt == at => {
                let tries = of.tries.saturating_add(1);
                if tries >= STOP_TRIES {
                    return self.cancel("the vendor did not stop the task and may charge for it");
                }
                let Stopping { attempt, task, because, .. } = of;
                self.job.due = self.now + self.wait_after(fault, tries);
                self.job.state = State::Canceling { attempt, task, tries, because };
                Changed::Yes
            }
            Event::Reported { attempt, task: Some(task), .. } if *attempt == at && *task != of.task => {
                Changed::No
            }
            Event::Reported { attempt, report, .. } if *attempt == at => match report {
                Report::Pending => Changed::No,
                Report::Done(_) | Report::Unreadable(_) | Report::Failed(_) | Report::Canceled => {
                    self.cancel("the task had ended")
                }
            },
            Event::Poisoned { .. } => self.cancel("the vendor did not stop the task and may charge for it"),
            _ => Changed::No,
        }
    }

    fn canceling_overdue(&mut self, of: Stopping, event: &Event) -> Changed {
        let at = of.attempt.number;
        match event {
            Event::CancelDone { attempt } if *attempt == at => self.look_after_stop(of, None),
            Event::CancelFailed { attempt, fault } if *attempt == at => {
                self.alert_if_ours(fault);
                self.look_after_stop(of, Some(fault))
            }
            Event::Reported { attempt, task: Some(task), .. } if *attempt == at && *task != of.task => {
                Changed::No
            }
            Event::Reported { attempt, report, via, .. } if *attempt == at => {
                self.ended(of.attempt, Some(of.task), report, *via)
            }
            Event::Reported { attempt, vendor, task, report, .. } => {
                self.late_report(*attempt, vendor, task.as_ref(), report)
            }
            Event::Heard { attempt } if *attempt == at => self.look_again(of.attempt, of.task, of.tries),
            Event::CancelAsked => {
                self.job.cancel_asked = true;
                let Stopping { attempt, task, .. } = of;
                self.job.due = self.now;
                self.job.state = State::Canceling { attempt, task, tries: 0, because: Ended::Asked };
                Changed::Yes
            }
            Event::Poisoned { .. } => self.give_up(of.attempt, &of.task),
            _ => Changed::No,
        }
    }

    /// Looks what became of an overdue task that was asked to stop.
    fn look_after_stop(&mut self, of: Stopping, fault: Option<&Fault>) -> Changed {
        let stops = of.tries.saturating_add(1);
        let soon = self.vendor_policy().poll_every.get();
        let wait = fault.map_or(soon, |fault| self.wait_after(fault, stops));
        self.job.due = self.now + wait;
        let Stopping { attempt, task, .. } = of;
        let nudged = Timestamp::default();
        self.job.state = Following { attempt, task, polls: 0, nudged, denied: 0, stops }.into();
        Changed::Yes
    }
}
