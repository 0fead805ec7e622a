//! Going through the list of predictions, newest first, page by page.

use std::sync::Arc;

use http::Uri;
use serde_json::Value;
use songmill_core::Timestamp;

use super::{Settings, throttle};
use crate::contract::{Cost, Exchange, Next};
use crate::pages::Search;
use crate::tolerant::{Object, Reply, blot, get, text};

/// How the list is asked for.
pub(super) struct Pages {
    pub(super) settings: Arc<Settings>,
    /// How many are looked at.
    pub(super) most: u32,
}

/// Predictions made in a span of time.
pub(super) fn made(settings: &Settings, after: Timestamp, before: Option<Timestamp>) -> Uri {
    let (after, before) = (rfc3339(after), before.map(rfc3339));
    let mut query = vec![("created_after", &*after)];
    query.extend(before.as_deref().map(|before| ("created_before", before)));
    settings.base_url.with_query(&["predictions"], &query)
}

/// Searches one page after the other.
pub(super) fn search<S: Search>(pages: Pages, mut search: S, uri: Uri) -> Exchange<S::Found> {
    Exchange::free(get(uri, Some(&pages.settings.token)), move |response| {
        let reply = Reply::from(response);
        if !reply.status.is_success() {
            return Next::fault(blot(throttle::of_reply(&reply, Cost::Free), &[&pages.settings.token]));
        }
        let body = match reply.object() {
            Ok(body) => body,
            Err(fault) => return Next::fault(fault),
        };
        let Some(items) = body.get("results").and_then(Value::as_array) else {
            return Next::fault(reply.garbled("a list without results"));
        };
        let items: Vec<&Object> = items.iter().filter_map(Value::as_object).collect();
        if let Some(found) = search.page(&items) {
            return Next::Done(found);
        }
        match next(&pages.settings, &body) {
            Some(_) if pages.most <= 1 => Next::Done(search.unfinished()),
            Some(uri) if !items.is_empty() => {
                Next::Then(self::search(Pages { most: pages.most - 1, ..pages }, search, uri))
            }
            _ => Next::Done(search.end()),
        }
    })
}

/// The next page: only the query of the vendor's address is taken, so that our token stays with its host.
fn next(settings: &Settings, body: &Object) -> Option<Uri> {
    let (_, query) = text(body, &["next"])?.split_once('?')?;
    settings.base_url.with_raw_query(&["predictions"], query)
}

fn rfc3339(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or_default().to_string()
}
