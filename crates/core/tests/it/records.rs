//! The record in Redis: small, and the same when it comes back.

use proptest::prelude::*;
use songmill_core::job::{Route, StateName, StepKind, Trace};
use songmill_core::view::JobView;
use songmill_core::{
    BatchName, Event, Extra, ExtraReason, Extras, Fault, FaultKind, Job, JobId, Stage, Timestamp,
};

use crate::fuzz::{events, run, settings};
use crate::story::{START, Story, vendor};

#[test]
fn the_record_of_a_queued_job_is_small() {
    let route = Route::new(vendor("inference_sh"), vec![StepKind::Song]);
    let until = Timestamp::from_millis(START.as_millis() + 7 * 86_400_000);
    let mut job = Job::new(JobId::derive("t", "k"), vec![route], START, until);
    job.batch = Some(BatchName::new("summer-catalogue-2026").unwrap());
    job.custom_id = Some("order-000123456-track-07".into());
    let json = serde_json::to_string(&job).unwrap();
    assert!(json.len() < 260, "{} bytes: {json}", json.len());
}

#[test]
fn a_record_of_the_first_version_is_still_read() {
    let json = r#"{"t":1,"u":2,"r":[{"v":"a","s":["song"]}],"n":1,"f":1,"p":1,"d":3,
        "s":{"generating":{"attempt":{"n":1,"since":1},"task":"t1","polls":2,"nudged":0}}}"#;
    let job: Job = serde_json::from_str(json).unwrap();
    assert_eq!(job.place().map(|place| place.stage), Some(Stage::Poll));
    let json = r#"{"t":1,"u":2,"r":[{"v":"a","s":["song"]}],"n":1,"f":1,"d":3,
        "s":{"uncertain":{"attempt":{"n":1,"since":1},
            "doubt":{"fault":{"kind":"unknown","code":"timed_out"},"looks":1,"heard":false}}}}"#;
    let job: Job = serde_json::from_str(json).unwrap();
    assert_eq!(job.state.name(), StateName::Uncertain);
}

#[test]
fn every_live_state_has_a_stage_and_no_other_has() {
    for story in [Story::new(), Story::generating(), Story::collecting(), Story::held_in_doubt()] {
        assert_eq!(story.job.state.name().is_live(), story.stage().is_some());
    }
    assert_eq!(StateName::ALL.iter().filter(|name| name.is_live()).count(), 6);
}

proptest! {
    #![proptest_config(settings(128))]

    #[test]
    fn a_record_survives_its_json(events in events(40)) {
        run(&events, |_, job, _| {
            let json = serde_json::to_string(job).unwrap();
            let mut read: Job = serde_json::from_str(&json).unwrap();
            read.id = job.id;
            assert_eq!(&read, job);
        });
    }
}

#[test]
fn nothing_of_what_was_said_is_left_in_an_erased_view() {
    const MARK: &str = "marker";
    let mut story = crate::story::Story::new();
    story.job.trace = Some(Box::new(Trace { request_id: MARK.into(), traceparent: Some(MARK.into()) }));
    let fault = Fault::new(FaultKind::Rejected, "test_fault", MARK);
    story.tell(Event::Claimed).tell(Event::SubmitFailed { attempt: 1, fault }).failed_with("test_fault");
    let mut view = JobView::of(&story.job, Some(MARK.into()), story.now);
    assert!(view.waits_for.contains(MARK));
    view.erase();
    assert!(!format!("{view:?}").contains(MARK), "{view:?}");
}

#[test]
fn extra_outputs_make_no_record_large() {
    let mut extra = Extras::default();
    for _ in 0..500 {
        let long = "春".repeat(10_000);
        extra.push(Extra::new(&long, Some(&long), ExtraReason::NotRequested));
    }
    let bytes = serde_json::to_vec(&extra).unwrap().len();
    assert!(extra.files.len() == 100 && extra.more == 400 && bytes < 64_000, "{bytes}");
    let address = format!("https://a.example/{}", "x".repeat(400));
    let mut few = Extras::default();
    few.push(Extra::new(&address, None, ExtraReason::NotRequested));
    assert_eq!(few.files[0].value, address);
}
