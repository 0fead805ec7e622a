//! Looking for the prediction that an unanswered submission may have created: it carries our callback address.
//!
//! Should the list cease to show addresses, nothing would ever be found and everything be paid for twice. So a
//! prediction of the same prompt that shows none makes the search end without an answer.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use serde_json::Value;
use songmill_core::{Fault, FaultKind, TaskId, Timestamp};

use super::Settings;
use super::wire::{id, moment};
use crate::contract::{Cost, Exchange, Next};
use crate::tolerant::{Object, Reply, blot, child, get, text};

/// How many pages of 100 are looked at.
const PAGES: u32 = 30;
/// How far the vendor's clock may be behind ours.
const SKEW: Duration = Duration::from_secs(60);

/// What is looked for.
pub(super) struct Search {
    pub(super) settings: Arc<Settings>,
    /// The part of the address that names the attempt.
    pub(super) mark: String,
    /// The prompt that was sent, if any.
    pub(super) prompt: Option<String>,
    /// When the submission began.
    pub(super) since: Timestamp,
}

/// Newest first, one page after the other until predictions are older than the submission.
pub(super) fn first_page(search: Search) -> Exchange<Option<TaskId>> {
    let after = rfc3339(search.oldest());
    let uri = search.settings.base_url.with_query(&["predictions"], &[("created_after", &after)]);
    page(search, uri, 1)
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
        if items.iter().any(|item| search.may_be_ours(item)) {
            return incomplete(
                "a prediction of the same prompt shows no webhook: whose it is cannot be told",
            );
        }
        let older = |item: &&Object| moment(item, "created_at").is_some_and(|made| made < search.oldest());
        if items.is_empty() || items.iter().any(older) {
            return Next::ok(None);
        }
        match search.next(&body) {
            None => Next::ok(None),
            Some(_) if number >= PAGES => {
                incomplete(&format!("{PAGES} pages of predictions do not reach back to the submission"))
            }
            Some(uri) => Next::Then(page(search, uri, number + 1)),
        }
    })
}

fn incomplete<T>(words: &str) -> Next<T> {
    Next::fault(Fault::new(FaultKind::Unavailable, "look_up_incomplete", words))
}

impl Search {
    fn oldest(&self) -> Timestamp {
        self.since - SKEW
    }

    fn is_ours(&self, item: &Object) -> bool {
        text(item, &["webhook", "webhook_completed"]).is_some_and(|address| address.contains(&self.mark))
    }

    /// Whether it could be ours, but shows no address; what was removed after an hour shows no prompt either.
    fn may_be_ours(&self, item: &Object) -> bool {
        let recent = moment(item, "created_at").is_none_or(|made| made >= self.oldest());
        let shown = text(item, &["webhook", "webhook_completed"]).is_some();
        let prompt = child(item, "input").and_then(|input| text(input, &["prompt"]));
        let removed = item.get("data_removed") == Some(&Value::Bool(true));
        recent && !shown && (removed || prompt == self.prompt.as_deref().map(str::trim))
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
