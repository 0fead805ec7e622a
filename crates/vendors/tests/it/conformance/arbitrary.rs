//! Bodies that nobody would think of.

use proptest::prelude::*;
use serde_json::{Value, json};

/// JSON in the words of all vendors, right in parts and wrong in others.
fn replies() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..20).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9:/. %é字]{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "SUCCESS",
            "FAILED",
            "PENDING",
            "COMPLETED",
            "succeeded",
            "failed",
            "canceled",
            "processing",
            "t1",
            "https://cdn.example.com/a b.mp3",
            "2026-01-01T00:00:00Z",
            "1603432763000",
            "99999999999999999999",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        let key = prop::sample::select(vec![
            "id",
            "task_id",
            "status",
            "state",
            "data",
            "output",
            "outputs",
            "error",
            "items",
            "results",
            "webhook",
            "created_at",
            "success",
            "urls",
            "input",
            "response",
            "audio_url",
            "text",
            "title",
            "job",
            "jobs",
            "total",
            "createJobResponse",
            "getJobResponse",
            "listJobsResponse",
            "errorResponse",
            "message",
            "customId",
            "timing",
            "createdAt",
            "contentId",
            "destination",
            "smartContentResult",
            "textBgmGeneration",
            "songName",
            "fail_reason",
            "base_resp",
            "next",
            "next_cursor",
            "has_next",
            "meta",
            "retry_after",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key, inner, 0..7)
                .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

/// Ends of tasks as vendors tell them: only by these is it seen what a delivery is worth.
fn ends() -> impl Strategy<Value = Value> {
    let url = "https://cdn.example.com/a.mp3";
    let job = json!({ "id": "t1", "state": 3, "outputs": [{ "contentId": "store",
        "smartContentResult": { "textBgmGeneration": [{ "songName": "a.mp3" }] } }] });
    prop::sample::select(vec![
        json!({ "job": job }),
        job,
        json!({ "id": "t1", "state": 4 }),
        json!({ "id": "t1", "status": "succeeded", "output": url }),
        json!({ "id": "t1", "status": "failed", "error": "no" }),
        json!({ "id": "t1", "status": 10, "output": { "audio": url } }),
        json!({ "id": "t1", "status": 11, "error": "no" }),
    ])
}

/// Bodies of replies and deliveries: bytes, texts, JSON, and JSON cut short.
pub(super) fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "\\PC{0,60}".prop_map(String::into_bytes),
        replies().prop_map(|json| json.to_string().into_bytes()),
        ends().prop_map(|json| json.to_string().into_bytes()),
        (replies(), 0usize..400).prop_map(|(json, most)| {
            let mut cut = json.to_string().into_bytes();
            cut.truncate(most);
            cut
        }),
    ]
}
