//! Every wait has a reason that can be asked for.

use songmill_core::job::{OnUnknown, StateName, StepKind, explain};
use songmill_core::{Event, FaultKind, Report};

use crate::story::{
    Story, accepted, collect_failed, done, poll_failed, polled, short, stored, submit_failed,
};

impl Story {
    #[track_caller]
    fn says(&self, expected: &str) {
        let explanation = explain(&self.job, self.now);
        assert_eq!(explanation.waits_for, expected);
        assert_eq!(explanation.due, self.job.state.name().is_live().then_some(self.job.due));
    }
}

#[test]
fn a_queued_job_says_where_it_goes_and_why_it_is_there_again() {
    let mut story = Story::new();
    story.says(
        "a worker to submit its song to a as attempt 1, due now; put off for more than 6 days it fails",
    );
    story.tell(Event::Claimed).tell(submit_failed(1, FaultKind::Throttled));
    story.says(
        "a worker to submit its song to a as attempt 2, due in 13 s (submit failed 1 s ago: attempt 1: \
         test_fault (throttled): for a test); put off for more than 6 days it fails",
    );
}

#[test]
fn a_submission_says_what_happens_if_nobody_comes_back() {
    let mut story = Story::new();
    story.tell(Event::Claimed);
    story.says(
        "a to answer attempt 1, submitted 1 s ago; if the worker does not come back, the task is looked up \
         before anything is submitted again",
    );
    story.tell(Event::CancelAsked);
    assert!(explain(&story.job, story.now).waits_for.ends_with("as soon as the outcome is known it does"));
}

#[test]
fn doubt_says_how_it_came_and_how_it_goes() {
    let mut story = Story::new();
    story
        .tell(Event::Claimed)
        .tell(submit_failed(1, FaultKind::Unknown))
        .tell(Event::NotFound { attempt: 1, asked: crate::JUST_NOW });
    story.says(
        "a look-up to say whether a has a task for attempt 1 (test_fault (unknown): for a test): 1 look found \
         nothing, the next is due in 9 s; only when enough looks have found nothing is it submitted again",
    );
    story.tell(Event::Heard { attempt: 1 });
    assert!(
        explain(&story.job, story.now).waits_for.ends_with("nothing is submitted again without an operator")
    );
}

#[test]
fn a_task_says_how_often_it_was_looked_at_and_what_went_wrong() {
    let mut story = Story::generating();
    story.tell(polled(1, Report::Pending)).tell(poll_failed(1, FaultKind::Rejected));
    story.says(
        "a to end task t1 of attempt 1, begun 4 s ago: 1 look so far, the next is due in 1 s; the latest \
         look failed; a denied knowing the task once",
    );
    let mut story = Story::with(&[("a", &[StepKind::Song])], short);
    story.tell(Event::Claimed).tell(accepted(1, "t1")).wait(700).tell(polled(1, Report::Pending));
    story.says(
        "a to stop task t1 of attempt 1 (it takes too long), due now; then it is looked at once more before \
         another is paid for",
    );
    story.tell(Event::CancelDone { attempt: 1 });
    story.says(
        "a to end task t1 of attempt 1, begun 11 min ago: 0 looks so far, the next is due in 4 s; it takes too \
         long and a was asked to stop it once",
    );
}

#[test]
fn collecting_says_what_could_not_be_fetched() {
    let mut story = Story::collecting();
    story.says("a worker to bring 1 output of a, attempt 1, into storage, due now; then it is completed");
    story.tell(collect_failed(FaultKind::Unavailable));
    story.says(
        "a worker to bring 1 output of a, attempt 1, into storage, due now after it was tried once in vain (collect failed \
         1 s ago: test_fault (unavailable): for a test); then it is completed",
    );
    story.tell(collect_failed(FaultKind::Rejected));
    let text = explain(&story.job, story.now).waits_for;
    assert!(
        text.contains("; 1 address gave no audio (collect failed 1 s ago: test_fault (rejected)"),
        "{text}"
    );
}

#[test]
fn a_held_job_says_what_an_operator_can_do() {
    Story::held_in_doubt().says(
        "an operator, asked 1 s ago: nobody can tell whether there is a task at a for attempt 1 (worker_lost \
         (unknown): the worker ended while it submitted); `songmill job resolve` has it submitted \
         again at the risk of paying twice, a task adopted, or the job failed; a callback or a late answer settles it too",
    );
    let text = explain(&Story::held_overdue().job, Story::new().now).waits_for;
    assert!(text.contains("what became of task t1"), "{text}");
}

#[test]
fn what_has_ended_says_how() {
    let mut story = Story::collecting();
    story.tell(stored()).says("nothing: 1 file by a stored 1 s ago");
    let mut story = Story::new();
    story.tell(Event::CancelAsked);
    story.says(
        "nothing: it was canceled 1 s ago (canceled 1 s ago: before it was submitted); `songmill job retry` tries it \
         again",
    );
    let mut story = Story::without_look_up(OnUnknown::Fail);
    story.tell(Event::Claimed).tell(Event::CannotTell { attempt: 1 }).wait(300);
    story.is(StateName::Failed).says(
        "nothing: it failed 5 min ago: worker_lost (unknown): the worker ended while it submitted; `songmill job \
         retry` tries it again",
    );
    story.ignores(polled(1, done()));
}
