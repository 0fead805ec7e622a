//! A vendor with a truth of its own, a driver that does what each stage asks for, and an adversary that loses,
//! doubles and delays callbacks and kills workers. Whatever the adversary does, the promises hold.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use songmill_core::job::{OnUnknown, Policy, StateName, StepKind, VendorPolicy, step};
use songmill_core::{Event, FaultKind, Job, Report, Stage, State, Timestamp};

use crate::tools::*;

/// What becomes of a submission.
#[derive(Clone, Copy, Debug)]
enum Submission {
    /// Taken; its task ends so, after so many seconds, and the reply comes.
    Answered(End, u64),
    /// Taken, but the reply is lost.
    Lost(End, u64),
    /// The worker dies before it sends anything.
    DiedBefore,
    /// The worker dies after the vendor took it.
    DiedAfter(End, u64),
    /// Refused for now.
    Refused(FaultKind),
    /// A gateway fails before the vendor sees it.
    NeverArrived,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Well,
    Badly,
    Never,
}

/// What becomes of a callback.
#[derive(Clone, Copy, Debug)]
enum Callback {
    Lost,
    Once(u64),
    Twice(u64, u64),
}

#[derive(Clone, Debug)]
struct Fate {
    submissions: Vec<Submission>,
    callbacks: Vec<Callback>,
    believed: bool,
    cancel_at: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Task {
    end: End,
    ends: Timestamp,
    stopped: bool,
}

struct World {
    now: Timestamp,
    job: Job,
    policy: Policy,
    fate: Fate,
    tasks: BTreeMap<u32, Task>,
    mail: Vec<(Timestamp, u32)>,
    /// Submissions that were sent while an earlier task had neither ended nor been stopped.
    overlaps: u32,
}

impl World {
    fn tell(&mut self, event: &Event) {
        if let Some(step) = step(&self.job, event, self.now, &self.policy) {
            assert_eq!(step.job.place().is_some(), step.job.state.name().is_live());
            self.job = step.job;
        }
    }

    fn create(&mut self, attempt: u32, end: End, secs: u64) {
        let live = |task: &Task| !task.stopped && (task.end == End::Never || task.ends > self.now);
        if self.tasks.values().any(live) {
            self.overlaps += 1;
        }
        let ends = self.now + Duration::from_secs(secs);
        assert!(
            self.tasks.insert(attempt, Task { end, ends, stopped: false }).is_none(),
            "an attempt is sent once"
        );
        let callback = self.fate.callbacks[attempt as usize % self.fate.callbacks.len()];
        if end == End::Never {
            return;
        }
        match callback {
            Callback::Lost => {}
            Callback::Once(late) => self.mail.push((ends + Duration::from_secs(late), attempt)),
            Callback::Twice(one, two) => {
                self.mail.push((ends + Duration::from_secs(one), attempt));
                self.mail.push((ends + Duration::from_secs(two), attempt));
            }
        }
    }

    fn report(&self, attempt: u32) -> Report {
        match self.tasks.get(&attempt) {
            Some(task) if task.stopped => Report::Canceled,
            Some(Task { end: End::Well, ends, .. }) if *ends <= self.now => Report::Done(audio()),
            Some(Task { end: End::Badly, ends, .. }) if *ends <= self.now => {
                Report::Failed(fault(FaultKind::Unavailable))
            }
            _ => Report::Pending,
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = self.mail.iter().partition(|(at, _)| *at <= now);
        self.mail = later;
        for (_, attempt) in due {
            let event = if self.fate.believed {
                called_back(attempt, self.report(attempt))
            } else {
                Event::Heard { attempt }
            };
            self.tell(&event);
        }
    }

    fn submit(&mut self) {
        self.tell(&Event::Claimed);
        let State::Submitting(attempt) = self.job.state else { return };
        let number = attempt.number;
        let fate = self.fate.submissions[number as usize % self.fate.submissions.len()];
        match fate {
            Submission::Answered(end, secs) => {
                self.create(number, end, secs);
                self.tell(&accepted(number));
            }
            Submission::Lost(end, secs) => {
                self.create(number, end, secs);
                self.tell(&submit_failed(number, FaultKind::Unknown));
            }
            Submission::DiedAfter(end, secs) => self.create(number, end, secs),
            Submission::DiedBefore => {}
            Submission::Refused(kind) => self.tell(&submit_failed(number, kind)),
            Submission::NeverArrived => self.tell(&submit_failed(number, FaultKind::Unknown)),
        }
    }

    /// Does what the job's stage asks for.
    fn work(&mut self, look_up: bool) {
        let attempt = self.job.state.attempt().map_or(0, |attempt| attempt.number);
        match self.job.state.stage() {
            Some(Stage::Submit) => self.submit(),
            Some(Stage::Resolve) if !look_up => self.tell(&Event::CannotTell { attempt }),
            Some(Stage::Resolve) => match self.tasks.contains_key(&attempt) {
                true => self.tell(&Event::Found { attempt, task: task(attempt) }),
                false => self.tell(&Event::NotFound { attempt }),
            },
            Some(Stage::Poll) => self.tell(&polled(attempt, self.report(attempt), self.now)),
            Some(Stage::Cancel) => {
                let now = self.now;
                if let Some(task) = self.tasks.get_mut(&attempt)
                    && (task.end == End::Never || task.ends > now)
                {
                    task.stopped = true;
                }
                self.tell(&Event::CancelDone { attempt });
            }
            Some(Stage::Collect) => self.tell(&stored()),
            None => {}
        }
    }

    /// Until the job has ended or is held, and nothing is in the mail.
    fn run(&mut self, look_up: bool) {
        let mut asked = false;
        for _ in 0..20_000 {
            self.deliver();
            if let Some(secs) = self.fate.cancel_at
                && !asked
                && self.now >= START + Duration::from_secs(secs)
            {
                asked = true;
                self.tell(&Event::CancelAsked);
            }
            let live = self.job.state.name().is_live();
            if !live && self.mail.is_empty() {
                return;
            }
            if live && self.job.due <= self.now {
                // A lease runs out before the next worker looks.
                if matches!(self.job.state, State::Submitting(_)) {
                    self.now = self.now + Duration::from_secs(60);
                }
                self.work(look_up);
                continue;
            }
            let mail = self.mail.iter().map(|(at, _)| *at).min();
            let due = live.then_some(self.job.due);
            self.now = [mail, due]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(self.now)
                .max(self.now + Duration::from_millis(1));
        }
        panic!("the job never ends: {:?} {:?}", self.job.state, self.fate);
    }
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![6 => Just(End::Well), 2 => Just(End::Badly), 1 => Just(End::Never)]
}

fn submissions() -> impl Strategy<Value = Submission> {
    prop_oneof![
        4 => (ends(), 0u64..600).prop_map(|(end, secs)| Submission::Answered(end, secs)),
        2 => (ends(), 0u64..600).prop_map(|(end, secs)| Submission::Lost(end, secs)),
        2 => (ends(), 0u64..600).prop_map(|(end, secs)| Submission::DiedAfter(end, secs)),
        1 => Just(Submission::DiedBefore),
        1 => Just(Submission::NeverArrived),
        1 => prop::sample::select(vec![FaultKind::Throttled, FaultKind::Unavailable, FaultKind::Locked])
            .prop_map(Submission::Refused),
    ]
}

fn callbacks() -> impl Strategy<Value = Callback> {
    prop_oneof![
        2 => Just(Callback::Lost),
        3 => (0u64..400).prop_map(Callback::Once),
        1 => (0u64..400, 0u64..400).prop_map(|(one, two)| Callback::Twice(one, two)),
    ]
}

fn fates() -> impl Strategy<Value = Fate> {
    (
        prop::collection::vec(submissions(), 1..8),
        prop::collection::vec(callbacks(), 1..8),
        any::<bool>(),
        prop::option::weighted(0.2, 0u64..900),
    )
        .prop_map(|(submissions, callbacks, believed, cancel_at)| Fate {
            submissions,
            callbacks,
            believed,
            cancel_at,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_goes_wrong_the_promises_hold(
        fate in fates(),
        look_up in any::<bool>(),
        cancel in any::<bool>(),
        unknown in prop::sample::select(vec![OnUnknown::Hold, OnUnknown::Fail, OnUnknown::Resubmit]),
    ) {
        let attempts = 3;
        let own = VendorPolicy { look_up, cancel, on_unknown: unknown, attempts, ..able() };
        let job = job(vec![route("a", &[StepKind::Song])]);
        let mut world = World {
            now: START, job, policy: policy(own), fate, tasks: BTreeMap::new(), mail: vec![], overlaps: 0,
        };
        world.run(look_up);
        let ended = world.job.state.name();
        let ends_well = world.tasks.values().any(|task| task.end == End::Well && !task.stopped);

        prop_assert!(world.tasks.len() <= attempts as usize, "at most so many paid tasks: {:?}", world.fate);
        if unknown != OnUnknown::Resubmit {
            prop_assert_eq!(world.overlaps, 0, "nothing is paid for while something paid may still come: {:?}", world.fate);
        }
        if world.fate.cancel_at.is_none() {
            prop_assert_ne!(ended, StateName::Canceled);
            if ended == StateName::Failed && unknown == OnUnknown::Hold && world.fate.believed && look_up {
                prop_assert!(!ends_well, "a song that was made is not lost: {:?}", world.fate);
            }
        }
        if ended == StateName::Completed {
            prop_assert!(ends_well);
        }
        if unknown != OnUnknown::Hold && !look_up {
            prop_assert_ne!(ended, StateName::Held);
        }
    }
}
