//! Refusals and failures that quote what was sent.

use serde_json::{Value, json};

use crate::sim::{Sim, VERSION, until};

/// A submission to a vendor in which these words stand.
fn submission(vendor: &str, words: &str) -> (&'static str, &'static str, Value) {
    match vendor {
        "replicate" => (
            "/v1/predictions",
            "sim-replicate",
            json!({ "version": VERSION, "input": { "prompt": words, "duration": 2 } }),
        ),
        "inference_sh" => (
            "/apps/run",
            "sim-inference",
            json!({ "app": "infsh/tencent-song-generation", "input": { "lyrics": words, "max_duration": 2 } }),
        ),
        "senseaudio" => (
            "/v1/song/music/create",
            "sim-senseaudio",
            json!({ "model": "sensesong", "lyrics": words, "style": "pop" }),
        ),
        _ => {
            let order = json!({ "customId": "c-1", "inputs": [{ "sourceData": words }], "outputs": [{
                "contentId": "sim", "destination": "/a", "inputSelectors": [0],
                "smartContentDescriptor": { "textBgmGeneration": { "songQuantity": 1 } } }] });
            let job = json!({ "action": "CreateJob", "secretId": "sim-id", "secretKey": "sim-secret",
                "createJobRequest": order });
            ("/release/job", "", job)
        }
    }
}

#[tokio::test]
async fn submissions_that_contain_a_text_are_refused_in_words_that_quote_them() {
    let refuse = json!([
        { "contains": "love", "status": 451, "body": r#"{"message": "not here: {quoted}"}"# },
        { "contains": "heart", "status": 200, "content_type": "text/html", "headers": { "server": "waf" },
          "body": "<p>{quoted}</p>" },
    ]);
    let sim = Sim::with_faults(json!({ "refuse": refuse })).await;
    for vendor in ["tencent", "inference_sh", "replicate", "senseaudio"] {
        let words = "[verse] my \"love\",\nmy heart.";
        let (path, key, body) = submission(vendor, words);
        let answer = sim.post(path, key, &body).await;
        assert_eq!(
            answer,
            (451, json!({ "message": format!("not here: {words}") })),
            "{vendor}: the first counts"
        );
        let (path, key, body) = submission(vendor, "[verse] my \"heart\".");
        let request = sim.client.post(format!("{}{path}", sim.base)).bearer_auth(key).body(body.to_string());
        let page = request.send().await.unwrap();
        let head = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((head("content-type"), head("server")), ("text/html".into(), "waf".into()), "{vendor}");
        assert_eq!(page.text().await.unwrap(), "<p>[verse] my \"heart\".</p>", "{vendor}");
        let (path, key, body) = submission(vendor, "[verse] 雨 rain.");
        let (status, made) = sim.post(path, key, &body).await;
        assert!(status < 300, "{vendor}: {made}");
        let stats = sim.stats(vendor).await;
        assert_eq!((&stats["tasks_created"], &stats["rejected"]["451"]), (&json!(1), &json!(1)), "{vendor}");
    }
}

#[tokio::test]
async fn lists_are_refused_where_that_is_set() {
    let refuse = json!([{ "of": "look_ups", "status": 403, "body": r#"{"detail": "who loves {quoted}?"}"# }]);
    let sim = Sim::with_faults(json!({ "refuse": refuse })).await;
    let id = sim.create("replicate", None).await;
    let listed = sim.get("/v1/predictions", "sim-replicate").await;
    assert_eq!(listed, (403, json!({ "detail": "who loves ?" })));
    assert_eq!(sim.get(&format!("/v1/predictions/{id}"), "sim-replicate").await.0, 200);
}

#[tokio::test]
async fn tasks_fail_by_what_their_submissions_contain() {
    let doom = json!([{ "contains": "love", "message": "no memory for {quoted}" }]);
    let sim = Sim::with_faults(json!({ "doom": doom })).await;
    for (words, end, error) in
        [("my love", "failed", json!("no memory for my love")), ("rain", "succeeded", Value::Null)]
    {
        let (_, made) = sim.replicate(json!({ "prompt": words, "duration": 2 }), None).await;
        let path = format!("/v1/predictions/{}", made["id"].as_str().unwrap());
        let read = async || sim.get(&path, "sim-replicate").await.1;
        until(async || read().await["status"] == end).await;
        assert_eq!(read().await["error"], error);
    }
    assert_eq!(sim.applied("replicate", "failed").await, 1);
}
