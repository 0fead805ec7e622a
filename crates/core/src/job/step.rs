//! Every decision about a job's fate.
//!
//! The state is matched first, then the event. What is late, doubled, foreign or out of order changes nothing.

use super::event::{Accepted, Choice, Event, Via};
use super::policy::{Policy, VendorPolicy};
use super::record::Job;
use super::state::{Attempt, Doubt, Ended, HeldFor, Origin, State};
use crate::fault::{Fault, FaultKind};
use crate::id::{TaskId, VendorName};
use crate::report::{Product, Report};
use crate::time::Timestamp;

mod collect;
mod fate;

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

/// One call of [`step`] under way.
struct Turn<'a> {
    job: Job,
    now: Timestamp,
    policy: &'a Policy,
    effects: Vec<Effect>,
}

/// How often the vendor may deny knowing a task before it counts as gone.
const GONE_AFTER: u32 = 3;
/// How often stopping a task is tried.
const CANCEL_TRIES: u32 = 5;

impl Turn<'_> {
    fn vendor_policy(&self) -> &VendorPolicy {
        self.policy.vendor(self.job.vendor())
    }

    /// Whether a submission belongs to the step the job is at.
    fn is_current(&self, attempt: u32) -> bool {
        (self.job.first..=self.job.submissions).contains(&attempt)
    }

    fn queued(&mut self, event: &Event) -> Changed {
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
    fn revived(&mut self, of: Option<Attempt>, event: &Event) -> Changed {
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
    fn attempt_or(&self, of: Option<Attempt>, number: u32) -> Attempt {
        of.filter(|of| of.number == number).unwrap_or(Attempt { number, since: self.job.created })
    }

    fn submitting(&mut self, attempt: Attempt, doubt: Option<Doubt>, event: &Event) -> Changed {
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

    fn accepted(&mut self, attempt: Attempt, accepted: &Accepted) -> Changed {
        match accepted {
            Accepted::Task(task) => {
                self.job.note(self.now, "accepted", format!("attempt {} is task {task}", attempt.number));
                let policy = self.vendor_policy();
                let wait = super::policy::jitter(policy.poll_first.get(), self.spread(attempt.number, 0));
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
    fn follow(&mut self, attempt: Attempt, task: TaskId, due: Timestamp) -> Changed {
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
    fn reported_first(
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
    fn late_success(
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

    fn submit_failed(&mut self, attempt: Attempt, fault: &Fault) -> Changed {
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
                let wait =
                    super::policy::jitter(self.vendor_policy().backoff.get(), self.spread(attempt.number, 1));
                self.job.due = self.now + wait;
                let doubt = Doubt { fault: fault.clone(), looks: 0, heard: false };
                self.job.state = State::Uncertain { attempt, doubt };
                Changed::Yes
            }
        }
    }

    fn not_found(&mut self, attempt: Attempt, doubt: Option<Doubt>) -> Changed {
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
            return self.queue_now();
        }
        let next = self.now + policy.look_every.get();
        self.job.due = if doubt.looks >= policy.looks { next.max(settled) } else { next };
        self.job.state = State::Uncertain { attempt, doubt };
        Changed::Yes
    }

    fn look_failed(&mut self, attempt: Attempt, doubt: Option<Doubt>, fault: &Fault) -> Changed {
        let doubt = doubt.unwrap_or_else(|| Doubt { fault: worker_lost(), looks: 0, heard: false });
        self.job.strikes += 1;
        self.alert_if_ours(fault);
        let wait = self.wait_after(fault, self.job.strikes);
        self.job.due = self.now + wait;
        self.job.state = State::Uncertain { attempt, doubt };
        if self.now.since(attempt.since) > self.vendor_policy().give_up.get() {
            return self.in_doubt_for_good(attempt, None, fault);
        }
        Changed::Yes
    }

    fn heard(&mut self, attempt: Attempt, doubt: Option<Doubt>) -> Changed {
        if doubt.as_ref().is_some_and(|doubt| doubt.heard) || !self.vendor_policy().look_up {
            return Changed::No;
        }
        let fault = doubt.as_ref().map_or_else(worker_lost, |doubt| doubt.fault.clone());
        let looks = doubt.map_or(0, |doubt| doubt.looks);
        self.job.state = State::Uncertain { attempt, doubt: Doubt { fault, looks, heard: true } };
        self.job.due = self.now;
        Changed::Yes
    }

    fn generating(
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

    fn still_pending(
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
        let wait = super::policy::jitter(
            wait.max(every.min(policy.poll_most.get())),
            self.spread(attempt.number, polls),
        );
        self.job.due = if nudged > asked { self.now } else { self.now + wait };
        self.job.state = State::Generating { attempt, task: task.clone(), polls, nudged };
        Changed::Yes
    }

    /// What becomes of a task that takes too long.
    fn overdue(&mut self, attempt: Attempt, task: &TaskId) -> Option<Changed> {
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

    fn poll_failed(&mut self, attempt: Attempt, task: &TaskId, fault: &Fault) -> Changed {
        if let Some(late) = self.overdue(attempt, task) {
            return late;
        }
        self.job.strikes += 1;
        self.alert_if_ours(fault);
        if fault.kind == FaultKind::Rejected && self.job.strikes >= GONE_AFTER {
            let fault = Fault::new(FaultKind::Unknown, "task_gone", &fault.message);
            return self.in_doubt(attempt, Some(task), &fault);
        }
        let wait = self.wait_after(fault, self.job.strikes);
        self.job.due = self.now + wait;
        Changed::Yes
    }

    fn cancel_task(&mut self, attempt: Attempt, task: TaskId) -> Changed {
        if !self.vendor_policy().cancel {
            return self.cancel("the vendor cannot stop the task and may charge for it");
        }
        self.job.note(self.now, "cancel_asked", format!("task {task} is asked to stop"));
        self.job.state = State::Canceling { attempt, task, tries: 0, because: Ended::Asked };
        self.job.due = self.now;
        Changed::Yes
    }

    fn canceling(
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

    fn cannot_stop(&mut self, attempt: Attempt, task: &TaskId, because: Ended) -> Changed {
        match because {
            Ended::Asked => self.cancel("the vendor did not stop the task and may charge for it"),
            Ended::Overdue => {
                let fault =
                    Fault::new(FaultKind::Unknown, "task_overdue", "the vendor neither ended nor stopped it");
                self.in_doubt(attempt, Some(task), &fault)
            }
        }
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

fn worker_lost() -> Fault {
    Fault::new(FaultKind::Unknown, "worker_lost", "the worker ended while it submitted")
}

fn task_canceled() -> Fault {
    Fault::new(FaultKind::Rejected, "task_canceled", "the task was stopped at the vendor's")
}

fn overdue() -> Fault {
    Fault::new(FaultKind::Unavailable, "task_overdue", "the task took too long and was stopped")
}
