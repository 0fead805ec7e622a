//! The record in Redis: small, and the same when it comes back.

use proptest::prelude::*;
use songmill_core::job::{Route, StateName, StepKind};
use songmill_core::{BatchName, Job, JobId, Stage, Timestamp};

use crate::fuzz::{events, run, settings};
use crate::story::{START, Story, vendor};

#[test]
fn the_record_of_a_queued_job_is_small() {
    let route = Route {
        vendor: vendor("inference_sh"),
        steps: vec![StepKind::Song],
        dropped: vec![],
        changes: vec![],
    };
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
