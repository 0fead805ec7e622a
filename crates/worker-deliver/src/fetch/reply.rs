//! What the head of a reply says.

use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};
use songmill_core::{Fault, FaultKind, Timestamp, time};
use songmill_egress::Response;

use super::taking::Taking;
use super::{coding, unreachable};
use crate::retention::now as clock;

/// Sorts the head of a reply to somebody who asked for the file, or for the rest of it.
pub(super) fn sorted(reply: Response, for_rest: bool) -> Result<Response, Fault> {
    let status = reply.head.status;
    let words = format!("the address answers {status}");
    match status.as_u16() {
        _ if brings_bytes(&reply, for_rest) => Ok(reply),
        401 | 403 | 404 | 410 => Err(Fault::new(FaultKind::Rejected, "output_expired", words)),
        429 => {
            let wait = retry_after(&reply.head.headers);
            Err(Fault::new(FaultKind::Throttled, "rate_limited", words).after(wait))
        }
        // Not there yet, not there now, or a server that is out of its mind: none says that it is gone.
        _ => Err(unreachable(words).after(retry_after(&reply.head.headers))),
    }
}

/// Whether a reply brings bytes of the file, or says something of the part that was asked for.
pub(crate) fn brings_bytes(reply: &Response, for_rest: bool) -> bool {
    match reply.head.status {
        status if is_whole(status) => true,
        StatusCode::PARTIAL_CONTENT if !for_rest => is_all(reply),
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => for_rest,
        _ => false,
    }
}

/// Whether a reply of this status is the whole file; of 203 a proxy says that it has had a hand in it.
pub(super) fn is_whole(status: StatusCode) -> bool {
    matches!(status, StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION)
}

/// A part that nobody asked for is not the file, unless it is all of it.
fn is_all(reply: &Response) -> bool {
    matches!(range(reply), Some((0, Some(whole))) if reply.content_length() == Some(whole))
}

/// How long a server asks to wait; a date is held against the server's own clock, where it shows one.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let now = headers.get(header::DATE).and_then(moment);
    time::retry_after(headers.get(header::RETRY_AFTER)?.to_str().ok()?, Some(now.unwrap_or_else(clock)))
}

/// Whether a reply goes on where the transfer was cut, and not from the start; anything else would spoil the file.
pub(super) fn goes_on(reply: &Response, taking: &Taking<'_>) -> bool {
    let same = |name, then| reply.head.headers.get(name).is_none_or(|now| Some(now) == then);
    let Some((from, whole)) = range(reply) else { return false };
    reply.head.status == StatusCode::PARTIAL_CONTENT
        && from == taking.had
        && same(header::ETAG, taking.tag())
        && (taking.tag().is_some() || same(header::LAST_MODIFIED, taking.mark.as_ref()))
        && (whole.is_none() || taking.whole.is_none() || whole == taking.whole)
        && is_coded_as(reply, taking)
}

/// A rest in another coding is the rest of something else.
fn is_coded_as(reply: &Response, taking: &Taking<'_>) -> bool {
    let codings = coding::named(&reply.head.headers);
    codings.is_empty() || codings == taking.codings
}

/// What tells this file from another at the same address. A weak tag does not tell bytes, and a date only where it
/// could not have been another one within its second (RFC 9110, 8.8.2.2 and 13.1.5).
pub(super) fn mark(reply: &Response) -> Option<HeaderValue> {
    if let Some(tag) = reply.head.headers.get(header::ETAG) {
        return tag.as_bytes().starts_with(b"\"").then(|| tag.clone());
    }
    let changed = reply.head.headers.get(header::LAST_MODIFIED)?;
    let (then, now) = (moment(changed)?, moment(reply.head.headers.get(header::DATE)?)?);
    (then < now).then(|| changed.clone())
}

/// A date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn moment(date: &HeaderValue) -> Option<Timestamp> {
    time::http_date(date.to_str().ok()?)
}

/// How long the whole file is, as far as the server says.
pub(super) fn length(reply: &Response) -> Option<u64> {
    match range(reply) {
        Some((_, whole)) if reply.head.status == StatusCode::PARTIAL_CONTENT => whole,
        _ => reply.content_length(),
    }
}

/// Where a part begins and how long the whole is: `bytes 5-9/10`, or `bytes 5-9/*`.
fn range(reply: &Response) -> Option<(u64, Option<u64>)> {
    let (part, whole) = text(reply, header::CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    Some((part.split_once('-')?.0.parse().ok()?, whole.parse().ok()))
}

fn text(reply: &Response, name: header::HeaderName) -> Option<&str> {
    reply.head.headers.get(name)?.to_str().ok()
}
