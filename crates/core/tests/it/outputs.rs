//! What is paid for is kept: outputs that come late, that cannot be read, and addresses that do not serve.

use std::time::Duration;

use songmill_core::job::{Choice, OnUnknown, Packed, StateName, StepKind};
use songmill_core::{
    Event, ExtraReason, FaultKind, JobId, Money, Output, Price, Product, RawAnswer, Report, State, Timestamp,
};

use crate::story::{
    Story, accepted, called_back, collect_failed, done, listed, poll_failed, polled, stored, submit_failed,
    task, unreadable, vendor,
};

fn songs(outputs: Vec<Output>) -> Report {
    Report::Done(Product::Audio(outputs.into()))
}

fn at(name: &str) -> Output {
    Output::at(format!("https://audio.example/{name}"))
}

/// Polls it whenever it is due, until it is no longer followed; how often, and for how long.
fn poll_while(story: &mut Story, report: &Report) -> (u32, Duration) {
    let (begun, mut polls) = (story.now, 0);
    while story.job.state.name() == StateName::Generating {
        let wait = story.job.due.since(story.now).as_secs();
        story.wait(wait.max(1)).tell(polled(1, report.clone()));
        polls += 1;
        assert!(polls < 100, "{:?}", story.job);
    }
    (polls, story.now.since(begun))
}

#[test]
fn an_output_that_comes_late_is_waited_for_whoever_said_that_the_task_had_ended() {
    for early in [polled(1, unreadable()), called_back(1, unreadable()), polled(1, songs(vec![]))] {
        let mut story = Story::generating();
        story.tell(early.clone()).is(StateName::Generating).is_due_in(0..=3);
        for _ in 0..4 {
            let wait = story.job.due.since(story.now).as_secs();
            story.wait(wait.max(1)).tell(polled(1, unreadable())).is(StateName::Generating);
        }
        story.tell(polled(1, done())).is(StateName::Collecting).tell(stored()).is(StateName::Completed);
        assert_eq!((story.job.submissions, story.job.paid), (1, 1), "{early:?}");
    }
}

#[test]
fn an_output_that_cannot_be_read_is_held_with_the_answer_and_never_paid_for_again() {
    let mut story = Story::generating();
    let (polls, took) = poll_while(&mut story, &unreadable());
    story.held_for("output_unreadable");
    assert!(polls >= 6 && took >= Duration::from_secs(120), "{polls} polls, {took:?}");
    assert!(polls <= 20, "with back-off: {polls}");
    let State::Held { of, .. } = &story.job.state else { panic!() };
    assert_eq!(of.task, Some(task("t1")));
    assert!(of.answer.as_ref().is_some_and(|answer| answer.as_str().contains("succeeded")));
    assert_eq!((story.job.submissions, story.job.paid), (1, 1));
    // It comes after all, by a callback, or an operator has it looked at again.
    story.clone().tell(called_back(1, done())).is(StateName::Collecting);
    story.ignores(called_back(1, unreadable()));
    story.tell(Event::Resolved(Choice::Adopt(task("t1")))).is(StateName::Generating);
    story.tell(polled(1, unreadable())).is(StateName::Generating);
    story.tell(polled(1, done())).is(StateName::Collecting);
    assert_eq!((story.job.submissions, story.job.paid), (1, 1));
}

#[test]
fn callbacks_alone_do_not_use_up_the_patience() {
    let mut story = Story::generating();
    for _ in 0..50 {
        story.tell(called_back(1, unreadable())).is(StateName::Generating).wait(60);
    }
    // By now long enough has passed, but too few polls have seen it.
    story.tell(polled(1, unreadable())).is(StateName::Generating);
}

#[test]
fn lyrics_that_come_late_are_waited_for_too() {
    let mut story = Story::with(&[("a", &[StepKind::Lyrics, StepKind::Song])], |_| {});
    story.tell(Event::Claimed).tell(accepted(1, "t1")).tell(polled(1, unreadable()));
    story.is(StateName::Generating).tell(polled(1, done())).is(StateName::Generating);
    let (_, took) = poll_while(&mut story, &unreadable());
    story.held_for("output_unreadable");
    assert!(took >= Duration::from_secs(100), "{took:?}");
}

#[test]
fn a_list_or_a_late_callback_with_the_address_that_failed_is_no_answer() {
    let mut story = Story::collecting();
    story.tell(collect_failed(FaultKind::Rejected)).is(StateName::Generating);
    // What it has in hand is what did not serve.
    for _ in 0..20 {
        story.ignores(listed(1, done())).ignores(called_back(1, done()));
    }
    assert_eq!(story.job.retrieval.refreshes, 1);
    // The task itself shows it still: it is tried, and asked for again later.
    story.clone().tell(polled(1, done())).is(StateName::Collecting);
    // The list shows a fresh one.
    story.tell(listed(1, songs(vec![at("fresh.mp3")]))).is(StateName::Collecting);
    story.tell(stored()).is(StateName::Completed);
    assert_eq!((story.job.submissions, story.job.paid), (1, 1));
}

#[test]
fn songs_without_an_address_that_can_be_used_are_listed_and_the_others_delivered() {
    let mut story = Story::generating();
    story.tell(polled(1, songs(vec![at("1.mp3"), Output::unusable("ftp://a/2.mp3")])));
    let State::Collecting { outputs, extra, .. } = &story.job.state else { panic!("{:?}", story.job) };
    assert_eq!(outputs, &[at("1.mp3")]);
    assert_eq!((extra.files[0].reason, &*extra.files[0].value), (ExtraReason::Unusable, "ftp://a/2.mp3"));
    assert!(extra.lacks_audio());
    story.tell(stored());
    let State::Completed { extra, .. } = &story.job.state else { panic!() };
    assert_eq!(extra.files.len(), 1);
    // None can be used: it is held with what there was.
    let mut story = Story::generating();
    poll_while(&mut story, &songs(vec![Output::unusable("ftp://a/2.mp3")]));
    story.held_for("output_unreadable");
    let State::Held { of, .. } = &story.job.state else { panic!() };
    assert_eq!(of.answer.as_ref().map(RawAnswer::as_str), Some("ftp://a/2.mp3 (unusable)"));
}

#[test]
fn a_second_song_that_comes_a_moment_later_is_waited_for_a_moment() {
    let early = || songs(vec![at("1.mp3"), Output::unusable("")]);
    let mut story = Story::generating();
    story.tell(polled(1, early())).is(StateName::Generating).is_due_in(0..=3);
    story.tell(polled(1, songs(vec![at("1.mp3"), at("2.mp3")]))).is(StateName::Collecting);
    let mut story = Story::generating();
    let (_, took) = poll_while(&mut story, &early());
    assert!(took < Duration::from_secs(30), "{took:?}");
    let State::Collecting { outputs, extra, .. } = &story.job.state else { panic!("{:?}", story.job) };
    assert_eq!((outputs.len(), extra.files[0].reason), (1, ExtraReason::Missing));
}

#[test]
fn of_very_many_songs_as_many_are_delivered_as_were_requested() {
    let many = |count: usize| songs((0..count).map(|n| at(&format!("{n}.mp3"))).collect());
    let delivered = |requested, report| {
        let mut story = Story::generating();
        story.job.routes[0].size.songs = requested;
        story.tell(polled(1, report));
        let State::Collecting { outputs, extra, .. } = &story.job.state else { panic!("{:?}", story.job) };
        (outputs.len(), extra.files.len(), extra.more)
    };
    assert_eq!(delivered(0, many(2)), (2, 0, 0), "a vendor that makes two charges for two");
    assert_eq!(delivered(3, many(3)), (3, 0, 0));
    assert_eq!(delivered(0, many(200)), (1, 100, 99));
    assert_eq!(delivered(30, many(200)), (30, 100, 70));
    let stem = Output { part: Some("vocal".into()), ..at("v.mp3") };
    assert_eq!(delivered(0, songs(vec![at("1.mp3"), stem.clone(), stem])), (3, 0, 0));
}

#[test]
fn fewer_songs_than_requested_are_flagged() {
    let mut story = Story::generating();
    story.job.routes[0].size.songs = 3;
    let (polls, _) = poll_while(&mut story, &songs(vec![at("1.mp3"), at("2.mp3")]));
    assert!(polls > 1, "they may still come");
    let State::Collecting { outputs, extra, .. } = &story.job.state else { panic!("{:?}", story.job) };
    assert_eq!((outputs.len(), &*extra.files[0].value), (2, "1 of 3 songs"));
}

#[test]
fn a_job_whose_own_song_of_a_shared_task_cannot_be_read_is_held() {
    for shared in [vec![at("x")], vec![at("x"), Output::unusable("ftp://a")]] {
        let mut story = Story::new();
        let into = Packed { job: JobId::derive("t", "leader"), attempt: 7, own: 1, place: 1 };
        story.tell(Event::Claimed).tell(Event::Packed { attempt: 1, into });
        story.tell(accepted(1, "t1"));
        poll_while(&mut story, &songs(shared));
        story.held_for("output_unreadable");
        assert_eq!((story.job.submissions, story.job.paid), (1, 1));
    }
}

#[test]
fn who_is_canceled_does_not_wait_for_an_output() {
    let mut story = Story::generating();
    story.tell(polled(1, unreadable())).tell(Event::CancelAsked).is(StateName::Canceling);
    story.tell(polled(1, unreadable())).is(StateName::Canceled);
}

#[test]
fn what_was_downloaded_once_more_is_booked_once() {
    let mut story = Story::collecting();
    let spent = story.job.spent;
    story.tell(collect_failed(FaultKind::Rejected)).tell(polled(1, done()));
    assert_eq!(story.job.spent, spent);
    assert!(story.job.retrieval.unreadable_since == Timestamp::default());
}

#[test]
fn a_task_that_is_heard_to_have_succeeded_while_the_job_waits_in_the_queue_is_followed() {
    let own_is_missing = songs(vec![at("x"), Output::unusable("")]);
    for report in [unreadable(), songs(vec![]), own_is_missing] {
        let mut story = Story::new();
        let into = Packed { job: JobId::derive("t", "leader"), attempt: 7, own: 1, place: 1 };
        story.tell(Event::Claimed).tell(Event::Packed { attempt: 1, into });
        story.tell(submit_failed(1, FaultKind::Unavailable)).is(StateName::Queued);
        story.tell(called_back(1, report.clone())).is(StateName::Generating);
        assert_eq!((story.job.submissions, story.job.paid), (1, 1), "{report:?}");
    }
    // The same without a task: it exists, and is looked up.
    let mut story = Story::new();
    let Event::Reported { attempt, vendor, report, via, .. } = called_back(1, unreadable()) else { panic!() };
    story.tell(Event::Claimed).tell(Event::Reported { attempt, vendor, task: None, report, via });
    assert!(matches!(&story.job.state, State::Uncertain { doubt, .. } if doubt.heard));
}

#[test]
fn no_policy_for_doubts_pays_again_for_a_task_that_has_succeeded() {
    for on_unknown in [OnUnknown::Resubmit, OnUnknown::Fail, OnUnknown::Hold] {
        for gone in [true, false] {
            let mut story = Story::with(&[("a", &[StepKind::Song])], |policy| policy.on_unknown = on_unknown);
            story.tell(Event::Claimed).tell(accepted(1, "t1")).tell(polled(1, done()));
            story.wait(3 * 3600).tell(collect_failed(FaultKind::Rejected)).is(StateName::Generating);
            if gone {
                for _ in 0..3 {
                    story.until_due().tell(poll_failed(1, FaultKind::Rejected));
                }
                story.held_for("output_lost");
            } else {
                // It is said to be under way again: a replica that is behind.
                let (polls, took) = poll_while(&mut story, &Report::Pending);
                assert!(polls >= 6 && took >= Duration::from_secs(120), "{polls} polls, {took:?}");
                story.held_for("output_unreadable");
            }
            assert_eq!((story.job.submissions, story.job.paid), (1, 1), "{on_unknown:?}");
            story.tell(called_back(1, songs(vec![at("fresh.mp3")]))).is(StateName::Collecting);
        }
    }
}

#[test]
fn a_task_that_has_succeeded_is_never_asked_to_stop() {
    let mut story = Story::collecting();
    story.wait(3600).tell(collect_failed(FaultKind::Rejected));
    story.until_due().tell(polled(1, Report::Pending)).is(StateName::Generating);
    story.until_due().tell(polled(1, done())).is(StateName::Collecting);
}

#[test]
fn the_address_that_failed_is_known_again_whatever_stands_beside_it() {
    let packed = Packed { job: JobId::derive("t", "leader"), attempt: 7, own: 1, place: 1 };
    let beside_bad = songs(vec![at("1.mp3"), Output::unusable("ftp://a/2.mp3")]);
    let many = songs((0..9).map(|n| at(&format!("{n}.mp3"))).collect());
    let shared = songs(vec![at("theirs.mp3"), at("ours.mp3")]);
    for (into, report) in [(None, beside_bad), (None, many), (Some(packed), shared)] {
        let mut story = Story::new();
        story.tell(Event::Claimed);
        if let Some(into) = into {
            story.tell(Event::Packed { attempt: 1, into });
        }
        story.tell(accepted(1, "t1")).tell(polled(1, report.clone())).is(StateName::Collecting);
        story.tell(collect_failed(FaultKind::Rejected)).is(StateName::Generating);
        story.ignores(listed(1, report.clone())).ignores(called_back(1, report));
    }
}

#[test]
fn an_output_that_could_be_read_is_waited_for_anew_when_it_cannot_be_read_any_more() {
    let mut story = Story::generating();
    for _ in 0..6 {
        story.until_due().tell(polled(1, unreadable())).is(StateName::Generating);
    }
    story.until_due().tell(polled(1, done())).wait(600).tell(collect_failed(FaultKind::Rejected));
    let (polls, took) = poll_while(&mut story, &unreadable());
    assert!(polls >= 6 && took >= Duration::from_secs(120), "{polls} polls, {took:?}");
}

#[test]
fn a_late_song_that_is_known_already_is_booked_once() {
    let mut story = Story::new();
    let prices = std::collections::BTreeMap::from([(vendor("a"), Price { song: 0.5, ..Price::default() })]);
    story.policy.money = Money { prices, ..Money::default() };
    story.tell(Event::Claimed).tell(accepted(1, "t1")).tell(polled(1, done()));
    story.job.retrieval.refreshes = 5;
    story.tell(collect_failed(FaultKind::Rejected)).held_for("output_lost");
    story.tell(Event::Resolved(Choice::Resubmit)).is(StateName::Queued);
    let two = || songs(vec![at("1.mp3"), at("2.mp3")]);
    story.tell(called_back(1, two())).is(StateName::Collecting);
    let spent = story.job.spent;
    story.tell(collect_failed(FaultKind::Rejected)).tell(polled(1, two())).is(StateName::Collecting);
    assert_eq!(story.job.spent, spent);
}
