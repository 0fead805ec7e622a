//! Replicate by bytes.

mod callbacks;

use bytes::Bytes;
use http::HeaderMap;
use insta::assert_snapshot;
use songmill_core::song::Field;
use songmill_core::time::Span;
use songmill_core::{FaultKind, Product, Report, Timestamp};
use songmill_vendors::replicate::{Replicate, Settings, Unsigned};
use songmill_vendors::{Accepted, Delivery, Listed, Reading, Refusal, Secret, Vendor, Watched, Within};

use crate::bytes::*;

const VERSION: &str = "531c1fadb581d760235dca418ce027bb8af642716ced08b2cd805e99a25c52e0";

fn settings() -> Settings {
    Settings { token: Secret::new("r8_secret"), version: VERSION.to_owned(), ..Settings::default() }
}

fn vendor() -> Replicate {
    Replicate::new(settings())
}

fn problems(json: &str) -> String {
    let invalid = vendor().plan(&song(json)).unwrap_err();
    invalid.problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn a_request_with_everything_becomes_this_prediction() {
    let vendor = Replicate::new(Settings { cancel_after: Some(Span::secs(3600)), ..settings() });
    let exchange = submit(
        &vendor,
        r#"{"prompt":"a calm lake","style":"ambient pads","mood":"quiet","genre":"ambient","duration_s":20,
            "seed":7,"format":"mp3","title":"Lake","instrumental":true,
            "reference_audio":"https://audio.example.com/a.wav",
            "options":{"replicate":{"continuation":true,"continuation_start":2,"continuation_end":9,
              "multi_band_diffusion":false,"normalization_strategy":"peak","top_k":200,"top_p":0.5,
              "temperature":1.1,"classifier_free_guidance":4}}}"#,
    );
    assert_snapshot!(show_exchange(&exchange));
}

#[test]
fn own_fields_take_the_place_of_neutral_ones_and_minus_one_is_left_out() {
    let exchange = submit(
        &vendor(),
        r#"{"prompt":"p","duration_s":20,"seed":7,"format":"mp3","options":{"replicate":
            {"prompt":"own","duration":5,"seed":-1,"output_format":"wav","continuation_end":-1}}}"#,
    );
    let body: serde_json::Value = serde_json::from_slice(exchange.request.body()).unwrap();
    assert_snapshot!(body["input"], @r#"{"prompt":"own","duration":5,"output_format":"wav"}"#);
}

#[test]
fn the_version_is_resolved_once() {
    let vendor = Replicate::new(Settings { version: String::new(), ..settings() });
    let resolve = submit(&vendor, r#"{"prompt":"p"}"#);
    assert_snapshot!(show_exchange(&resolve), @r"
    [free] GET https://api.replicate.com/v1/models/datasci888/musicgen_8songs
    authorization: Bearer r8_secret
    ");
    let model =
        format!(r#"{{"owner":"datasci888","latest_version":{{"id":"{VERSION}","cog_version":"0.9"}}}}"#);
    let create = then(resolve.read(reply(200, model)));
    assert!(show_exchange(&create).contains(VERSION));
    assert!(show_exchange(&submit(&vendor, r#"{"prompt":"p"}"#)).starts_with("[creates]"));
    // Refused, it is asked for anew.
    let refused = r#"{"title":"Invalid version or not permitted","detail":"The specified version does not exist (or perhaps you don't have permission to use it?)","status":422}"#;
    assert_snapshot!(outcome(create, reply(422, refused)), @"locked version_refused: The specified version does not exist (or perhaps you don't have permission to use it?)");
    let resolve = submit(&vendor, r#"{"prompt":"p"}"#);
    assert!(show_exchange(&resolve).starts_with("[free]"));
    assert_snapshot!(outcome(resolve, reply(404, r#"{"detail":"gone"}"#)), @r#"locked version_refused: there is no model "datasci888/musicgen_8songs""#);
    let empty = outcome(submit(&vendor, r#"{"prompt":"p"}"#), reply(200, r#"{"latest_version":null}"#));
    assert_snapshot!(empty, @r#"locked version_refused: the model "datasci888/musicgen_8songs" has no version"#);
    for (what, body) in garbage() {
        let next = submit(&vendor, r#"{"prompt":"p"}"#).read(reply(200, body));
        assert_eq!(end(next).unwrap_err().kind, FaultKind::Garbled, "{what}");
    }
}

#[test]
fn large_audio_is_uploaded_first_and_small_audio_goes_along() {
    let vendor = Replicate::new(Settings { inline_audio_most: 40, ..settings() });
    let small = r#"{"reference_audio":"data:audio/wav;base64,UklGRg=="}"#;
    assert!(
        show_exchange(&submit(&vendor, small)).contains(r#""input_audio": "data:audio/wav;base64,UklGRg==""#)
    );
    let large = r#"{"reference_audio":"data:audio/x-wav;base64,UklGRiQAAABXQVZFZm10IBAAAAABAAEA"}"#;
    let upload = submit(&vendor, large);
    assert_snapshot!(show_exchange(&upload));
    let create = then(
        upload.read(reply(201, r#"{"id":"f1","urls":{"get":"https://api.replicate.com/v1/files/f1"}}"#)),
    );
    assert!(show_exchange(&create).contains(r#""input_audio": "https://api.replicate.com/v1/files/f1""#));
    let html = reply(413, "<html><title>413 Request Entity Too Large</title></html>");
    assert_snapshot!(outcome(submit(&vendor, large), html), @r#"rejected request_refused: an HTML page, "413 Request Entity Too Large""#);
    assert_snapshot!(outcome(submit(&vendor, large), reply(500, "oops")), @"unavailable vendor_error: oops");
    for (what, body) in garbage() {
        assert_eq!(
            end(submit(&vendor, large).read(reply(201, body))).unwrap_err().kind,
            FaultKind::Garbled,
            "{what}"
        );
    }
}

#[test]
fn everything_that_is_wrong_is_named() {
    let lines = problems(
        r#"{"lyrics":"[verse] la","require":["lyrics","instrumental"],"instrumental":false,
        "seed":1,"options":{"replicate":{"top_k":-1,"top_p":2,"temperature":-0.5,"duration":0,"seed":0,"sed":1,
        "classifier_free_guidance":101,"continuation":true,"continuation_start":9,"continuation_end":3,
        "normalization_strategy":"loud","output_format":"flac","multi_band_diffusion":"yes"}}}"#,
    );
    assert_snapshot!(lines);
    assert_snapshot!(problems(r#"{"reference_audio":"data:audio/wav;base64,%%%","format":"flac","require":["format"]}"#), @"
    format: is flac, and the model writes wav or mp3; leave it out of require, change it, or choose another vendor
    reference_audio: is a data address that cannot be read as base 64 of audio; use an https: address or data:audio/wav;base64,…
    ");
}

#[test]
fn what_is_preferred_and_cannot_be_had_is_left_out_and_said() {
    let plan = vendor()
        .plan(&song(
            r#"{"prompt":"p","lyrics":"l","vocal":"female","format":"flac","count":3,"instrumental":false,"title":"t"}"#,
        ))
        .unwrap();
    use Field::*;
    assert_eq!(plan.dropped, [Lyrics, Instrumental, Vocal, Count, Format]);
    assert_eq!(
        vendor().plan(&song(r#"{"prompt":"p","count":1,"title":"t","instrumental":true}"#)).unwrap().dropped,
        []
    );
}

#[test]
fn a_song_that_does_not_pass_the_plan_is_not_sent() {
    let vendor = vendor();
    let refused =
        with_order(&vendor, &song(r#"{"lyrics":"la"}"#), |order| vendor.submit(order).err().unwrap());
    assert_eq!((refused.kind, &*refused.code), (FaultKind::Rejected, "request_refused"));
}

#[test]
fn a_prediction_that_was_created_is_followed() {
    let created =
        br#"{"id":"hdwst0bb05rgp0cf0p29mzk2am","model":"m","status":"starting","output":null,"error":null}"#;
    let accepted = end(submit(&vendor(), r#"{"prompt":"p"}"#).read(reply(201, &created[..]))).unwrap();
    assert_eq!(accepted, Accepted::Task(task_id("hdwst0bb05rgp0cf0p29mzk2am")));
}

#[test]
fn every_refusal_of_a_submission_says_what_to_do() {
    let cases: [(u16, &str); 14] = [
        (
            401,
            r#"{"title":"Unauthenticated","detail":"You did not pass a valid authentication token r8_secret","status":401}"#,
        ),
        (
            402,
            r#"{"title":"Insufficient credit","detail":"You have insufficient credit to run this model.","status":402}"#,
        ),
        (403, r#"{"detail":"forbidden"}"#),
        (404, r#"{"detail":"The requested resource could not be found."}"#),
        (400, r#"{"detail":"Failed to parse request body as JSON: EOF","status":400}"#),
        (413, "<html><head><title>413</title></head></html>"),
        (
            422,
            r#"{"detail":"- input: prompt is required\n","status":422,"title":"Input validation failed","invalid_fields":[]}"#,
        ),
        (
            422,
            r#"{"detail":"- version is required\n- Additional property model is not allowed\n","status":422,"title":"Input validation failed"}"#,
        ),
        (429, r#"{"detail":"Request was throttled. Your rate limit resets in ~30s."}"#),
        (
            429,
            r#"{"detail":"Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute with a burst of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~5s.","status":429,"retry_after":5}"#,
        ),
        (429, ""),
        (500, r#"{"detail":"internal"}"#),
        (502, "<html><title>502 Bad Gateway</title></html>"),
        (302, "moved"),
    ];
    let lines: String = cases
        .iter()
        .map(|(status, body)| {
            format!("{status} {}\n", outcome(submit(&vendor(), r#"{"prompt":"p"}"#), reply(*status, *body)))
        })
        .collect();
    assert_snapshot!(lines);
}

#[test]
fn a_version_is_missing_where_that_is_said_of_the_version_and_not_of_the_input() {
    let said = |field: &str| {
        let invalid =
            serde_json::json!([{ "type": "required", "field": field, "description": "version is required" }]);
        let body = serde_json::json!({ "title": "Input validation failed", "status": 422, "invalid_fields": invalid });
        outcome(submit(&vendor(), r#"{"prompt":"version is required"}"#), reply(422, body.to_string()))
    };
    assert!(said("").starts_with("locked version_refused"), "{}", said(""));
    assert!(said("input.prompt").starts_with("rejected request_refused"), "{}", said("input.prompt"));
}

#[test]
fn a_reply_that_cannot_be_read_is_garbled_wherever_it_comes() {
    let vendor = vendor();
    let id = task_id("abc");
    for (what, body) in garbage() {
        for status in [200, 201] {
            let faults = [
                end(submit(&vendor, r#"{"prompt":"p"}"#).read(reply(status, body.clone()))).unwrap_err(),
                end(vendor.poll(&task(&id)).read(reply(status, body.clone()))).unwrap_err(),
                end(vendor.cancel(&task(&id)).unwrap().read(reply(status, body.clone()))).unwrap_err(),
                end(find(&vendor).read(reply(status, body.clone()))).unwrap_err(),
            ];
            for fault in faults {
                assert_eq!((fault.kind, &*fault.code), (FaultKind::Garbled, "reply_garbled"), "{what}");
            }
        }
        let delivery = Delivery { headers: &HeaderMap::new(), body: &body };
        assert!(matches!(vendor.read_delivery(&delivery, SINCE), Err(Refusal::Garbled(_))), "{what}");
    }
}

fn polled(body: &str) -> String {
    let id = task_id("p1");
    let exchange = vendor().poll(&task(&id));
    match end(exchange.read(reply(200, body.to_owned()))) {
        Ok(Report::Failed(fault)) => format!("failed: {}", line(&fault)),
        Ok(Report::Done(Product::Audio(outputs))) => outputs
            .audio
            .iter()
            .map(|output| format!("{:?} until {:?}; ", output.source, output.expires))
            .collect(),
        Ok(report) => format!("{report:?}"),
        Err(fault) => line(&fault),
    }
}

#[test]
fn every_status_is_understood() {
    let cases = [
        r#"{"id":"p1","status":"starting"}"#,
        r#"{"id":"p1","status":"processing","output":"https://replicate.delivery/x/out.wav"}"#,
        r#"{"id":"p1","status":"successful","output":null}"#,
        r#"{"id":"p1","status":"succeeded","output":"https://replicate.delivery/x/out.wav","completed_at":"2025-05-01T18:29:31.64900134Z"}"#,
        r#"{"id":"p1","status":"succeeded","output":["https://replicate.delivery/x/a.mp3","https://replicate.delivery/x/b.mp3"]}"#,
        r#"{"id":"p1","status":"succeeded","output":null,"data_removed":true}"#,
        r#"{"id":"p1","status":"succeeded","output":"/tmp/out.wav"}"#,
        r#"{"id":"p1","status":"failed","error":null}"#,
        r#"{"id":"p1","status":"failed","error":"Prediction interrupted; please retry (code: PA)"}"#,
        r#"{"id":"p1","status":"failed","error":"Director: unexpected error handling prediction (E8765)"}"#,
        r#"{"id":"p1","status":"failed","error":"CUDA out of memory (E1001)"}"#,
        r#"{"id":"p1","status":"failed","error":"Must provide either prompt or input_audio"}"#,
        r#"{"id":"p1","status":"canceled"}"#,
        r#"{"id":"p1","status":"canceled","deadline":"2025-05-01T18:00:00Z","completed_at":"2025-05-01T18:00:01Z"}"#,
        r#"{"id":"p1","status":"canceled","deadline":"2025-05-01T18:00:00Z","completed_at":"2025-05-01T17:00:01Z"}"#,
        r#"{"id":"p1","status":"aborted"}"#,
        r#"{"id":"p2","status":"starting"}"#,
    ];
    let lines = cases.map(|body| format!("{body}\n  {}\n", polled(body))).concat();
    assert_snapshot!(lines);
}

#[test]
fn reads_that_fail_can_be_repeated() {
    let id = task_id("../x");
    let poll = || vendor().poll(&task(&id));
    assert_snapshot!(show_exchange(&poll()), @r"
    [free] GET https://api.replicate.com/v1/predictions/..%2Fx
    authorization: Bearer r8_secret
    ");
    assert_snapshot!(outcome(poll(), reply(503, "")), @"unavailable vendor_error:");
    assert_snapshot!(outcome(poll(), reply(404, r#"{"detail":"Not found."}"#)), @"rejected task_gone: Not found.");
    assert_snapshot!(outcome(poll(), reply_with(429, ("retry-after", "7"), "")), @"throttled rate_limited after 7 s:");
    let cancel = || vendor().cancel(&task(&id)).unwrap();
    assert!(show_exchange(&cancel()).contains("POST https://api.replicate.com/v1/predictions/..%2Fx/cancel"));
    assert_eq!(outcome(cancel(), reply(200, r#"{"id":"x","status":"succeeded"}"#)), "()");
    assert_eq!(outcome(cancel(), reply(409, "")), "()");
    assert_snapshot!(outcome(cancel(), reply(500, "")), @"unavailable vendor_error:");
}

fn listed(items: &[(&str, &str, &str)], next: Option<&str>) -> String {
    let items: Vec<_> = items
        .iter()
        .map(|(id, webhook, made)| serde_json::json!({"id": id, "webhook": webhook, "created_at": made}))
        .collect();
    serde_json::json!({"previous": null, "next": next, "results": items}).to_string()
}

#[test]
fn a_lost_submission_is_found_by_its_mark_page_by_page() {
    let vendor = vendor();
    let first = find(&vendor);
    assert_snapshot!(show_exchange(&first), @r"
    [free] GET https://api.replicate.com/v1/predictions?created_after=2023-11-14T22%3A12%3A20Z
    authorization: Bearer r8_secret
    ");
    let other = ("p9", "https://other.example.com/x", "2023-11-14T22:20:00.1Z");
    let page = listed(&[other], Some("https://evil.example.com/v1/predictions?cursor=abc%3D"));
    let second = then(first.read(reply(200, page)));
    assert_eq!(second.request.uri(), "https://api.replicate.com/v1/predictions?cursor=abc%3D");
    let ours = format!("https://elsewhere.example.com{}k9.othermac", mark(&vendor));
    let page = listed(&[other, ("p1", &ours, "2023-11-14T22:13:21.329Z")], None);
    assert_eq!(end(second.read(reply(200, page))).unwrap(), Some(task_id("p1")));
}

#[test]
fn a_search_ends_where_predictions_are_older_than_the_submission() {
    let older = listed(
        &[("p0", "", "2023-11-14T22:12:19Z")],
        Some("https://api.replicate.com/v1/predictions?cursor=b"),
    );
    assert_eq!(end(find(&vendor()).read(reply(200, older))).unwrap(), None);
    assert_eq!(end(find(&vendor()).read(reply(200, listed(&[], None)))).unwrap(), None);
    let endless = listed(
        &[("p9", "", "2023-11-14T22:20:00Z")],
        Some("https://api.replicate.com/v1/predictions?cursor=b"),
    );
    let mut exchange = find(&vendor());
    for _ in 1..30 {
        exchange = then(exchange.read(reply(200, endless.clone())));
    }
    assert_snapshot!(outcome(exchange, reply(200, endless)), @"unavailable look_up_incomplete: 30 pages of predictions do not reach back to the submission");
}

#[test]
fn a_list_without_addresses_gives_no_answer_about_the_same_prompt() {
    let item = |prompt: &str, made: &str| {
        let item = serde_json::json!({"id": "p1", "input": {"prompt": prompt}, "created_at": made});
        serde_json::json!({"next": null, "results": [item]}).to_string()
    };
    let look = |page: String| outcome(find(&vendor()), reply(200, page));
    assert_snapshot!(look(item("p", "2023-11-14T22:13:21Z")), @"unavailable look_up_incomplete: a prediction of the same prompt shows no webhook: whose it is cannot be told");
    assert_eq!(look(item("other", "2023-11-14T22:13:21Z")), "None");
    assert_eq!(look(item("p", "2023-11-14T21:13:21Z")), "None");
    let removed = item("other", "2023-11-14T22:13:21Z").replace(r#""id""#, r#""data_removed":true,"id""#);
    assert!(look(removed).contains("look_up_incomplete"));
}

#[test]
fn settings_show_no_secret_and_name_what_they_do_not_know() {
    let settings = Settings { webhook_secrets: vec![Secret::new("whsec_x")], ..settings() };
    for shown in [format!("{settings:?}"), serde_json::to_string(&settings).unwrap()] {
        assert!(!shown.contains("r8_secret") && !shown.contains("whsec_x"), "{shown}");
    }
    let unknown = serde_json::from_str::<Settings>(r#"{"tokn":"x"}"#).unwrap_err().to_string();
    assert!(unknown.contains("tokn"), "{unknown}");
}

#[test]
fn many_predictions_are_looked_at_with_one_request_and_the_rest_by_themselves() {
    let vendor = vendor();
    let watched = |id: &str, later: u64| Watched {
        id: task_id(id),
        since: SINCE + std::time::Duration::from_secs(later),
    };
    let tasks = [watched("live", 0), watched("done", 5), watched("bare", 9), watched("away", 9)];
    let first = vendor.poll_many(&tasks, Within::default()).unwrap();
    assert_snapshot!(show_exchange(&first), @r"
    [free] GET https://api.replicate.com/v1/predictions?created_after=2023-11-14T22%3A13%3A17Z&created_before=2023-11-14T22%3A13%3A32Z
    authorization: Bearer r8_secret
    ");
    let items = serde_json::json!([
        { "id": "somebody-elses", "status": "succeeded", "output": "https://replicate.delivery/x.wav" },
        { "id": "done", "status": "succeeded", "output": "https://replicate.delivery/a.wav", "metrics": { "predict_time": 2.5 } },
        { "id": "bare", "status": "succeeded", "output": null },
        { "id": "live", "status": "processing" },
        { "id": "ours", "status": "failed", "error": "E1000", "webhook": format!("https://x.example.com{}k.mac", mark(&vendor)) },
        { "id": "ours-too", "status": "processing", "webhook": format!("https://x.example.com{}k.mac", mark(&vendor)) },
        { "no": "prediction" },
    ]);
    let page = serde_json::json!({ "next": null, "results": items }).to_string();
    let found = end(first.read(reply(200, page))).unwrap().seen;
    let ids: Vec<_> = found.iter().map(|seen| seen.task.as_str()).collect();
    // What shows no audio here, or does not show, is asked for by itself; what carries an address of ours is told, too.
    assert_eq!(ids, ["done", "live", "ours", "ours-too"]);
    assert_eq!(found[1].report, Report::Pending);
    let mark = found[2].mark.as_ref().unwrap();
    assert_eq!((mark.job, mark.attempt), (songmill_core::JobId::from_bytes([7; 16]), 3));
    assert_eq!(mark.token, "k.mac");
    let Report::Done(Product::Audio(outputs)) = &found[0].report else { panic!("{found:?}") };
    assert_eq!(outputs.audio[0].worked_ms, Some(2500), "what it is charged by");
    // Pages that show none of them end before they cost more than asking one by one.
    let other = listed(
        &[("p9", "", "2023-11-14T22:13:21Z")],
        Some("https://api.replicate.com/v1/predictions?cursor=b"),
    );
    let second = then(vendor.poll_many(&tasks, Within::default()).unwrap().read(reply(200, other.clone())));
    assert_eq!(end(second.read(reply(200, other))).unwrap(), Listed::default());
}
