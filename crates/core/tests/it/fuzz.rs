//! Any events in any order: nothing panics, and the invariants hold after each.

use std::time::Duration;

use proptest::prelude::*;
use songmill_core::job::{Accepted, Choice, OnUnknown, StateName, StepKind, VendorPolicy, Via, step};
use songmill_core::{Event, Fault, FaultKind, Job, Lyrics, Product, Report, Timestamp};

use crate::tools::*;

fn kinds() -> impl Strategy<Value = FaultKind> {
    prop::sample::select(vec![
        FaultKind::Rejected,
        FaultKind::Locked,
        FaultKind::Throttled,
        FaultKind::Unavailable,
        FaultKind::Unknown,
        FaultKind::Garbled,
    ])
}

fn faults() -> impl Strategy<Value = Fault> {
    (kinds(), prop::option::of(0u64..100_000))
        .prop_map(|(kind, wait)| fault(kind).after(wait.map(Duration::from_secs)))
}

fn products() -> impl Strategy<Value = Product> {
    prop_oneof![
        Just(audio()),
        Just(Product::Audio(vec![])),
        Just(Product::Lyrics(Lyrics { text: "la".into(), title: None })),
    ]
}

fn reports() -> impl Strategy<Value = Report> {
    prop_oneof![
        Just(Report::Pending),
        products().prop_map(Report::Done),
        faults().prop_map(Report::Failed),
        Just(Report::Canceled),
    ]
}

pub(crate) fn events() -> impl Strategy<Value = Event> {
    let attempt = prop_oneof![8 => 0u32..6, 1 => Just(u32::MAX)];
    let via = prop_oneof![
        Just(Via::Callback),
        (0u64..100_000).prop_map(|s| Via::Poll { asked: START + Duration::from_secs(s) })
    ];
    prop_oneof![
        4 => Just(Event::Claimed),
        1 => attempt.clone().prop_map(|attempt| Event::HandedBack { attempt }),
        4 => attempt.clone().prop_map(accepted),
        1 => (attempt.clone(), products())
            .prop_map(|(attempt, product)| Event::Accepted { attempt, accepted: Accepted::Done(product) }),
        3 => (attempt.clone(), faults()).prop_map(|(attempt, fault)| Event::SubmitFailed { attempt, fault }),
        1 => attempt.clone().prop_map(|attempt| Event::Found { attempt, task: task(attempt) }),
        2 => attempt.clone().prop_map(|attempt| Event::NotFound { attempt }),
        1 => attempt.clone().prop_map(|attempt| Event::CannotTell { attempt }),
        1 => (attempt.clone(), faults()).prop_map(|(attempt, fault)| Event::LookFailed { attempt, fault }),
        4 => (attempt.clone(), reports(), via).prop_map(|(attempt, report, via)| reported(attempt, report, via)),
        1 => attempt.clone().prop_map(|attempt| Event::Heard { attempt }),
        1 => (attempt.clone(), faults()).prop_map(|(attempt, fault)| Event::PollFailed { attempt, fault }),
        1 => Just(Event::CancelAsked),
        1 => attempt.clone().prop_map(|attempt| Event::CancelDone { attempt }),
        1 => (attempt, faults()).prop_map(|(attempt, fault)| Event::CancelFailed { attempt, fault }),
        1 => Just(stored()),
        2 => faults().prop_map(|fault| Event::CollectFailed { fault }),
        1 => (0u32..9).prop_map(|claims| Event::Poisoned { claims }),
        1 => Just(Event::RetryAsked),
        1 => prop::sample::select(vec![Choice::Resubmit, Choice::Adopt(task(77)), Choice::Fail]).prop_map(Event::Resolved),
    ]
}

fn check(before: &Job, event: &Event, after: &Job, now: Timestamp) {
    let (from, to) = (before.state.name(), after.state.name());
    assert_eq!(after.place().is_some(), to.is_live(), "a live job has exactly one place");
    if to.is_live() && before.due != after.due {
        assert!(after.due >= now, "due is never made earlier than now: {event:?}");
    }
    if from.is_final() {
        assert_eq!(*event, Event::RetryAsked, "only an operator leaves an end");
        assert_ne!(from, StateName::Completed);
    }
    assert!(after.submissions >= before.submissions && after.submissions <= before.submissions + 1);
    assert!(after.first <= after.submissions + 1);
    assert!(
        (after.route as usize) < after.routes.len() && (after.at_step as usize) < after.here().steps.len()
    );
    assert!(after.history.len() <= 24);
    let text = serde_json::to_vec(after).unwrap();
    let mut read: Job = serde_json::from_slice(&text).unwrap();
    read.id = after.id;
    assert_eq!(&read, after, "a record survives its text");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_events_in_any_order_keep_the_invariants(
        events in prop::collection::vec((events(), 0u64..4000), 1..60),
        unknown in prop::sample::select(vec![OnUnknown::Hold, OnUnknown::Resubmit, OnUnknown::Fail]),
        (look_up, cancel, lyrics) in any::<(bool, bool, bool)>(),
    ) {
        let policy = policy(VendorPolicy { on_unknown: unknown, look_up, cancel, ..able() });
        let steps = if lyrics { vec![StepKind::Lyrics, StepKind::Song] } else { vec![StepKind::Song] };
        let mut job = job(vec![route("a", &steps), route("b", &steps)]);
        let mut now = START;
        for (event, wait) in events {
            now = now + Duration::from_secs(wait);
            if let Some(step) = step(&job, &event, now, &policy) {
                check(&job, &event, &step.job, now);
                job = step.job;
            }
        }
    }

    /// What one attempt that ends well may be heard as, in any order and multiplicity, ends in one state.
    #[test]
    fn what_is_heard_of_one_attempt_commutes(
        heard in prop::collection::vec(0usize..6, 0..12),
        order in any::<u64>(),
    ) {
        let done = || Report::Done(audio());
        let all = [
            accepted(1),
            Event::Found { attempt: 1, task: task(1) },
            polled(1, Report::Pending, START),
            Event::Heard { attempt: 1 },
            called_back(1, done()),
            polled(1, done(), START),
        ];
        let mut events: Vec<Event> = heard.iter().map(|&i| all[i].clone()).collect();
        // One report of the end must come at last; anything may come before and after it.
        let at = usize::try_from(order).unwrap_or(0) % (events.len() + 1);
        events.insert(at, called_back(1, done()));
        let job = after(song_job(), &policy(able()), &[&[Event::Claimed], &events[..]].concat());
        prop_assert_eq!(job.state.name(), StateName::Collecting);
        let ended = after(job, &policy(able()), &[&[stored()], &events[..]].concat());
        prop_assert_eq!(ended.state.name(), StateName::Completed);
    }
}
