//! Any events in any order: never a panic, never a live job without a place, never a counter without a bound.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;
use songmill_core::job::{
    Accepted, Choice, Defect, JobPolicy, OnUnknown, Packed, Route, StateName, StepKind, VendorPolicy, Via,
    explain, step,
};
use songmill_core::time::Span;
use songmill_core::{
    Event, Fault, FaultKind, Job, JobId, Output, Policy, Product, Report, Timestamp, VendorName,
};

use crate::story::{START, stored, task, vendor, written};

/// How properties are tested here: a failure prints its smallest input, which is all there is to repeat it.
pub(crate) fn settings(cases: u32) -> Config {
    Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() }
}

pub(crate) fn fault_kind() -> impl Strategy<Value = FaultKind> {
    use FaultKind::{Garbled, Locked, Rejected, Throttled, Unavailable, Unknown};
    prop::sample::select(vec![Rejected, Locked, Throttled, Unavailable, Unknown, Garbled])
}

fn fault() -> impl Strategy<Value = Fault> {
    let wait = prop_oneof![4 => Just(None), 1 => (0..100_000u64).prop_map(Some), 1 => Just(Some(u64::MAX))];
    (fault_kind(), wait).prop_map(|(kind, wait)| {
        Fault::new(kind, "any_fault", "any words").after(wait.map(std::time::Duration::from_secs))
    })
}

fn attempt() -> impl Strategy<Value = u32> {
    prop_oneof![12 => 1..4u32, 2 => 4..8u32, 1 => Just(0), 1 => Just(u32::MAX)]
}

fn product() -> impl Strategy<Value = Product> {
    prop_oneof![
        3 => Just(Product::Audio(vec![Output::at("https://audio.example/1")].into())),
        1 => Just(Product::Audio(vec![].into())),
        1 => Just(Product::Audio(vec![Output::at("https://audio.example/1"), Output::unusable("")].into())),
        2 => Just(written()),
    ]
}

fn report() -> impl Strategy<Value = Report> {
    prop_oneof![
        Just(Report::Pending),
        product().prop_map(Report::Done),
        Just(crate::story::unreadable()),
        fault().prop_map(Report::Failed),
        Just(Report::Canceled),
    ]
}

fn any_vendor() -> impl Strategy<Value = VendorName> {
    prop::sample::select(vec![vendor("a"), vendor("a"), vendor("a"), vendor("b"), vendor("z")])
}

fn any_event() -> impl Strategy<Value = Event> {
    let task = || (1..5u32).prop_map(|n| task(&format!("t{n}")));
    let via = prop_oneof![
        Just(Via::Callback),
        (0..2_000_000u64).prop_map(|ms| Via::Poll { asked: Timestamp::from_millis(START.as_millis() + ms) }),
        (0..2_000_000u64).prop_map(|ms| Via::List { asked: Timestamp::from_millis(START.as_millis() + ms) }),
    ];
    prop_oneof![
        6 => Just(Event::Claimed),
        1 => attempt().prop_map(|attempt| Event::HandedBack { attempt }),
        4 => (attempt(), task()).prop_map(|(attempt, task)| {
            Event::Accepted { attempt, accepted: Accepted::Task(task) }
        }),
        1 => (attempt(), product()).prop_map(|(attempt, product)| {
            Event::Accepted { attempt, accepted: Accepted::Done(product) }
        }),
        4 => (attempt(), fault()).prop_map(|(attempt, fault)| Event::SubmitFailed { attempt, fault }),
        2 => (attempt(), task()).prop_map(|(attempt, task)| Event::Found { attempt, task }),
        4 => attempt().prop_map(|attempt| Event::NotFound { attempt, asked: crate::JUST_NOW }),
        1 => attempt().prop_map(|attempt| Event::CannotTell { attempt }),
        2 => (attempt(), fault()).prop_map(|(attempt, fault)| Event::LookFailed { attempt, fault }),
        6 => (attempt(), any_vendor(), prop::option::of(task()), report(), via).prop_map(
            |(attempt, vendor, task, report, via)| Event::Reported { attempt, vendor, task, report, via }
        ),
        2 => attempt().prop_map(|attempt| Event::Heard { attempt }),
        3 => (attempt(), fault()).prop_map(|(attempt, fault)| Event::PollFailed { attempt, fault }),
        1 => Just(Event::CancelAsked),
        2 => (prop::sample::select(vec![vendor("a"), vendor("b")]), fault()).prop_map(|(vendor, fault)| Event::Shut { vendor, fault }),
        1 => (attempt(), fault()).prop_map(|(attempt, fault)| Event::ProbeFailed { attempt, fault }),
        1 => Just(Event::DeadlinePassed),
        1 => (attempt(), 0..3u32).prop_map(|(attempt, place)| Event::Packed {
            attempt,
            into: Packed { job: JobId::derive("t", "packed"), attempt, own: attempt, place },
        }),
        2 => attempt().prop_map(|attempt| Event::CancelDone { attempt }),
        2 => (attempt(), fault()).prop_map(|(attempt, fault)| Event::CancelFailed { attempt, fault }),
        1 => Just(stored()),
        3 => fault().prop_map(|fault| Event::CollectFailed { fault }),
        2 => fault().prop_map(|fault| Event::QualityRejected { fault, defect: Defect::NotReady }),
        2 => fault().prop_map(|fault| Event::QualityRejected { fault, defect: Defect::Doubtful }),
        2 => fault().prop_map(|fault| Event::QualityRejected { fault, defect: Defect::Unusable }),
        1 => (0..9u32).prop_map(|claims| Event::Poisoned { claims }),
        2 => Just(Event::RetryAsked),
        3 => prop_oneof![
            Just(Choice::Resubmit),
            Just(Choice::Fail),
            Just(Choice::Store),
            task().prop_map(Choice::Adopt)
        ].prop_map(Event::Resolved),
    ]
}

/// A policy, a plan, and events with the milliseconds between them.
#[derive(Clone, Debug)]
pub(crate) struct Tale {
    policy: Policy,
    routes: Vec<Route>,
    events: Vec<(u64, Event)>,
}

pub(crate) fn on_unknown() -> impl Strategy<Value = OnUnknown> {
    prop::sample::select(vec![OnUnknown::Hold, OnUnknown::Resubmit, OnUnknown::Fail])
}

pub(crate) fn events(most: usize) -> impl Strategy<Value = Tale> {
    let policy = (0..4u32, 0..4u32, 0..4u32, any::<bool>(), any::<bool>(), on_unknown()).prop_map(
        |(attempts, strikes, looks, look_up, cancel, on_unknown)| VendorPolicy {
            attempts,
            strikes,
            looks,
            look_up,
            cancel,
            on_unknown,
            patience: Span::secs(600),
            give_up: Span::secs(1200),
            ..VendorPolicy::default()
        },
    );
    let wait = prop_oneof![3 => 0..20_000u64, 1 => 0..400_000u64, 1 => Just(0), 1 => Just(1_300_000)];
    (policy, any::<(bool, bool)>(), vec((wait, any_event()), 0..most)).prop_map(
        |(policy, (two_steps, two_routes), events)| {
            let steps = if two_steps { vec![StepKind::Lyrics, StepKind::Song] } else { vec![StepKind::Song] };
            let route = |name| Route::new(vendor(name), steps.clone());
            let routes = if two_routes { vec![route("a"), route("b")] } else { vec![route("a")] };
            let vendors = ["a", "b"].map(|name| (vendor(name), policy.clone())).into();
            Tale { policy: Policy::new(vendors, JobPolicy::default()), routes, events }
        },
    )
}

/// Tells a tale; shows each change: the event, the job before and after, the moment.
pub(crate) fn run(tale: &Tale, mut each: impl FnMut(&Event, &Job, (&Job, Timestamp))) {
    let until = START + JobPolicy::default().deadline.get();
    let mut job = Job::new(JobId::derive("fuzz", "1"), tale.routes.clone(), START, until);
    let mut now = START;
    for (wait, event) in &tale.events {
        now = now + std::time::Duration::from_millis(*wait);
        if let Some(step) = step(&job, event, now, &tale.policy) {
            each(event, &step.job, (&job, now));
            job = step.job;
        }
    }
}

proptest! {
    #![proptest_config(settings(1500))]

    #[test]
    fn whatever_happens_a_job_keeps_its_promises(tale in events(120)) {
        let (mut told, mut allowed) = (0u32, 0u32);
        run(&tale, |event, job, (before, now)| {
            told += 1;
            let (was, is) = (before.state.name(), job.state.name());
            let context = || format!("{event:?} made of {before:#?} {job:#?}");
            assert_eq!(job.place().is_some(), is.is_live(), "{}", context());
            assert!(!is.is_live() || job.due >= now || job.due == before.due, "due before now: {}", context());
            if was.is_final() {
                assert!(*event == Event::RetryAsked && was != StateName::Completed, "{}", context());
            }
            if matches!(event, Event::RetryAsked | Event::Resolved(_)) {
                allowed += 1;
            }
            if matches!(event, Event::CancelAsked) && is.is_live() {
                assert!(job.cancel_asked, "{}", context());
            }
            if job.cancel_asked {
                assert!(
                    !matches!(is, StateName::Queued | StateName::Generating | StateName::Collecting
                        | StateName::Completed | StateName::Failed | StateName::Held),
                    "{}", context()
                );
            }
            if is == StateName::Submitting && was != StateName::Submitting {
                assert!(was == StateName::Queued && *event == Event::Claimed, "{}", context());
                assert_eq!(job.submissions, before.submissions + 1);
            } else {
                assert_eq!(job.submissions, before.submissions, "{}", context());
            }
            assert!(job.paid <= job.submissions, "{}", context());
            assert!(job.strikes <= told && job.retrieval.refreshes <= tale.policy.jobs.collect_rounds, "{}", context());
            assert!(job.maybe_paid_twice <= job.submissions + allowed, "{}", context());
            assert!(job.first >= 1 && job.first <= job.submissions + 1, "{}", context());
            assert!(job.history.len() <= 24 && job.ended.len() <= 16, "{}", context());
            assert!(!explain(job, now).waits_for.is_empty());
        });
    }
}
