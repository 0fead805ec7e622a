//! How often callbacks have the vendor polled.

use songmill_core::job::{Policy, StateName, StepKind};
use songmill_core::{Event, Report, State};

use crate::story::{Story, accepted, called_back, done, polled, polled_at, short, task};

/// Posts a callback every second for so long, polls whenever that is due, and counts the polls.
fn polls_under_callbacks(story: &mut Story, seconds: u64) -> u32 {
    let mut polls = 0;
    for _ in 0..seconds {
        story.tell_or_ignore(Event::Heard { attempt: 1 });
        if story.job.due <= story.now {
            polls += 1;
            match story.job.state {
                State::Canceling { .. } => story.tell(Event::CancelDone { attempt: 1 }),
                _ => story.tell(polled_at(1, Report::Pending, story.now)),
            };
        } else {
            story.wait(1);
        }
    }
    polls
}

fn every(policy: &Policy, story: &Story) -> u64 {
    policy.vendor(story.job.vendor()).poll_every.get().as_secs()
}

#[test]
fn however_many_callbacks_come_the_vendor_is_polled_once_in_each_poll_every() {
    let mut story = Story::generating();
    let most = 100 / every(&story.policy, &story) + 1;
    let polls = polls_under_callbacks(&mut story, 100);
    assert!((u64::from(polls)) <= most && u64::from(polls) >= most / 2, "{polls} of {most}");
}

#[test]
fn that_holds_for_a_task_that_was_given_up_and_for_one_that_is_being_stopped() {
    for mut story in [Story::held_overdue(), {
        let mut story = Story::with(&[("a", &[StepKind::Song])], short);
        story.tell(Event::Claimed).tell(accepted(1, "t1")).wait(700).tell(polled(1, Report::Pending));
        story.is(StateName::Canceling);
        story
    }] {
        // A stop and the poll behind it are two requests.
        let most = 2 * (100 / every(&story.policy, &story) + 1) + 10;
        let polls = polls_under_callbacks(&mut story, 100);
        assert!(u64::from(polls) <= most, "{polls} of {most}: {:?}", story.job.state);
    }
}

#[test]
fn a_callback_soon_after_another_is_polled_for_when_that_time_ends() {
    let mut story = Story::generating();
    story.tell(Event::Heard { attempt: 1 }).is_due_in(0..=0);
    story.tell(polled_at(1, Report::Pending, story.now));
    let asked = story.now;
    let scheduled = story.tell(Event::Heard { attempt: 1 }).job.due;
    assert_eq!(scheduled.as_millis() - asked.as_millis(), 3000, "two of the five seconds have passed");
    story.ignores(Event::Heard { attempt: 1 });
    // A poll that was under way says nothing of what the callback was about.
    story.tell(polled_at(1, Report::Pending, asked));
    assert_eq!(story.job.due, scheduled);
}

#[test]
fn a_report_of_another_task_has_the_own_one_polled_and_no_more() {
    for mut story in [Story::generating(), Story::held_overdue()] {
        let Event::Reported { attempt, vendor, report, via, .. } = called_back(1, done()) else {
            unreachable!()
        };
        let other = Event::Reported { attempt, vendor, task: Some(task("of-another-job")), report, via };
        story.tell(other).is(StateName::Generating).is_due_in(0..=0);
        assert!(matches!(&story.job.state, State::Generating { task: own, .. } if *own == task("t1")));
    }
}
