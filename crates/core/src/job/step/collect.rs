//! From a product to audio in our storage.

use super::fate::poison;
use super::{Changed, Turn};
use crate::fault::{Fault, FaultKind};
use crate::id::{TaskId, VendorName};
use crate::job::event::{Accepted, Event};
use crate::job::policy::backoff;
use crate::job::record::StepKind;
use crate::job::state::{Attempt, Origin, State};
use crate::report::{Output, Product};
use crate::time::{Span, Timestamp};

/// The longest wait between two tries to collect.
const COLLECT_BACKOFF_MOST: Span = Span::secs(120);
/// Of the doublings of the wait before an address is asked for anew, those that are made at once where it is said to be
/// gone: it may only not be there yet.
const GONE_PATIENCE: u32 = 2;
/// The longest wait before an address is asked for anew.
const ANEW_BACKOFF_MOST: Span = Span::secs(900);
/// Audio that expires sooner than this goes before what came earlier.
const URGENT: Span = Span::secs(3600);

/// What a job is collecting.
pub(super) struct Bringing {
    pub(super) origin: Origin,
    pub(super) outputs: Vec<Output>,
    pub(super) tries: u32,
    pub(super) partly: bool,
}

impl From<Bringing> for State {
    fn from(bringing: Bringing) -> Self {
        let Bringing { origin, outputs, tries, partly } = bringing;
        Self::Collecting { origin, outputs, tries, partly }
    }
}

impl Turn<'_> {
    /// A step gave its product.
    pub(super) fn finish(&mut self, attempt: Attempt, task: Option<TaskId>, product: Product) -> Changed {
        if self.job.cancel_asked {
            return self.cancel("the task had ended");
        }
        match self.own_of(attempt.number, product) {
            Product::Audio(outputs) if outputs.is_empty() => {
                let fault = Fault::new(
                    FaultKind::Unavailable,
                    "output_missing",
                    "the task ended without audio for it",
                );
                self.attempt_failed(attempt, &fault)
            }
            Product::Audio(outputs) => {
                let vendor = self.job.vendor().clone();
                // Asked for anew it costs nothing more.
                if self.job.rounds == 0 {
                    self.book(&vendor, &outputs);
                }
                self.collect(Origin { vendor, attempt, task }, outputs)
            }
            Product::Lyrics(lyrics) if self.job.step_kind() == StepKind::Lyrics => {
                self.job.note(
                    self.now,
                    "written",
                    format!("lyrics of {} characters", lyrics.text.chars().count()),
                );
                self.job.lyrics = Some(lyrics);
                self.job.at_step += 1;
                self.new_step();
                self.queue_now()
            }
            Product::Lyrics(_) => {
                let fault =
                    Fault::new(FaultKind::Garbled, "output_missing", "lyrics came where a song was due");
                self.attempt_failed(attempt, &fault)
            }
        }
    }

    /// What a task has really cost takes the place of what was expected.
    pub(super) fn book(&mut self, vendor: &VendorName, outputs: &[Output]) {
        let actual = self.policy.money.actual(vendor, self.job.asked(), outputs);
        self.job.spent = self.job.spent.saturating_sub(self.job.price).saturating_add(actual);
    }

    /// Of a task that it shares with other jobs, a job's own song.
    pub(super) fn own_of(&self, attempt: u32, product: Product) -> Product {
        match (self.job.packed, product) {
            (Some(packed), Product::Audio(outputs)) if attempt == packed.own => {
                Product::Audio(outputs.into_iter().nth(packed.place as usize).into_iter().collect())
            }
            (_, product) => product,
        }
    }

    pub(super) fn collect(&mut self, origin: Origin, outputs: Vec<Output>) -> Changed {
        self.job.strikes = 0;
        self.count_others();
        // The queue is in the order of these moments: first what expires first.
        let expires = outputs.iter().filter_map(|output| output.expires).min();
        self.job.due = expires.map_or(self.now, |expires| (expires - URGENT.get()).min(self.now));
        self.job.state = Bringing { origin, outputs, tries: 0, partly: false }.into();
        Changed::Yes
    }

    pub(super) fn collecting(&mut self, of: Bringing, event: &Event) -> Changed {
        match event {
            Event::Stored { assets } => {
                let (stored, all) = (assets.len(), of.outputs.len());
                let of_all = if stored < all { format!(" of {all}") } else { String::new() };
                self.job.note(self.now, "stored", format!("{stored}{of_all} files"));
                self.job.state = State::Completed { at: self.now, origin: of.origin, assets: assets.clone() };
                Changed::Yes
            }
            Event::CollectFailed { fault } => self.collect_failed(of, fault),
            Event::Unfit { fault } => {
                self.job.note(self.now, "unfit", fault.to_string());
                self.doubtful(of, fault)
            }
            Event::Accepted { attempt, accepted: accepted @ Accepted::Task(_) }
                if *attempt != of.origin.attempt.number =>
            {
                self.taken_too(*attempt, accepted)
            }
            Event::CancelAsked => self.cancel("while its audio was brought in"),
            Event::Poisoned { claims } => match &of.origin.task {
                Some(task) if of.origin.vendor == *self.job.vendor() => {
                    self.poisoned_over(of.origin.attempt, task, *claims)
                }
                // There is no task of this vendor's that could be followed again.
                _ => self.fail(&poison(FaultKind::Rejected, *claims)),
            },
            _ => Changed::No,
        }
    }

    fn collect_failed(&mut self, of: Bringing, fault: &Fault) -> Changed {
        self.job.note(self.now, "collect_failed", fault.to_string());
        let jobs = &self.policy.jobs;
        match fault.kind {
            // Our own storage: the operator's to mend, and no fault of the audio's.
            FaultKind::Locked => {
                self.alert_if_ours(fault);
                let due = self.now + self.wait_after(fault, of.tries.saturating_add(1));
                self.again(of, due)
            }
            FaultKind::Unavailable | FaultKind::Unknown | FaultKind::Throttled => {
                let tries = of.tries.saturating_add(1);
                if tries >= jobs.collect_tries {
                    return self.ask_anew(of, fault);
                }
                let spread = self.spread(of.origin.attempt.number, of.tries);
                let own = backoff(jobs.collect_backoff, COLLECT_BACKOFF_MOST, of.tries, spread);
                let due = self.now + fault.retry_after().unwrap_or(own);
                self.again(Bringing { tries, ..of }, due)
            }
            FaultKind::Rejected => self.ask_anew(of, fault),
            FaultKind::Garbled => self.doubtful(of, fault),
        }
    }

    /// What came is not what was asked for. It is looked at a second time, which costs nothing, before it is made anew:
    /// a page of a proxy or a transfer that was cut says nothing of the song.
    fn doubtful(&mut self, of: Bringing, fault: &Fault) -> Changed {
        let due = self.now + self.policy.jobs.collect_backoff.get();
        match &of.origin.task {
            Some(task) if self.job.rounds == 0 && of.origin.vendor == *self.job.vendor() => {
                self.job.rounds = 1;
                self.follow(of.origin.attempt, task.clone(), due)
            }
            None if of.tries == 0 => self.again(Bringing { tries: 1, ..of }, due),
            _ => self.not_all(of, fault),
        }
    }

    fn again(&mut self, of: Bringing, due: Timestamp) -> Changed {
        self.job.state = of.into();
        self.job.due = due;
        Changed::Yes
    }

    /// Something of what was paid for is no good, or lost. Where the job would fail now because of it, what is good of
    /// several outputs is taken without the rest.
    fn not_all(&mut self, of: Bringing, fault: &Fault) -> Changed {
        let before = self.job.clone();
        let changed = self.attempt_failed(of.origin.attempt, fault);
        if of.partly || of.outputs.len() < 2 || !matches!(self.job.state, State::Failed { .. }) {
            return changed;
        }
        self.job = before;
        self.job.note(self.now, "partly", format!("what is good is taken without the rest: {fault}"));
        self.again(Bringing { partly: true, tries: 0, ..of }, self.now)
    }

    /// The address does not serve any more: the vendor is asked for another one, a bounded number of times.
    fn ask_anew(&mut self, of: Bringing, fault: &Fault) -> Changed {
        let (jobs, origin) = (&self.policy.jobs, &of.origin);
        let can_ask = self.job.may_ask_anew(origin, fault.kind, self.policy, self.now);
        let Some(task) = origin.task.clone().filter(|_| can_ask) else {
            let lost = Fault::new(FaultKind::Unavailable, "output_lost", fault.to_string());
            return self.not_all(of, &lost);
        };
        let own = if origin.is_waited_for(fault.kind, self.policy, self.now) {
            self.job.rounds = self.job.rounds.max(1);
            let taken = self.now.since(origin.attempt.since) / 8;
            taken.min(ANEW_BACKOFF_MOST.get()).max(jobs.collect_backoff.get())
        } else {
            self.job.rounds = self.job.rounds.saturating_add(1);
            let spread = self.spread(origin.attempt.number, self.job.rounds);
            backoff(
                jobs.collect_backoff,
                ANEW_BACKOFF_MOST,
                self.job.rounds.saturating_add(GONE_PATIENCE),
                spread,
            )
        };
        // A new address is most likely on the host that asked for patience.
        let due = self.now + own.max(fault.retry_after().unwrap_or_default());
        self.follow(origin.attempt, task, due)
    }
}
