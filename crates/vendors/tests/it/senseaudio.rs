//! SenseAudio by bytes.

use http::HeaderMap;
use insta::assert_snapshot;
use serde_json::{Value, json};
use songmill_core::job::StepKind;
use songmill_core::song::{Field, summary};
use songmill_core::{JobId, Lyrics, Product, Timestamp};
use songmill_vendors::senseaudio::{Generation, Paths, SenseAudio, Settings, WeightForm};
use songmill_vendors::{Accepted, Callback, Delivery, Exchange, Order, Refusal, Secret, TaskRef, Vendor};

use crate::bytes::*;

fn settings() -> Settings {
    Settings { key: Secret::new("sk-secret"), ..Settings::default() }
}

fn vendor() -> SenseAudio {
    SenseAudio::new(settings())
}

fn ordered(vendor: &SenseAudio, step: StepKind, json: &str, lyrics: Option<&Lyrics>) -> Exchange<Accepted> {
    let callback = Callback { url: "https://songmill.invalid/callbacks/x", live: false };
    let song = song(json);
    let order = Order { job: JobId::from_bytes([7; 16]), attempt: 1, step, song: &song, lyrics, callback };
    vendor.submit(&order).unwrap()
}

fn polled(step: StepKind, body: &Value) -> String {
    let id = task_id("50f979f5");
    outcome(vendor().poll(&TaskRef { step, id: &id }), reply(200, body.to_string()))
}

const WORDS: &str = r#"{"lyrics_prompt":"一首关于夏天的歌","style":"pop","vocal":"female","title":"夏"}"#;

#[test]
fn lyrics_come_first_where_they_are_asked_for() {
    let plan = vendor().plan(&song(WORDS)).unwrap();
    assert_eq!(plan.steps, [StepKind::Lyrics, StepKind::Song]);
    assert_eq!(vendor().plan(&song(r#"{"style":"pop"}"#)).unwrap().steps, [StepKind::Song]);
    let exchange = ordered(&vendor(), StepKind::Lyrics, WORDS, None);
    assert_snapshot!(show_exchange(&exchange), @r#"
    [creates] POST https://api.senseaudio.cn/v1/song/lyrics/create
    authorization: Bearer sk-secret
    content-type: application/json

    {
      "prompt": "一首关于夏天的歌",
      "provider": "sensesong"
    }
    "#);
}

#[test]
fn lyrics_are_taken_at_once_or_followed() {
    let lyrics = |body: Value| {
        let exchange = ordered(&vendor(), StepKind::Lyrics, WORDS, None);
        end(exchange.read(reply(200, body.to_string()))).unwrap()
    };
    let written = Lyrics { text: "[verse] la".into(), title: None };
    assert_eq!(
        lyrics(json!({ "data": [{ "text": "[verse] la", "title": "" }] })),
        Accepted::Done(Product::Lyrics(written))
    );
    assert_eq!(lyrics(json!({ "task_id": "bcee6b21" })), Accepted::Task(task_id("bcee6b21")));
    let said = json!({ "task_id": "bcee6b21", "message": { "content": "queued" } });
    assert_eq!(lyrics(said), Accepted::Task(task_id("bcee6b21")), "words of the answer are no lyrics");
    let body = json!({ "task_id": "b", "status": "SUCCESS", "response": { "data": [{ "text": "[verse] la", "title": "La" }] } });
    assert!(polled(StepKind::Lyrics, &body).contains(r#"Lyrics { text: "[verse] la", title: Some("La") }"#));
}

#[test]
fn a_song_sings_what_was_written_in_both_generations() {
    let written = Lyrics { text: "[verse] la la".into(), title: None };
    let json = r#"{"lyrics_prompt":"x","style":"pop","genre":"jazz","mood":"calm","prompt":"late night","vocal":"male",
        "title":"La","options":{"senseaudio":{"style_weight":0.5,"negative_tags":"metal"}}}"#;
    assert_snapshot!(show_exchange(&ordered(&vendor(), StepKind::Song, json, Some(&written))));
    let v1 = SenseAudio::new(Settings { generation: Generation::V1, custom_mode: Some(false), ..settings() });
    let exchange = ordered(&v1, StepKind::Song, json, Some(&written));
    assert_eq!(exchange.request.uri(), "https://api.senseaudio.cn/v1/music/song/create");
    let body: Value = serde_json::from_slice(exchange.request.body()).unwrap();
    assert_eq!((&body["model"], &body["style_weight"]), (&json!("senseaudio-music-1.0-260319"), &json!(0.5)));
    assert_eq!(body["custom_mode"], false);
    let number = SenseAudio::new(Settings { style_weight_form: Some(WeightForm::Number), ..settings() });
    let body: Value =
        serde_json::from_slice(ordered(&number, StepKind::Song, json, None).request.body()).unwrap();
    assert_eq!(body["style_weight"], json!(0.5));
}

#[test]
fn plain_lyrics_become_tagged_sections_and_the_plan_says_so() {
    let json = r#"{"lyrics":"主歌：\n你好，世界。\n走吧\n\n[Verse 2]\nWe'll stay","style":"pop"}"#;
    let sent = |vendor: &SenseAudio, json: &str| -> Value {
        let body = ordered(vendor, StepKind::Song, json, None).request.into_body();
        serde_json::from_slice::<Value>(&body).unwrap()["lyrics"].clone()
    };
    assert_eq!(sent(&vendor(), json), "[verse] 你好，世界。走吧 ; [verse] We'll stay");
    let plan = vendor().plan(&song(json)).unwrap();
    assert_eq!(
        summary(&plan.changes),
        "lyrics: 2 tags mapped (主歌： -> [verse], [Verse 2] -> [verse]), 1 line end became a sentence end"
    );
    let tagged = r#"{"lyrics":"[intro-short] ; [verse] snow, on the hill! ; [chorus] all is still"}"#;
    assert_eq!(sent(&vendor(), tagged), "[intro-short] ; [verse] snow, on the hill! ; [chorus] all is still");
    assert_eq!(vendor().plan(&song(tagged)).unwrap().changes, []);
    // In this mode the words are no words, but what words should be about.
    let v1 = SenseAudio::new(Settings { generation: Generation::V1, custom_mode: Some(true), ..settings() });
    assert_eq!(sent(&v1, r#"{"lyrics":"a song about\n\nrain; and more"}"#), "a song about\n\nrain; and more");
}

#[test]
fn every_rule_is_checked() {
    let refused = |json: &str| -> Vec<String> {
        let Err(invalid) = vendor().plan(&song(json)) else { return vec![] };
        invalid.problems.into_iter().map(|problem| problem.field).collect()
    };
    assert_eq!(
        refused(r#"{"style":"p","options":{"senseaudio":{"style_weight":1.5}}}"#),
        ["options.senseaudio.style_weight"]
    );
    assert_eq!(
        refused(r#"{"style":"p","options":{"senseaudio":{"vocal_gender":"x"}}}"#),
        ["options.senseaudio.vocal_gender"]
    );
    assert_eq!(
        refused(r#"{"style":"p","options":{"senseaudio":{"tempo":1}}}"#),
        ["options.senseaudio.tempo"]
    );
    assert_eq!(
        refused(r#"{"style":"p","options":{"senseaudio":{"custom_mode":true}}}"#),
        ["options.senseaudio.custom_mode"]
    );
    let sung = r#"{"style":"p","instrumental":true,"options":{"senseaudio":{"vocal_gender":"f"}}}"#;
    assert_eq!(refused(sung), ["options.senseaudio.vocal_gender"]);
    // The tag counts: `[verse] ` has eight characters.
    for lyrics in ["字".repeat(1992), format!("[verse] {}", "字".repeat(1992))] {
        assert!(refused(&format!(r#"{{"lyrics":"{lyrics}"}}"#)).is_empty());
        assert_eq!(refused(&format!(r#"{{"lyrics":"{lyrics}字"}}"#)), ["lyrics"]);
    }
    assert_eq!(refused(r#"{"reference_audio":"https://a/b.wav"}"#), ["style"]);
    let own = |key: &str, text: &str| {
        refused(&format!(r#"{{"lyrics":"a","options":{{"senseaudio":{{"{key}":"{text}"}}}}}}"#))
    };
    for key in ["style", "negative_tags"] {
        let path = format!("options.senseaudio.{key}");
        assert_eq!(own(key, &"字".repeat(2001)), [path.as_str()]);
        assert_eq!(own(key, " "), [path.as_str()]);
        assert!(own(key, &"字".repeat(2000)).is_empty());
    }
    let plan = vendor().plan(&song(r#"{"style":"p","seed":1,"duration_s":9,"format":"wav"}"#)).unwrap();
    assert_eq!(plan.dropped, [Field::DurationS, Field::Seed, Field::Format]);
    let v1 = SenseAudio::new(Settings { generation: Generation::V1, ..settings() });
    assert!(v1.plan(&song(r#"{"style":"p"}"#)).is_err());
    assert!(v1.plan(&song(r#"{"style":"p","instrumental":true}"#)).is_ok());
}

#[test]
fn every_status_is_understood() {
    let song = |body: Value| polled(StepKind::Song, &body);
    assert_eq!(song(json!({ "task_id": "t", "status": "PENDING" })), "Pending");
    assert_eq!(song(json!({ "task_id": "t", "status": "PENDING", "response": null })), "Pending");
    assert_eq!(song(json!({ "task_id": "t", "status": "WAITING" })), "Pending");
    assert!(song(json!({ "status": "FAILED", "fail_reason": "内容违规" })).contains("content_refused"));
    assert!(
        song(json!({ "status": "SUCCESS", "response": { "data": [{ "audio_url": "" }] } }))
            .contains("Unreadable")
    );
    assert!(song(json!({ "status": "SUCCESS" })).contains("Unreadable"));
    let done = song(json!({ "status": "SUCCESS", "response": { "data": [
        { "audio_url": "https://cdn.example.com/a song.mp3", "duration": 110, "title": "" },
    ] } }));
    assert!(done.contains("https://cdn.example.com/a%20song.mp3"), "{done}");
    assert!(done.contains("duration_ms: Some(110000)"), "{done}");
    for (says, duration) in [
        (json!("2.5"), "Some(2500)"),
        (json!(0), "None"),
        (json!(-1), "None"),
        (json!(null), "None"),
        (json!("soon"), "None"),
        // ms in place of seconds.
        (json!(110_000), "None"),
    ] {
        let data = json!([{ "audio_url": "https://cdn.example.com/a.mp3", "duration": says }]);
        let done = song(json!({ "status": "SUCCESS", "response": { "data": data } }));
        assert!(done.contains(&format!("duration_ms: {duration}")), "{says}: {done}");
    }
    assert!(
        song(json!({ "status": "SUCCESS", "response": { "data": [{ "audio_url": "ftp://x" }] } }))
            .contains("Unreadable")
    );
}

#[test]
fn an_address_with_raw_characters_is_still_an_address() {
    let done = polled(
        StepKind::Song,
        &json!({ "status": "SUCCESS", "response": { "data": [
            { "audio_url": " https://cdn.example.com/夏天 (1).mp3?sign=a+b%2F&t=1 " },
        ] } }),
    );
    assert!(done.contains("https://cdn.example.com/"), "{done}");
    assert!(done.contains("%20(1).mp3?sign=a+b%2F&t=1"), "{done}");
}

#[test]
fn paths_of_the_operators_take_the_place_of_the_generations() {
    let paths = Paths {
        lyrics_create: "/lab/words".to_owned(),
        song_create: "v2/music/song/create/".to_owned(),
        song_pending: "/lab/songs".to_owned(),
        ..Paths::default()
    };
    let vendor = SenseAudio::new(Settings { paths, ..settings() });
    let id = task_id("a/b");
    let polled = |step| vendor.poll(&TaskRef { step, id: &id }).request.uri().to_string();
    let base = "https://api.senseaudio.cn";
    let created = |step| ordered(&vendor, step, WORDS, None).request.uri().to_string();
    assert_eq!(created(StepKind::Lyrics), format!("{base}/lab/words"));
    assert_eq!(created(StepKind::Song), format!("{base}/v2/music/song/create"));
    assert_eq!(polled(StepKind::Lyrics), format!("{base}/v1/song/lyrics/pending/a%2Fb"));
    assert_eq!(polled(StepKind::Song), format!("{base}/lab/songs/a%2Fb"));
    assert!(serde_json::from_str::<Settings>(r#"{"paths":{"song":"x"}}"#).is_err());
}

#[test]
fn every_refusal_of_a_submission_says_what_to_do() {
    let answer = |status, body: &str| {
        outcome(
            ordered(&vendor(), StepKind::Song, r#"{"style":"pop"}"#, None),
            reply(status, body.to_owned()),
        )
    };
    assert_snapshot!(
        [
            answer(400, r#"{"code":"invalid","message":"无效的歌词格式","ref_code":400000}"#),
            answer(
                401,
                r#"{"code":"authentication_error","message":"incorrect API key provided: sk-secret"}"#
            ),
            answer(402, r#"{"code":"INSUFFICIENT_BALANCE","message":"insufficient balance"}"#),
            answer(403, r#"{"error":{"message":"user disabled"}}"#),
            answer(404, r#"{"code":"notfound","message":"未找到资源"}"#),
            answer(429, r#"{"code":"rate_limit_error","message":"too many requests"}"#),
            answer(429, r#"{"code":"quota","message":"API Key 配额不足"}"#),
            answer(500, r#"{"base_resp":{"status_code":1000,"status_msg":"busy"}}"#),
            answer(503, "<html>busy</html>"),
            answer(200, r#"{"task":"x"}"#),
            answer(200, r#"{"base_resp":{"status_code":1004,"status_msg":"bad key sk-secret"}}"#),
        ]
        .join("\n")
    );
}

#[test]
fn nothing_can_be_looked_up_stopped_or_called_back() {
    let vendor = vendor();
    assert!(with_order(&vendor, &song(r#"{"style":"p"}"#), |order| vendor.find(order, SINCE).is_none()));
    assert!(vendor.cancel(&task(&task_id("t"))).is_none());
    let delivery = Delivery { headers: &HeaderMap::new(), body: b"{}" };
    assert!(matches!(vendor.read_delivery(&delivery, Timestamp::default()), Err(Refusal::Garbled(_))));
}

#[test]
fn a_page_that_says_our_key_back_is_not_kept() {
    let page = "<title>sk-secret</title>";
    let (vendor, id) = (vendor(), task_id("t"));
    for (status, step) in
        [200, 302, 401, 500].into_iter().flat_map(|s| [(s, StepKind::Lyrics), (s, StepKind::Song)])
    {
        let said = [
            outcome(ordered(&vendor, step, WORDS, None), reply(status, page)),
            outcome(vendor.poll(&TaskRef { step, id: &id }), reply(status, page)),
        ];
        assert!(said.iter().all(|words| words.contains("***")), "{status}: {said:?}");
    }
}
