//! From the vendor's audio to ours.

use std::time::Duration;

use songmill_core::job::{Choice, Defect, StateName, StepKind};
use songmill_core::time::Span;
use songmill_core::{Event, FaultKind, Output, Product, Report, State};

use crate::story::{
    Story, accepted, called_back, collect_failed, done, fault, polled, rejected, stored, task, vendor,
};

#[test]
fn an_output_that_cannot_be_fetched_is_tried_again_and_then_asked_for_anew() {
    for kind in [FaultKind::Unavailable, FaultKind::Unknown, FaultKind::Throttled] {
        let mut story = Story::collecting();
        for wait in [0..=2, 1..=3, 3..=5, 6..=10] {
            story.tell(collect_failed(kind)).is(StateName::Collecting).is_due_in(wait);
        }
        story.tell(collect_failed(kind)).is(StateName::Generating);
        story.tell(polled(1, done())).is(StateName::Collecting).tell(stored()).is(StateName::Completed);
        assert_eq!((story.job.retrieval.refreshes, story.job.paid), (1, 1));
    }
}

#[test]
fn an_address_that_is_refused_is_asked_for_anew_and_never_paid_for_again() {
    let mut story = Story::collecting();
    for _ in 0..5 {
        story.tell(collect_failed(FaultKind::Rejected)).is(StateName::Generating).tell(polled(1, done()));
    }
    story.tell(collect_failed(FaultKind::Rejected)).held_for("output_lost");
    assert_eq!((story.job.submissions, story.job.paid), (1, 1));
    // An operator has it followed again: the vendor is asked for fresh addresses as often as before.
    story.tell(Event::Resolved(Choice::Adopt(task("t1")))).tell(polled(1, done()));
    story.tell(collect_failed(FaultKind::Rejected)).is(StateName::Generating);
}

#[test]
fn an_output_without_a_task_to_ask_waits_for_an_operator() {
    let mut story = Story::with(&[("a", &[StepKind::Song])], |policy| policy.attempts = 1);
    let Event::Reported { attempt, vendor, report, via, .. } = called_back(1, done()) else { unreachable!() };
    story.tell(Event::Claimed).tell(Event::Reported { attempt, vendor, task: None, report, via });
    story.tell(collect_failed(FaultKind::Rejected)).held_for("output_lost");
}

#[test]
fn a_storage_of_ours_that_is_locked_is_waited_for() {
    let mut story = Story::collecting();
    for _ in 0..100 {
        story.tell(collect_failed(FaultKind::Locked)).is(StateName::Collecting).is_due_in(45..=75);
    }
    let State::Collecting { tries, .. } = story.job.state else { panic!() };
    assert_eq!((tries, story.alerts.len()), (0, 100));
}

#[test]
fn a_wait_that_was_asked_for_is_kept() {
    let told = |kind| Event::CollectFailed { fault: fault(kind).after(Some(Duration::from_secs(900))) };
    let mut story = Story::collecting();
    for _ in 0..4 {
        story.tell(told(FaultKind::Throttled)).is_due_in(900..=900);
    }
    story.tell(told(FaultKind::Throttled)).is(StateName::Generating).is_due_in(900..=900);
}

#[test]
fn workers_that_die_over_an_output_leave_it_to_an_operator() {
    let mut story = Story::collecting();
    story.tell(Event::Poisoned { claims: 5 }).held_for("poisoned");
    // What is paid for is not lost: its task can be followed again.
    let State::Held { of, .. } = &story.job.state else { panic!() };
    let task = of.task.clone().unwrap();
    story.tell(Event::Resolved(Choice::Adopt(task))).is(StateName::Generating);
    assert_eq!((story.job.paid, story.job.maybe_paid_twice), (1, 0));
}

#[test]
fn audio_of_an_earlier_vendor_is_collected_as_that_vendors() {
    let mut story = Story::with(&[("a", &[StepKind::Song]), ("b", &[StepKind::Song])], |_| {});
    story.tell(Event::Claimed).tell(Event::SubmitFailed { attempt: 1, fault: fault(FaultKind::Rejected) });
    story.tell(Event::Claimed).tell(called_back(1, done())).is(StateName::Collecting);
    assert_eq!(story.job.place().unwrap().vendor, &vendor("a"));
}

#[test]
fn audio_of_an_earlier_vendor_that_is_no_good_or_gone_leaves_the_later_vendor_to_its_turn() {
    for max_remakes in [0, 1] {
        for last in [rejected(Defect::Unusable), collect_failed(FaultKind::Rejected)] {
            let mut story = Story::with(&[("a", &[StepKind::Song]), ("b", &[StepKind::Song])], |_| {});
            story.policy.jobs.max_remakes = max_remakes;
            story.tell(Event::Claimed);
            story.tell(Event::SubmitFailed { attempt: 1, fault: fault(FaultKind::Rejected) });
            story.tell(called_back(1, done())).is(StateName::Collecting);
            for _ in 0..8 {
                if story.job.state.name() == StateName::Collecting {
                    story.tell(last.clone());
                }
            }
            story.is(StateName::Queued);
            assert_eq!((story.job.vendor(), story.job.remakes), (&vendor("b"), 0));
            story.tell(Event::Claimed).tell(accepted(2, "t2")).is(StateName::Generating);
        }
    }
}

#[test]
fn a_doubled_callback_for_audio_that_was_no_good_changes_nothing() {
    let mut story = Story::collecting();
    story.tell(rejected(Defect::Unusable)).tell(polled(1, done()));
    story.tell(rejected(Defect::Unusable)).is(StateName::Queued).ignores(called_back(1, done()));
    story.tell(Event::Claimed).ignores(called_back(1, done())).tell(accepted(2, "t2"));
    story.ignores(called_back(1, done())).ignores(accepted(1, "t1"));
}

#[test]
fn what_cannot_be_reached_for_two_hours_is_asked_for_again_and_again_and_not_paid_for_again() {
    let mut story = Story::collecting();
    let (begun, mut asked) = (story.now, 0);
    while story.now.since(begun) < Duration::from_secs(2 * 3600) {
        match story.job.state.name() {
            StateName::Collecting => story.tell(collect_failed(FaultKind::Unavailable)),
            // The vendor is asked for another address; it answers with one that cannot be reached either.
            StateName::Generating => {
                asked += 1;
                story.tell(polled(1, done()))
            }
            state => panic!("it is {state:?}"),
        };
        let wait = story.job.due.since(story.now).as_secs();
        story.wait(wait.max(1));
    }
    assert!((5..200).contains(&asked), "{asked} times");
    assert_eq!((story.job.submissions, story.job.paid), (1, 1));
    if story.job.state.name() == StateName::Generating {
        story.tell(polled(1, done()));
    }
    story.tell(stored()).is(StateName::Completed);
}

#[test]
fn what_expires_first_is_collected_first() {
    let due = |seconds: Option<u64>| {
        let mut story = Story::generating();
        let expires = seconds.map(|seconds| story.now + Duration::from_secs(seconds));
        let output = Output { expires, ..Output::at("https://a") };
        story.tell(polled(1, Report::Done(Product::Audio(vec![output].into()))));
        // Telling it took a second.
        story.now.as_millis() - 1000 - story.job.due.as_millis()
    };
    assert_eq!(due(None), 0);
    assert_eq!(due(Some(7200)), 0, "there is time");
    assert_eq!(due(Some(600)), 3_000_000, "before all that came within the last fifty minutes");
}

#[test]
fn waits_may_be_set_longer_than_any_of_ours() {
    let mut story = Story::collecting();
    story.policy.jobs.collect_backoff = Span::secs(3600);
    story.policy.jobs.collect_tries = 1;
    story.tell(collect_failed(FaultKind::Unavailable)).is(StateName::Generating).is_due_in(3600..=3600);
}
