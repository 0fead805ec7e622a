//! Tencent by bytes.

mod callbacks;
mod requests;

use http::HeaderMap;
use insta::assert_snapshot;
use serde_json::{Value, json};
use songmill_core::song::Field;
use songmill_core::{Product, Report, Source, Timestamp};
use songmill_vendors::tencent::{Callbacks, DateHeader, EnumForm, FaultRule, Settings, Tencent};
use songmill_vendors::{Accepted, Callback, Delivery, Order, Refusal, Secret, Vendor};

use crate::bytes::*;

fn settings() -> Settings {
    Settings {
        secret_id: Secret::new("AKID-ours"),
        secret_key: Secret::new("very-secret"),
        content_id: "store-1".to_owned(),
        ..Settings::default()
    }
}

fn clock() -> Timestamp {
    Timestamp::from_millis(1_136_214_245_000)
}

fn vendor() -> Tencent {
    Tencent::new(settings(), clock)
}

fn problems(options: &str) -> Vec<String> {
    let json = format!(r#"{{"prompt":"海边","options":{{"tencent":{options}}}}}"#);
    let Err(invalid) = vendor().plan(&song(&json)) else { return vec![] };
    invalid.problems.iter().map(|problem| problem.field.clone()).collect()
}

fn job(state: Value, more: &Value) -> Value {
    let mut job = json!({
        "id": "13f342e4-6866", "state": state, "customId": "c",
        "timing": { "createdAt": "1603432763000", "startedAt": "0", "completedAt": "0" },
        "outputs": [{ "contentId": "store-1", "destination": "/songmill/x/" }],
    });
    if let (Value::Object(job), Value::Object(more)) = (&mut job, more) {
        job.extend(more.clone());
    }
    job
}

fn done() -> Value {
    job(
        json!(3),
        &json!({ "outputs": [{
        "contentId": "store-1", "destination": "/songmill/x/",
        "smartContentResult": { "textBgmGeneration": [{ "songName": "a.mp3" }, { "songName": "b.mp3" }] },
    }] }),
    )
}

fn polled(job: &Value) -> String {
    let body = json!({ "requestId": "r", "getJobResponse": { "job": job } });
    outcome(vendor().poll(&task(&task_id("13f342e4-6866"))), reply(200, body.to_string()))
}

#[test]
fn a_request_with_everything_becomes_this_job() {
    let exchange = submit(
        &vendor(),
        r#"{"prompt":"海边的清晨","style":"吉他","mood":"happy","genre":"pop","count":3,"title":"晨","format":"mp3",
            "instrumental":true,"options":{"tencent":{"type":"large_model","output_prefix":"lake","timeout":600}}}"#,
    );
    assert_snapshot!(show_exchange(&exchange));
}

#[test]
fn own_fields_take_the_place_of_neutral_ones_in_both_forms() {
    let named = Tencent::new(
        Settings { enum_form: EnumForm::Name, type_key: "songType".to_owned(), ..settings() },
        clock,
    );
    let json = r#"{"prompt":"海","mood":"happy","count":2,"options":{"tencent":{"type":2,"emotion":11,"song_quantity":5}}}"#;
    let bgm = |vendor: &dyn Vendor| {
        let body: Value = serde_json::from_slice(submit(vendor, json).request.body()).unwrap();
        body["createJobRequest"]["outputs"][0]["smartContentDescriptor"]["textBgmGeneration"].to_string()
    };
    assert_eq!(bgm(&vendor()), r#"{"songQuantity":5,"emotion":11,"type":2}"#);
    assert_eq!(bgm(&named), r#"{"songQuantity":5,"emotion":"ANGRY","songType":"MULTITRACK"}"#);
}

#[test]
fn every_rule_of_the_page_is_checked() {
    assert!(
        problems(
            r#"{"emotion":9,"genre":5,"type":1,"song_quantity":100,"output_prefix":"abc_def-ghijklmnop1"}"#
        )
        .is_empty()
    );
    assert!(problems(r#"{"emotion":"warm","type":"multitrack"}"#).is_empty());
    assert_eq!(problems(r#"{"emotion":10}"#), ["options.tencent.emotion"]);
    assert_eq!(problems(r#"{"emotion":"angry","type":1}"#), ["options.tencent.emotion"]);
    assert_eq!(problems(r#"{"emotion":12}"#), ["options.tencent.emotion"]);
    assert_eq!(problems(r#"{"genre":"pop","type":2}"#), ["options.tencent.genre"]);
    assert_eq!(problems(r#"{"genre":6}"#), ["options.tencent.genre"]);
    assert_eq!(problems(r#"{"song_quantity":0}"#), ["options.tencent.song_quantity"]);
    assert_eq!(problems(r#"{"song_quantity":101}"#), ["options.tencent.song_quantity"]);
    assert_eq!(problems(r#"{"output_prefix":"abcdefghijklmnopqrst"}"#), ["options.tencent.output_prefix"]);
    assert_eq!(problems(r#"{"speed":1}"#), ["options.tencent.speed"]);
    let refused = |json: &str| vendor().plan(&song(json)).unwrap_err().problems[0].field.clone();
    assert_eq!(refused(r#"{"prompt":"no Chinese"}"#), "prompt");
    assert_eq!(refused(&format!(r#"{{"prompt":"{}"}}"#, "海".repeat(513))), "prompt");
    assert_eq!(refused(r#"{"lyrics":"[verse] 海"}"#), "prompt");
    let lax = Tencent::new(Settings { require_chinese: false, ..settings() }, clock);
    assert!(lax.plan(&song(r#"{"prompt":"no Chinese"}"#)).is_ok());
}

#[test]
fn what_it_has_no_word_for_is_left_out_or_refused() {
    let json =
        r#"{"prompt":"海","mood":"angry","genre":"metal","format":"wav","seed":3,"lyrics":"[verse] a"}"#;
    let plan = vendor().plan(&song(json)).unwrap();
    assert_eq!(plan.dropped, [Field::Lyrics, Field::Mood, Field::Genre, Field::Seed, Field::Format]);
    let required = json.replace("\"seed\":3", "\"seed\":3,\"require\":[\"mood\",\"seed\"]");
    let fields: Vec<_> =
        vendor().plan(&song(&required)).unwrap_err().problems.into_iter().map(|p| p.field).collect();
    assert_eq!(fields, ["seed", "mood"]);
}

#[test]
fn a_callback_address_that_nobody_listens_at_is_left_out() {
    let (vendor, song) = (vendor(), song(r#"{"prompt":"海"}"#));
    let job = songmill_core::JobId::from_bytes([7; 16]);
    let callback = Callback { url: "https://songmill.invalid/callbacks/x", live: false };
    let step = songmill_core::job::StepKind::Song;
    let order = Order { job, attempt: 3, step, song: &song, lyrics: None, callback };
    let exchange = vendor.submit(&order).unwrap();
    let body: Value = serde_json::from_slice(exchange.request.body()).unwrap();
    assert!(body["createJobRequest"].get("callback").is_none());
    let custom_id = body["createJobRequest"]["customId"].as_str().unwrap();
    assert!(custom_id.len() <= 63 && custom_id.is_ascii() && custom_id.ends_with("-3"));
}

#[test]
fn every_answer_to_a_submission_is_sorted() {
    let answer =
        |status, body: &str| outcome(submit(&vendor(), r#"{"prompt":"海"}"#), reply(status, body.to_owned()));
    let created =
        json!({ "requestId": "r", "createJobResponse": { "job": job(json!(1), &json!({})) } }).to_string();
    let error = |message: &str| {
        answer(200, &json!({ "requestId": "r", "errorResponse": { "message": message } }).to_string())
    };
    assert_snapshot!(
        [
            answer(200, &created),
            error("invalid parameter: songQuantity"),
            error("authentication failed: very-secret"),
            error("insufficient balance"),
            error("request frequency exceeded"),
            error("something else"),
            answer(401, r#"{"message":"HMAC signature does not match"}"#),
            answer(404, r#"{"message":"There is no api match uri"}"#),
            answer(429, r#"{"message":"API rate limit exceeded"}"#),
            answer(429, r#"{"message":"API quota exceeded"}"#),
            answer(499, ""),
            answer(504, "<html>Gateway Time-out</html>"),
            answer(200, "{}"),
        ]
        .join("\n")
    );
}

#[test]
fn the_gateways_messages_say_nothing_where_the_api_quotes_them() {
    let said = |body: &str| outcome(submit(&vendor(), r#"{"prompt":"海"}"#), reply(404, body.to_owned()));
    assert!(said(r#"{"message":"There is no api match uri"}"#).starts_with("locked address_invalid"));
    let quoted = said(r#"{"errorResponse":{"message":"There is no api match for my heart"}}"#);
    assert!(quoted.starts_with("unavailable request_forbidden"), "{quoted}");
}

#[test]
fn the_operators_rules_come_before_our_own() {
    let rule = FaultRule {
        contains: "Something".to_owned(),
        kind: songmill_core::FaultKind::Rejected,
        code: "text_refused".to_owned(),
    };
    let vendor = Tencent::new(Settings { faults: vec![rule], ..settings() }, clock);
    let body = r#"{"errorResponse":{"message":"something else"}}"#;
    let said = outcome(submit(&vendor, r#"{"prompt":"海"}"#), reply(200, body));
    assert_eq!(said, "rejected text_refused: something else");
}

#[test]
fn a_failure_of_theirs_on_a_creation_may_have_made_a_job_whatever_its_words() {
    let said = |status, message: &str| {
        let body = json!({ "requestId": "r", "errorResponse": { "message": message } }).to_string();
        outcome(submit(&vendor(), r#"{"prompt":"海"}"#), reply(status, body))
    };
    for status in [408, 499, 500, 502, 503, 504] {
        assert_eq!(said(status, "invalid parameter"), "unknown vendor_error: invalid parameter", "{status}");
    }
    assert_eq!(said(200, "context deadline exceeded"), "unknown vendor_error: context deadline exceeded");
    assert_eq!(said(200, "请求超时"), "unknown vendor_error: 请求超时");
    assert_eq!(said(429, "slow down, retry in 7s"), "throttled rate_limited: slow down, retry in 7s");
    assert_eq!(said(400, "no"), "rejected request_refused: no");
    assert_eq!(
        said(400, "invalid secretKey"),
        "unavailable request_forbidden (key_refused if confirmed): invalid secretKey"
    );
}

#[test]
fn words_inside_other_words_do_not_sort_a_message() {
    let said = |message: &str| {
        let body = json!({ "errorResponse": { "message": message } }).to_string();
        outcome(submit(&vendor(), r#"{"prompt":"海"}"#), reply(200, body))
    };
    assert_eq!(said("failed to generate"), "unknown vendor_error: failed to generate");
    for limit in
        ["Rate limit exceeded", "rateLimit reached", "quota exceeded", "API limit reached", "配额不足"]
    {
        assert_eq!(said(limit), format!("unavailable rate_limited: {limit}"), "words teach no rates");
    }
    for refused in ["invalid songQuantity: exceeds limit", "text length exceeds the limit", "invalid timeout"]
    {
        assert_eq!(said(refused), format!("rejected request_refused: {refused}"));
    }
}

#[test]
fn every_state_is_understood_as_number_text_or_name() {
    for (state, expected) in [
        (json!(1), "Pending"),
        (json!("2"), "Pending"),
        (json!("PROCESSING"), "Pending"),
        (json!(99), "Pending"),
        (json!(5), "Canceled"),
        (json!("CANCELED"), "Canceled"),
    ] {
        assert_eq!(polled(&job(state.clone(), &json!({}))), expected, "{state}");
    }
    assert!(polled(&job(json!(4), &json!({ "message": "no model" }))).contains("task_failed"));
    let body = json!({ "getJobResponse": { "job": job(json!(4), &json!({ "message": "no model" })) } });
    let failed = end(vendor().poll(&task(&task_id("x"))).read(reply(200, body.to_string()))).unwrap();
    assert!(matches!(&failed, Report::Failed(fault) if fault.words() == "no model"), "{failed:?}");
    assert!(polled(&job(json!(3), &json!({}))).contains("Unreadable"));
    assert!(polled(&done()).contains(r#"Object { store: "store-1", key: "songmill/x/a.mp3" }"#));
    let mut as_text = done();
    as_text["outputs"][0]["smartContentResult"] =
        json!({ "songs": json!([{ "songName": "a.mp3" }]).to_string(), "note": "two songs" });
    assert!(polled(&as_text).contains(r#"key: "songmill/x/a.mp3""#), "{}", polled(&as_text));
    assert!(!polled(&as_text).contains("two songs"));
    let gone = reply(200, r#"{"requestId":"r","errorResponse":{"message":"job not found"}}"#);
    assert_eq!(outcome(vendor().poll(&task(&task_id("x"))), gone), "rejected task_gone: job not found");
}

#[test]
fn songs_are_read_in_whatever_shape_they_are_named() {
    let songs = |result: Value| {
        polled(&job(
            json!(3),
            &json!({ "outputs": [{ "contentId": "s", "destination": "/x", "smartContentResult": result }] }),
        ))
    };
    let name = "a//b (1).mp3";
    for result in [
        json!({ "textBgmGeneration": [{ "songName": name }] }),
        json!({ "textBgmGeneration": [{ "songName": { "name": name } }] }),
        json!({ "textBgmGeneration": [[{ "fileName": name }]] }),
        json!({ "textBgmGeneration": { "songName": name } }),
        json!({ "textBgmGeneration": { "songs": [name] } }),
        json!({ "textBgmGeneration": [name] }),
        json!({ "textBgmGeneration": [{ "songName": format!("/{name}\n") }, { "songName": "cover.png" }] }),
        json!(json!({ "textBgmGeneration": [{ "songName": name }] }).to_string()),
    ] {
        let shown = songs(result.clone());
        assert!(shown.contains(r#"key: "x/a//b (1).mp3""#), "{result} {shown}");
        assert_eq!(shown.matches("Output {").count(), 1, "{result} {shown}");
    }
    let at_an_address = songs(json!({ "textBgmGeneration": [{ "url": "https://a.example/1.mp3" }] }));
    assert!(at_an_address.contains(r#"Url("https://a.example/1.mp3")"#), "{at_an_address}");
    let in_brackets = songs(json!({ "textBgmGeneration": ["[final] song.mp3", "{1}.mp3"] }));
    assert!(in_brackets.contains(r#"key: "x/[final] song.mp3""#), "{in_brackets}");
    assert!(in_brackets.contains(r#"key: "x/{1}.mp3""#), "{in_brackets}");
    let overlong =
        songs(json!({ "textBgmGeneration": [{ "songName": "a".repeat(9000) }, { "songName": name }] }));
    assert!(
        overlong.contains("Unusable(\"aaa") && !overlong.contains(&"a".repeat(8200)),
        "it keeps its place"
    );
    let one_is_not_there = songs(json!({ "textBgmGeneration": [{ "songName": "" }, { "songName": name }] }));
    assert!(one_is_not_there.contains(r#"Unusable("")"#), "it keeps its place: {one_is_not_there}");
    for nothing in
        [json!({}), json!({ "textBgmGeneration": [] }), json!(null), json!({ "textBgmGeneration": [{}] })]
    {
        assert!(songs(nothing.clone()).contains("Unreadable"), "{nothing}");
    }
}

#[test]
fn a_lost_submission_is_found_by_its_custom_id() {
    let exchange = find(&vendor());
    assert_snapshot!(show_exchange(&exchange));
    let body: Value = serde_json::from_slice(exchange.request.body()).unwrap();
    let ours = body["listJobsRequest"]["customId"].clone();
    let jobs = json!({ "listJobsResponse": { "total": 3, "jobs": [
        job(json!(4), &json!({ "id": "failed", "customId": ours })),
        job(json!(2), &json!({ "id": "later", "customId": ours, "timing": { "createdAt": "1603432764000" } })),
        job(json!(2), &json!({ "id": "first", "customId": ours })),
        job(json!(3), &json!({ "id": "foreign", "customId": "other" })),
    ] } });
    assert_eq!(outcome(exchange, reply(200, jobs.to_string())), r#"Some("first")"#);
    let none = json!({ "listJobsResponse": { "jobs": [], "total": 0 } });
    assert_eq!(outcome(find(&vendor()), reply(200, none.to_string())), "None");
}

#[test]
fn a_look_up_that_cannot_tell_gives_no_answer() {
    let looked = |listed: Value| {
        let exchange = find(&vendor());
        outcome(exchange, reply(200, json!({ "listJobsResponse": listed }).to_string()))
    };
    let foreign = job(json!(2), &json!({ "customId": "other" }));
    assert_eq!(looked(json!({})), "None");
    assert_eq!(looked(json!({ "jobs": [foreign], "total": 1 })), "None");
    let unreadable = json!({ "customId": "other", "state": {} });
    assert_eq!(looked(json!({ "jobs": [unreadable], "total": "1" })), "None");
    for listed in [
        json!({ "total": 2 }),
        json!({ "jobs": [foreign], "total": 101 }),
        json!({ "jobs": [job(json!(2), &json!({ "customId": null }))], "total": 1 }),
    ] {
        assert!(looked(listed.clone()).starts_with("unavailable look_up_incomplete"), "{listed}");
    }
}

#[test]
fn a_job_that_is_taken_without_a_state_is_not_lost() {
    let shown = json!({ "id": "13f342e4-6866" });
    let body = json!({ "createJobResponse": { "job": shown } }).to_string();
    let accepted = end(submit(&vendor(), r#"{"prompt":"海"}"#).read(reply(200, body))).unwrap();
    assert_eq!(accepted, Accepted::Task(task_id("13f342e4-6866")));
    assert!(polled(&shown).starts_with("garbled reply_garbled"));
    let body = shown.to_string();
    let delivery = Delivery { headers: &HeaderMap::new(), body: body.as_bytes() };
    assert!(matches!(vendor().read_delivery(&delivery, clock()), Err(Refusal::Garbled(_))));
}

#[test]
fn a_task_that_is_taken_is_followed() {
    let body = json!({ "createJobResponse": { "job": job(json!(1), &json!({})) } }).to_string();
    let accepted = end(submit(&vendor(), r#"{"prompt":"海"}"#).read(reply(200, body))).unwrap();
    assert_eq!(accepted, Accepted::Task(task_id("13f342e4-6866")));
}

#[test]
fn a_page_that_says_our_key_back_is_not_kept() {
    let page = "<title>very-secret AKID-ours</title>";
    let song = r#"{"prompt":"海"}"#;
    for status in [200, 302, 401, 500] {
        let said = [
            outcome(submit(&vendor(), song), reply(status, page)),
            outcome(vendor().poll(&task(&task_id("x"))), reply(status, page)),
            outcome(find(&vendor()), reply(status, page)),
        ];
        assert!(said.iter().all(|words| words.contains("*** ***")), "{status}: {said:?}");
    }
    let delivery = Delivery { headers: &HeaderMap::new(), body: page.as_bytes() };
    let refusal = vendor().read_delivery(&delivery, clock()).unwrap_err().to_string();
    assert!(!refusal.contains("secret") && !refusal.contains("AKID"), "{refusal}");
}
