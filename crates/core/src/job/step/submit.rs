//! From the queue to a task, and what may be heard of submissions on the way.

use super::{Changed, Effect, Turn, task_canceled};
use crate::fault::{Fault, FaultKind};
use crate::id::{TaskId, VendorName};
use crate::job::event::{Accepted, Event, Via};
use crate::job::policy::jitter;
use crate::job::state::{Attempt, Doubt, Origin, State};
use crate::report::{Product, Report};
use crate::time::Timestamp;

impl Turn<'_> {
    pub(super) fn queued(&mut self, event: &Event) -> Changed {
        match event {
            Event::Claimed => {
                self.job.submissions += 1;
                self.job.state = State::Submitting(Attempt { number: self.job.submissions, since: self.now });
                self.job.due = self.now;
                Changed::Yes
            }
            Event::CancelAsked => self.cancel("before it was submitted"),
            Event::Poisoned { claims } => self.poisoned(*claims),
            // An attempt that was taken for not done was done after all.
            _ => self.revived(None, event),
        }
    }

    /// What may be heard of a submission while nothing is under way, or another one is.
    pub(super) fn revived(&mut self, of: Option<Attempt>, event: &Event) -> Changed {
        match event {
            Event::Accepted { attempt, accepted } if self.is_current(*attempt) => {
                self.accepted(self.attempt_or(of, *attempt), accepted)
            }
            Event::Found { attempt, task } if self.is_current(*attempt) => {
                self.follow(self.attempt_or(of, *attempt), task.clone(), self.now)
            }
            Event::Reported { attempt, vendor, task, report, via } => {
                let known = self.attempt_or(of, *attempt);
                if of.is_some_and(|of| of.number == *attempt) {
                    return self.reported_first(known, task.as_ref(), report, *via);
                }
                match (report, task) {
                    (Report::Pending, Some(task)) if self.is_current(*attempt) => {
                        self.follow(known, task.clone(), self.now)
                    }
                    _ => self.late_success(*attempt, vendor, task.as_ref(), report),
                }
            }
            Event::Heard { attempt } if self.is_current(*attempt) && self.vendor_policy().look_up => {
                let fault = Fault::new(FaultKind::Unknown, "called_back", "a callback came for it");
                let doubt = Doubt { fault, looks: 0, heard: true };
                self.job.state = State::Uncertain { attempt: self.attempt_or(of, *attempt), doubt };
                self.job.due = self.now;
                self.job.note(self.now, "heard", format!("attempt {attempt} exists after all"));
                Changed::Yes
            }
            _ => Changed::No,
        }
    }

    /// The submission of this number; when it began is not known any more unless it is the one at hand.
    pub(super) fn attempt_or(&self, of: Option<Attempt>, number: u32) -> Attempt {
        of.filter(|of| of.number == number).unwrap_or(Attempt { number, since: self.job.created })
    }

    pub(super) fn submitting(&mut self, attempt: Attempt, doubt: Option<Doubt>, event: &Event) -> Changed {
        match event {
            Event::HandedBack { attempt: number } if *number == attempt.number && doubt.is_none() => {
                if self.job.cancel_asked {
                    return self.cancel("before it was submitted");
                }
                self.queue_now()
            }
            Event::Accepted { attempt: number, accepted } if *number == attempt.number => {
                self.accepted(attempt, accepted)
            }
            Event::Found { attempt: number, task } if *number == attempt.number => {
                self.job.note(self.now, "found", format!("attempt {number} is task {task}"));
                self.follow(attempt, task.clone(), self.now)
            }
            Event::SubmitFailed { attempt: number, fault } if *number == attempt.number => {
                self.submit_failed(attempt, fault)
            }
            Event::NotFound { attempt: number } if *number == attempt.number => {
                self.not_found(attempt, doubt)
            }
            Event::CannotTell { attempt: number } if *number == attempt.number => {
                let fault = doubt.map_or_else(worker_lost, |doubt| doubt.fault);
                self.in_doubt(attempt, None, &fault)
            }
            Event::LookFailed { attempt: number, fault } if *number == attempt.number => {
                self.look_failed(attempt, doubt, fault)
            }
            Event::Reported { attempt: number, task, report, via, .. } if *number == attempt.number => {
                self.reported_first(attempt, task.as_ref(), report, *via)
            }
            Event::Reported { attempt: number, vendor, task, report, .. } => {
                self.late_success(*number, vendor, task.as_ref(), report)
            }
            Event::Heard { attempt: number } if *number == attempt.number => self.heard(attempt, doubt),
            Event::CancelAsked if !self.job.cancel_asked => {
                self.job.cancel_asked = true;
                self.job.note(self.now, "cancel_asked", "once the submission's outcome is known");
                Changed::Yes
            }
            Event::Poisoned { claims } => {
                let fault =
                    Fault::new(FaultKind::Unknown, "poisoned", format!("{claims} workers died with it"));
                self.in_doubt(attempt, None, &fault)
            }
            _ => Changed::No,
        }
    }

    pub(super) fn accepted(&mut self, attempt: Attempt, accepted: &Accepted) -> Changed {
        match accepted {
            Accepted::Task(task) => {
                self.job.note(self.now, "accepted", format!("attempt {} is task {task}", attempt.number));
                let policy = self.vendor_policy();
                let wait = jitter(policy.poll_first.get(), self.spread(attempt.number, 0));
                let due = self.now + wait;
                self.follow(attempt, task.clone(), due)
            }
            Accepted::Done(product) => {
                self.job.paid += 1;
                self.finish(attempt, None, product.clone())
            }
        }
    }

    /// Follows a task from now on.
    pub(super) fn follow(&mut self, attempt: Attempt, task: TaskId, due: Timestamp) -> Changed {
        self.job.paid += 1;
        self.job.strikes = 0;
        if self.job.cancel_asked {
            return self.cancel_task(attempt, task);
        }
        self.job.state = State::Generating { attempt, task, polls: 0, nudged: Timestamp::default() };
        self.job.due = due;
        Changed::Yes
    }

    /// A report for a submission whose reply has not come (yet).
    pub(super) fn reported_first(
        &mut self,
        attempt: Attempt,
        task: Option<&TaskId>,
        report: &Report,
        via: Via,
    ) -> Changed {
        match report {
            Report::Pending => match task {
                Some(task) => {
                    self.job.note(self.now, "accepted", format!("attempt {} is task {task}", attempt.number));
                    self.follow(attempt, task.clone(), self.now)
                }
                None => Changed::No,
            },
            Report::Done(product) => {
                self.job.paid += 1;
                self.job.note(self.now, "reported", format!("done, by {}", via.as_str()));
                self.finish(attempt, task.cloned(), product.clone())
            }
            Report::Failed(fault) => {
                self.job.paid += 1;
                self.attempt_failed(fault)
            }
            Report::Canceled => {
                self.job.paid += 1;
                self.attempt_failed(&task_canceled())
            }
        }
    }

    /// Audio of an earlier submission is as good as any.
    pub(super) fn late_success(
        &mut self,
        number: u32,
        vendor: &VendorName,
        task: Option<&TaskId>,
        report: &Report,
    ) -> Changed {
        let Report::Done(Product::Audio(outputs)) = report else { return Changed::No };
        if number == 0 || number > self.job.submissions || outputs.is_empty() {
            return Changed::No;
        }
        self.job.note(self.now, "reported", format!("attempt {number} ended well after all"));
        let attempt = Attempt { number, since: self.job.created };
        self.collect(Origin { vendor: vendor.clone(), attempt, task: task.cloned() }, outputs.clone())
    }

    pub(super) fn submit_failed(&mut self, attempt: Attempt, fault: &Fault) -> Changed {
        self.job.note(self.now, "submit_failed", format!("attempt {}: {fault}", attempt.number));
        match fault.kind {
            FaultKind::Rejected => self.refused(fault),
            FaultKind::Locked => self.locked(fault),
            FaultKind::Throttled => self.throttled(fault),
            FaultKind::Unavailable => self.not_done(fault),
            FaultKind::Unknown | FaultKind::Garbled => {
                if fault.kind == FaultKind::Garbled {
                    self.effects.push(Effect::Alert(fault.clone()));
                }
                if !self.vendor_policy().look_up {
                    return self.in_doubt(attempt, None, fault);
                }
                let wait = jitter(self.vendor_policy().backoff.get(), self.spread(attempt.number, 1));
                self.job.due = self.now + wait;
                let doubt = Doubt { fault: fault.clone(), looks: 0, heard: false };
                self.job.state = State::Uncertain { attempt, doubt };
                Changed::Yes
            }
        }
    }

    pub(super) fn not_found(&mut self, attempt: Attempt, doubt: Option<Doubt>) -> Changed {
        let policy = self.vendor_policy().clone();
        let mut doubt = doubt.unwrap_or_else(|| Doubt { fault: worker_lost(), looks: 0, heard: false });
        doubt.looks += 1;
        let settled = attempt.since + policy.settle.get();
        if doubt.heard {
            // It exists: never submit again, but do not look for ever either.
            if doubt.looks >= policy.looks.saturating_mul(4) && self.now >= settled {
                return self.in_doubt_for_good(attempt, None, &doubt.fault);
            }
        } else if doubt.looks >= policy.looks && self.now >= settled {
            self.job.note(self.now, "not_found", format!("attempt {} was not done", attempt.number));
            if self.job.cancel_asked {
                return self.cancel("before the vendor took it");
            }
            // Counts as a strike: a job that kills its workers must not be tried for ever.
            let fault = Fault::new(FaultKind::Unavailable, doubt.fault.code, doubt.fault.message);
            return self.not_done(&fault);
        }
        let next = self.now + policy.look_every.get();
        self.job.due = if doubt.looks >= policy.looks { next.max(settled) } else { next };
        self.job.state = State::Uncertain { attempt, doubt };
        Changed::Yes
    }

    pub(super) fn look_failed(&mut self, attempt: Attempt, doubt: Option<Doubt>, fault: &Fault) -> Changed {
        let doubt = doubt.unwrap_or_else(|| Doubt { fault: worker_lost(), looks: 0, heard: false });
        self.job.strikes = self.job.strikes.saturating_add(1);
        self.alert_if_ours(fault);
        let wait = self.wait_after(fault, self.job.strikes);
        self.job.due = self.now + wait;
        self.job.state = State::Uncertain { attempt, doubt };
        if self.now.since(attempt.since) > self.vendor_policy().give_up.get() {
            return self.in_doubt_for_good(attempt, None, fault);
        }
        Changed::Yes
    }

    pub(super) fn heard(&mut self, attempt: Attempt, doubt: Option<Doubt>) -> Changed {
        if doubt.as_ref().is_some_and(|doubt| doubt.heard) || !self.vendor_policy().look_up {
            return Changed::No;
        }
        let fault = doubt.as_ref().map_or_else(worker_lost, |doubt| doubt.fault.clone());
        let looks = doubt.map_or(0, |doubt| doubt.looks);
        self.job.state = State::Uncertain { attempt, doubt: Doubt { fault, looks, heard: true } };
        self.job.due = self.now;
        Changed::Yes
    }
}

fn worker_lost() -> Fault {
    Fault::new(FaultKind::Unknown, "worker_lost", "the worker ended while it submitted")
}
