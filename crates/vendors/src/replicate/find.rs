//! Looking for the prediction that an unanswered submission may have created: it carries our callback address.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use serde_json::Value;
use songmill_core::{Fault, FaultKind, TaskId, Timestamp};

use super::Settings;
use super::wire::{id, moment};
use crate::contract::{Cost, Exchange, Next};
use crate::tolerant::{Object, Reply, blot, get, text};

/// How many pages of 100 are looked at.
const PAGES: u32 = 30;
/// How far the vendor's clock may be behind ours.
const SKEW: Duration = Duration::from_secs(60);

/// What is looked for.
#[derive(Clone)]
struct Search {
    settings: Arc<Settings>,
    mark: String,
    oldest: Timestamp,
}

/// Newest first, one page after the other until predictions are older than the submission.
pub(super) fn first_page(
    settings: Arc<Settings>,
    mark: String,
    since: Timestamp,
) -> Exchange<Option<TaskId>> {
    let oldest = since - SKEW;
    let after = rfc3339(oldest);
    let uri = settings.base_url.with_query(&["predictions"], &[("created_after", &after)]);
    page(Search { settings, mark, oldest }, uri, 1)
}

fn page(search: Search, uri: Uri, number: u32) -> Exchange<Option<TaskId>> {
    let request = get(uri, Some(&search.settings.token));
    Exchange::free(request, move |response| {
        let reply = Reply::from(response);
        if !reply.status.is_success() {
            return Next::fault(blot(reply.fault(Cost::Free), &[&search.settings.token]));
        }
        let body = match reply.object() {
            Ok(body) => body,
            Err(fault) => return Next::fault(fault),
        };
        let Some(items) = body.get("results").and_then(Value::as_array) else {
            return Next::fault(reply.garbled("a list without results"));
        };
        let items: Vec<&Object> = items.iter().filter_map(Value::as_object).collect();
        if let Some(ours) = items.iter().find(|item| search.is_ours(item)) {
            return Next::Done(id(ours).map(Some));
        }
        let older = |item: &&&Object| moment(item, "created_at").is_some_and(|made| made < search.oldest);
        if items.is_empty() || items.iter().any(|item| older(&item)) {
            return Next::ok(None);
        }
        match search.next(&body) {
            None => Next::ok(None),
            Some(_) if number >= PAGES => Next::fault(Fault::new(
                FaultKind::Unavailable,
                "look_up_incomplete",
                format!("{PAGES} pages of predictions do not reach back to the submission"),
            )),
            Some(uri) => Next::Then(page(search, uri, number + 1)),
        }
    })
}

impl Search {
    fn is_ours(&self, item: &Object) -> bool {
        text(item, &["webhook", "webhook_completed"]).is_some_and(|address| address.contains(&self.mark))
    }

    /// The next page: only the query of the vendor's address is taken, so that our token stays with its host.
    fn next(&self, body: &Object) -> Option<Uri> {
        let (_, query) = text(body, &["next"])?.split_once('?')?;
        self.settings.base_url.with_raw_query(&["predictions"], query)
    }
}

fn rfc3339(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or_default().to_string()
}
