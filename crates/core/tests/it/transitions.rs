//! Each transition by value.

use std::time::Duration;

use songmill_core::job::{Choice, OnUnknown, StateName, StepKind, VendorPolicy, explain, step};
use songmill_core::time::Span;
use songmill_core::{Event, FaultKind, Job, Lyrics, Product, Report, Stage, State};

use crate::tools::*;

fn state(events: &[Event]) -> StateName {
    after(song_job(), &policy(able()), events).state.name()
}

#[test]
fn a_job_goes_from_the_queue_to_completed() {
    let mut events = vec![];
    for (event, expected) in [
        (Event::Claimed, StateName::Submitting),
        (accepted(1), StateName::Generating),
        (polled(1, Report::Pending, START), StateName::Generating),
        (called_back(1, Report::Done(audio())), StateName::Collecting),
        (stored(), StateName::Completed),
    ] {
        events.push(event);
        assert_eq!(state(&events), expected);
    }
}

#[test]
fn a_callback_that_comes_before_the_reply_wins() {
    let done = called_back(1, Report::Done(audio()));
    assert_eq!(state(&[Event::Claimed, done.clone(), accepted(1)]), StateName::Collecting);
    assert_eq!(state(&[Event::Claimed, done.clone(), accepted(1), stored(), done]), StateName::Completed);
}

#[test]
fn an_unbelieved_callback_makes_the_job_be_looked_at_now() {
    let job = after(song_job(), &policy(able()), &[Event::Claimed, accepted(1)]);
    let now = START + Duration::from_secs(3);
    assert!(job.due > now);
    let nudged = step(&job, &Event::Heard { attempt: 1 }, now, &policy(able())).unwrap().job;
    assert_eq!(nudged.due, now);
    // The answer to a question that was asked before the callback does not count as news.
    let late = polled(1, Report::Pending, START);
    let again = step(&nudged, &late, now + Duration::from_secs(1), &policy(able())).unwrap().job;
    assert_eq!(again.due, now + Duration::from_secs(1));
}

#[test]
fn doubt_is_looked_up_and_never_submitted_before_it_settles() {
    let policy = policy(able());
    let mut job = after(song_job(), &policy, &[Event::Claimed, submit_failed(1, FaultKind::Unknown)]);
    assert_eq!(job.state.name(), StateName::Uncertain);
    let mut now = START + Duration::from_secs(1);
    for _ in 0..20 {
        now = now + Duration::from_secs(1);
        job = step(&job, &Event::NotFound { attempt: 1 }, now, &policy).unwrap().job;
        assert_eq!(job.state.name(), StateName::Uncertain, "settles after 30 s only");
    }
    now = now + Duration::from_secs(30);
    job = step(&job, &Event::NotFound { attempt: 1 }, now, &policy).unwrap().job;
    assert_eq!(job.state.name(), StateName::Queued);
}

#[test]
fn what_was_heard_of_is_never_submitted_again() {
    let policy = policy(able());
    let mut job = after(song_job(), &policy, &[Event::Claimed, Event::Heard { attempt: 1 }]);
    let mut now = START;
    while job.state.name() == StateName::Uncertain {
        now = now + Duration::from_secs(60);
        job = step(&job, &Event::NotFound { attempt: 1 }, now, &policy).unwrap().job;
    }
    assert_eq!(job.state.name(), StateName::Held);
    assert_eq!(
        after(job, &policy, &[Event::Found { attempt: 1, task: task(1) }]).state.name(),
        StateName::Generating
    );
}

#[test]
fn where_no_look_up_exists_the_policy_decides() {
    let events = [Event::Claimed, submit_failed(1, FaultKind::Unknown)];
    for (choice, expected) in [
        (OnUnknown::Hold, StateName::Held),
        (OnUnknown::Fail, StateName::Failed),
        (OnUnknown::Resubmit, StateName::Queued),
    ] {
        let job = after(song_job(), &on_unknown(choice), &events);
        assert_eq!(job.state.name(), expected);
        assert_eq!(job.maybe_paid_twice, u32::from(choice == OnUnknown::Resubmit));
    }
    let lost =
        after(song_job(), &on_unknown(OnUnknown::Hold), &[Event::Claimed, Event::CannotTell { attempt: 1 }]);
    assert_eq!(lost.state.name(), StateName::Held, "a worker that died mid-submit");
}

#[test]
fn doubt_never_leads_to_another_vendor() {
    let two = || job(vec![route("a", &[StepKind::Song]), route("b", &[StepKind::Song])]);
    for choice in [OnUnknown::Hold, OnUnknown::Fail, OnUnknown::Resubmit] {
        let job = after(two(), &on_unknown(choice), &[Event::Claimed, submit_failed(1, FaultKind::Unknown)]);
        assert_eq!(job.vendor(), &vendor("a"));
    }
    let refused = after(two(), &policy(able()), &[Event::Claimed, submit_failed(1, FaultKind::Rejected)]);
    assert_eq!((refused.vendor().clone(), refused.state.name()), (vendor("b"), StateName::Queued));
}

#[test]
fn an_operator_decides_about_a_held_job() {
    let policy = on_unknown(OnUnknown::Hold);
    let held = after(song_job(), &policy, &[Event::Claimed, submit_failed(1, FaultKind::Unknown)]);
    let resolved = |choice| after(held.clone(), &policy, &[Event::Resolved(choice)]).state.name();
    assert_eq!(resolved(Choice::Resubmit), StateName::Queued);
    assert_eq!(resolved(Choice::Adopt(task(9))), StateName::Generating);
    assert_eq!(resolved(Choice::Fail), StateName::Failed);
    let rescued = after(held, &policy, &[called_back(1, Report::Done(audio()))]);
    assert_eq!(rescued.state.name(), StateName::Collecting, "a success needs no operator");
}

#[test]
fn throttled_and_locked_cost_no_attempt_and_wait_as_told() {
    for kind in [FaultKind::Throttled, FaultKind::Locked] {
        let told = fault(kind).after(Some(Duration::from_secs(40)));
        let mut job = song_job();
        for attempt in 1..20 {
            let failed = Event::SubmitFailed { attempt, fault: told.clone() };
            job = after(job, &policy(able()), &[Event::Claimed, failed]);
            assert_eq!((job.state.name(), job.paid, job.strikes), (StateName::Queued, 0, 0));
            assert!(job.due >= START + Duration::from_secs(40));
        }
    }
}

#[test]
fn unavailable_backs_off_then_moves_on_then_fails() {
    let mut job = job(vec![route("a", &[StepKind::Song]), route("b", &[StepKind::Song])]);
    let mut vendors = vec![];
    for attempt in 1..=8 {
        vendors.push(job.vendor().to_string());
        job = after(job, &policy(able()), &[Event::Claimed, submit_failed(attempt, FaultKind::Unavailable)]);
    }
    assert_eq!(vendors, ["a", "a", "a", "a", "b", "b", "b", "b"]);
    assert_eq!(job.state.name(), StateName::Failed);
}

#[test]
fn paid_attempts_are_bounded() {
    let mut job = song_job();
    for attempt in 1..=3 {
        assert_eq!(job.state.name(), StateName::Queued);
        let failed = called_back(attempt, Report::Failed(fault(FaultKind::Unavailable)));
        job = after(job, &policy(able()), &[Event::Claimed, accepted(attempt), failed]);
    }
    assert_eq!((job.state.name(), job.paid), (StateName::Failed, 3));
    let again = after(job, &policy(able()), &[Event::RetryAsked]);
    assert_eq!((again.state.name(), again.paid), (StateName::Queued, 0));
}

#[test]
fn a_job_that_kills_its_workers_ends() {
    let policy = policy(able());
    let mut job = song_job();
    let mut now = START;
    let mut deaths = 0;
    while job.state.name().is_live() && deaths < 50 {
        deaths += 1;
        job = step(&job, &Event::Claimed, now, &policy).unwrap().job;
        let attempt = job.submissions;
        while job.state.stage() == Some(Stage::Resolve) {
            now = now + Duration::from_secs(60);
            job = step(&job, &Event::NotFound { attempt }, now, &policy).unwrap().job;
        }
    }
    let State::Failed { fault, .. } = job.state else { panic!("{:?}", job.state) };
    assert_eq!((&*fault.code, deaths), ("not_taken", 4));
    let poisoned = after(song_job(), &policy, &[Event::Claimed, accepted(1), Event::Poisoned { claims: 6 }]);
    let State::Failed { fault, .. } = poisoned.state else { panic!() };
    assert_eq!(fault.code, "poisoned");
}

#[test]
fn lyrics_are_written_once_and_kept() {
    let steps = [StepKind::Lyrics, StepKind::Song];
    let lyrics = || Product::Lyrics(Lyrics { text: "[verse] la".into(), title: None });
    let two = job(vec![route("a", &steps), route("b", &steps)]);
    let written =
        after(two, &policy(able()), &[Event::Claimed, accepted(1), called_back(1, Report::Done(lyrics()))]);
    assert_eq!((written.step_kind(), written.state.name()), (StepKind::Song, StateName::Queued));
    let retried = after(
        written,
        &policy(able()),
        &[
            Event::Claimed,
            accepted(2),
            called_back(2, Report::Failed(fault(FaultKind::Unavailable))),
            called_back(1, Report::Done(lyrics())),
        ],
    );
    assert_eq!((retried.step_kind(), retried.lyrics.is_some()), (StepKind::Song, true));
    let moved = after(retried, &policy(able()), &[Event::Claimed, submit_failed(3, FaultKind::Rejected)]);
    assert_eq!((moved.vendor().clone(), moved.step_kind()), (vendor("b"), StepKind::Song));
}

#[test]
fn an_overdue_task_is_stopped_and_tried_again_but_a_late_success_wins() {
    let policy = policy(VendorPolicy { patience: Span::secs(60), give_up: Span::secs(600), ..able() });
    let job = after(song_job(), &policy, &[Event::Claimed, accepted(1)]);
    let late = START + Duration::from_secs(100);
    let stopping = step(&job, &polled(1, Report::Pending, late), late, &policy).unwrap().job;
    assert_eq!(stopping.state.name(), StateName::Canceling);
    // It may have ended well just before: it is looked at once more before another one is paid for.
    let looked = after(stopping.clone(), &policy, &[Event::CancelDone { attempt: 1 }]);
    assert_eq!(looked.state.name(), StateName::Generating);
    let stopped = step(&looked, &polled(1, Report::Canceled, late), late, &policy).unwrap().job;
    assert_eq!(stopped.state.name(), StateName::Queued);
    let done = called_back(1, Report::Done(audio()));
    assert_eq!(after(stopping, &policy, std::slice::from_ref(&done)).state.name(), StateName::Collecting);
    let unstoppable = self::policy_without_cancel();
    let later = START + Duration::from_secs(10_000);
    let held = step(&job, &polled(1, Report::Pending, later), later, &unstoppable).unwrap().job;
    assert_eq!(held.state.name(), StateName::Held);
    assert_eq!(after(held, &unstoppable, &[done]).state.name(), StateName::Collecting);
}

fn policy_without_cancel() -> songmill_core::Policy {
    policy(VendorPolicy { cancel: false, ..able() })
}

#[test]
fn a_callback_for_an_older_attempt_counts_when_it_is_a_success() {
    let policy = policy(able());
    let second = [
        Event::Claimed,
        accepted(1),
        called_back(1, Report::Failed(fault(FaultKind::Unavailable))),
        Event::Claimed,
        accepted(2),
    ];
    let job = after(song_job(), &policy, &second);
    let failed = called_back(1, Report::Failed(fault(FaultKind::Rejected)));
    assert!(step(&job, &failed, START, &policy).is_none());
    for foreign in [0, 3] {
        assert!(step(&job, &called_back(foreign, Report::Done(audio())), START, &policy).is_none());
    }
    assert_eq!(
        after(job, &policy, &[called_back(1, Report::Done(audio()))]).state.name(),
        StateName::Collecting
    );
}

#[test]
fn a_cancel_ends_a_job_wherever_it_is() {
    let lives: [&[Event]; 6] = [
        &[],
        &[Event::Claimed],
        &[Event::Claimed, submit_failed(1, FaultKind::Unknown)],
        &[Event::Claimed, accepted(1)],
        &[Event::Claimed, called_back(1, Report::Done(audio()))],
        &[Event::Claimed, submit_failed(1, FaultKind::Throttled)],
    ];
    let answers = [accepted(1), Event::Found { attempt: 1, task: task(1) }, Event::CancelDone { attempt: 1 }];
    for live in lives {
        let events = [live, &[Event::CancelAsked], &answers].concat();
        assert_eq!(state(&events), StateName::Canceled, "{live:?}");
        let late = [&events[..], &[called_back(1, Report::Done(audio()))]].concat();
        assert_eq!(state(&late), StateName::Canceled, "{live:?}");
    }
}

#[test]
fn an_address_is_asked_for_anew_before_the_audio_is_given_up() {
    let policy = policy(VendorPolicy { attempts: 1, ..able() });
    let expired = Event::CollectFailed { fault: fault(FaultKind::Rejected) };
    let mut job =
        after(song_job(), &policy, &[Event::Claimed, accepted(1), called_back(1, Report::Done(audio()))]);
    for _ in 0..3 {
        job = after(job, &policy, std::slice::from_ref(&expired));
        assert_eq!(job.state.name(), StateName::Generating);
        job = after(job, &policy, &[polled(1, Report::Done(audio()), START)]);
        assert_eq!(job.state.name(), StateName::Collecting);
    }
    let State::Failed { fault, .. } = after(job, &policy, &[expired]).state else { panic!() };
    assert_eq!(fault.code, "output_lost");
}

#[test]
fn what_is_no_audio_counts_as_a_failed_attempt_and_our_own_storage_does_not() {
    let collecting = [Event::Claimed, accepted(1), called_back(1, Report::Done(audio()))];
    let job = after(song_job(), &policy(able()), &collecting);
    let garbled =
        after(job.clone(), &policy(able()), &[Event::CollectFailed { fault: fault(FaultKind::Garbled) }]);
    assert_eq!((garbled.state.name(), garbled.paid), (StateName::Queued, 1));
    let mut full = job;
    for _ in 0..50 {
        full = after(full, &policy(able()), &[Event::CollectFailed { fault: fault(FaultKind::Locked) }]);
        assert_eq!(full.state.name(), StateName::Collecting);
    }
}

#[test]
fn a_job_that_would_wait_past_its_deadline_fails() {
    let job = Job::new(
        songmill_core::JobId::derive("a", "b"),
        vec![route("a", &[StepKind::Song])],
        START,
        START + Duration::from_secs(5),
    );
    let told = fault(FaultKind::Throttled).after(Some(Duration::from_secs(60)));
    let failed =
        after(job, &policy(able()), &[Event::Claimed, Event::SubmitFailed { attempt: 1, fault: told }]);
    let State::Failed { fault, .. } = failed.state else { panic!() };
    assert_eq!(fault.code, "deadline_passed");
}

#[test]
fn only_an_operator_leaves_an_end() {
    let ended = after(song_job(), &policy(able()), &[Event::Claimed, submit_failed(1, FaultKind::Rejected)]);
    for event in
        [Event::Claimed, accepted(1), called_back(1, Report::Done(audio())), Event::CancelAsked, stored()]
    {
        assert!(step(&ended, &event, START, &policy(able())).is_none(), "{event:?}");
    }
    let completed = after(
        song_job(),
        &policy(able()),
        &[Event::Claimed, called_back(1, Report::Done(audio())), stored()],
    );
    assert!(step(&completed, &Event::RetryAsked, START, &policy(able())).is_none());
}

#[test]
fn every_wait_can_be_explained() {
    for (events, word) in [
        (&[][..], "free worker"),
        (&[Event::Claimed], "being sent"),
        (&[Event::Claimed, submit_failed(1, FaultKind::Unavailable)], "submit_failed"),
        (&[Event::Claimed, submit_failed(1, FaultKind::Unknown)], "not known"),
        (&[Event::Claimed, accepted(1)], "works on task t1"),
        (&[Event::Claimed, accepted(1), Event::CancelAsked], "asked to stop"),
    ] {
        let job = after(song_job(), &policy(able()), events);
        let explained = explain(&job, START);
        assert!(explained.waits_for.contains(word), "{}", explained.waits_for);
        assert_eq!(explained.due, Some(job.due));
    }
}

#[test]
fn a_new_record_is_small_and_survives_its_text() {
    let mut job = song_job();
    job.batch = Some(songmill_core::BatchName::new("album-2026-11").unwrap());
    job.custom_id = Some("song-000123".into());
    let text = serde_json::to_string(&job).unwrap();
    assert!(text.len() < 260, "{} bytes: {text}", text.len());
    let mut read: Job = serde_json::from_str(&text).unwrap();
    read.id = job.id;
    assert_eq!(read, job);
}
