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

mod work;

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
        let routes = names.iter().map(|name| Route::new(vendor(name), steps.clone())).collect();
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
