//! While the vendor works on a task.

use std::time::Duration;

use super::{Changed, Turn, overdue, task_canceled};
use crate::fault::{Fault, FaultKind};
use crate::id::TaskId;
use crate::job::event::{Accepted, Event, Via};
use crate::job::state::{Attempt, Ended, State};
use crate::report::{RawAnswer, Report};
use crate::time::{Span, Timestamp};

/// How often in a row the vendor may deny knowing a task before it counts as gone.
const GONE_AFTER: u32 = 3;
/// A task is looked at again after this part of the time that it has taken so far.
const PART_OF_ITS_TIME: u32 = 8;
/// The longest that a task waits for others to be looked at: what a vendor allows may change.
const ROUND_MOST: Span = Span::secs(600);
/// Within this time a poll that has begun has usually been answered.
const POLL_TAKES: Span = Span::secs(1);
/// How often stopping a task is tried.
pub(super) const STOP_TRIES: u32 = 5;

/// What is known of a task that is followed: the fields of [`State::Generating`].
pub(super) struct Following {
    pub(super) attempt: Attempt,
    pub(super) task: TaskId,
    pub(super) polls: u32,
    pub(super) nudged: Timestamp,
    pub(super) denied: u32,
    pub(super) stops: u32,
}

impl From<Following> for State {
    fn from(following: Following) -> Self {
        let Following { attempt, task, polls, nudged, denied, stops } = following;
        Self::Generating { attempt, task, polls, nudged, denied, stops }
    }
}

impl Turn<'_> {
    pub(super) fn generating(&mut self, of: Following, event: &Event) -> Changed {
        let at = of.attempt.number;
        match event {
            // Asked for, and about another task: not ours, or one too many.
            Event::Reported {
                attempt, task: Some(task), via: Via::Poll { .. } | Via::List { .. }, ..
            } if *attempt == at && *task != of.task => Changed::No,
            // A callback that names another task says nothing of this one: it is polled.
            Event::Reported { attempt, task: Some(task), via: Via::Callback, .. }
                if *attempt == at && *task != of.task =>
            {
                self.nudged(of)
            }
            Event::Reported { attempt, report, via, .. } if *attempt == at => match (report, via) {
                (Report::Pending, Via::Poll { asked } | Via::List { asked }) => {
                    self.still_pending(of, *asked)
                }
                (Report::Pending, Via::Callback) => Changed::No,
                (Report::Done(_) | Report::Unreadable(_) | Report::Failed(_) | Report::Canceled, _) => {
                    self.ended(of.attempt, Some(of.task), report, *via)
                }
            },
            Event::Reported { attempt, vendor, task, report, .. } => {
                self.late_report(*attempt, vendor, task.as_ref(), report)
            }
            Event::Heard { attempt } if *attempt == at => self.nudged(of),
            Event::PollFailed { attempt, fault } if *attempt == at => self.poll_failed(of, fault),
            Event::Accepted { attempt, accepted: Accepted::Done(product) } if *attempt == at => {
                self.finish(of.attempt, Some(of.task), product.clone(), Via::Callback)
            }
            Event::Accepted { attempt, accepted } if *attempt != at => self.taken_too(*attempt, accepted),
            Event::CancelAsked => {
                self.job.cancel_asked = true;
                self.cancel_task(of.attempt, of.task)
            }
            Event::Poisoned { claims } => self.poisoned_over(of.attempt, &of.task, *claims),
            _ => Changed::No,
        }
    }

    /// A callback came: the task is polled, now or once `poll_every` has passed since the last poll by callback.
    fn nudged(&mut self, of: Following) -> Changed {
        let at = self.callback_poll();
        if of.nudged >= at {
            return Changed::No;
        }
        self.job.state = Following { nudged: at, ..of }.into();
        if self.job.due <= self.now {
            // A worker has it, or is about to: its poll is not doubled, and not put off by callbacks either.
            self.job.due = at.min(self.now + POLL_TAKES.get());
        } else if self.job.due > at {
            self.job.due = at;
        }
        Changed::Yes
    }

    /// When the vendor is polled because of a callback that comes now. However many callbacks come, that is at most once
    /// in each `poll_every`.
    pub(super) fn callback_poll(&mut self) -> Timestamp {
        let last = self.job.callback_poll;
        if last <= self.now {
            let is_first = last == Timestamp::default();
            let next = last + self.vendor_policy().poll_every.get();
            self.job.callback_poll = if is_first { self.now } else { next.max(self.now) };
        }
        self.job.callback_poll
    }

    /// The task of the submission that the job is with has ended.
    pub(super) fn ended(
        &mut self,
        attempt: Attempt,
        task: Option<TaskId>,
        report: &Report,
        via: Via,
    ) -> Changed {
        match report {
            Report::Pending => Changed::No,
            Report::Done(product) => {
                if self.job.retrieval.is_new() {
                    self.job.note(self.now, "reported", format!("done, by {}", via.as_str()));
                }
                self.finish(attempt, task, product.clone(), via)
            }
            Report::Unreadable(answer) => self.output_unreadable(attempt, task, answer, via),
            Report::Failed(fault) => self.attempt_failed(attempt, fault),
            // Only what took too long is stopped by us while the job goes on.
            Report::Canceled if self.is_late(attempt) => self.attempt_failed(attempt, &overdue()),
            Report::Canceled => self.attempt_failed(attempt, &task_canceled()),
        }
    }

    /// Whether the task has taken so long that it is stopped where that can be done.
    fn is_late(&self, attempt: Attempt) -> bool {
        let policy = self.vendor_policy();
        policy.cancel && self.now.since(attempt.since) > policy.patience.get()
    }

    /// Whether the task has taken so long that nothing more is expected of it.
    fn is_given_up(&self, attempt: Attempt) -> bool {
        self.now.since(attempt.since) > self.vendor_policy().give_up.get()
    }

    fn still_pending(&mut self, of: Following, asked: Timestamp) -> Changed {
        self.job.strikes = 0;
        match (self.is_given_up(of.attempt), self.has_succeeded()) {
            // The vendor has said already that it succeeded: it is not stopped, and what it made is waited for.
            (true, true) => {
                let answer = RawAnswer::new("the task, which had succeeded, is said to be under way");
                return self.output_unreadable(of.attempt, Some(of.task), &answer, Via::Poll { asked });
            }
            (true, false) => return self.give_up(of.attempt, &of.task),
            (false, false) if self.is_late(of.attempt) && of.stops < STOP_TRIES => {
                return self.stop_overdue(of);
            }
            (false, _) => {}
        }
        let polls = of.polls.saturating_add(1);
        self.job.due = if of.nudged > asked {
            of.nudged.max(self.now)
        } else {
            self.look_at(of.attempt, self.until_next_look(&of))
        };
        self.job.state = Following { polls, denied: 0, ..of }.into();
        Changed::Yes
    }

    /// The longer a task has taken, the longer until it is looked at again: its end is found within a part of the time
    /// that it took, however often it is looked at.
    fn until_next_look(&self, of: &Following) -> Duration {
        let (vendor, policy) = (self.job.vendor(), self.vendor_policy());
        let stretch = self.policy.pace.stretch(vendor);
        let (every, most) = (policy.poll_every.get() * stretch, policy.poll_most.get() * stretch);
        // A callback has said that something happened: look soon, though the vendor's answer lags behind.
        let is_nudged = of.nudged > Timestamp::default();
        let taken = if is_nudged { Duration::ZERO } else { self.now.since(of.attempt.since) };
        (taken * stretch / PART_OF_ITS_TIME)
            .min(most)
            .max(every)
            .max(self.policy.pace.round(vendor).min(ROUND_MOST.get()))
    }

    fn poll_failed(&mut self, of: Following, fault: &Fault) -> Changed {
        self.job.strikes = self.job.strikes.saturating_add(1);
        self.alert_if_ours(fault);
        let policy = self.vendor_policy();
        let denied = match fault.kind {
            FaultKind::Rejected => of.denied.saturating_add(1),
            FaultKind::Locked
            | FaultKind::Throttled
            | FaultKind::Unavailable
            | FaultKind::Unknown
            | FaultKind::Garbled => of.denied,
        };
        let settled = of.attempt.since + policy.settle.get();
        if denied > of.denied && denied >= GONE_AFTER && self.now >= settled {
            let fault = fault.clone().turned_into(FaultKind::Unknown, "task_gone");
            return self.in_doubt(of.attempt, Some(&of.task), &fault);
        }
        // After a long outage of ours the first failed look must not end it.
        if self.is_given_up(of.attempt) && self.job.strikes >= policy.strikes {
            return self.give_up(of.attempt, &of.task);
        }
        self.job.due = self.now + self.wait_after(fault, self.job.strikes);
        self.job.state = Following { denied, ..of }.into();
        Changed::Yes
    }

    fn stop_overdue(&mut self, of: Following) -> Changed {
        let Following { attempt, task, stops, .. } = of;
        if stops == 0 {
            self.job.note(self.now, "overdue", format!("task {task} is asked to stop"));
        }
        self.job.state = State::Canceling { attempt, task, tries: stops, because: Ended::Overdue };
        self.job.due = self.now;
        Changed::Yes
    }

    /// The task is known but nothing more is expected of it.
    pub(super) fn give_up(&mut self, attempt: Attempt, task: &TaskId) -> Changed {
        let fault = Fault::new(FaultKind::Unknown, "task_overdue", "the vendor did not end it in time");
        self.in_doubt(attempt, Some(task), &fault)
    }
}
