//! From a product to audio in our storage.

use super::fate::poison;
use super::output::Selected;
use super::{Changed, Turn};
use crate::fault::{Fault, FaultKind};
use crate::id::TaskId;
use crate::job::event::{Accepted, Defect, Event, Via};
use crate::job::policy::{OnUnusable, backoff};
use crate::job::record::StepKind;
use crate::job::state::{Accept, Attempt, Origin, State};
use crate::money::Terms;
use crate::report::{Asset, Extra, Extras, Output, Product, RawAnswer};
use crate::time::{Span, Timestamp};

/// The longest wait between two tries to collect.
const COLLECT_BACKOFF_MOST: Span = Span::secs(120);
/// Of the doublings of the wait before an address is asked for anew, those that are made at once where it is said to be
/// gone: it may only not be there yet.
const GONE_PATIENCE: u32 = 2;
/// The longest wait before an address is asked for anew.
const ANEW_BACKOFF_MOST: Span = Span::secs(900);
/// The longest wait before a file is downloaded again that may not be ready yet.
const NOT_READY_BACKOFF_MOST: Span = Span::secs(30);
/// Such a file is downloaded this often at least before it counts as unusable,
const MIN_DOWNLOADS: u32 = 6;
/// and every so often from a fresh address.
const FRESH_ADDRESS_EVERY: u32 = 3;
/// Audio that ends within a sound is downloaded this often, over this long, before it counts as all there is.
const MIN_OPEN_END_DOWNLOADS: u32 = 5;
const OPEN_END_GRACE: Span = Span::secs(15);
/// Audio that expires sooner than this goes before what came earlier.
const URGENT: Span = Span::secs(3600);

/// What a job is collecting.
pub(super) struct Bringing {
    pub(super) origin: Origin,
    pub(super) outputs: Vec<Output>,
    pub(super) extra: Extras,
    pub(super) tries: u32,
    pub(super) accept: Accept,
}

impl From<Bringing> for State {
    fn from(bringing: Bringing) -> Self {
        let Bringing { origin, outputs, extra, tries, accept } = bringing;
        Self::Collecting { origin, outputs, extra, tries, accept }
    }
}

impl Turn<'_> {
    /// A step gave its product.
    pub(super) fn finish(
        &mut self,
        attempt: Attempt,
        task: Option<TaskId>,
        product: Product,
        via: Via,
    ) -> Changed {
        if self.job.cancel_asked {
            return self.cancel("the task had ended");
        }
        match product {
            Product::Audio(outputs) if self.job.step_kind() == StepKind::Song => {
                self.song_ended(attempt, task, outputs, via)
            }
            Product::Audio(_) => {
                let answer = RawAnswer::new("audio came where lyrics were due");
                self.output_unreadable(attempt, task, &answer, via)
            }
            Product::Lyrics(lyrics) if self.job.step_kind() == StepKind::Lyrics => {
                let words = format!("lyrics of {} characters", lyrics.text.chars().count());
                self.job.note(self.now, "written", words);
                self.job.lyrics = Some(lyrics);
                self.job.at_step += 1;
                self.new_step();
                self.queue_now()
            }
            Product::Lyrics(_) => {
                let answer = RawAnswer::new("lyrics came where a song was due");
                self.output_unreadable(attempt, task, &answer, via)
            }
        }
    }

    /// What a task has really cost takes the place of what was expected.
    pub(super) fn book(&mut self, attempt: u32, outputs: &[Output]) {
        self.charge(attempt, outputs, &[]);
        self.job.retrieval.booked = true;
    }

    /// Has a submission cost what these outputs do, by the terms that it was claimed with.
    fn charge(&mut self, attempt: u32, outputs: &[Output], measured: &[u64]) {
        let job = &mut self.job;
        let booking = job.booking(attempt);
        let actual = |terms: Terms| terms.actual(job.size(), outputs, measured);
        let actual = booking.terms.map_or(booking.price, actual);
        job.spent = job.spent.saturating_sub(booking.amount()).saturating_add(actual);
        job.book(attempt, (actual != booking.price).then_some(actual));
    }

    /// Where a vendor charges by the second, the songs' own lengths take the place of the length that was asked for.
    fn book_measured(&mut self, of: &Bringing, assets: &[Asset]) {
        if !self.job.retrieval.booked {
            return;
        }
        let songs = assets.iter().filter(|asset| asset.part.is_none() && asset.duration_ms > 0);
        let measured: Vec<u64> = songs.map(|asset| asset.duration_ms).collect();
        self.charge(of.origin.attempt.number, &of.outputs, &measured);
    }

    pub(super) fn collect(&mut self, origin: Origin, selected: Selected) -> Changed {
        let Selected { outputs, extra, .. } = selected;
        self.job.strikes = 0;
        self.job.retrieval.readable();
        self.count_others();
        // The queue is in the order of these moments: first what expires first.
        let expires = outputs.iter().filter_map(|output| output.expires).min();
        self.job.due = expires.map_or(self.now, |expires| (expires - URGENT.get()).min(self.now));
        let accept = if self.job.retrieval.accept_any { Accept::Any } else { Accept::Whole };
        self.job.state = Bringing { origin, outputs, extra, tries: 0, accept }.into();
        Changed::Yes
    }

    pub(super) fn collecting(&mut self, of: Bringing, event: &Event) -> Changed {
        match event {
            Event::Stored { assets, extra } => self.stored(of, assets, extra),
            Event::CollectFailed { fault } => self.collect_failed(of, fault),
            Event::QualityRejected { fault, defect } => {
                self.job.note(self.now, "unfit", fault.in_full());
                match defect {
                    Defect::NotReady => self.not_ready(of, fault),
                    Defect::Doubtful => self.doubtful(of),
                    Defect::Unusable => self.rejected(of, fault),
                }
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

    fn stored(&mut self, of: Bringing, assets: &[Asset], found: &[Extra]) -> Changed {
        let (stored, all) = (assets.len(), of.outputs.len());
        let of_all = if stored < all { format!(" of {all}") } else { String::new() };
        self.job.note(self.now, "stored", format!("{stored}{of_all} files"));
        self.book_measured(&of, assets);
        let mut extra = of.extra;
        found.iter().for_each(|found| extra.push(found.clone()));
        self.job.state = State::Completed { at: self.now, origin: of.origin, assets: assets.to_vec(), extra };
        Changed::Yes
    }

    fn collect_failed(&mut self, of: Bringing, fault: &Fault) -> Changed {
        self.job.note(self.now, "collect_failed", fault.in_full());
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
                let due = self.now + self.vendor_policy().named_wait(fault).unwrap_or(own);
                self.again(Bringing { tries, ..of }, due)
            }
            FaultKind::Rejected => self.ask_anew(of, fault),
            FaultKind::Garbled => self.not_ready(of, fault),
        }
    }

    /// What was downloaded is no audio, or not all of it: it may not be ready yet, and a download costs nothing.
    fn not_ready(&mut self, of: Bringing, fault: &Fault) -> Changed {
        let retrieval = &mut self.job.retrieval;
        retrieval.count_not_ready(self.now);
        let (downloads, since) = (retrieval.not_ready, retrieval.not_ready_since);
        if downloads >= MIN_DOWNLOADS && self.now.since(since) >= self.policy.jobs.download_grace.get() {
            return self.unusable(of, fault);
        }
        self.download_again(of, downloads)
    }

    /// Downloads a file again that may not be ready yet, every so often from a fresh address.
    fn download_again(&mut self, of: Bringing, downloads: u32) -> Changed {
        let attempt = of.origin.attempt;
        let spread = self.spread(attempt.number, downloads);
        let first = self.policy.jobs.collect_backoff;
        let due = self.now + backoff(first, NOT_READY_BACKOFF_MOST, downloads.saturating_sub(1), spread);
        match self.task_to_ask(&of.origin) {
            Some(task) if downloads.is_multiple_of(FRESH_ADDRESS_EVERY) => {
                self.note_stale(&of.outputs);
                self.follow(attempt, task, due)
            }
            _ => self.again(of, due),
        }
    }

    /// What was downloaded may not be all of it, and nothing can prove it: a few downloads more, and it is what there is.
    fn doubtful(&mut self, of: Bringing) -> Changed {
        let retrieval = &mut self.job.retrieval;
        retrieval.count_not_ready(self.now);
        let downloads = retrieval.not_ready;
        let waited = self.now.since(retrieval.not_ready_since);
        let grace = OPEN_END_GRACE.get().min(self.policy.jobs.download_grace.get());
        if downloads >= MIN_OPEN_END_DOWNLOADS && waited >= grace {
            retrieval.accept_open_end = true;
            return self.again(of, self.now);
        }
        self.download_again(of, downloads)
    }

    /// What was downloaded is complete, and nobody can use it. It may have been the way: it is downloaded once more.
    fn rejected(&mut self, of: Bringing, fault: &Fault) -> Changed {
        let retrieval = &mut self.job.retrieval;
        retrieval.unusable = retrieval.unusable.saturating_add(1);
        if retrieval.unusable > 1 {
            return self.unusable(of, fault);
        }
        let due = self.now + self.policy.jobs.collect_backoff.get();
        match self.task_to_ask(&of.origin) {
            Some(task) => {
                self.note_stale(&of.outputs);
                self.follow(of.origin.attempt, task, due)
            }
            None => self.again(of, due),
        }
    }

    /// Audio that nobody can use, however often it is downloaded. What is good beside it is taken before anything is
    /// paid for again.
    fn unusable(&mut self, of: Bringing, fault: &Fault) -> Changed {
        if of.accept.is_whole() && of.outputs.len() > 1 {
            return self.accept_partial(of, fault);
        }
        let (attempt, policy) = (of.origin.attempt, self.policy.jobs.on_unusable);
        if self.is_superseded(attempt.number) {
            return self.attempt_failed(attempt, fault);
        }
        match policy {
            // It was to be stored as it is, and is nothing that can be stored.
            _ if of.accept == Accept::Any => self.hold_unusable(of, fault),
            // The vendor that the job has gone on to makes it, and was not asked before.
            OnUnusable::Remake if self.is_beside(&of.origin) => self.attempt_failed(attempt, fault),
            OnUnusable::Remake if self.job.may_be_made_anew(self.policy, self.now) => {
                self.remake(attempt, fault)
            }
            OnUnusable::Remake => self.attempt_lost(attempt, fault),
            OnUnusable::Store => {
                self.job.note(self.now, "stored_as_it_is", fault.in_full());
                self.again(Bringing { accept: Accept::Any, tries: 0, ..of }, self.now)
            }
            OnUnusable::Hold => self.hold_unusable(of, fault),
        }
    }

    fn hold_unusable(&mut self, of: Bringing, fault: &Fault) -> Changed {
        let task = self.task_to_ask(&of.origin);
        self.hold_with(of.origin.attempt, task.as_ref(), fault, None)
    }

    /// Has the same vendor make the song again, which is paid for.
    fn remake(&mut self, attempt: Attempt, fault: &Fault) -> Changed {
        self.job.remakes = self.job.remakes.saturating_add(1);
        let (price, currency) = (self.policy.price(&self.job) as f64 / 1e6, &self.policy.money.currency);
        let cost = format!("at an expected cost of {price} {currency}");
        let words = format!("attempt {} gave unusable audio: it is made again {cost}", attempt.number);
        self.job.note(self.now, "remake", words);
        self.attempt_failed(attempt, fault)
    }

    fn accept_partial(&mut self, of: Bringing, fault: &Fault) -> Changed {
        self.job.note(
            self.now,
            "partly",
            format!("what is good is taken without the rest: {}", fault.in_full()),
        );
        self.again(Bringing { accept: Accept::Partial, tries: 0, ..of }, self.now)
    }

    fn again(&mut self, of: Bringing, due: Timestamp) -> Changed {
        self.job.state = of.into();
        self.job.due = due;
        Changed::Yes
    }

    /// Whether the job goes on without this submission: one took its place, or the job had gone on to another vendor.
    fn is_beside(&self, origin: &Origin) -> bool {
        self.is_superseded(origin.attempt.number) || origin.vendor != *self.job.vendor()
    }

    /// The task that can be asked for a fresh address.
    fn task_to_ask(&self, origin: &Origin) -> Option<TaskId> {
        origin.task.clone().filter(|_| origin.vendor == *self.job.vendor())
    }

    /// The address does not serve any more: the vendor is asked for another one, by a request for this very task. As
    /// long as the vendor does not say that the task failed, nothing is paid for again.
    fn ask_anew(&mut self, of: Bringing, fault: &Fault) -> Changed {
        let (jobs, origin) = (&self.policy.jobs, &of.origin);
        let can_ask = self.job.may_ask_anew(origin, fault.kind, self.policy, self.now);
        let Some(task) = origin.task.clone().filter(|_| can_ask) else {
            return self.lost(of, fault);
        };
        let own = if origin.is_waited_for(fault.kind, self.policy, self.now) {
            self.job.retrieval.refreshes = self.job.retrieval.refreshes.max(1);
            let taken = self.now.since(origin.attempt.since) / 8;
            taken.min(ANEW_BACKOFF_MOST.get()).max(jobs.collect_backoff.get())
        } else {
            let refreshes = self.job.retrieval.refreshes.saturating_add(1);
            self.job.retrieval.refreshes = refreshes;
            let spread = self.spread(origin.attempt.number, refreshes);
            let doublings = refreshes.saturating_add(GONE_PATIENCE);
            backoff(jobs.collect_backoff, ANEW_BACKOFF_MOST, doublings, spread)
        };
        // A new address is most likely on the host that asked for patience.
        let due = self.now + own.max(self.vendor_policy().named_wait(fault).unwrap_or_default());
        self.note_stale(&of.outputs);
        self.follow(origin.attempt, task, due)
    }

    /// The audio cannot be had, however often the vendor is asked for another address.
    fn lost(&mut self, of: Bringing, fault: &Fault) -> Changed {
        let lost = Fault::because_of(FaultKind::Unknown, "output_lost", fault);
        if of.accept.is_whole() && of.outputs.len() > 1 {
            return self.accept_partial(of, &lost);
        }
        let origin = of.origin;
        if self.is_beside(&origin) {
            return self.attempt_failed(origin.attempt, &lost);
        }
        self.hold_with(origin.attempt, origin.task.as_ref(), &lost, None)
    }
}
