//! What a refusal says of when to come again: in headers and in fields of the body, never in prose, which may quote what
//! a customer wrote. A vendor that documents a sentence reads that one by itself (`replicate/throttle.rs`).

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use songmill_core::time::{http_date, retry_after};

use super::{Object, child};

/// The wait that headers ask for by `retry-after-ms`, or by `retry-after` in seconds or as a date, which is held against
/// the `date` of the same reply.
pub fn wait_in_headers(headers: &HeaderMap) -> Option<Duration> {
    let millis = number_in(headers, "retry-after-ms").and_then(|millis| seconds(millis / 1000.0));
    millis.or_else(|| {
        let now = text_in(headers, "date").and_then(http_date);
        retry_after(text_in(headers, "retry-after")?, now)
    })
}

/// When headers say that a limit is lifted, in seconds from now; a moment since 1970 is left out.
pub fn reset_in_headers(headers: &HeaderMap) -> Option<Duration> {
    ["ratelimit-reset", "x-ratelimit-reset"].iter().find_map(|name| seconds(number_in(headers, name)?))
}

fn text_in<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number_in(headers: &HeaderMap, name: &str) -> Option<f64> {
    text_in(headers, name)?.trim().parse().ok()
}

/// The wait that a body asks for by `retry_after`, in seconds.
pub fn wait_in_body(body: &Object) -> Option<Duration> {
    const KEYS: [&str; 4] = ["retry_after", "retryAfter", "retry_after_seconds", "retry_after_s"];
    let found = KEYS.iter().filter_map(|key| body.get(*key)).find_map(|value| match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().trim_end_matches('s').parse().ok(),
        _ => None,
    });
    found
        .and_then(seconds)
        .or_else(|| ["error", "meta"].iter().find_map(|key| wait_in_body(child(body, key)?)))
}

/// So many seconds, when that is a wait at all: more than none, and not a moment since 1970.
fn seconds(count: f64) -> Option<Duration> {
    (count > 0.0 && count < 100_000_000.0).then(|| Duration::from_secs_f64(count))
}
