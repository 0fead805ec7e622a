//! From the claim to the vendor's answer.

use std::time::Duration;

use songmill_core::job::{Accepted, OnUnknown, StateName, StepKind};
use songmill_core::{Event, FaultKind, Product, Report, Stage, State};

use crate::story::{
    Story, accepted, called_back, done, fault, found, polled, stored, submit_failed, vendor, written,
};

#[test]
fn a_song_goes_from_the_queue_to_our_storage() {
    let mut story = Story::new();
    assert_eq!(story.stage(), Some(Stage::Submit));
    story.tell(Event::Claimed).is(StateName::Submitting);
    assert_eq!(story.stage(), Some(Stage::Resolve));
    story.tell(accepted(1, "t1")).is(StateName::Generating).is_due_in(7..=13);
    assert_eq!(story.stage(), Some(Stage::Poll));
    story.tell(polled(1, Report::Pending)).is(StateName::Generating).is_due_in(3..=7);
    story.tell(polled(1, done())).is(StateName::Collecting).is_due_in(0..=0);
    assert_eq!(story.stage(), Some(Stage::Collect));
    story.tell(stored()).is(StateName::Completed);
    assert_eq!((story.stage(), story.job.paid, story.job.maybe_paid_twice), (None, 1, 0));
}

#[test]
fn lyrics_are_written_first_and_then_sung() {
    let mut story = Story::with(&[("a", &[StepKind::Lyrics, StepKind::Song])], |_| {});
    assert_eq!(story.job.step_kind(), StepKind::Lyrics);
    let lyrics = Accepted::Done(written());
    story.tell(Event::Claimed).tell(Event::Accepted { attempt: 1, accepted: lyrics }).is(StateName::Queued);
    assert_eq!((story.job.step_kind(), story.job.paid), (StepKind::Song, 0));
    story.tell(Event::Claimed).tell(accepted(2, "t2")).tell(polled(2, done())).tell(stored());
    story.is(StateName::Completed);
}

#[test]
fn a_claim_given_back_before_anything_was_sent_costs_nothing() {
    let mut story = Story::new();
    story.tell(Event::Claimed).tell(Event::HandedBack { attempt: 1 }).is(StateName::Queued).is_due_in(0..=0);
    assert_eq!((story.job.paid, story.job.strikes), (0, 0));
    story.tell(Event::Claimed).ignores(Event::HandedBack { attempt: 1 }).is(StateName::Submitting);
}

#[test]
fn a_claim_cannot_be_given_back_once_there_is_doubt() {
    let mut story = Story::new();
    story.tell(Event::Claimed).tell(Event::NotFound { attempt: 1, asked: crate::JUST_NOW });
    story.ignores(Event::HandedBack { attempt: 1 }).is(StateName::Uncertain);
}

#[test]
fn a_callback_that_comes_before_the_reply_wins() {
    let mut story = Story::new();
    story.tell(Event::Claimed).tell(called_back(1, done())).is(StateName::Collecting);
    story.ignores(accepted(1, "t1")).tell(stored()).is(StateName::Completed);
    assert_eq!(story.job.paid, 1);
}

#[test]
fn a_callback_that_comes_twice_changes_nothing() {
    let mut story = Story::collecting();
    story.ignores(called_back(1, done())).ignores(polled(1, done()));
    story.tell(stored()).ignores(called_back(1, done())).is(StateName::Completed);
}

#[test]
fn a_failure_called_back_before_the_reply_is_not_revived_by_the_reply() {
    let mut story = Story::new();
    story.tell(Event::Claimed).tell(called_back(1, Report::Failed(fault(FaultKind::Unavailable))));
    story.is(StateName::Queued).ignores(accepted(1, "t1")).ignores(Event::Heard { attempt: 1 });
    story.ignores(called_back(1, Report::Pending)).ignores(found(1, "t1"));
    assert_eq!(story.job.paid, 1);
}

#[test]
fn throttled_waits_as_told_and_costs_no_attempt() {
    let mut story = Story::new();
    for attempt in 1..=50 {
        let fault = fault(FaultKind::Throttled).after(Some(Duration::from_secs(100)));
        story.tell(Event::Claimed).tell(Event::SubmitFailed { attempt, fault });
        story.is(StateName::Queued).is_due_in(100..=105);
    }
    assert_eq!((story.job.paid, story.job.strikes), (0, 0));
}

#[test]
fn locked_alerts_and_costs_no_attempt() {
    let mut story = Story::new();
    for attempt in 1..=50 {
        story.tell(Event::Claimed).tell(submit_failed(attempt, FaultKind::Locked));
        story.is(StateName::Queued).is_due_in(1..=3);
    }
    assert_eq!((story.job.paid, story.job.strikes, story.alerts.len()), (0, 0, 50));
}

#[test]
fn locked_goes_to_the_next_vendor_at_once() {
    let mut story = Story::without_look_up(OnUnknown::Hold);
    story.tell(Event::Claimed).tell(submit_failed(1, FaultKind::Locked)).is(StateName::Queued);
    assert_eq!((story.job.vendor(), story.alerts.len()), (&vendor("b"), 1));
}

#[test]
fn unavailable_backs_off_and_then_fails() {
    let mut story = Story::with(&[("a", &[StepKind::Song])], |policy| policy.strikes = 4);
    for (attempt, wait) in [(1, 1..=3), (2, 3..=5), (3, 6..=10)] {
        story.tell(Event::Claimed).tell(submit_failed(attempt, FaultKind::Unavailable));
        story.is(StateName::Queued).is_due_in(wait);
    }
    story.tell(Event::Claimed).tell(submit_failed(4, FaultKind::Unavailable)).failed_with("test_fault");
}

#[test]
fn unavailable_backs_off_and_then_fails_over() {
    let mut story =
        Story::with(&[("a", &[StepKind::Song]), ("b", &[StepKind::Song])], |policy| policy.strikes = 2);
    story.tell(Event::Claimed).tell(submit_failed(1, FaultKind::Unavailable));
    assert_eq!(story.job.vendor(), &vendor("a"));
    story.tell(Event::Claimed).tell(submit_failed(2, FaultKind::Unavailable)).is(StateName::Queued);
    assert_eq!((story.job.vendor(), story.job.strikes), (&vendor("b"), 0));
}

#[test]
fn rejected_fails_over_and_then_fails() {
    let mut story = Story::with(&[("a", &[StepKind::Song]), ("b", &[StepKind::Song])], |_| {});
    story.tell(Event::Claimed).tell(submit_failed(1, FaultKind::Rejected)).is(StateName::Queued);
    assert_eq!(story.job.vendor(), &vendor("b"));
    story.tell(Event::Claimed).tell(submit_failed(2, FaultKind::Rejected)).failed_with("test_fault");
}

#[test]
fn lyrics_are_kept_on_retry_and_failover() {
    let steps: &[StepKind] = &[StepKind::Lyrics, StepKind::Song];
    let mut story = Story::with(&[("a", steps), ("b", steps)], |_| {});
    let lyrics = Accepted::Done(written());
    story.tell(Event::Claimed).tell(Event::Accepted { attempt: 1, accepted: lyrics });
    story.tell(Event::Claimed).tell(accepted(2, "t2"));
    story.tell(polled(2, Report::Failed(fault(FaultKind::Unavailable)))).is(StateName::Queued);
    assert_eq!((story.job.step_kind(), story.job.paid), (StepKind::Song, 1));
    story.tell(Event::Claimed).tell(submit_failed(3, FaultKind::Rejected)).is(StateName::Queued);
    assert_eq!((story.job.vendor(), story.job.step_kind()), (&vendor("b"), StepKind::Song));
    story.tell(Event::Claimed).tell(submit_failed(4, FaultKind::Rejected)).is(StateName::Failed);
    story.tell(Event::RetryAsked).is(StateName::Queued);
    assert_eq!((story.job.vendor(), story.job.step_kind()), (&vendor("a"), StepKind::Song));
    assert!(story.job.lyrics.is_some());
}

#[test]
fn lyrics_that_come_late_are_not_written_again() {
    let mut story = Story::with(&[("a", &[StepKind::Lyrics, StepKind::Song])], |policy| {
        policy.look_up = false;
        policy.on_unknown = OnUnknown::Resubmit;
    });
    story.tell(Event::Claimed).tell(Event::CannotTell { attempt: 1 }).is(StateName::Queued);
    story.tell(called_back(1, Report::Done(written()))).is(StateName::Queued);
    assert_eq!(story.job.step_kind(), StepKind::Song);
}

#[test]
fn what_belongs_to_nobody_changes_nothing() {
    for attempt in [0, 2, u32::MAX] {
        let mut story = Story::new();
        story.ignores(accepted(attempt, "x")).ignores(Event::Heard { attempt });
        story.tell(Event::Claimed).ignores(accepted(attempt, "x")).ignores(called_back(attempt, done()));
        story.ignores(submit_failed(attempt, FaultKind::Rejected)).ignores(Event::CannotTell { attempt });
        story.tell(accepted(1, "t1")).ignores(called_back(attempt, done()));
        story.ignores(polled(attempt, Report::Failed(fault(FaultKind::Rejected))));
    }
}

#[test]
fn what_another_vendor_says_of_an_attempt_changes_nothing() {
    let mut story = Story::generating();
    let Event::Reported { task, report, via, .. } = called_back(1, done()) else { unreachable!() };
    story.ignores(Event::Reported { attempt: 1, vendor: vendor("z"), task, report, via });
}

#[test]
fn a_reply_that_comes_after_its_attempt_was_replaced_is_owned_up_to_once() {
    let mut story = Story::without_look_up(OnUnknown::Resubmit);
    story.tell(Event::Claimed).tell(Event::CannotTell { attempt: 1 }).tell(Event::Claimed);
    assert_eq!(story.job.maybe_paid_twice, 1);
    story.ignores(accepted(1, "t1")).tell(accepted(2, "t2")).ignores(accepted(1, "t1"));
    assert_eq!(story.job.maybe_paid_twice, 1);
}

#[test]
fn a_queued_job_kills_nobody() {
    // Whoever takes it makes it `submitting` first: this can only be heard of what it was before.
    Story::new().ignores(Event::Poisoned { claims: 5 });
}

#[test]
fn a_job_that_would_wait_past_its_deadline_fails() {
    let mut story = Story::new();
    let soon = story.now + Duration::from_secs(3);
    story.job.until = soon;
    story.tell(Event::Claimed).tell(submit_failed(1, FaultKind::Locked)).failed_with("deadline_passed");
}

#[test]
fn audio_of_a_song_that_was_given_up_is_still_taken() {
    let mut story = Story::without_look_up(OnUnknown::Resubmit);
    story.tell(Event::Claimed).tell(Event::CannotTell { attempt: 1 }).is(StateName::Queued);
    story.tell(called_back(1, done())).is(StateName::Collecting).tell(stored());
    let State::Completed { origin, .. } = &story.job.state else { panic!() };
    assert_eq!(origin.attempt.number, 1);
}

#[test]
fn a_song_that_is_empty_is_waited_for() {
    let mut story = Story::generating();
    story.tell(polled(1, Report::Done(Product::Audio(vec![].into())))).is(StateName::Generating);
    assert_eq!((story.job.submissions, story.job.paid), (1, 1));
}
