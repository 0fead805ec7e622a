//! When it is not known whether a submission created a task.

use std::time::Duration;

use songmill_core::job::{Defect, OnUnknown, StateName, StepKind};
use songmill_core::{Event, FaultKind, Report, State};

use crate::story::{
    Story, accepted, called_back, done, fault, found, polled, rejected, submit_failed, vendor,
};

const NOT_FOUND: Event = Event::NotFound { attempt: 1, asked: crate::JUST_NOW };
const CANNOT_TELL: Event = Event::CannotTell { attempt: 1 };
const HEARD: Event = Event::Heard { attempt: 1 };

fn look_failed(kind: FaultKind) -> Event {
    Event::LookFailed { attempt: 1, fault: fault(kind) }
}

#[test]
fn a_submission_without_an_answer_is_looked_up() {
    for kind in [FaultKind::Unknown, FaultKind::Garbled] {
        let mut story = Story::new();
        story.tell(Event::Claimed).tell(submit_failed(1, kind)).is(StateName::Uncertain);
        story.tell(found(1, "t1")).is(StateName::Generating).is_due_in(0..=0);
        assert_eq!((story.job.paid, story.alerts.len()), (1, usize::from(kind == FaultKind::Garbled)));
    }
}

#[test]
fn a_look_waits_as_the_vendor_asked() {
    let mut story = Story::new();
    let fault = fault(FaultKind::Unknown).after(Some(Duration::from_secs(200)));
    story.tell(Event::Claimed).tell(Event::SubmitFailed { attempt: 1, fault }).is_due_in(200..=205);
}

#[test]
fn a_worker_that_died_is_found_out_by_looking() {
    let mut story = Story::new();
    story.tell(Event::Claimed).tell(found(1, "t1")).is(StateName::Generating);
}

#[test]
fn what_is_not_found_is_submitted_again_only_after_enough_looks_and_time() {
    let mut story = Story::new();
    story.tell(Event::Claimed);
    for _ in 0..8 {
        story.tell(NOT_FOUND).is(StateName::Uncertain);
    }
    let State::Uncertain { attempt, doubt } = &story.job.state else { panic!() };
    assert_eq!((doubt.looks, story.job.due), (8, attempt.since + Duration::from_secs(90)));
    story.until_due().tell(NOT_FOUND).is(StateName::Queued);
    assert_eq!((story.job.strikes, story.job.paid, story.job.maybe_paid_twice), (1, 0, 0));
}

#[test]
fn one_look_is_not_enough_however_late() {
    let mut story = Story::new();
    story.tell(Event::Claimed).wait(1000);
    story.tell(NOT_FOUND).is(StateName::Uncertain).tell(NOT_FOUND).is(StateName::Uncertain);
    story.tell(NOT_FOUND).is(StateName::Queued);
}

#[test]
fn submissions_that_vanish_again_and_again_end_the_job() {
    let mut story = Story::with(&[("a", &[StepKind::Song])], |policy| {
        policy.strikes = 3;
        policy.looks = 1;
    });
    for attempt in 1..=3 {
        story
            .is(StateName::Queued)
            .tell(Event::Claimed)
            .wait(100)
            .tell(Event::NotFound { attempt, asked: crate::JUST_NOW });
    }
    story.failed_with("not_taken");
}

#[test]
fn what_was_called_back_for_is_never_submitted_again_by_a_look_up() {
    for on_unknown in [OnUnknown::Hold, OnUnknown::Resubmit, OnUnknown::Fail] {
        let mut story = Story::with(&[("a", &[StepKind::Song])], |policy| policy.on_unknown = on_unknown);
        story.tell(Event::Claimed).tell(submit_failed(1, FaultKind::Unknown));
        story.tell(HEARD).is(StateName::Uncertain).is_due_in(0..=0).ignores(HEARD).wait(1000);
        for _ in 0..11 {
            story.tell(NOT_FOUND).is(StateName::Uncertain);
        }
        story.tell(NOT_FOUND).is(StateName::Held);
    }
}

#[test]
fn a_late_reply_does_not_make_a_callback_unheard() {
    let mut story = Story::new();
    story.tell(Event::Claimed).tell(HEARD).tell(submit_failed(1, FaultKind::Unknown)).wait(1000);
    for _ in 0..4 {
        story.tell(NOT_FOUND).is(StateName::Uncertain);
    }
    story.ignores(submit_failed(1, FaultKind::Unavailable)).ignores(submit_failed(1, FaultKind::Rejected));
}

#[test]
fn a_pending_callback_without_a_task_proves_that_there_is_one() {
    let mut story = Story::new();
    let Event::Reported { attempt, vendor, report, via, .. } = called_back(1, Report::Pending) else {
        unreachable!()
    };
    story.tell(Event::Claimed).tell(Event::Reported { attempt, vendor, task: None, report, via });
    let State::Uncertain { doubt, .. } = &story.job.state else { panic!() };
    assert!(doubt.heard);
}

#[test]
fn where_nothing_can_be_looked_up_a_callback_keeps_the_policy_from_paying_again() {
    let mut story = Story::without_look_up(OnUnknown::Resubmit);
    story.tell(Event::Claimed).tell(HEARD).is(StateName::Uncertain).is_due_in(80..=90);
    story.tell(CANNOT_TELL).is(StateName::Held).tell(accepted(1, "t1")).is(StateName::Generating);
}

#[test]
fn a_definite_answer_settles_the_doubt() {
    let mut story = Story::new();
    story.tell(Event::Claimed).tell(NOT_FOUND).tell(submit_failed(1, FaultKind::Unavailable));
    story.is(StateName::Queued);
    let mut story = Story::new();
    story.tell(Event::Claimed).tell(NOT_FOUND).tell(accepted(1, "t1")).is(StateName::Generating);
}

#[test]
fn a_callback_settles_the_doubt() {
    let mut story = Story::new();
    story.tell(Event::Claimed).tell(NOT_FOUND).tell(called_back(1, done())).is(StateName::Collecting);
}

#[test]
fn look_ups_that_fail_are_tried_until_the_job_gives_up() {
    let mut story = Story::new();
    story.tell(Event::Claimed);
    for _ in 0..20 {
        story.tell(look_failed(FaultKind::Unavailable)).is(StateName::Uncertain).until_due();
    }
    story.wait(2 * 3600).tell(look_failed(FaultKind::Unavailable)).held_for("test_fault");
    assert_eq!(story.job.strikes, 0);
}

#[test]
fn one_look_up_that_fails_after_a_long_outage_is_tried_again() {
    let mut story = Story::new();
    story.tell(Event::Claimed).wait(5 * 3600).tell(look_failed(FaultKind::Unavailable));
    story.is(StateName::Uncertain);
}

#[test]
fn where_nothing_can_be_looked_up_the_policy_decides() {
    for lost in [CANNOT_TELL, submit_failed(1, FaultKind::Unknown), submit_failed(1, FaultKind::Garbled)] {
        let mut story = Story::without_look_up(OnUnknown::Hold);
        story.tell(Event::Claimed).tell(lost.clone()).is(StateName::Held);
        let mut story = Story::without_look_up(OnUnknown::Fail);
        story.tell(Event::Claimed).tell(lost.clone()).is(StateName::Failed);
        assert_eq!(story.job.vendor(), &vendor("a"), "no failover from doubt");
        let mut story = Story::without_look_up(OnUnknown::Resubmit);
        story.tell(Event::Claimed).tell(lost).is(StateName::Queued);
        assert_eq!((story.job.vendor(), story.job.maybe_paid_twice), (&vendor("a"), 1));
    }
}

#[test]
fn submitting_again_by_policy_is_bounded_and_does_not_fail_over() {
    let mut story = Story::without_look_up(OnUnknown::Resubmit);
    for attempt in 1..=2 {
        story.tell(Event::Claimed).tell(Event::CannotTell { attempt }).is(StateName::Queued);
    }
    story.tell(Event::Claimed).tell(Event::CannotTell { attempt: 3 }).failed_with("worker_lost");
}

#[test]
fn a_job_in_doubt_whose_workers_die_is_held() {
    let mut story = Story::new();
    story.tell(Event::Claimed).tell(Event::Poisoned { claims: 5 }).held_for("poisoned");
}

#[test]
fn an_attempt_taken_for_not_done_is_looked_up_when_it_is_heard_of() {
    let mut story = Story::new();
    story.tell(Event::Claimed).tell(submit_failed(1, FaultKind::Unavailable)).is(StateName::Queued);
    story.wait(5 * 3600).tell(HEARD).is(StateName::Uncertain).tell(found(1, "t1")).is(StateName::Generating);
    // Its clock begins now: it is not known when it was submitted.
    story.tell(polled(1, Report::Pending)).is(StateName::Generating);
}

#[test]
fn a_later_submission_that_was_left_is_looked_up_before_another_is_made() {
    let mut story = Story::with(&[("a", &[StepKind::Song])], |policy| policy.looks = 1);
    story.tell(Event::Claimed).wait(100).tell(NOT_FOUND).is(StateName::Queued);
    story.tell(Event::Claimed).tell(accepted(2, "t2")).is(StateName::Generating);
    story.tell(called_back(1, done())).is(StateName::Collecting);
    // Twice, for the first may be a fault of the way.
    story.tell(rejected(Defect::Unusable)).tell(polled(1, done()));
    story.tell(rejected(Defect::Unusable)).is(StateName::Uncertain);
    // However often it is not found: it may have been taken.
    for _ in 0..3 {
        story
            .wait(1000)
            .tell(Event::NotFound { attempt: 2, asked: crate::JUST_NOW })
            .is(StateName::Uncertain);
    }
    story.tell(found(2, "t2")).is(StateName::Generating);
}

#[test]
fn a_submission_found_before_it_was_made_again_was_not_paid_twice() {
    for event in [accepted(1, "t1"), called_back(1, Report::Pending), called_back(1, done())] {
        let mut story = Story::without_look_up(OnUnknown::Resubmit);
        story.tell(Event::Claimed).tell(CANNOT_TELL).is(StateName::Queued).tell(event);
        assert_eq!((story.job.paid, story.job.maybe_paid_twice), (1, 0));
    }
}

#[test]
fn a_look_that_was_asked_too_early_says_nothing_however_late_it_is_told() {
    let early = || Event::NotFound { attempt: 1, asked: songmill_core::Timestamp::default() };
    let mut story = Story::new();
    story.tell(Event::Claimed).wait(10_000);
    for _ in 0..5 {
        story.tell(early()).is(StateName::Uncertain);
    }
    story.tell(NOT_FOUND).is(StateName::Queued);
}
