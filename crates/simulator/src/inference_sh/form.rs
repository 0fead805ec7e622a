//! What a run may be asked with.

use axum::body::Bytes;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::problem;
use crate::reply;

/// A run that was found good.
pub(super) struct Order {
    pub(super) input: Value,
    pub(super) webhook: Option<String>,
    pub(super) wait: bool,
}

const KNOWN: [&str; 16] = [
    "app",
    "app_id",
    "version_id",
    "infra",
    "workers",
    "webhook",
    "setup",
    "input",
    "stream",
    "wait",
    "function",
    "session",
    "session_timeout",
    "run_at",
    "metadata",
    "variant",
];
const STYLES: [&str; 12] = [
    "Pop",
    "R&B",
    "Dance",
    "Jazz",
    "Folk",
    "Rock",
    "Chinese Style",
    "Chinese Tradition",
    "Metal",
    "Reggae",
    "Chinese Opera",
    "Auto",
];
const TYPES: [&str; 4] = ["vocal", "bgm", "separate", "mixed"];

pub(super) fn order(body: &Bytes) -> Result<Order, Response> {
    let sent: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| problem(400, "invalid_request", "Bad Request", &format!("invalid JSON: {error}")))?;
    if let Some(extra) = sent.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(problem(400, "invalid_request", "Bad Request", &format!("unknown field {extra}")));
    }
    let app = sent.get("app").and_then(Value::as_str).unwrap_or_default();
    if app.split('@').next() != Some("infsh/tencent-song-generation") {
        return Err(problem(404, "not_found", "Not Found", "app not found"));
    }
    let mut faults = Vec::new();
    let input = sent.get("input").and_then(Value::as_object).cloned().unwrap_or_default();
    check(&input, &mut faults);
    if let Some(webhook) = sent.get("webhook")
        && !webhook.is_null()
        && !webhook.as_str().is_some_and(|url| url.starts_with("http"))
    {
        faults.push(json!({ "path": "/webhook", "message": "must be a URL" }));
    }
    if !faults.is_empty() {
        let body = json!({
            "type": "https://api.inference.sh/errors/validation_error", "title": "Unprocessable Entity", "status": 422,
            "detail": "input does not match the app's schema", "data": faults,
        });
        return Err(reply::problem(422, &body));
    }
    Ok(Order {
        input: Value::Object(input),
        webhook: sent.get("webhook").and_then(Value::as_str).map(str::to_owned),
        wait: sent.get("wait") == Some(&Value::Bool(true)),
    })
}

fn check(input: &Map<String, Value>, faults: &mut Vec<Value>) {
    let mut fault = |field: &str, words: &str| {
        faults.push(json!({ "path": format!("/input/{field}"), "message": words }))
    };
    if !input.get("lyrics").is_some_and(Value::is_string) {
        fault("lyrics", "is required and must be a string");
    }
    for (field, value) in input {
        let good = match field.as_str() {
            "lyrics" => true,
            "descriptions" | "prompt_audio" => value.is_string() || value.is_null(),
            "auto_prompt_type" => value.as_str().is_some_and(|style| STYLES.contains(&style)),
            "generate_type" => value.as_str().is_some_and(|kind| TYPES.contains(&kind)),
            "temperature" | "cfg_coef" | "top_p" => value.is_number(),
            "top_k" => value.is_i64() || value.is_u64(),
            "max_duration" => value.as_u64().is_some_and(|secs| secs > 0),
            _ => {
                fault(field, "is not a field of this app");
                true
            }
        };
        if !good {
            fault(field, "has the wrong type or value");
        }
    }
}
