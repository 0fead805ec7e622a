//! Whole lives of jobs against a vendor with a truth of its own, with crashes, lost, late and doubled news.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use songmill_core::job::{
    Accepted, Choice, Defect, Effect, JobPolicy, OnUnknown, Route, StateName, StepKind, VendorPolicy, Via,
    step,
};
use songmill_core::time::Span;
use songmill_core::{
    Event, Fault, FaultKind, Job, JobId, Output, Policy, Product, Report, Stage, State, Timestamp,
};

use crate::fuzz::{on_unknown, settings};
use crate::story::{START, rejected, stored, task, unreadable, vendor, written};
use crate::vendor::{Fate, Tape, VendorTask};

/// The lease of a claim; a request takes at most as long again, and both together are less than `settle`.
const LEASE: Duration = Duration::from_secs(30);
/// How long a task may be invisible to the look-up and to polls.
const LAG: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
struct Setting {
    policy: VendorPolicy,
    two_steps: bool,
    two_routes: bool,
    lyrics_at_once: bool,
    cancel_at: Option<u8>,
    choices: Vec<u8>,
}

struct World {
    job: Job,
    policy: Policy,
    tape: Tape,
    now: Timestamp,
    /// When the job is to be claimed again, as the store has it.
    due: Timestamp,
    deliveries: Vec<(Timestamp, Event)>,
    tasks: Vec<VendorTask>,
    lyrics_at_once: bool,
    /// Operators' resubmissions.
    allowed: u32,
    log: Vec<String>,
}

impl World {
    fn new(setting: &Setting) -> Self {
        let steps =
            if setting.two_steps { vec![StepKind::Lyrics, StepKind::Song] } else { vec![StepKind::Song] };
        let names: &[&str] = if setting.two_routes { &["a", "b"] } else { &["a"] };
        let routes = names
            .iter()
            .map(|name| Route {
                vendor: vendor(name),
                steps: steps.clone(),
                dropped: vec![],
                changes: vec![],
            })
            .collect();
        let vendors = names.iter().map(|name| (vendor(name), setting.policy.clone())).collect();
        let policy = Policy::new(vendors, JobPolicy::default());
        let job = Job::new(JobId::derive("world", "1"), routes, START, START + policy.jobs.deadline.get());
        Self {
            due: job.due,
            job,
            policy,
            tape: Tape::new(setting.choices.clone()),
            now: START,
            deliveries: vec![],
            tasks: vec![],
            lyrics_at_once: setting.lyrics_at_once,
            allowed: 0,
            log: vec![],
        }
    }

    fn vendor_policy(&self) -> &VendorPolicy {
        self.policy.vendor(self.job.vendor())
    }

    fn state(&self) -> StateName {
        self.job.state.name()
    }

    fn tell(&mut self, event: &Event) {
        self.log.push(format!("{} {event:?}", self.now.since(START).as_secs_f64()));
        let after = step(&self.job, event, self.now, &self.policy);
        let is = after.as_ref().map_or(self.state(), |after| after.job.state.name());
        if let Event::Reported { attempt, report: Report::Done(Product::Audio(_)), .. } = event
            && self.tasks.iter().any(|task| task.attempt == *attempt && !task.wasted)
            && !self.job.cancel_asked
            && !self.state().is_final()
        {
            // What is said by a list, or again, of addresses that did not serve is no answer.
            let is_stale = after.is_none() && self.job.retrieval.stale != 0;
            assert!(
                is == StateName::Collecting || is_stale,
                "a song that was made is lost\n{}",
                self.log.join("\n")
            );
        }
        let Some(after) = after else { return };
        for Effect::Alert(fault) in &after.effects {
            assert!(matches!(fault.kind, FaultKind::Locked | FaultKind::Garbled));
        }
        let was = self.state();
        self.log.push(format!("  {was} → {is}"));
        assert!(!was.is_final(), "final is final");
        assert_eq!(after.job.place().is_some(), is.is_live());
        assert!(
            !is.is_live() || after.job.due >= self.now || after.job.due == self.job.due,
            "due before now"
        );
        if let State::Collecting { origin, .. } = &self.job.state
            && (matches!(is, StateName::Queued | StateName::Failed | StateName::Uncertain)
                || after.job.ended.contains(&origin.attempt.number))
        {
            let number = origin.attempt.number;
            let is_unusable = matches!(event, Event::QualityRejected { .. } | Event::Poisoned { .. });
            // A later submission is looked for, or an operator is asked what became of it.
            let is_replaced =
                matches!(is, StateName::Uncertain | StateName::Held) || origin.vendor != *self.job.vendor();
            assert!(is_unusable || is_replaced, "paid for again without need\n{}", self.log.join("\n"));
            self.tasks.iter_mut().filter(|task| task.attempt == number).for_each(|task| task.wasted = true);
        }
        if after.job.route != self.job.route {
            let in_doubt = matches!(was, StateName::Uncertain | StateName::Held) && !told_of_its_end(event);
            let earlier = !self.job.doubts.is_empty() && !matches!(event, Event::Reported { .. });
            let by_operator = *event == Event::RetryAsked;
            assert!(by_operator || !in_doubt && !earlier, "a path from doubt\n{}", self.log.join("\n"));
        }
        let settled = after.job.confirmed + after.job.undone;
        assert!(settled <= after.job.submissions, "{settled} of {}", after.job.submissions);
        self.due = if *event == Event::Claimed { self.now + LEASE } else { after.job.due };
        self.job = after.job;
    }

    /// Tells it now, or after the lease has run out; perhaps twice.
    fn news(&mut self, event: Event) {
        if self.tape.chance(20) {
            let at = self.now + self.tape.secs(120);
            self.deliveries.push((at, event.clone()));
        }
        if self.tape.chance(20) {
            let at = self.now + self.tape.secs(50);
            self.deliveries.push((at, event));
            self.due = self.now + LEASE;
            return;
        }
        self.tell(&event);
    }

    /// The next thing that happens.
    fn turn(&mut self) {
        let delivery = self.deliveries.iter().enumerate().min_by_key(|(_, (at, _))| *at);
        let delivery = delivery.map(|(place, (at, _))| (place, *at));
        let place = self.job.place().map(|place| place.stage);
        match (place, delivery) {
            (Some(_), Some((next, at))) if at <= self.due => self.deliver(next),
            (None, Some((next, _))) => self.deliver(next),
            (Some(stage), _) => {
                self.now = self.now.max(self.due);
                self.work(stage);
            }
            (None, None) => {}
        }
    }

    fn deliver(&mut self, place: usize) {
        let (at, event) = self.deliveries.swap_remove(place);
        self.now = self.now.max(at);
        self.tell(&event);
    }

    fn work(&mut self, stage: Stage) {
        // A worker that dies says nothing; the lease runs out.
        if stage != Stage::Submit && self.tape.chance(10) {
            self.due = self.now + LEASE;
            return;
        }
        match stage {
            Stage::Submit => self.submit(),
            Stage::Resolve => self.resolve(),
            Stage::Poll => self.poll(),
            Stage::Cancel => self.cancel(),
            Stage::Collect => self.collect(),
        }
    }

    fn submit(&mut self) {
        if self.tape.chance(8) {
            // Its vendor's gate is shut: it may go on to the next one it names.
            self.tell(&Event::Shut {
                vendor: self.job.vendor().clone(),
                fault: Fault::new(FaultKind::Locked, "shut_by_hand", ""),
            });
            return;
        }
        self.tell(&Event::Claimed);
        let attempt = self.job.submissions;
        let failed = |kind, secs: Option<u64>| Event::SubmitFailed {
            attempt,
            fault: Fault::new(kind, "failed", "").after(secs.map(Duration::from_secs)),
        };
        match self.tape.choose(24) {
            // The worker dies before it sends, or after.
            1 => {}
            2 | 3 => drop(self.create(attempt)),
            4 | 5 => {
                self.create(attempt);
                self.news(failed(FaultKind::Unknown, None));
            }
            6 => self.news(failed(FaultKind::Unknown, None)),
            7 => {
                self.create(attempt);
                self.news(failed(FaultKind::Garbled, None));
            }
            8 => self.news(failed(FaultKind::Unavailable, None)),
            9 => self.news(failed(FaultKind::Throttled, Some(40))),
            10 => self.news(failed(FaultKind::Locked, None)),
            11 => self.news(failed(FaultKind::Rejected, None)),
            12 => self.news(Event::HandedBack { attempt }),
            13 | 14 => {
                // Slow: the answer comes when somebody else may be looking already.
                let took = LEASE + self.tape.secs(30);
                let event = self.create(attempt);
                self.deliveries.push((self.now + took, event));
            }
            _ => {
                let event = self.create(attempt);
                self.news(event);
            }
        }
    }

    /// The vendor takes a submission: is that one too many?
    fn create(&mut self, attempt: u32) -> Event {
        let (kind, name, now) = (self.job.step_kind(), self.job.vendor().clone(), self.now);
        if self.vendor_policy().on_unknown != OnUnknown::Resubmit && self.allowed == 0 {
            let other = self.tasks.iter().find(|task| task.step == kind && task.counts(now));
            assert!(other.is_none(), "{other:?} is there already\n{}", self.log.join("\n"));
        }
        let fate = match self.tape.choose(16) {
            1 | 2 => Fate::Badly(FaultKind::Unavailable),
            3 => Fate::Badly(FaultKind::Rejected),
            4 => Fate::Badly(FaultKind::Locked),
            5 => Fate::Badly(FaultKind::Throttled),
            6 | 7 => Fate::Never,
            _ => Fate::Well,
        };
        let id = task(&format!("t{attempt}"));
        let ends = now + Duration::from_secs(1 + u64::from(self.tape.choose(255)) * 8);
        let known = VendorTask {
            id: id.clone(),
            vendor: name,
            attempt,
            step: kind,
            created: now,
            fate,
            ends,
            stopped: None,
            wasted: false,
        };
        self.tasks.push(known);
        let same = self
            .tasks
            .iter()
            .filter(|task| task.step == kind && task.vendor == *self.job.vendor() && task.is_paid());
        let (paid, most) = (same.count(), self.vendor_policy().attempts + self.allowed);
        assert!(paid <= most as usize, "{paid} tasks, {most} allowed\n{}", self.log.join("\n"));
        if kind == StepKind::Lyrics && self.lyrics_at_once {
            let known = self.tasks.last_mut().expect("it was pushed just now");
            (known.fate, known.ends) = (Fate::Well, now);
            return Event::Accepted { attempt, accepted: Accepted::Done(written()) };
        }
        for _ in 0..self.tape.choose(4) {
            let late = self.tape.secs(200);
            let event = if self.tape.chance(128) {
                Event::Heard { attempt }
            } else {
                let report = self.shown(attempt, ends);
                self.reported(attempt, report, Via::Callback)
            };
            if fate != Fate::Never {
                self.deliveries.push((ends + late, event));
            }
        }
        if self.tape.chance(50) {
            let event = self.reported(attempt, Report::Pending, Via::Callback);
            self.deliveries.push((now + self.tape.secs(60), event));
        }
        Event::Accepted { attempt, accepted: Accepted::Task(id) }
    }

    fn truth(&self, attempt: u32, now: Timestamp) -> Report {
        let Some(known) = self.tasks.iter().find(|task| task.attempt == attempt) else {
            return Report::Pending;
        };
        match known.fate {
            _ if known.is_stopped(now) => Report::Canceled,
            _ if !known.has_ended(now) => Report::Pending,
            Fate::Well if known.step == StepKind::Lyrics => Report::Done(written()),
            Fate::Well => Report::Done(Product::Audio(vec![Output::at("https://audio.example/1")].into())),
            Fate::Badly(kind) => Report::Failed(Fault::new(kind, "task_failed", "")),
            Fate::Never => Report::Pending,
        }
    }

    fn reported(&self, attempt: u32, report: Report, via: Via) -> Event {
        let known = self.tasks.iter().find(|task| task.attempt == attempt).expect("a task is reported of");
        Event::Reported { attempt, vendor: known.vendor.clone(), task: Some(known.id.clone()), report, via }
    }

    fn resolve(&mut self) {
        let attempt = self.job.state.attempt().expect("it is being submitted").number;
        // Where the answer is the product, there is no task to find.
        let at_once = self.lyrics_at_once && self.job.step_kind() == StepKind::Lyrics;
        if !self.vendor_policy().look_up || at_once {
            return self.news(Event::CannotTell { attempt });
        }
        if self.tape.chance(40) {
            let fault = Fault::new(FaultKind::Unavailable, "look_failed", "");
            return self.news(Event::LookFailed { attempt, fault });
        }
        let seen = self.tasks.iter().find(|task| task.attempt == attempt && task.created + LAG <= self.now);
        match seen {
            Some(known) => self.news(Event::Found { attempt, task: known.id.clone() }),
            // Told while it is true: the event does not say when it was asked.
            None => self.tell(&Event::NotFound { attempt, asked: crate::JUST_NOW }),
        }
    }

    fn poll(&mut self) {
        let attempt = self.job.state.attempt().expect("it is followed").number;
        let known = self.tasks.iter().find(|task| task.attempt == attempt).expect("what is followed exists");
        let kind = match self.tape.choose(12) {
            1 => Some(FaultKind::Unavailable),
            2 => Some(FaultKind::Throttled),
            3 => Some(FaultKind::Garbled),
            4 if known.created + LAG > self.now => Some(FaultKind::Rejected),
            _ => None,
        };
        let event = match kind {
            Some(kind) => Event::PollFailed { attempt, fault: Fault::new(kind, "poll_failed", "") },
            None => {
                let (asked, report) = (self.now, self.shown(attempt, self.now));
                let is_listed = self.job.retrieval.is_new() && self.tape.chance(60);
                let via = if is_listed { Via::List { asked } } else { Via::Poll { asked } };
                self.reported(attempt, report, via)
            }
        };
        self.news(event);
    }

    /// What an answer shows: a task that has ended well may not show its output yet.
    fn shown(&mut self, attempt: u32, now: Timestamp) -> Report {
        match self.truth(attempt, now) {
            Report::Done(_) if self.tape.chance(40) => unreadable(),
            // A replica that is behind.
            Report::Done(_) if self.tape.chance(20) => Report::Pending,
            report => report,
        }
    }

    fn cancel(&mut self) {
        let attempt = self.job.state.attempt().expect("it is stopped").number;
        if self.tape.chance(40) {
            let fault = Fault::new(FaultKind::Unavailable, "cancel_failed", "");
            return self.news(Event::CancelFailed { attempt, fault });
        }
        let late = self.tape.secs(60);
        let now = self.now;
        for known in self.tasks.iter_mut().filter(|task| task.attempt == attempt) {
            if !known.has_ended(now + late) {
                known.stopped.get_or_insert(now + late);
                // It will not end by itself any more, and nobody will be told that it did.
                self.deliveries.retain(|(_, event)| {
                    !matches!(event, Event::Reported { attempt: of, report: Report::Done(_) | Report::Failed(_), .. }
                        if *of == attempt)
                });
            }
        }
        self.news(Event::CancelDone { attempt });
    }

    fn collect(&mut self) {
        let kind = match self.tape.choose(18) {
            1 | 2 => FaultKind::Unavailable,
            3 | 4 => FaultKind::Rejected,
            5 => FaultKind::Garbled,
            6 => FaultKind::Locked,
            7 => FaultKind::Throttled,
            8 | 9 => return self.tell(&rejected(Defect::NotReady)),
            10 => return self.tell(&rejected(Defect::Unusable)),
            _ => return self.tell(&stored()),
        };
        self.tell(&Event::CollectFailed { fault: Fault::new(kind, "collect_failed", "") });
    }

    /// An operator looks what is at the vendor and decides.
    fn resolve_held(&mut self) {
        let State::Held { of, .. } = &self.job.state else { return };
        let known = self.tasks.iter().find(|task| task.attempt == of.attempt.number);
        let choice = match (known, self.tape.choose(3)) {
            (_, 1) => Choice::Fail,
            (Some(known), 0) => Choice::Adopt(known.id.clone()),
            _ => Choice::Resubmit,
        };
        self.allowed += u32::from(choice == Choice::Resubmit);
        self.tell(&Event::Resolved(choice));
    }
}

fn setting() -> impl Strategy<Value = Setting> {
    let policy = (1..4u32, 1..5u32, 1..4u32, any::<bool>(), any::<bool>(), on_unknown()).prop_map(
        |(attempts, strikes, looks, look_up, cancel, on_unknown)| VendorPolicy {
            attempts,
            strikes,
            looks,
            look_up,
            cancel,
            on_unknown,
            patience: Span::secs(900),
            give_up: Span::secs(1800),
            ..VendorPolicy::default()
        },
    );
    let cancel_at = prop_oneof![3 => Just(None), 1 => (0..30u8).prop_map(Some)];
    (policy, any::<(bool, bool, bool)>(), cancel_at, vec(any::<u8>(), 0..250)).prop_map(
        |(policy, (two_steps, two_routes, lyrics_at_once), cancel_at, choices)| Setting {
            policy,
            two_steps,
            two_routes,
            lyrics_at_once,
            cancel_at,
            choices,
        },
    )
}

proptest! {
    #![proptest_config(settings(3000))]

    #[test]
    fn every_job_ends_and_nothing_is_paid_for_twice(setting in setting()) {
        let mut world = World::new(&setting);
        let mut operators = 3;
        for turn in 0..4000 {
            if setting.cancel_at.map(u32::from) == Some(turn) && !world.state().is_final() {
                world.tell(&Event::CancelAsked);
            }
            if world.state() == StateName::Held && world.deliveries.is_empty() {
                if operators == 0 {
                    break;
                }
                operators -= 1;
                world.resolve_held();
            }
            if world.state().is_final() {
                break;
            }
            world.turn();
        }
        let ended = world.state();
        let log = || world.log.join("\n");
        prop_assert!(ended.is_final() || ended == StateName::Held, "never ends: {}\n{}", ended, log());
        if world.job.cancel_asked {
            prop_assert_eq!(ended, StateName::Canceled, "{}", log());
        }
        // What comes after the end changes nothing.
        while ended.is_final() && !world.deliveries.is_empty() {
            let before = world.job.clone();
            world.deliver(0);
            prop_assert_eq!(&world.job, &before);
        }
    }
}

/// Whether an event says what became of a submission: then there is no doubt about it any more.
fn told_of_its_end(event: &Event) -> bool {
    match event {
        Event::Reported { report, .. } => *report != Report::Pending,
        Event::SubmitFailed { fault, .. } => !matches!(fault.kind, FaultKind::Unknown | FaultKind::Garbled),
        Event::NotFound { .. } => true,
        _ => false,
    }
}
