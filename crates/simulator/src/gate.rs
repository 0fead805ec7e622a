//! What goes wrong with a request, decided before and after it is done.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header;
use axum::response::Response;

use crate::quoting;
use crate::reply;
use crate::world::{Kind, Vendor, World};

/// What is asked for, and the body it is asked with where that is read.
pub(crate) struct Asked<'a> {
    kind: Kind,
    body: &'a [u8],
}

impl From<Kind> for Asked<'_> {
    fn from(kind: Kind) -> Self {
        Self { kind, body: b"" }
    }
}

impl<'a> From<(Kind, &'a Bytes)> for Asked<'a> {
    fn from((kind, body): (Kind, &'a Bytes)) -> Self {
        Self { kind, body }
    }
}

/// Passes a request through the faults: `act` does what was asked, `throttled` and `failed` are the vendor's own
/// ways to refuse.
pub(crate) async fn pass<'a>(
    world: &World,
    vendor: Vendor,
    asked: impl Into<Asked<'a>>,
    refusals: Refusals,
    act: impl AsyncFnOnce() -> Response,
) -> Response {
    let Asked { kind, body } = asked.into();
    let faults = world.faults(vendor);
    let books = world.books(vendor);
    let _busy = books.enter(kind);
    if let Err((over, wait_ms)) = world.admit(vendor, kind, &faults) {
        books.over(over);
        let wait = wait_ms.div_ceil(1000).max(1);
        let response = reply::with((refusals.throttled)(wait), "retry-after", wait);
        return counted(world, vendor, kind, response);
    }
    if let Some(refused) = quoting::refusal(&faults, kind, body) {
        return counted(world, vendor, kind, refused);
    }
    if world.dice.chance(faults.throttle_rate) {
        let wait = faults.retry_after_s;
        let mut response = (refusals.throttled)(wait);
        if wait > 0 {
            response = reply::with(response, "retry-after", wait);
        }
        return counted(world, vendor, kind, response);
    }
    if world.dice.chance(faults.server_error_rate) {
        return counted(world, vendor, kind, (refusals.failed)());
    }
    if world.dice.chance(faults.timeout_rate) {
        tokio::time::sleep(Duration::from_millis(faults.timeout_ms)).await;
        return reply::broken();
    }
    let response = act().await;
    let wait = world.dice.between(faults.latency_ms);
    if wait > 0 {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    let done = response.status().is_success();
    if kind == Kind::Create && done && world.dice.chance(faults.reply_lost_rate) {
        return if world.dice.chance(0.5) { reply::broken() } else { reply::gateway(504) };
    }
    if done && world.dice.chance(faults.garble_rate) {
        let garbled = "<!doctype html><html><body>maintenance</body></html>";
        return if world.dice.chance(0.5) {
            reply::typed(200, "text/html", garbled)
        } else {
            reply::typed(200, "application/json", "{\"id\": \"tru")
        };
    }
    counted(world, vendor, kind, response)
}

/// A vendor's own ways to refuse.
pub(crate) struct Refusals {
    /// 429, told to wait so many seconds; 0 where no wait is named.
    pub(crate) throttled: fn(u64) -> Response,
    /// 5xx.
    pub(crate) failed: fn() -> Response,
}

fn counted(world: &World, vendor: Vendor, kind: Kind, response: Response) -> Response {
    if kind == Kind::Create && !response.status().is_success() {
        world.books(vendor).rejected(response.status().as_u16());
    }
    response
}

/// The token after `Bearer` (or Replicate's old `Token`).
pub(crate) fn bearer(headers: &axum::http::HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("Token "))
}
