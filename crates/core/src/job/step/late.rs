//! What is heard when nothing is under way, or after another submission has begun; and what operators choose.

use super::{Changed, Turn};
use crate::fault::{Fault, FaultKind};
use crate::id::{TaskId, VendorName};
use crate::job::event::{Choice, Event, Via};
use crate::job::record::StepKind;
use crate::job::retrieval::Retrieval;
use crate::job::state::{Attempt, Doubt, HeldFor, Origin, State};
use crate::report::{Product, Report};

impl Turn<'_> {
    /// While the job waits in the queue: a submission that was taken for not done was done after all.
    pub(super) fn late(&mut self, event: &Event) -> Changed {
        match event {
            Event::Accepted { attempt, accepted } if self.is_current(*attempt) => {
                self.accepted(self.earlier(*attempt), accepted)
            }
            Event::Found { attempt, task } if self.is_current(*attempt) => {
                self.found(self.earlier(*attempt), task)
            }
            Event::Reported { attempt, vendor, task: Some(task), report, .. }
                if self.is_current(*attempt) =>
            {
                let changed = self.late_report(*attempt, vendor, Some(task), report);
                match report {
                    // It exists, though it does not show yet what it made.
                    Report::Pending | Report::Unreadable(_) | Report::Done(_) if changed == Changed::No => {
                        self.found(self.earlier(*attempt), task)
                    }
                    Report::Pending
                    | Report::Unreadable(_)
                    | Report::Done(_)
                    | Report::Failed(_)
                    | Report::Canceled => changed,
                }
            }
            Event::Reported { attempt, vendor, task, report, .. } => {
                self.late_report(*attempt, vendor, task.as_ref(), report)
            }
            Event::Heard { attempt } if self.is_current(*attempt) && self.vendor_policy().look_up => {
                self.job.note(self.now, "heard", format!("attempt {attempt} exists after all"));
                self.look_for(self.earlier(*attempt))
            }
            _ => Changed::No,
        }
    }

    /// While an operator is asked, the doubt may be resolved by itself.
    pub(super) fn held(&mut self, of: HeldFor, event: &Event) -> Changed {
        let HeldFor { attempt, task, fault, .. } = of;
        match event {
            Event::Resolved(choice) => self.resolved(attempt, task.as_ref(), &fault, choice),
            // Of an earlier vendor's attempt only a product is of use here.
            Event::Reported { attempt: number, .. } | Event::Heard { attempt: number }
                if *number < self.job.first =>
            {
                self.late(event)
            }
            Event::CancelAsked => self.cancel("while it was held"),
            Event::Accepted { attempt: number, accepted } if *number == attempt.number && task.is_none() => {
                self.accepted(attempt, accepted)
            }
            Event::Found { attempt: number, task: found } if *number == attempt.number && task.is_none() => {
                self.found(attempt, found)
            }
            Event::Reported { attempt: number, task: said, report, via, .. } if *number == attempt.number => {
                match (task, report) {
                    // It says nothing of the task that is held for: that is polled.
                    (Some(task), _) if said.as_ref().is_some_and(|said| *said != task) => {
                        self.look_again(attempt, task, 0)
                    }
                    // It is held because nothing could be read: another such answer is no news.
                    (Some(_), Report::Pending | Report::Unreadable(_)) => Changed::No,
                    (Some(task), Report::Done(_) | Report::Failed(_) | Report::Canceled) => {
                        self.ended(attempt, Some(task), report, *via)
                    }
                    (None, Report::Pending | Report::Unreadable(_)) if said.is_none() => {
                        self.look_for_held(attempt)
                    }
                    (None, report) => self.reported_first(attempt, None, said.as_ref(), (report, *via)),
                }
            }
            Event::Heard { attempt: number } if *number == attempt.number => match task {
                // Something has happened to the task that was given up.
                Some(task) => self.look_again(attempt, task, 0),
                None => self.look_for_held(attempt),
            },
            Event::Accepted { attempt: number, .. }
            | Event::Found { attempt: number, .. }
            | Event::Reported { attempt: number, .. }
                if *number != attempt.number =>
            {
                self.late(event)
            }
            _ => Changed::No,
        }
    }

    fn resolved(
        &mut self,
        attempt: Attempt,
        known: Option<&TaskId>,
        fault: &Fault,
        choice: &Choice,
    ) -> Changed {
        let is_counted = known.is_some();
        match choice {
            Choice::Resubmit => {
                if !is_counted {
                    self.count_paid();
                }
                self.job.maybe_paid_twice = self.job.maybe_paid_twice.saturating_add(1);
                self.job.doubts.push((attempt.number, is_counted));
                self.job.note(self.now, "resolved", "an operator had it submitted again");
                self.job.until = self.now + self.policy.jobs.deadline.get();
                self.queue_now()
            }
            Choice::Adopt(task) => {
                if !is_counted {
                    self.count_paid();
                    self.confirm(attempt.number);
                }
                self.job.note(self.now, "resolved", format!("an operator had task {task} followed"));
                // What the task shows is waited for anew.
                self.job.retrieval = Retrieval { booked: self.job.retrieval.booked, ..Retrieval::default() };
                // The clock starts anew, or a task held for being overdue would be given up at once.
                let attempt = Attempt { number: attempt.number, since: self.now };
                self.follow(attempt, task.clone(), self.now)
            }
            Choice::Store => {
                let Some(task) = known.cloned() else { return Changed::No };
                self.job.note(self.now, "resolved", "an operator had its audio stored as it is");
                let booked = self.job.retrieval.booked;
                self.job.retrieval = Retrieval { booked, accept_any: true, ..Retrieval::default() };
                let attempt = Attempt { number: attempt.number, since: self.now };
                self.follow(attempt, task, self.now)
            }
            Choice::Fail => self.fail(fault),
        }
    }

    fn look_for_held(&mut self, attempt: Attempt) -> Changed {
        if !self.vendor_policy().look_up {
            return Changed::No;
        }
        self.look_for(attempt)
    }

    /// A submission that was given up exists: it is looked up now.
    fn look_for(&mut self, attempt: Attempt) -> Changed {
        let fault = Fault::new(FaultKind::Unknown, "called_back", "a callback came for it");
        self.job.due = self.callback_poll();
        self.job.state =
            State::Uncertain { attempt, doubt: Doubt { fault, looks: 0, heard: true, fails: 0 } };
        Changed::Yes
    }

    /// A callback came for a task that was given up, or is being stopped: it is polled again.
    pub(super) fn look_again(&mut self, attempt: Attempt, task: TaskId, stops: u32) -> Changed {
        let nudged = self.callback_poll();
        self.job.state = State::Generating { attempt, task, polls: 0, nudged, denied: 0, stops };
        self.job.due = nudged;
        Changed::Yes
    }

    /// A report of a submission that the job is not with any more.
    pub(super) fn late_report(
        &mut self,
        number: u32,
        vendor: &VendorName,
        task: Option<&TaskId>,
        report: &Report,
    ) -> Changed {
        match report {
            Report::Done(product) => self.late_product(number, vendor, task, product),
            Report::Pending | Report::Unreadable(_) | Report::Failed(_) | Report::Canceled => Changed::No,
        }
    }

    /// What an earlier submission gave is as good as any.
    pub(super) fn late_product(
        &mut self,
        number: u32,
        vendor: &VendorName,
        task: Option<&TaskId>,
        product: &Product,
    ) -> Changed {
        if self.job.ended.contains(&number) {
            return Changed::No;
        }
        if self.job.cancel_asked {
            // A submission under way must be known of before it can be stopped.
            return Changed::No;
        }
        let words = format!("attempt {number} ended well after all");
        match product {
            Product::Audio(outputs) => {
                let selected = self.selected(number, outputs.clone());
                if selected.outputs.is_empty() {
                    return Changed::No;
                }
                self.job.note(self.now, "reported", words);
                // One of an earlier vendor's is booked with this one: better there than nowhere. One that was known
                // is booked already.
                self.job.retrieval = Retrieval { booked: true, ..Retrieval::default() };
                if self.confirm(number) {
                    self.book(number, &selected.outputs);
                }
                let attempt = self.earlier(number);
                let origin = Origin { vendor: vendor.clone(), attempt, task: task.cloned() };
                self.collect(origin, selected)
            }
            Product::Lyrics(_) if self.job.step_kind() == StepKind::Lyrics => {
                self.job.note(self.now, "reported", words);
                self.confirm(number);
                self.finish(self.earlier(number), task.cloned(), product.clone(), Via::Callback)
            }
            Product::Lyrics(_) => Changed::No,
        }
    }
}
