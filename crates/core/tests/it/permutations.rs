//! Events commute: in whatever order and however often the news of one attempt comes, the job ends the same.

use proptest::prelude::*;
use songmill_core::job::{StateName, Via, step};
use songmill_core::{Event, Report, State};

use crate::fuzz::settings;
use crate::story::{Story, accepted, called_back, done, found, polled, stored};

/// What one attempt that went well lets us hear, by its number in [`history`].
fn news(kind: u8) -> Event {
    match kind {
        0 => accepted(1, "t1"),
        1 => found(1, "t1"),
        2 => called_back(1, Report::Pending),
        3 => polled(1, Report::Pending),
        4 => Event::Heard { attempt: 1 },
        5 => called_back(1, done()),
        _ => polled(1, done()),
    }
}

/// Any of the news any number of times, and at least once that it is done.
fn history() -> impl Strategy<Value = Vec<(u8, u64)>> {
    (prop::collection::vec((0..7u8, 0..30u64), 0..12), 5..7u8, 0..30u64)
        .prop_map(|(mut news, done, wait)| {
            news.push((done, wait));
            news
        })
        .prop_shuffle()
}

proptest! {
    #![proptest_config(settings(1000))]

    #[test]
    fn the_news_of_an_attempt_may_come_in_any_order(history in history()) {
        let mut story = Story::new();
        story.tell(Event::Claimed);
        for (kind, wait) in &history {
            story.wait(*wait);
            if let Some(step) = step(&story.job, &news(*kind), story.now, &story.policy) {
                story.job = step.job;
            }
        }
        // Whatever came first, the audio is being brought in, from the one task, paid for once.
        prop_assert_eq!(story.job.state.name(), StateName::Collecting);
        story.tell(stored());
        let State::Completed { origin, assets, .. } = &story.job.state else { panic!() };
        prop_assert_eq!((origin.attempt.number, assets.len()), (1, 1));
        prop_assert_eq!((story.job.paid, story.job.maybe_paid_twice, story.job.submissions), (1, 0, 1));
    }

    #[test]
    fn a_cancel_may_come_at_any_point(history in history(), at in 0..13usize) {
        let mut story = Story::new();
        story.tell(Event::Claimed);
        let at = at.min(history.len());
        for (place, (kind, wait)) in history.iter().enumerate() {
            story.wait(*wait);
            if place == at {
                story.tell(Event::CancelAsked);
            }
            if let Some(step) = step(&story.job, &news(*kind), story.now, &story.policy) {
                story.job = step.job;
            }
        }
        if at == history.len() {
            story.tell(Event::CancelAsked);
        }
        if story.job.state.name() == StateName::Canceling {
            story.tell(Event::CancelDone { attempt: 1 });
        }
        prop_assert_eq!(story.job.state.name(), StateName::Canceled);
    }
}

#[test]
fn news_by_poll_and_by_callback_are_the_same_news() {
    for via in [Via::Callback, Via::Poll { asked: Story::new().now }] {
        let mut story = Story::generating();
        let Event::Reported { attempt, vendor, task, report, .. } = called_back(1, done()) else { panic!() };
        story.tell(Event::Reported { attempt, vendor, task, report, via }).is(StateName::Collecting);
    }
}
