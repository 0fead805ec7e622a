//! What inference.sh posts, and what it may be believed.

use super::*;

fn delivered(callbacks: Callbacks, body: &str) -> Reading {
    let vendor = InferenceSh::new(Settings { callbacks, ..settings() });
    vendor.read_delivery(&Delivery { headers: &HeaderMap::new(), body: body.as_bytes() }, SINCE).unwrap()
}

#[test]
fn callbacks_come_in_three_forms_and_are_confirmed() {
    let task = r#"{"id":"t1","status":10,"output":{"generated_audio":{"uri":"https://c/a.flac"}},"error":"","session_id":null}"#;
    for body in [
        task.to_owned(),
        format!(r#"{{"event":"task.completed","timestamp":"2026-01-01T00:00:00Z","data":{task}}}"#),
        format!(r#"{{"data":{task},"messages":[]}}"#),
    ] {
        let reading = delivered(Callbacks::Confirm, &body);
        assert_eq!((reading.task.clone(), reading.believed), (Some(task_id("t1")), false));
        assert!(matches!(reading.report, Report::Done(_)), "{reading:?}");
        assert!(delivered(Callbacks::Accept, &body).believed);
    }
}

#[test]
fn a_callback_that_contradicts_itself_decides_nothing_even_when_callbacks_are_believed() {
    for body in [
        r#"{"id":"t1","status":9,"output":{"generated_audio":"https://c/a.flac"}}"#,
        r#"{"id":"t1","status":10,"output":null,"error":"broken"}"#,
        r#"{"id":"t1","status":10,"output":{}}"#,
        r#"{"id":"t1","status":7}"#,
    ] {
        let reading = delivered(Callbacks::Accept, body);
        assert_eq!((reading.report, reading.believed), (Report::Pending, false), "{body}");
    }
}
