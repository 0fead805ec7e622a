//! The caller wants the job to stop.

use songmill_core::job::{OnUnknown, StateName, StepKind};
use songmill_core::{Event, FaultKind, Report};

use crate::story::{Story, accepted, called_back, done, fault, found, polled, short, stored, submit_failed};

const CANCEL_DONE: Event = Event::CancelDone { attempt: 1 };

fn asked_while_submitting() -> Story {
    let mut story = Story::new();
    story.tell(Event::Claimed).tell(Event::CancelAsked).is(StateName::Submitting);
    story
}

#[test]
fn a_queued_job_is_canceled_at_once() {
    Story::new().tell(Event::CancelAsked).is(StateName::Canceled).ignores(Event::CancelAsked);
}

#[test]
fn a_task_is_stopped_at_the_vendors() {
    let mut story = Story::generating();
    story.tell(Event::CancelAsked).is(StateName::Canceling).is_due_in(0..=0).ignores(Event::CancelAsked);
    story.tell(CANCEL_DONE).is(StateName::Canceled);
    story.ignores(called_back(1, done())).ignores(stored()).ignores(accepted(1, "t1"));
}

#[test]
fn a_task_that_cannot_be_stopped_is_left() {
    let mut story = Story::with(&[("a", &[StepKind::Song])], |policy| policy.cancel = false);
    story.tell(Event::Claimed).tell(accepted(1, "t1")).tell(Event::CancelAsked).is(StateName::Canceled);
}

#[test]
fn stopping_a_task_is_tried_five_times() {
    let mut story = Story::generating();
    story.tell(Event::CancelAsked);
    for _ in 0..4 {
        let fault = fault(FaultKind::Unavailable);
        story.tell(Event::CancelFailed { attempt: 1, fault }).is(StateName::Canceling);
    }
    let fault = fault(FaultKind::Unavailable);
    story.tell(Event::CancelFailed { attempt: 1, fault }).is(StateName::Canceled);
}

#[test]
fn a_task_that_ends_while_it_is_stopped_ends_the_job_as_canceled() {
    for report in [done(), Report::Canceled, Report::Failed(fault(FaultKind::Unavailable))] {
        let mut story = Story::generating();
        story.tell(Event::CancelAsked).ignores(polled(1, Report::Pending));
        story.tell(called_back(1, report)).is(StateName::Canceled);
    }
}

#[test]
fn workers_that_die_while_stopping_do_not_keep_the_job() {
    Story::generating().tell(Event::CancelAsked).tell(Event::Poisoned { claims: 5 }).is(StateName::Canceled);
}

#[test]
fn an_overdue_task_can_be_canceled() {
    let mut story = Story::with(&[("a", &[StepKind::Song])], short);
    story.tell(Event::Claimed).tell(accepted(1, "t1")).wait(700).tell(polled(1, Report::Pending));
    story.is(StateName::Canceling).tell(Event::CancelAsked).is(StateName::Canceling);
    story.tell(CANCEL_DONE).is(StateName::Canceled);
}

#[test]
fn a_job_asked_to_stop_while_it_is_submitted_waits_for_the_outcome() {
    let mut story = asked_while_submitting();
    // Nobody looks it up while the request may still be under way.
    story.is_due_in(80..=90).ignores(Event::CancelAsked);
    story.tell(accepted(1, "t1")).is(StateName::Canceling).tell(CANCEL_DONE).is(StateName::Canceled);
    asked_while_submitting().tell(found(1, "t1")).is(StateName::Canceling);
    asked_while_submitting().tell(called_back(1, done())).is(StateName::Canceled);
    asked_while_submitting().tell(Event::HandedBack { attempt: 1 }).is(StateName::Canceled);
    asked_while_submitting().tell(Event::CannotTell { attempt: 1 }).is(StateName::Canceled);
    asked_while_submitting().tell(Event::Poisoned { claims: 5 }).is(StateName::Canceled);
}

#[test]
fn a_refused_submission_of_a_job_asked_to_stop_is_not_made_again() {
    for kind in [FaultKind::Rejected, FaultKind::Locked, FaultKind::Throttled, FaultKind::Unavailable] {
        asked_while_submitting().tell(submit_failed(1, kind)).is(StateName::Canceled);
    }
}

#[test]
fn a_doubtful_submission_of_a_job_asked_to_stop_is_looked_up_and_stopped() {
    let mut story = asked_while_submitting();
    story.tell(submit_failed(1, FaultKind::Unknown)).is(StateName::Uncertain).tell(found(1, "t1"));
    story.is(StateName::Canceling);
    let mut story = asked_while_submitting();
    story.wait(100);
    for _ in 0..3 {
        story.tell(Event::NotFound { attempt: 1, asked: crate::JUST_NOW });
    }
    story.is(StateName::Canceled);
}

#[test]
fn audio_of_an_earlier_attempt_does_not_complete_a_job_asked_to_stop() {
    let mut story = Story::without_look_up(OnUnknown::Resubmit);
    story.tell(Event::Claimed).tell(Event::CannotTell { attempt: 1 }).tell(Event::Claimed);
    story.tell(Event::CancelAsked).ignores(called_back(1, done())).tell(accepted(2, "t2"));
    story.is(StateName::Canceling);
}

#[test]
fn a_job_being_collected_or_held_is_canceled_at_once() {
    Story::collecting().tell(Event::CancelAsked).is(StateName::Canceled).ignores(stored());
    Story::held_in_doubt().tell(Event::CancelAsked).is(StateName::Canceled);
    Story::held_overdue().tell(Event::CancelAsked).is(StateName::Canceled);
}

#[test]
fn a_canceled_job_can_be_tried_again() {
    let mut story = Story::new();
    story.tell(Event::CancelAsked).tell(Event::RetryAsked).is(StateName::Queued).is_due_in(0..=0);
    story.tell(Event::Claimed).tell(accepted(1, "t1")).is(StateName::Generating);
}
