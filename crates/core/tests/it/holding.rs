//! When an operator must choose.

use songmill_core::job::{Choice, Defect, OnUnusable, StateName, StepKind};
use songmill_core::{Event, FaultKind, Report, State};

use crate::story::{
    Story, accepted, called_back, done, fault, polled, rejected, stored, submit_failed, task,
};

fn resubmit() -> Event {
    Event::Resolved(Choice::Resubmit)
}

fn adopt(id: &str) -> Event {
    Event::Resolved(Choice::Adopt(task(id)))
}

#[test]
fn a_held_job_waits_for_nothing_but_an_operator() {
    let mut story = Story::held_in_doubt();
    assert_eq!(story.stage(), None);
    story.ignores(Event::Claimed).ignores(Event::RetryAsked).ignores(Event::Poisoned { claims: 9 });
    story
        .ignores(submit_failed(1, FaultKind::Unavailable))
        .ignores(Event::NotFound { attempt: 1, asked: crate::JUST_NOW });
}

#[test]
fn an_operator_has_it_submitted_again() {
    let mut story = Story::held_in_doubt();
    story.tell(resubmit()).is(StateName::Queued).is_due_in(0..=0);
    assert_eq!((story.job.paid, story.job.maybe_paid_twice), (1, 1));
    let mut story = Story::new();
    story.tell(Event::Claimed).tell(submit_failed(1, FaultKind::Unavailable));
    story.tell(Event::Claimed).tell(accepted(2, "t2")).wait(3 * 3600).tell(polled(2, Report::Pending));
    story.tell(resubmit()).is(StateName::Queued);
    assert_eq!((story.job.paid, story.job.maybe_paid_twice), (1, 1));
}

#[test]
fn an_operator_has_a_task_followed() {
    let mut story = Story::held_in_doubt();
    story.tell(adopt("t1")).is(StateName::Generating).tell(polled(1, done())).tell(stored());
    story.is(StateName::Completed);
    assert_eq!((story.job.paid, story.job.maybe_paid_twice), (1, 0));
    let mut story = Story::held_overdue();
    // Its clock begins anew.
    story.tell(adopt("t1")).tell(polled(1, Report::Pending)).is(StateName::Generating);
    assert_eq!(story.job.paid, 1);
}

#[test]
fn an_operator_ends_it() {
    Story::held_in_doubt().tell(Event::Resolved(Choice::Fail)).failed_with("worker_lost");
}

#[test]
fn only_a_held_job_can_be_resolved() {
    for mut story in [Story::new(), Story::generating(), Story::collecting()] {
        story.ignores(resubmit()).ignores(adopt("x")).ignores(Event::Resolved(Choice::Fail));
    }
}

#[test]
fn what_comes_late_resolves_a_held_job() {
    Story::held_in_doubt().tell(accepted(1, "t1")).is(StateName::Generating);
    Story::held_in_doubt().tell(called_back(1, Report::Pending)).is(StateName::Generating);
    Story::held_in_doubt().tell(called_back(1, done())).is(StateName::Collecting);
    let mut story = Story::held_in_doubt();
    story.tell(called_back(1, Report::Failed(fault(FaultKind::Unavailable)))).is(StateName::Queued);
    assert_eq!(story.job.paid, 1);
}

#[test]
fn an_overdue_task_that_is_heard_of_is_looked_at() {
    let mut story = Story::held_overdue();
    story.ignores(called_back(1, Report::Pending)).ignores(accepted(1, "t1"));
    story.tell(Event::Heard { attempt: 1 }).is(StateName::Generating).is_due_in(0..=0);
    assert!(matches!(&story.job.state, State::Generating { task: known, .. } if *known == task("t1")));
    story.tell(polled(1, done())).is(StateName::Collecting);
    let mut story = Story::held_overdue();
    story.tell(called_back(1, Report::Failed(fault(FaultKind::Unavailable)))).is(StateName::Queued);
    assert_eq!(story.job.paid, 1);
}

#[test]
fn a_failed_job_can_be_tried_again_and_a_completed_one_cannot() {
    let mut story = Story::held_overdue();
    story.tell(Event::Resolved(Choice::Fail)).ignores(called_back(1, done())).tell(Event::RetryAsked);
    story.is(StateName::Queued).ignores(Event::RetryAsked);
    assert_eq!((story.job.paid, story.job.strikes, story.job.first), (0, 0, 2));
    // Audio is taken even of the attempt before.
    story.tell(called_back(1, done())).tell(stored()).is(StateName::Completed).ignores(Event::RetryAsked);
}

#[test]
fn a_callback_that_names_another_task_has_the_own_one_looked_at_and_says_nothing_of_it() {
    let other = |report| match called_back(1, report) {
        Event::Reported { attempt, vendor, report, via, .. } => {
            Event::Reported { attempt, vendor, task: Some(task("other")), report, via }
        }
        event => event,
    };
    for report in [done(), Report::Failed(fault(FaultKind::Unavailable)), Report::Canceled] {
        for mut story in [Story::generating(), Story::held_overdue()] {
            story.tell(other(report.clone())).is(StateName::Generating).is_due_in(0..=0);
            assert!(matches!(&story.job.state, State::Generating { task: own, .. } if *own == task("t1")));
        }
        let mut story = Story::generating();
        story.wait(3600).tell(polled(1, Report::Pending)).is(StateName::Canceling);
        story.ignores(other(report.clone())).tell(Event::CancelAsked).ignores(other(report));
    }
}

#[test]
fn what_is_heard_of_an_earlier_vendors_attempt_that_is_held_is_that_vendors() {
    let mut story = Story::with(&[("a", &[StepKind::Song]), ("b", &[StepKind::Song])], |_| {});
    story.policy.jobs.on_unusable = OnUnusable::Hold;
    story.tell(Event::Claimed).tell(submit_failed(1, FaultKind::Rejected)).is(StateName::Queued);
    story.tell(called_back(1, done())).is(StateName::Collecting);
    story
        .tell(rejected(Defect::Unusable))
        .until_due()
        .tell(rejected(Defect::Unusable))
        .held_for("test_fault");
    story.ignores(Event::Heard { attempt: 1 });
    story.tell(called_back(1, done())).is(StateName::Collecting);
    let State::Collecting { origin, .. } = &story.job.state else { panic!() };
    assert_eq!(origin.vendor, crate::story::vendor("a"));
}
