//! Where a job goes next: back into the queue, to another vendor, on hold, or to its end.

use super::{Changed, Effect, Turn};
use crate::fault::{Fault, FaultKind};
use crate::id::TaskId;
use crate::job::policy::{OnUnknown, backoff, jitter};
use crate::job::record::StepKind;
use crate::job::retrieval::Retrieval;
use crate::job::state::{Attempt, Doubt, HeldFor, State};
use crate::report::RawAnswer;
use crate::time::Timestamp;

/// Tasks that were submitted within so many ms are looked at together.
const LOOKED_AT_TOGETHER_MS: u64 = 2000;

impl Turn<'_> {
    /// A number for jitter that differs between jobs, attempts and tries.
    pub(super) fn spread(&self, attempt: u32, salt: u32) -> u64 {
        self.job.id.spread(u64::from(attempt) << 32 | u64::from(salt))
    }

    /// When a task is looked at after about so long. Those that were submitted within seconds are due at the very same
    /// moment, one group after the other: they stand together in the vendor's list, and one request looks at many.
    pub(super) fn look_at(&self, attempt: Attempt, wait: std::time::Duration) -> Timestamp {
        let slot = attempt.since.as_millis() / LOOKED_AT_TOGETHER_MS;
        let step = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) / 8;
        let step = step.clamp(1, LOOKED_AT_TOGETHER_MS);
        let due = (self.now + wait).as_millis();
        Timestamp::from_millis(due - due % step + slot % step)
    }

    /// How long to wait after a failure that may pass.
    pub(super) fn wait_after(&self, fault: &Fault, strikes: u32) -> std::time::Duration {
        let policy = self.policy.vendor(self.job.vendor());
        let spread = self.spread(self.job.submissions, strikes);
        let own = match fault.kind {
            FaultKind::Locked => jitter(policy.locked_wait.get(), spread),
            FaultKind::Throttled => jitter(policy.throttled_wait.get(), spread),
            FaultKind::Rejected | FaultKind::Unavailable | FaultKind::Unknown | FaultKind::Garbled => {
                backoff(policy.backoff, policy.backoff_most, strikes.saturating_sub(1), spread)
            }
        };
        match policy.named_wait(fault) {
            // Never before the vendor said; spread behind it, so that not all come back at once.
            Some(told) => told + (own / 4).min(std::time::Duration::from_secs(5)),
            None => own,
        }
    }

    /// Tells the operator of what only an operator can mend.
    pub(super) fn alert_if_ours(&mut self, fault: &Fault) {
        if matches!(fault.kind, FaultKind::Locked | FaultKind::Garbled) {
            self.effects.push(Effect::Alert(fault.clone()));
        }
    }

    /// Back into the queue, due now.
    pub(super) fn queue_now(&mut self) -> Changed {
        self.queue(self.now, None)
    }

    /// Back into the queue, the one way there; a job that would wait past its deadline fails instead.
    fn queue(&mut self, due: Timestamp, because: Option<&Fault>) -> Changed {
        if self.job.cancel_asked {
            return self.cancel("before it was submitted again");
        }
        if due > self.job.until {
            let passed = match because {
                Some(fault) => Fault::because_of(FaultKind::Rejected, DEADLINE_PASSED, fault),
                None => deadline_passed(""),
            };
            return self.fail(&passed);
        }
        self.job.state = State::Queued;
        self.job.due = due;
        Changed::Yes
    }

    /// The vendor asked for patience, which costs no attempt.
    pub(super) fn throttled(&mut self, fault: &Fault) -> Changed {
        let due = self.now + self.wait_after(fault, 1);
        self.queue(due, Some(fault))
    }

    /// The vendor takes no submissions, or its account needs an operator; another one will do, if the caller named one.
    pub(super) fn locked(&mut self, fault: &Fault) -> Changed {
        if fault.kind == FaultKind::Locked {
            self.effects.push(Effect::Alert(fault.clone()));
        }
        if self.job.may_fail_over() {
            return self.next_route(fault);
        }
        // The gate is shut for all; the job need not wait longer than that.
        let spread = self.spread(self.job.submissions, 1);
        let due = self.now + jitter(self.policy.vendor(self.job.vendor()).backoff.get(), spread);
        self.queue(due, Some(fault))
    }

    /// The vendor's gate is shut while the job waits: another vendor will do, if the caller named one.
    pub(super) fn shut(&mut self, fault: &Fault) -> Changed {
        if self.job.may_fail_over() { self.next_route(fault) } else { Changed::No }
    }

    /// The job waits in the queue and its deadline may have passed.
    pub(super) fn deadline(&mut self) -> Changed {
        if self.now < self.job.until {
            return Changed::No;
        }
        self.fail(&deadline_passed("it was not submitted in time"))
    }

    /// Known not to have been done.
    pub(super) fn not_done(&mut self, fault: &Fault) -> Changed {
        self.job.strikes = self.job.strikes.saturating_add(1);
        if self.job.strikes >= self.policy.vendor(self.job.vendor()).strikes {
            return self.next_route(fault);
        }
        let due = self.now + self.wait_after(fault, self.job.strikes);
        self.queue(due, Some(fault))
    }

    /// Nothing more is to come of an attempt.
    fn end(&mut self, attempt: Attempt) {
        self.job.end(attempt.number);
        self.job.strikes = 0;
        self.job.retrieval = Retrieval::default();
    }

    /// Whether a later submission was left for this one, and may still give something.
    pub(super) fn is_superseded(&self, attempt: u32) -> bool {
        let last = self.job.submissions;
        attempt < last && self.is_current(last)
    }

    /// What an attempt gave is of no use, and the same vendor does not make it again: another vendor, or the end.
    pub(super) fn attempt_lost(&mut self, attempt: Attempt, fault: &Fault) -> Changed {
        self.job.note(self.now, "attempt_failed", fault.in_full());
        self.end(attempt);
        self.next_route(fault)
    }

    /// A paid attempt ended without a product.
    pub(super) fn attempt_failed(&mut self, attempt: Attempt, fault: &Fault) -> Changed {
        self.job.note(self.now, "attempt_failed", fault.in_full());
        self.end(attempt);
        if self.job.cancel_asked {
            return self.cancel("the task had failed");
        }
        if self.is_superseded(attempt.number) {
            return self.left(self.job.submissions);
        }
        match fault.kind {
            FaultKind::Rejected => self.next_route(fault),
            FaultKind::Locked => {
                self.refund(attempt.number);
                self.locked(fault)
            }
            FaultKind::Throttled => {
                self.refund(attempt.number);
                self.throttled(fault)
            }
            FaultKind::Unavailable | FaultKind::Unknown | FaultKind::Garbled => {
                if fault.kind == FaultKind::Garbled {
                    self.effects.push(Effect::Alert(fault.clone()));
                }
                if self.job.paid >= self.policy.vendor(self.job.vendor()).attempts {
                    return self.next_route(fault);
                }
                let due = self.now + self.wait_after(fault, self.job.paid);
                self.queue(due, Some(fault))
            }
        }
    }

    /// A later submission was left when an earlier one was heard of: what became of it is not known.
    fn left(&mut self, last: u32) -> Changed {
        let words = "it was under way when an earlier submission was heard of";
        let fault = Fault::new(FaultKind::Unknown, "submission_left", words);
        // It is not known any more when it began, so no look can prove that it was not taken.
        self.doubt(self.earlier(last), Doubt { fault, looks: 0, heard: true, fails: 0 })
    }

    /// On to the next vendor the caller named, or to the end; never from doubt.
    pub(super) fn next_route(&mut self, fault: &Fault) -> Changed {
        if !self.job.may_fail_over() {
            return self.fail(fault);
        }
        let from = self.job.vendor().clone();
        self.job.left.push(fault.in_full());
        let changed = self.begin(self.job.route + 1);
        let to = self.job.vendor().clone();
        self.job.note(self.now, "failed_over", format!("from {from} to {to}: {}", fault.in_full()));
        changed
    }

    /// Begins a route; lyrics that there are already are not paid for again.
    pub(super) fn begin(&mut self, route: u32) -> Changed {
        self.job.route = route;
        self.job.left.truncate(route as usize);
        self.job.at_step = 0;
        while self.job.lyrics.is_some() && self.job.step_kind() == StepKind::Lyrics {
            self.job.at_step += 1;
        }
        self.new_step();
        self.queue_now()
    }

    pub(super) fn new_step(&mut self) {
        self.job.first = self.job.submissions.saturating_add(1);
        self.job.paid = 0;
        self.job.strikes = 0;
        self.job.remakes = 0;
        self.job.retrieval = Retrieval::default();
        self.job.doubts.clear();
    }

    /// It cannot be known whether a paid task exists, or what became of it: the policy decides.
    pub(super) fn in_doubt(&mut self, attempt: Attempt, task: Option<&TaskId>, fault: &Fault) -> Changed {
        if self.job.cancel_asked {
            return self.cancel("it is not known whether the vendor charges for it");
        }
        if let Some(task) = task.filter(|_| self.has_succeeded()) {
            // That it succeeded is known: no policy for doubts pays for it again, or gives it up.
            let lost = Fault::because_of(FaultKind::Unknown, "output_lost", fault);
            return self.hold(attempt, Some(task), &lost);
        }
        let policy = self.policy.vendor(self.job.vendor());
        match policy.on_unknown {
            OnUnknown::Hold => self.hold(attempt, task, fault),
            OnUnknown::Fail => self.fail(fault),
            OnUnknown::Resubmit => {
                let most = policy.attempts;
                if task.is_none() {
                    self.count_paid();
                }
                if self.job.paid >= most {
                    return self.fail(fault);
                }
                self.job.maybe_paid_twice = self.job.maybe_paid_twice.saturating_add(1);
                self.job.doubts.push((attempt.number, task.is_some()));
                self.job.note(self.now, "resubmitted", format!("by policy, in doubt: {}", fault.in_full()));
                let due = self.now + self.wait_after(fault, self.job.paid);
                self.queue(due, Some(fault))
            }
        }
    }

    /// The task is known to exist but cannot be found: no policy submits it again.
    pub(super) fn in_doubt_for_good(&mut self, attempt: Attempt, fault: &Fault) -> Changed {
        if self.job.cancel_asked {
            return self.cancel("the vendor may charge for it");
        }
        self.hold(attempt, None, fault)
    }

    fn hold(&mut self, attempt: Attempt, task: Option<&TaskId>, fault: &Fault) -> Changed {
        self.hold_with(attempt, task, fault, None)
    }

    /// Waits for an operator, with what the vendor answered.
    pub(super) fn hold_with(
        &mut self,
        attempt: Attempt,
        task: Option<&TaskId>,
        fault: &Fault,
        answer: Option<RawAnswer>,
    ) -> Changed {
        self.job.note(self.now, "held", fault.in_full());
        let of = HeldFor { attempt, task: task.cloned(), fault: fault.clone(), answer };
        self.job.state = State::Held { at: self.now, of };
        Changed::Yes
    }

    /// Workers died over a job whose task is paid for: an operator chooses, and may have the task followed again.
    pub(super) fn poisoned_over(&mut self, attempt: Attempt, task: &TaskId, claims: u32) -> Changed {
        if self.job.cancel_asked {
            return self.cancel("workers died over it");
        }
        self.hold(attempt, Some(task), &poison(FaultKind::Unknown, claims))
    }

    pub(super) fn fail(&mut self, fault: &Fault) -> Changed {
        if self.job.cancel_asked {
            return self.cancel("it had failed");
        }
        self.job.note(self.now, "failed", fault.code.to_string());
        self.job.state = State::Failed { at: self.now, fault: fault.clone() };
        Changed::Yes
    }

    pub(super) fn cancel(&mut self, how: &str) -> Changed {
        self.job.note(self.now, "canceled", how);
        self.job.state = State::Canceled { at: self.now };
        Changed::Yes
    }
}

const DEADLINE_PASSED: &str = "deadline_passed";

fn deadline_passed(words: &str) -> Fault {
    Fault::new(FaultKind::Rejected, DEADLINE_PASSED, words)
}

pub(super) fn poison(kind: FaultKind, claims: u32) -> Fault {
    Fault::new(kind, "poisoned", format!("{claims} workers took it and none came back"))
}
