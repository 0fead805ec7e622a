//! inference.sh by bytes.

mod callbacks;
mod look_ups;

use http::HeaderMap;
use insta::assert_snapshot;
use songmill_core::song::{Field, summary};
use songmill_core::{FaultKind, Product, Report};
use songmill_vendors::inference_sh::{Callbacks, InferenceSh, Infra, Numbering, Settings};
use songmill_vendors::{Accepted, Delivery, Exchange, Reading, Refusal, Secret, Vendor, Watched, Within};

use crate::bytes::*;

const SUNG: &str = r#"{"lyrics":"[verse]\nla la"}"#;
const WITH_AUDIO: &str =
    r#"{"lyrics":"[verse] la","genre":"pop","reference_audio":"data:audio/wav;base64,UklGRg=="}"#;

fn settings() -> Settings {
    Settings { key: Secret::new("inf_secret"), ..Settings::default() }
}

fn vendor() -> InferenceSh {
    InferenceSh::new(settings())
}

fn problems(json: &str) -> String {
    let invalid = vendor().plan(&song(json)).unwrap_err();
    invalid.problems.iter().map(|problem| format!("{problem}\n")).collect()
}

fn input(json: &str) -> String {
    let body: serde_json::Value = serde_json::from_slice(submit(&vendor(), json).request.body()).unwrap();
    body["input"].to_string()
}

#[test]
fn a_request_with_everything_becomes_this_task() {
    let vendor = InferenceSh::new(Settings { infra: Some(Infra::PrivateFirst), ..settings() });
    let exchange = submit(
        &vendor,
        r#"{"prompt":"warm piano, strings","style":"POP, 110 bpm","mood":"happy","genre":"pop","vocal":"female",
            "lyrics":"[intro]\n\n[Verse]\nDon't go, stay.\n\n[Chorus]\n你好，世界","duration_s":90,"title":"Stay",
            "format":"flac","reference_audio":"https://audio.example.com/a.wav",
            "options":{"inference_sh":{"auto_prompt_type":"R&B","generate_type":"separate","temperature":0.8,
              "cfg_coef":1.6,"top_k":40,"top_p":0.1}}}"#,
    );
    assert_snapshot!(show_exchange(&exchange));
}

#[test]
fn neutral_fields_become_tags_types_and_sections() {
    assert_snapshot!(input(r#"{"lyrics":"[verse] la","genre":"rock","duration_s":30}"#), @r#"{"lyrics":"[verse] la.","descriptions":"rock","auto_prompt_type":"Rock","max_duration":30}"#);
    assert_snapshot!(input(r#"{"prompt":"slow rain","instrumental":true}"#), @r#"{"lyrics":"[intro-medium] ; [inst-medium] ; [outro-short]","descriptions":"slow rain","generate_type":"bgm"}"#);
    assert_snapshot!(input(r#"{"prompt":"x","options":{"inference_sh":{"lyrics":"[chorus] own","descriptions":"male","generate_type":"vocal","max_duration":60}}}"#), @r#"{"lyrics":"[chorus] own.","descriptions":"male","generate_type":"vocal","max_duration":60}"#);
}

#[test]
fn lyrics_are_sent_as_they_are_written_and_every_change_is_in_the_plan() {
    let changes = |json: &str| summary(&vendor().plan(&song(json)).unwrap().changes);
    let plain = r#"{"lyrics":"We'll be young & free\nI'll stay\n\n**Chorus**\nShe'd go，no"}"#;
    assert_snapshot!(input(plain), @r#"{"lyrics":"[verse] We'll be young & free. I'll stay. ; [chorus] She'd go,no."}"#);
    assert_snapshot!(changes(plain), @"lyrics: 1 section added ([verse] We'll be young & free), 1 tag mapped (**Chorus** -> [chorus]), 1 punctuation mark replaced (， -> ,), 1 line end became a sentence end, 2 final full stops added");
    let own = r#"{"prompt":"x","options":{"inference_sh":{"lyrics":"[intro-short] ; [verse] Don't, stop! Why? Go. ; [chorus] 你好.世界"}}}"#;
    assert_snapshot!(input(own), @r#"{"lyrics":"[intro-short] ; [verse] Don't, stop! Why? Go. ; [chorus] 你好.世界","descriptions":"x"}"#);
}

#[test]
fn everything_that_is_wrong_is_named() {
    let lines = problems(
        r#"{"lyrics":"la [hook] la ; [inst-short] la","format":"mp3","seed":3,"require":["seed","format"],
            "instrumental":true,"options":{"inference_sh":{"temperature":2.5,"cfg_coef":-1,"top_k":0,"top_p":1.5,
            "max_duration":4,"auto_prompt_type":"Latin","generate_type":"mixed","seed":1,
            "prompt_audio":"ftp://a/b"}}}"#,
    );
    assert_snapshot!(lines);
    assert_snapshot!(problems(r#"{"prompt":"a song about rain","lyrics_prompt":"rain","require":["lyrics_prompt"]}"#), @r"
    lyrics_prompt: cannot be honoured by inference.sh; leave it out of require, change it, or choose another vendor
    lyrics: is missing, and the app writes no words of its own; give lyrics, set instrumental: true, or put a vendor before this one that writes words
    ");
    assert_snapshot!(problems(r#"{"lyrics":"[intro] ; [outro]"}"#), @"lyrics: has no section that is sung; add a [verse], [chorus] or [bridge] with words, or set instrumental: true");
}

#[test]
fn what_is_preferred_and_cannot_be_had_is_left_out_and_said() {
    use Field::*;
    let json = r#"{"lyrics":"[verse] la","seed":3,"count":2,"format":"wav","duration_s":200,"title":"t"}"#;
    assert_eq!(vendor().plan(&song(json)).unwrap().dropped, [DurationS, Seed, Count, Format]);
    assert!(!input(json).contains("max_duration"));
}

#[test]
fn audio_in_the_request_is_uploaded_under_a_name_of_its_own_and_without_our_key() {
    let announce = submit(&vendor(), WITH_AUDIO);
    assert_snapshot!("announce", show_exchange(&announce));
    let announced = r#"{"data":[{"id":"f","uri":"https://cloud.inference.sh/u/p.wav","upload_url":"https://acct.r2.cloudflarestorage.com/p?X-Amz-Signature=s"}],"messages":[]}"#;
    let put = then(announce.read(reply(200, announced)));
    assert_snapshot!(show_exchange(&put), @"
    [free] PUT https://acct.r2.cloudflarestorage.com/p?X-Amz-Signature=s
    content-type: audio/wav

    RIFF
    ");
    let run = then(put.read(reply(200, "")));
    let shown = show_exchange(&run);
    assert!(shown.starts_with("[creates]"), "{shown}");
    assert!(shown.contains(r#""prompt_audio": "https://cloud.inference.sh/u/p.wav""#), "{shown}");
    assert!(!shown.contains("auto_prompt_type"), "{shown}");

    let put = || then(submit(&vendor(), WITH_AUDIO).read(reply(200, announced)));
    assert_snapshot!(outcome(put(), reply(403, "<Error>expired</Error>")), @"unavailable upload_failed: 403: an HTML page");
    let announce = || submit(&vendor(), WITH_AUDIO);
    assert_snapshot!(outcome(announce(), reply(500, "")), @"unavailable vendor_error:");
    assert_snapshot!(outcome(announce(), reply(401, "")), @"unavailable request_forbidden (key_refused if confirmed):");
    assert_snapshot!(outcome(announce(), reply(200, r#"{"data":[{"uri":"/local","upload_url":"https://a/b"}]}"#)), @"garbled reply_garbled: 200: a file without upload_url and uri");
    for (what, body) in garbage() {
        assert_eq!(end(announce().read(reply(200, body))).unwrap_err().kind, FaultKind::Garbled, "{what}");
    }
}

#[test]
fn a_task_that_was_created_is_followed_in_every_envelope() {
    let task = r#"{"id":"2khet8d1p6z26krbtvn9d7rkth","short_id":"2khet8d1","status":1,"status_text":"","output":null}"#;
    for body in [
        format!(r#"{{"data":{task},"messages":[]}}"#),
        format!(r#"{{"success":true,"status":200,"data":{task}}}"#),
        task.to_owned(),
    ] {
        let accepted = end(submit(&vendor(), SUNG).read(reply(200, body))).unwrap();
        assert_eq!(accepted, Accepted::Task(task_id("2khet8d1p6z26krbtvn9d7rkth")));
    }
}

fn problem(status: u16, code: &str, detail: &str) -> String {
    let kind = format!("https://api.inference.sh/errors/{code}");
    serde_json::json!({"type": kind, "title": "T", "status": status, "detail": detail}).to_string()
}

#[test]
fn every_refusal_of_a_submission_says_what_to_do() {
    let limit = |resource: &str| {
        format!(
            r#"{{"type":"https://api.inference.sh/errors/limit_exceeded","status":402,"detail":"limit of {resource}","meta":{{"resource":"{resource}"}}}}"#
        )
    };
    let cases: Vec<(u16, String)> = vec![
        (400, problem(400, "invalid_request", "malformed")),
        (401, problem(401, "unauthorized", "Invalid or missing API key inf_secret")),
        (402, problem(402, "payment_required", "no balance")),
        (402, problem(402, "payment_method_required", "no card")),
        (402, limit("rate_per_min")),
        (402, limit("concurrency")),
        (402, limit("task_executions")),
        (403, problem(403, "insufficient_scope", "apps:execute")),
        (403, problem(403, "feature_not_available", "webhooks")),
        (403, r#"{"message":"Access denied"}"#.into()),
        (404, problem(404, "not_found", "no such app")),
        (409, problem(409, "conflict", "state")),
        (410, problem(410, "app_retired", "retired")),
        (412, r#"{"satisfied":false,"errors":[{"type":"secret","key":"HF_TOKEN","message":"HF_TOKEN is missing"}]}"#.into()),
        (422, r#"{"type":"https://api.inference.sh/errors/validation_error","status":422,"detail":"invalid input","data":[{"path":"/lyrics","message":"is required"}]}"#.into()),
        (429, problem(429, "rate_limited", "slow down")),
        (451, "service not available in your region".into()),
        (500, problem(500, "internal_error", "oops")),
        (500, problem(500, "entitlement_unavailable", "try again")),
        (503, problem(503, "app_maintenance", "paused")),
        (502, "<html><title>502 Bad Gateway</title></html>".into()),
        (200, r#"{"success":false,"status":401,"error":{"code":"unauthorized","message":"no key"}}"#.into()),
        (200, r#"{"success":false,"status":503,"error":{"code":"app_maintenance","message":"paused"}}"#.into()),
        (200, r#"{"success":false}"#.into()),
    ];
    let lines: String = cases
        .into_iter()
        .map(|(status, body)| format!("{status} {}\n", outcome(submit(&vendor(), SUNG), reply(status, body))))
        .collect();
    assert_snapshot!(lines);
    let told = reply_with(503, ("retry-after", "120"), problem(503, "app_maintenance", "paused"));
    assert_snapshot!(outcome(submit(&vendor(), SUNG), told), @"unavailable vendor_maintenance after 120 s: paused");
}

#[test]
fn a_reply_that_cannot_be_read_is_garbled_wherever_it_comes() {
    let vendor = vendor();
    let id = task_id("t1");
    for (what, body) in garbage() {
        let mut faults = vec![
            end(submit(&vendor, SUNG).read(reply(200, body.clone()))).unwrap_err(),
            end(vendor.poll(&task(&id)).read(reply(200, body.clone()))).unwrap_err(),
            end(whole().read(reply(200, body.clone()))).unwrap_err(),
            end(find(&vendor).read(reply(200, body.clone()))).unwrap_err(),
        ];
        // What a cancellation answers has been nothing, null and half a task.
        if ["HTML", "a cut object", "no UTF-8", "a deep object", "a huge object"].contains(&what) {
            faults.push(end(vendor.cancel(&task(&id)).unwrap().read(reply(200, body.clone()))).unwrap_err());
        }
        for fault in faults {
            assert_eq!((fault.kind, &*fault.code), (FaultKind::Garbled, "reply_garbled"), "{what}");
        }
        let delivery = Delivery { headers: &HeaderMap::new(), body: &body };
        assert!(matches!(vendor.read_delivery(&delivery, SINCE), Err(Refusal::Garbled(_))), "{what}");
    }
}

/// The second request of a look at task `t1`.
fn whole() -> Exchange<Report> {
    whole_of(&vendor())
}

fn whole_of(vendor: &InferenceSh) -> Exchange<Report> {
    let id = task_id("t1");
    then(
        vendor
            .poll(&task(&id))
            .read(reply(200, r#"{"data":{"id":"t1","status":10,"updated_at":"x"},"messages":[]}"#)),
    )
}

fn shown(report: Report) -> String {
    match report {
        Report::Failed(fault) => format!("failed: {}", line(&fault)),
        Report::Done(Product::Audio(outputs)) => {
            outputs.audio.iter().map(|output| format!("{:?} {:?}; ", output.source, output.part)).collect()
        }
        report => format!("{report:?}"),
    }
}

#[test]
fn a_look_asks_for_the_status_and_for_the_task_only_at_its_end() {
    let vendor = vendor();
    let id = task_id("t/1");
    let poll = || vendor.poll(&task(&id));
    assert_snapshot!(show_exchange(&poll()), @r"
    [free] GET https://api.inference.sh/tasks/t%2F1/status
    authorization: Bearer inf_secret
    ");
    let say = |status: &str| {
        poll().read(reply(200, format!(r#"{{"data":{{"id":"t/1","status":{status}}},"messages":[]}}"#)))
    };
    for live in ["0", "1", "7", "8", "\"running\"", "\"7\""] {
        assert_eq!(end(say(live)).unwrap(), Report::Pending, "{live}");
    }
    for ended in ["9", "10", "11", "12", "13", "99", "\"completed\"", "\"weird\""] {
        let whole = then(say(ended));
        assert_eq!(whole.request.uri(), "https://api.inference.sh/tasks/t%2F1", "{ended}");
    }
    assert_snapshot!(outcome(poll(), reply(404, problem(404, "not_found", "no task"))), @"rejected task_gone: no task");
    assert_snapshot!(outcome(poll(), reply(503, "")), @"unavailable vendor_error:");
    assert_snapshot!(outcome(poll(), reply_with(429, ("retry-after", "60"), "")), @"throttled rate_limited after 60 s:");
    assert_snapshot!(outcome(poll(), reply(200, r#"{"data":{"id":"t2","status":1}}"#)), @"garbled reply_garbled: 200: the answer is about another task");
}

#[test]
fn every_end_of_a_task_is_understood() {
    let song = r#""output":{"generated_audio":"https://cloud.inference.sh/t/a/b.flac","vocal_audio":null}"#;
    let cases = [
        format!(r#"{{"id":"t1","status":10,{song}}}"#),
        r#"{"id":"t1","status":10,"output":{"generated_audio":{"uri":"https://c/a.flac","path":"/tmp/a"},"vocal_audio":"https://c/v.flac","bgm_audio":{"url":"https://c/b.flac"}}}"#.to_owned(),
        format!(r#"{{"id":"t1","status":9,"status_text":"completed",{song}}}"#),
        format!(r#"{{"id":"t1","status":9,{song}}}"#),
        r#"{"id":"t1","status":9,"output":{}}"#.to_owned(),
        r#"{"id":"t1","status":10,"output":null,"error":"gen_type X not supported"}"#.to_owned(),
        r#"{"id":"t1","status":12,"output":{}}"#.to_owned(),
        r#"{"id":"t1","status":13,"error":"run admission refused"}"#.to_owned(),
        r#"{"id":"t1","status":99}"#.to_owned(),
        r#"{"id":"t1","status":11,"error":""}"#.to_owned(),
        r#"{"id":"t1","status":11,"error":"task interrupted, please retry"}"#.to_owned(),
        r#"{"id":"t1","status":11,"error":"task expired while waiting for available capacity, please retry"}"#.to_owned(),
        r#"{"id":"t1","status":11,"error":"no active workers with matching resources"}"#.to_owned(),
        r#"{"id":"t1","status":11,"error":"no available workers — capacity reserved for higher-priority apps"}"#.to_owned(),
        r#"{"id":"t1","status":11,"error":"failed to prepare secrets for this app, please check your secret configuration"}"#.to_owned(),
        r#"{"id":"t1","status":11,"error":"setup failed: No such file or directory: third_party/demucs/ckpt/htdemucs.yaml"}"#.to_owned(),
        r#"{"id":"t1","status":11,"error":"auto_prompt_audio_type X not found"}"#.to_owned(),
        r#"{"id":"t1","status":11,"error":"CUDA out of memory"}"#.to_owned(),
    ];
    let lines: String = cases
        .into_iter()
        .map(|body| {
            let result = end(whole().read(reply(200, body.clone())));
            format!("{body}\n  {}\n", result.map_or_else(|fault| line(&fault), shown))
        })
        .collect();
    assert_snapshot!(lines);
}

#[test]
fn a_completed_task_without_output_is_not_read_as_a_failure_and_its_answer_is_kept() {
    for output in
        [r#"{}"#, "null", r#"{"generated_audio":""}"#, r#"{"generated_audio":null,"generation_info":"x"}"#]
    {
        let body = format!(
            r#"{{"data":{{"id":"t1","status":10,"output":{output},"webhook":"https://w/callbacks/inference_sh/j/1/k.mac"}}}}"#
        );
        match end(whole().read(reply(200, body))).unwrap() {
            Report::Unreadable(answer) => {
                assert!(
                    answer.as_str().contains(output) && !answer.as_str().contains("k.mac"),
                    "{}",
                    answer.as_str()
                );
            }
            report => panic!("{report:?}"),
        }
    }
}

#[test]
fn the_numbering_is_a_setting() {
    let with = |numbering, body: &str| {
        let vendor = InferenceSh::new(Settings { numbering, ..settings() });
        end(whole_of(&vendor).read(reply(200, body.to_owned()))).unwrap()
    };
    let nine = r#"{"id":"t1","status":9,"output":{"generated_audio":"https://c/a.flac"}}"#;
    assert!(matches!(with(Numbering::Legacy, nine), Report::Done(_)));
    assert_eq!(with(Numbering::Current, nine), Report::Pending);
    assert!(matches!(with(Numbering::Legacy, r#"{"id":"t1","status":10}"#), Report::Failed(_)));
    assert_eq!(with(Numbering::Legacy, r#"{"id":"t1","status":11}"#), Report::Canceled);
}

#[test]
fn a_task_that_ended_before_it_was_stopped_is_no_fault() {
    let vendor = vendor();
    let id = task_id("t1");
    let cancel = || vendor.cancel(&task(&id)).unwrap();
    assert!(show_exchange(&cancel()).starts_with("[free] POST https://api.inference.sh/tasks/t1/cancel"));
    for (status, body) in [(200, "{}"), (204, ""), (200, r#"{"data":null,"messages":[]}"#), (409, "")] {
        assert_eq!(outcome(cancel(), reply(status, body)), "()");
    }
    assert_snapshot!(outcome(cancel(), reply(500, "")), @"unavailable vendor_error:");
}

fn listed(items: &[(&str, &str, &str)], next: &str) -> String {
    let items: Vec<_> = items
        .iter()
        .map(|(id, webhook, made)| serde_json::json!({"id": id, "webhook": webhook, "created_at": made}))
        .collect();
    serde_json::json!({"data": {"items": items, "next_cursor": next, "has_next": !next.is_empty()}, "messages": []})
        .to_string()
}

#[test]
fn a_lost_submission_is_found_by_its_mark_page_by_page() {
    let vendor = vendor();
    let first = find(&vendor);
    assert_snapshot!(show_exchange(&first));
    let other = ("t9", "https://other.example.com/x", "2023-11-14T22:20:00.1Z");
    let second = then(first.read(reply(200, listed(&[other], "c2"))));
    assert!(show_exchange(&second).contains(r#""cursor": "c2""#));
    let ours = format!("https://elsewhere.example.com{}k9.othermac", mark(&vendor));
    let page = listed(&[other, ("t1", &ours, "2023-11-14T22:13:21Z")], "");
    assert_eq!(end(second.read(reply(200, page))).unwrap(), Some(task_id("t1")));
}

#[test]
fn many_tasks_are_looked_at_with_one_request_and_the_rest_by_themselves() {
    let vendor = vendor();
    let tasks = ["live", "done", "bare", "away"].map(|id| Watched { id: task_id(id), since: SINCE });
    let first = vendor.poll_many(&tasks, Within::default()).unwrap();
    assert!(show_exchange(&first).contains("/tasks/list"), "{}", show_exchange(&first));
    let output = serde_json::json!({ "generated_audio": "https://cloud.inference.sh/t/a/b.flac" });
    let made = "2023-11-14T22:13:21Z";
    let items = serde_json::json!([
        { "id": "other", "status": 10, "output": output, "created_at": made },
        { "id": "done", "status": 10, "output": output, "created_at": made },
        { "id": "bare", "status": 10, "created_at": made },
        { "id": "live", "status": 7, "created_at": made },
    ]);
    let page =
        serde_json::json!({ "data": { "items": items, "next_cursor": "c2", "has_next": true } }).to_string();
    // One that is older than all of them ends the search.
    let older = listed(&[("t0", "", "2023-11-14T22:12:19Z")], "c3");
    let second = then(first.read(reply(200, page)));
    let found = end(second.read(reply(200, older))).unwrap().seen;
    let ids: Vec<_> = found.iter().map(|seen| seen.task.as_str()).collect();
    assert_eq!(ids, ["done", "live"], "what shows no audio here, or does not show, is asked for by itself");
    assert!(matches!(&found[0].report, Report::Done(Product::Audio(outputs)) if outputs.audio.len() == 1));
    assert_eq!(found[1].report, Report::Pending);
}
