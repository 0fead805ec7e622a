//! While the vendor works on a task.

use std::time::Duration;

use songmill_core::job::{OnUnknown, StateName, StepKind};
use songmill_core::{Event, FaultKind, Report, State, Timestamp};

use crate::story::{
    Story, accepted, called_back, done, fault, poll_failed, polled, polled_at, short, stored, vendor,
};

fn overdue() -> Story {
    let mut story = Story::with(&[("a", &[StepKind::Song])], short);
    story.tell(Event::Claimed).tell(accepted(1, "t1")).wait(700).tell(polled(1, Report::Pending));
    story.is(StateName::Canceling).is_due_in(0..=0);
    story
}

#[test]
fn looks_become_rarer_as_a_task_takes_longer_however_often_it_is_looked_at() {
    let mut story = Story::generating();
    for _ in 0..20 {
        story.tell(polled(1, Report::Pending)).is_due_in(4..=7);
    }
    story.wait(240).tell(polled(1, Report::Pending)).is_due_in(28..=36);
    story.wait(1500).tell(polled(1, Report::Pending)).is_due_in(52..=68);
}

#[test]
fn a_callback_asks_for_a_look_and_then_for_quick_ones() {
    let mut story = Story::generating();
    for _ in 0..10 {
        story.tell(polled(1, Report::Pending));
    }
    let asked = story.now;
    story.wait(1).tell(Event::Heard { attempt: 1 }).is_due_in(0..=0);
    story.tell(polled_at(1, Report::Pending, asked)).is_due_in(0..=0);
    let asked = story.now;
    story.tell(polled_at(1, Report::Pending, asked)).is_due_in(3..=7);
}

#[test]
fn a_pending_callback_changes_nothing() {
    Story::generating().ignores(called_back(1, Report::Pending));
}

#[test]
fn a_task_that_fails_is_tried_again_until_the_attempts_are_used_up() {
    let mut story = Story::new();
    for attempt in 1..=3 {
        story.is(StateName::Queued).tell(Event::Claimed).tell(accepted(attempt, &format!("t{attempt}")));
        story.tell(polled(attempt, Report::Failed(fault(FaultKind::Unavailable))));
    }
    story.failed_with("test_fault");
}

#[test]
fn attempts_used_up_lead_to_the_next_vendor() {
    let mut story = Story::with(&[("a", &[StepKind::Song]), ("b", &[StepKind::Song])], |p| p.attempts = 1);
    story.tell(Event::Claimed).tell(accepted(1, "t1"));
    story.tell(polled(1, Report::Failed(fault(FaultKind::Unknown)))).is(StateName::Queued);
    assert_eq!((story.job.vendor(), story.job.paid), (&vendor("b"), 0));
}

#[test]
fn a_task_whose_request_is_bad_is_not_tried_again() {
    let mut story = Story::generating();
    story.tell(polled(1, Report::Failed(fault(FaultKind::Rejected)))).failed_with("test_fault");
}

#[test]
fn a_task_that_failed_for_want_of_balance_costs_no_attempt() {
    for kind in [FaultKind::Locked, FaultKind::Throttled] {
        let mut story = Story::generating();
        story.tell(polled(1, Report::Failed(fault(kind)))).is(StateName::Queued);
        assert_eq!(story.job.paid, 0);
    }
}

#[test]
fn a_task_that_somebody_stopped_ends_the_job() {
    Story::generating().tell(polled(1, Report::Canceled)).failed_with("task_canceled");
}

#[test]
fn a_failed_task_forgives_the_looks_that_failed() {
    let mut story = Story::generating();
    for _ in 0..11 {
        story.tell(poll_failed(1, FaultKind::Unavailable));
    }
    story.tell(called_back(1, Report::Failed(fault(FaultKind::Unavailable))));
    assert_eq!((story.job.strikes, story.job.paid), (0, 1));
}

#[test]
fn looks_that_fail_are_tried_again_as_told() {
    let mut story = Story::generating();
    story.tell(poll_failed(1, FaultKind::Unavailable)).is_due_in(1..=3);
    story.tell(poll_failed(1, FaultKind::Garbled)).is_due_in(3..=5);
    story.tell(poll_failed(1, FaultKind::Locked)).is_due_in(45..=75);
    let fault = fault(FaultKind::Throttled).after(Some(Duration::from_secs(500)));
    story.tell(Event::PollFailed { attempt: 1, fault }).is_due_in(500..=505).is(StateName::Generating);
    assert_eq!(story.alerts.len(), 2);
}

#[test]
fn a_task_the_vendor_denies_is_gone_after_three_denials_once_it_has_settled() {
    let mut story = Story::generating();
    for _ in 0..5 {
        story.tell(poll_failed(1, FaultKind::Rejected)).is(StateName::Generating);
    }
    story.wait(100).tell(poll_failed(1, FaultKind::Unavailable)).is(StateName::Generating);
    story.tell(poll_failed(1, FaultKind::Rejected)).held_for("task_gone");
}

#[test]
fn one_denial_among_other_failures_is_no_proof() {
    let mut story = Story::generating();
    story.wait(200).tell(poll_failed(1, FaultKind::Unavailable)).tell(poll_failed(1, FaultKind::Unavailable));
    story.tell(poll_failed(1, FaultKind::Rejected)).is(StateName::Generating);
    story.tell(polled(1, Report::Pending)).tell(poll_failed(1, FaultKind::Rejected));
    story.tell(poll_failed(1, FaultKind::Rejected)).is(StateName::Generating);
}

#[test]
fn an_overdue_task_is_stopped_and_then_tried_again() {
    let mut story = overdue();
    story.tell(Event::CancelDone { attempt: 1 }).is(StateName::Generating).is_due_in(5..=5);
    story.tell(polled(1, Report::Canceled)).is(StateName::Queued);
    assert_eq!((story.job.paid, story.job.maybe_paid_twice), (1, 0));
    story.ignores(Event::Heard { attempt: 1 }).tell(Event::Claimed).is(StateName::Submitting);
}

#[test]
fn an_overdue_task_that_ended_well_before_it_could_be_stopped_wins() {
    let mut story = overdue();
    story.tell(Event::CancelDone { attempt: 1 }).tell(polled(1, done())).is(StateName::Collecting);
    overdue().tell(called_back(1, done())).is(StateName::Collecting);
    overdue().tell(Event::Heard { attempt: 1 }).is(StateName::Generating).is_due_in(0..=0);
}

#[test]
fn an_overdue_task_is_asked_to_stop_a_few_times_and_then_only_looked_at() {
    let mut story = overdue();
    for _ in 0..4 {
        let fault = fault(FaultKind::Unavailable);
        story.tell(Event::CancelFailed { attempt: 1, fault }).is(StateName::Generating);
        story.tell(polled(1, Report::Pending)).is(StateName::Canceling);
    }
    story.tell(Event::CancelDone { attempt: 1 }).tell(polled(1, Report::Pending)).is(StateName::Generating);
    story.wait(600).tell(polled(1, Report::Pending)).held_for("task_overdue");
}

#[test]
fn a_task_that_never_ends_is_given_up_as_the_policy_says() {
    for (on_unknown, state) in [
        (OnUnknown::Hold, StateName::Held),
        (OnUnknown::Fail, StateName::Failed),
        (OnUnknown::Resubmit, StateName::Queued),
    ] {
        let mut story = Story::with(&[("a", &[StepKind::Song]), ("b", &[StepKind::Song])], |policy| {
            policy.on_unknown = on_unknown;
            policy.cancel = false;
        });
        story.tell(Event::Claimed).tell(accepted(1, "t1")).wait(3600);
        story.tell(polled(1, Report::Pending)).is(StateName::Generating).wait(3600);
        story.tell(polled(1, Report::Pending)).is(state);
        assert_eq!(story.job.vendor(), &vendor("a"), "no failover from doubt");
    }
}

#[test]
fn one_failed_look_after_a_long_outage_gives_nothing_up() {
    let mut story = Story::generating();
    story.wait(5 * 3600).tell(poll_failed(1, FaultKind::Unavailable)).is(StateName::Generating);
    story.tell(polled(1, done())).tell(stored()).is(StateName::Completed);
    let mut story = Story::generating();
    story.wait(5 * 3600);
    for _ in 0..11 {
        story.tell(poll_failed(1, FaultKind::Unavailable)).is(StateName::Generating);
    }
    story.tell(poll_failed(1, FaultKind::Unavailable)).held_for("task_overdue");
}

#[test]
fn workers_that_die_over_a_task_leave_it_to_an_operator() {
    let mut story = Story::generating();
    story.tell(Event::Poisoned { claims: 5 }).held_for("poisoned");
    // A callback may still settle it.
    story.tell(called_back(1, done())).is(StateName::Collecting);
}

#[test]
fn the_longest_settings_are_no_accident() {
    let longest = songmill_core::time::Span::millis(u64::MAX);
    let mut story = Story::with(&[("a", &[StepKind::Song])], |policy| {
        (policy.poll_every, policy.poll_most, policy.poll_first) = (longest, longest, longest);
        (policy.backoff, policy.backoff_most, policy.settle) = (longest, longest, longest);
    });
    story.job.until = Timestamp::from_millis(u64::MAX);
    story.tell(Event::Claimed).tell(accepted(1, "t1")).tell(polled(1, Report::Pending));
    story.tell(poll_failed(1, FaultKind::Unavailable)).tell(polled(1, Report::Pending));
    let State::Generating { polls, .. } = story.job.state else { panic!() };
    assert_eq!(polls, 2);
}
