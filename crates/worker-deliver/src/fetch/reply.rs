//! What the head of a reply says.

use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderValue};
use songmill_core::{Fault, FaultKind};

use super::client::Reply;
use super::taking::Taking;
use super::unreachable;

/// Sorts the head of a reply to somebody who has `had` bytes already.
pub(super) fn sorted(reply: Reply, had: u64) -> Result<Reply, Fault> {
    let status = reply.head.status;
    let words = format!("the address answers {status}");
    let wait = || text(&reply, header::RETRY_AFTER)?.parse().ok().map(Duration::from_secs);
    match status.as_u16() {
        200 => plain(reply),
        // A part that nobody asked for is not the file.
        206 | 416 if had > 0 => plain(reply),
        401 | 403 | 404 | 410 => Err(Fault::new(FaultKind::Rejected, "output_expired", words)),
        429 => Err(Fault::new(FaultKind::Throttled, "rate_limited", words).after(wait())),
        503 => Err(unreachable(words).after(wait())),
        _ => Err(unreachable(words)),
    }
}

/// A reply whose bytes are the file's own. Others were not asked for, and a small one may open into a very large one.
fn plain(reply: Reply) -> Result<Reply, Fault> {
    let encodings = reply.head.headers.get_all(header::CONTENT_ENCODING).iter();
    let all = encodings.chain(reply.head.headers.get_all(header::TRANSFER_ENCODING));
    let odd = all.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).find(|name| {
        let name = name.trim_ascii();
        !name.is_empty() && !name.eq_ignore_ascii_case(b"identity") && !name.eq_ignore_ascii_case(b"chunked")
    });
    match odd {
        None => Ok(reply),
        Some(name) => {
            let name = String::from_utf8_lossy(name.trim_ascii());
            let words = format!("the audio comes in the encoding {name}, which was not asked for");
            Err(Fault::new(FaultKind::Garbled, "output_encoded", words))
        }
    }
}

/// Whether a reply goes on where the transfer was cut, and not from the start; anything else would spoil the file.
pub(super) fn goes_on(reply: &Reply, taking: &Taking<'_>) -> bool {
    let same = |name, then| reply.head.headers.get(name).is_none_or(|now| Some(now) == then);
    let Some((from, whole)) = range(reply) else { return false };
    reply.head.status == StatusCode::PARTIAL_CONTENT
        && from == taking.had
        && same(header::ETAG, taking.tag())
        && (taking.tag().is_some() || same(header::LAST_MODIFIED, taking.mark.as_ref()))
        && (whole.is_none() || taking.whole.is_none() || whole == taking.whole)
}

/// What tells this file from another at the same address. A weak tag does not tell bytes, and a date only where it
/// could not have been another one within its second (RFC 9110, 8.8.2.2 and 13.1.5).
pub(super) fn mark(reply: &Reply) -> Option<HeaderValue> {
    if let Some(tag) = reply.head.headers.get(header::ETAG) {
        return tag.as_bytes().starts_with(b"\"").then(|| tag.clone());
    }
    let changed = reply.head.headers.get(header::LAST_MODIFIED)?;
    let (then, now) = (moment(changed)?, moment(reply.head.headers.get(header::DATE)?)?);
    (then < now).then(|| changed.clone())
}

/// A date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn moment(date: &HeaderValue) -> Option<jiff::Timestamp> {
    Some(jiff::fmt::rfc2822::parse(date.to_str().ok()?).ok()?.timestamp())
}

/// How long the whole file is, as far as the server says.
pub(super) fn length(reply: &Reply) -> Option<u64> {
    match range(reply) {
        Some((_, whole)) if reply.head.status == StatusCode::PARTIAL_CONTENT => whole,
        _ => reply.content_length(),
    }
}

/// Where a part begins and how long the whole is: `bytes 5-9/10`, or `bytes 5-9/*`.
fn range(reply: &Reply) -> Option<(u64, Option<u64>)> {
    let (part, whole) = text(reply, header::CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    Some((part.split_once('-')?.0.parse().ok()?, whole.parse().ok()))
}

pub(super) fn text(reply: &Reply, name: header::HeaderName) -> Option<&str> {
    reply.head.headers.get(name)?.to_str().ok()
}
