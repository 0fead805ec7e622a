//! Audio that is not what it should be: downloaded again, taken partly, made again once, held, or stored as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use songmill_core::job::{Accept, Choice, Defect, OnUnusable, StateName, StepKind};
use songmill_core::{Event, Money, Output, Price, Product, Report, State};

use crate::story::{Story, accepted, called_back, done, polled, rejected, stored, vendor};

fn of_two() -> Report {
    Report::Done(Product::Audio(vec![Output::at("https://a/1.mp3"), Output::at("https://a/2.mp3")].into()))
}

fn with_policy(on_unusable: OnUnusable) -> Story {
    let mut story = Story::new();
    story.policy.jobs.on_unusable = on_unusable;
    story.tell(Event::Claimed).tell(accepted(1, "t1")).tell(polled(1, done()));
    story
}

/// Tells that what was downloaded is unusable until the job is no longer downloading; polls show `report`.
fn reject(story: &mut Story, attempt: u32, defect: Defect, report: &Report) -> (u32, Duration) {
    let (begun, mut downloads) = (story.now, 0);
    loop {
        let wait = story.job.due.since(story.now).as_secs();
        match (&story.job.state, accept(story)) {
            (State::Generating { .. }, _) => {
                story.wait(wait.max(1)).tell(polled(attempt, report.clone()));
            }
            (State::Collecting { .. }, Accept::Whole) => {
                story.wait(wait.max(1)).tell(rejected(defect));
                downloads += 1;
            }
            _ => return (downloads, story.now.since(begun)),
        }
        assert!(downloads < 100, "{:?}", story.job);
    }
}

fn accept(story: &Story) -> Accept {
    match story.job.state {
        State::Collecting { accept, .. } => accept,
        _ => Accept::Whole,
    }
}

#[test]
fn unusable_audio_is_downloaded_once_more_and_then_made_again_once() {
    let mut story = with_policy(OnUnusable::Remake);
    let prices = BTreeMap::from([(vendor("a"), Price { song: 0.25, ..Price::default() })]);
    story.policy.money = Money { prices, ..Money::default() };
    assert_eq!(reject(&mut story, 1, Defect::Unusable, &done()).0, 2);
    story.is(StateName::Queued);
    let remake = story.job.history.iter().find(|entry| entry.1 == "remake").unwrap();
    assert!(remake.2.contains("0.25 USD"), "its price stands in the history: {}", remake.2);
    story.wait(600).tell(Event::Claimed).tell(accepted(2, "t2")).tell(polled(2, done()));
    assert!(
        !story.job.may_be_made_anew(&story.policy, story.now),
        "what is merely odd is flagged from now on"
    );
    assert_eq!(reject(&mut story, 2, Defect::Unusable, &done()).0, 2);
    story.failed_with("test_fault");
    assert_eq!((story.job.submissions, story.job.paid), (2, 2));
}

#[test]
fn after_one_remake_another_vendor_is_tried_if_one_is_named() {
    let mut story = Story::with(&[("a", &[StepKind::Song]), ("b", &[StepKind::Song])], |_| {});
    for attempt in 1..=2 {
        story.wait(600).tell(Event::Claimed).tell(accepted(attempt, &format!("t{attempt}")));
        story.tell(polled(attempt, done()));
        reject(&mut story, attempt, Defect::Unusable, &done());
        story.is(StateName::Queued);
    }
    assert_eq!((story.job.vendor(), story.job.remakes), (&vendor("b"), 0));
}

#[test]
fn what_may_not_be_ready_is_downloaded_for_minutes_before_any_verdict() {
    let mut story = with_policy(OnUnusable::Hold);
    let (downloads, took) = reject(&mut story, 1, Defect::NotReady, &done());
    assert!(downloads >= 6 && took >= Duration::from_secs(180), "{downloads}, {took:?}");
    assert!(downloads < 30, "with back-off: {downloads}");
    story.held_for("test_fault");
    assert_eq!((story.job.submissions, story.job.paid), (1, 1));
    // It is ready after a few seconds.
    let mut story = with_policy(OnUnusable::Remake);
    let mut asked_for_a_fresh_address = false;
    for _ in 0..5 {
        let wait = story.job.due.since(story.now).as_secs();
        asked_for_a_fresh_address |= story.job.state.name() == StateName::Generating;
        match story.job.state.name() {
            StateName::Generating => story.wait(wait).tell(polled(1, done())),
            _ => story.wait(wait).tell(rejected(Defect::NotReady)),
        };
    }
    assert!(asked_for_a_fresh_address);
    if story.job.state.name() == StateName::Generating {
        story.tell(polled(1, done()));
    }
    story.tell(stored()).is(StateName::Completed);
    assert_eq!((story.job.submissions, story.job.paid), (1, 1));
}

#[test]
fn audio_that_ends_within_a_sound_is_downloaded_a_few_times_and_is_then_what_there_is() {
    let mut story = with_policy(OnUnusable::Remake);
    let (begun, mut downloads) = (story.now, 0);
    while !story.job.retrieval.accept_open_end {
        let wait = story.job.due.since(story.now).as_secs();
        match story.job.state.name() {
            StateName::Generating => story.wait(wait.max(1)).tell(polled(1, done())),
            _ => story.wait(wait.max(1)).tell(rejected(Defect::Doubtful)),
        };
        downloads += u32::from(story.job.state.name() == StateName::Collecting);
        assert!(downloads < 30, "{:?}", story.job);
    }
    let took = story.now.since(begun);
    assert!((15..60).contains(&took.as_secs()), "{took:?}");
    story.is(StateName::Collecting).is_due_in(0..=0).tell(stored()).is(StateName::Completed);
    assert_eq!((story.job.submissions, story.job.paid), (1, 1));
}

#[test]
fn what_is_good_is_taken_before_anything_is_paid_for_again() {
    let mut story = with_policy(OnUnusable::Remake);
    story.job = Story::generating().job;
    story.tell(polled(1, of_two()));
    reject(&mut story, 1, Defect::Unusable, &of_two());
    assert_eq!(accept(&story), Accept::Partial);
    let mut none_is_good = story.clone();
    story.tell(stored()).is(StateName::Completed);
    assert_eq!((story.job.submissions, story.job.paid), (1, 1));
    assert!(story.job.history.last().unwrap().2.contains("1 of 2 files"));
    none_is_good.tell(rejected(Defect::Unusable)).is(StateName::Queued);
}

#[test]
fn by_policy_unusable_audio_is_held_or_stored_as_it_is() {
    let mut story = with_policy(OnUnusable::Hold);
    reject(&mut story, 1, Defect::Unusable, &done());
    story.held_for("test_fault");
    let State::Held { of, .. } = &story.job.state else { panic!() };
    assert!(of.task.is_some(), "it can be adopted again");
    // An operator takes it as it is.
    story.tell(Event::Resolved(Choice::Store)).is(StateName::Generating).tell(polled(1, done()));
    assert_eq!(accept(&story), Accept::Any);
    story.tell(stored()).is(StateName::Completed);
    Story::held_in_doubt().ignores(Event::Resolved(Choice::Store));
    // What an operator has stored is never paid for again, whatever the policy.
    let mut story = with_policy(OnUnusable::Hold);
    reject(&mut story, 1, Defect::Unusable, &done());
    story.policy.jobs.on_unusable = OnUnusable::Remake;
    story.tell(Event::Resolved(Choice::Store)).tell(polled(1, done()));
    for _ in 0..40 {
        match story.job.state {
            State::Collecting { .. } => story.wait(30).tell(rejected(Defect::NotReady)),
            State::Generating { .. } => story.wait(30).tell(polled(1, done())),
            _ => break,
        };
    }
    story.held_for("test_fault");
    assert_eq!(story.job.submissions, 1);

    let mut story = with_policy(OnUnusable::Store);
    reject(&mut story, 1, Defect::Unusable, &done());
    assert_eq!(accept(&story), Accept::Any);
    let mut no_audio = story.clone();
    story.tell(stored()).is(StateName::Completed);
    no_audio.tell(rejected(Defect::Unusable)).held_for("test_fault");
    assert_eq!((no_audio.job.submissions, no_audio.job.paid), (1, 1));
}

#[test]
fn unusable_audio_of_an_earlier_attempt_leaves_the_later_one_alone() {
    let mut story = Story::without_look_up(songmill_core::job::OnUnknown::Resubmit);
    story.tell(Event::Claimed).tell(Event::CannotTell { attempt: 1 }).is(StateName::Queued);
    story.wait(600).tell(Event::Claimed).tell(called_back(1, done())).is(StateName::Collecting);
    reject(&mut story, 1, Defect::Unusable, &done());
    assert_ne!(story.job.state.name(), StateName::Queued, "the second submission is still there");
    assert_eq!((story.job.submissions, story.job.remakes), (2, 0));
}
