//! What a refusal says of when to come again, and how often: in headers, bodies and prose.

use std::time::Duration;

use http::HeaderMap;

use serde_json::Value;

use super::{Object, child};

/// The wait that headers ask for by `retry-after-ms` or `retry-after`, in seconds.
///
/// Dates are left out: there is no clock here to hold them against.
pub fn wait_in_headers(headers: &HeaderMap) -> Option<Duration> {
    let millis = number_in(headers, "retry-after-ms").and_then(|millis| seconds(millis / 1000.0));
    millis.or_else(|| seconds(number_in(headers, "retry-after")?))
}

/// When headers say that a limit is lifted, in seconds from now; a moment since 1970 is left out.
pub fn reset_in_headers(headers: &HeaderMap) -> Option<Duration> {
    ["ratelimit-reset", "x-ratelimit-reset"].iter().find_map(|name| seconds(number_in(headers, name)?))
}

fn number_in(headers: &HeaderMap, name: &str) -> Option<f64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
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

/// The wait that prose asks for: `resets in ~30s`, `retry in 5s`, `wait 2 minutes`, `30 seconds`.
///
/// A length of time behind `in`, `after`, `wait` or `~` is taken before one that merely stands there.
pub fn wait_in_prose(prose: &str) -> Option<Duration> {
    let prose = prose.to_ascii_lowercase();
    let mut merely = None;
    let mut from = 0;
    while let Some(start) = prose[from..].find(|c: char| c.is_ascii_digit()).map(|i| i + from) {
        let end =
            prose[start..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(prose.len(), |i| i + start);
        from = end;
        let number = prose[start..end].trim_end_matches('.');
        let (Ok(count), Some(unit)) = (number.parse::<f64>(), unit_of(&prose[end..])) else { continue };
        let Some(wait) = seconds(count * unit) else { continue };
        let before = prose[..start].trim_end();
        let named = before.ends_with('~')
            || ["in", "after", "wait", "about", "for"]
                .iter()
                .any(|word| before.split_whitespace().next_back() == Some(word));
        if named {
            return Some(wait);
        }
        merely = merely.or(Some(wait));
    }
    merely
}

/// The length in seconds of the unit that a text begins with.
fn unit_of(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let unit = &text[..text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len())];
    match unit {
        "ms" | "millisecond" | "milliseconds" => Some(0.001),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1.0),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60.0),
        "h" | "hour" | "hours" => Some(3600.0),
        _ => None,
    }
}

/// So many seconds, when that is a wait at all: more than none, and not a moment since 1970.
fn seconds(count: f64) -> Option<Duration> {
    (count > 0.0 && count < 100_000_000.0).then(|| Duration::from_secs_f64(count))
}

/// The requests a minute that prose says are allowed now: `reduced to 6 requests per minute`, `60 requests/min`.
pub fn rate_in_prose(prose: &str) -> Option<u32> {
    let prose = prose.to_ascii_lowercase();
    let words: Vec<_> =
        prose.split(|c: char| c.is_whitespace() || c == '/').filter(|word| !word.is_empty()).collect();
    words.windows(3).find_map(|window| {
        let [count, what, unit] = window else { return None };
        let unit = if *unit == "per" || *unit == "a" || *unit == "each" {
            let place = words.windows(4).find(|four| four[..3] == *window)?;
            place[3]
        } else {
            unit
        };
        let of_requests = ["request", "requests", "calls", "predictions", "runs"].contains(what);
        let of_a_minute = ["minute", "min", "minute.", "minute,", "min."].contains(&unit);
        count.parse().ok().filter(|rate: &u32| of_requests && of_a_minute && *rate > 0)
    })
}
