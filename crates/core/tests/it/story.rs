//! A job in the hand, and events told to it one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use songmill_core::job::{
    Accepted, Defect, Effect, JobPolicy, OnUnknown, Route, StateName, StepKind, VendorPolicy, Via, step,
};
use songmill_core::time::Span;
use songmill_core::{
    Asset, Event, Fault, FaultKind, Job, JobId, Lyrics, Output, Policy, Product, RawAnswer, Report, Stage,
    State, TaskId, Timestamp, VendorName,
};

pub(crate) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) job: Job,
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
    pub(crate) alerts: Vec<Fault>,
}

impl Story {
    /// A job for one song at `a`, whose vendor has a look-up and can stop tasks.
    pub(crate) fn new() -> Self {
        Self::with(&[("a", &[StepKind::Song])], |_| {})
    }

    pub(crate) fn without_look_up(on_unknown: OnUnknown) -> Self {
        Self::with(&[("a", &[StepKind::Song]), ("b", &[StepKind::Song])], |policy| {
            policy.look_up = false;
            policy.on_unknown = on_unknown;
        })
    }

    pub(crate) fn with(routes: &[(&str, &[StepKind])], set: impl Fn(&mut VendorPolicy)) -> Self {
        let vendors: BTreeMap<_, _> = routes
            .iter()
            .map(|(name, _)| {
                let mut policy = VendorPolicy { look_up: true, cancel: true, ..VendorPolicy::default() };
                set(&mut policy);
                (vendor(name), policy)
            })
            .collect();
        let routes = routes.iter().map(|(name, steps)| Route::new(vendor(name), steps.to_vec())).collect();
        let policy = Policy::new(vendors, JobPolicy::default());
        let id = JobId::derive("test", "1");
        let job = Job::new(id, routes, START, START + policy.jobs.deadline.get());
        Self { job, policy, now: START + Duration::from_secs(1), alerts: Vec::new() }
    }

    /// Tells an event that must change the job; time goes on by a second.
    #[track_caller]
    pub(crate) fn tell(&mut self, event: Event) -> &mut Self {
        if event == Event::Claimed {
            // As the script that claims it does.
            let terms = self.policy.money.price(self.job.vendor()).map(songmill_core::Price::terms);
            self.job.reserve(self.policy.price(&self.job), terms);
        }
        let Some(step) = step(&self.job, &event, self.now, &self.policy) else {
            panic!("{event:?} changes nothing of {:?}", self.job.state)
        };
        self.job = step.job;
        self.alerts.extend(step.effects.into_iter().map(|Effect::Alert(fault)| fault));
        self.wait(1)
    }

    /// Tells an event, whether or not it changes the job; no time passes.
    pub(crate) fn tell_or_ignore(&mut self, event: Event) -> &mut Self {
        if let Some(step) = step(&self.job, &event, self.now, &self.policy) {
            self.job = step.job;
        }
        self
    }

    /// Tells an event that must change nothing.
    #[track_caller]
    pub(crate) fn ignores(&mut self, event: Event) -> &mut Self {
        assert_eq!(step(&self.job, &event, self.now, &self.policy), None, "{event:?}");
        self
    }

    pub(crate) fn wait(&mut self, secs: u64) -> &mut Self {
        self.now = self.now + Duration::from_secs(secs);
        self
    }

    /// Waits until the job is due.
    pub(crate) fn until_due(&mut self) -> &mut Self {
        self.now = self.now.max(self.job.due);
        self
    }

    #[track_caller]
    pub(crate) fn is(&mut self, state: StateName) -> &mut Self {
        assert_eq!(self.job.state.name(), state, "{:#?}", self.job);
        self
    }

    #[track_caller]
    pub(crate) fn is_due_in(&mut self, secs: std::ops::RangeInclusive<u64>) -> &mut Self {
        // The event was told a second ago.
        let told = Timestamp::from_millis(self.now.as_millis() - 1000);
        let wait = self.job.due.as_millis().checked_sub(told.as_millis()).expect("due after it was told");
        assert!(
            (secs.start() * 1000..=secs.end() * 1000).contains(&wait),
            "due in {wait} ms, not in {secs:?} s"
        );
        self
    }

    #[track_caller]
    pub(crate) fn failed_with(&self, code: &str) {
        let State::Failed { fault, .. } = &self.job.state else { panic!("{:?}", self.job.state) };
        assert_eq!(fault.code, code);
    }

    #[track_caller]
    pub(crate) fn held_for(&self, code: &str) {
        let State::Held { of, .. } = &self.job.state else { panic!("{:?}", self.job.state) };
        assert_eq!(of.fault.code, code);
    }

    pub(crate) fn stage(&self) -> Option<Stage> {
        self.job.place().map(|place| place.stage)
    }

    pub(crate) fn generating() -> Self {
        let mut story = Self::new();
        story.tell(Event::Claimed).tell(accepted(1, "t1"));
        story
    }

    pub(crate) fn collecting() -> Self {
        let mut story = Self::generating();
        story.tell(polled(1, done()));
        story
    }

    /// Held with a known task, for being overdue.
    pub(crate) fn held_overdue() -> Self {
        let mut story = Self::generating();
        story.wait(3 * 3600).tell(polled(1, Report::Pending)).held_for("task_overdue");
        story
    }

    /// Held because nobody knows whether the submission was taken.
    pub(crate) fn held_in_doubt() -> Self {
        let mut story = Self::without_look_up(OnUnknown::Hold);
        story.tell(Event::Claimed).tell(Event::CannotTell { attempt: 1 }).held_for("worker_lost");
        story
    }
}

pub(crate) fn vendor(name: &str) -> VendorName {
    VendorName::new(name).unwrap()
}

pub(crate) fn task(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

pub(crate) fn fault(kind: FaultKind) -> Fault {
    Fault::new(kind, "test_fault", "for a test")
}

pub(crate) fn accepted(attempt: u32, id: &str) -> Event {
    Event::Accepted { attempt, accepted: Accepted::Task(task(id)) }
}

pub(crate) fn submit_failed(attempt: u32, kind: FaultKind) -> Event {
    Event::SubmitFailed { attempt, fault: fault(kind) }
}

pub(crate) fn poll_failed(attempt: u32, kind: FaultKind) -> Event {
    Event::PollFailed { attempt, fault: fault(kind) }
}

pub(crate) fn found(attempt: u32, id: &str) -> Event {
    Event::Found { attempt, task: task(id) }
}

pub(crate) fn collect_failed(kind: FaultKind) -> Event {
    Event::CollectFailed { fault: fault(kind) }
}

pub(crate) fn rejected(defect: Defect) -> Event {
    Event::QualityRejected { fault: fault(FaultKind::Unknown), defect }
}

pub(crate) fn unreadable() -> Report {
    Report::Unreadable(RawAnswer::new(r#"{"status":"succeeded","output":null}"#))
}

/// The vendor's list shows this of a task.
pub(crate) fn listed(attempt: u32, report: Report) -> Event {
    let task = Some(task(&format!("t{attempt}")));
    let via = Via::List { asked: Timestamp::default() };
    Event::Reported { attempt, vendor: vendor("a"), task, report, via }
}

pub(crate) fn done() -> Report {
    Report::Done(Product::Audio(vec![Output::at("https://audio.example/song.mp3")].into()))
}

pub(crate) fn written() -> Product {
    Product::Lyrics(Lyrics { text: "[verse] la la".into(), title: None })
}

/// A report by a poll of `a`, asked at the beginning of time.
pub(crate) fn polled(attempt: u32, report: Report) -> Event {
    polled_at(attempt, report, Timestamp::default())
}

pub(crate) fn polled_at(attempt: u32, report: Report, asked: Timestamp) -> Event {
    let task = Some(task(&format!("t{attempt}")));
    Event::Reported { attempt, vendor: vendor("a"), task, report, via: Via::Poll { asked } }
}

/// A believed callback of `a`.
pub(crate) fn called_back(attempt: u32, report: Report) -> Event {
    let task = Some(task(&format!("t{attempt}")));
    Event::Reported { attempt, vendor: vendor("a"), task, report, via: Via::Callback }
}

pub(crate) fn stored() -> Event {
    let asset = Asset {
        path: "song.mp3".into(),
        bytes: 1000,
        sha256: "00".into(),
        format: "mp3".into(),
        duration_ms: 1000,
        part: None,
        title: None,
        flags: vec![],
    };
    Event::Stored { assets: vec![asset], extra: vec![] }
}

pub(crate) fn short(policy: &mut VendorPolicy) {
    policy.patience = Span::secs(600);
    policy.give_up = Span::secs(1200);
}
