//! Looking for the task that an unanswered submission may have created: it carries our callback address.
//!
//! Should the list cease to show addresses, nothing would ever be found and everything be paid for twice. So a
//! task of the same lyrics that shows none makes the search end without an answer.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use songmill_core::{Fault, FaultKind, TaskId, Timestamp};

use super::Settings;
use super::read::read;
use super::wire::id;
use crate::contract::{Exchange, Next};
use crate::tolerant::{Object, Reply, child, post_json, text};

/// How many tasks a page has.
const PAGE: u32 = 100;
/// How many pages are looked at.
const PAGES: u32 = 30;
/// How far the vendor's clock may be behind ours.
const SKEW: Duration = Duration::from_secs(60);

/// What is looked for.
pub(super) struct Search {
    pub(super) settings: Arc<Settings>,
    /// The part of the address that names the attempt.
    pub(super) mark: String,
    /// The lyrics that were sent.
    pub(super) lyrics: String,
    /// When the submission began.
    pub(super) since: Timestamp,
}

#[derive(Serialize)]
struct List {
    limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    sort: [Sort; 1],
}

#[derive(Serialize)]
struct Sort {
    field: &'static str,
    dir: &'static str,
}

/// Newest first, one page after the other until tasks are older than the submission.
pub(super) fn first_page(search: Search) -> Exchange<Option<TaskId>> {
    page(search, None, 1)
}

fn page(search: Search, cursor: Option<String>, number: u32) -> Exchange<Option<TaskId>> {
    let body = List { limit: PAGE, cursor, sort: [Sort { field: "created_at", dir: "desc" }] };
    let uri = search.settings.base_url.at(&["tasks", "list"]);
    let request = post_json(uri, Some(&search.settings.key), &body);
    Exchange::free(request, move |response| {
        let reply = Reply::from(response);
        let list = match read(&reply, &search.settings) {
            Ok(list) => list,
            Err(fault) => return Next::fault(fault),
        };
        let items: Vec<&Object> = match list.get("items") {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_object).collect(),
            // An empty list is null in the vendor's language.
            Some(Value::Null) => Vec::new(),
            _ => return Next::fault(reply.garbled("a list without items")),
        };
        if let Some(ours) = items.iter().find(|item| search.is_ours(item)) {
            return Next::Done(id(ours).map(Some));
        }
        if items.iter().any(|item| search.may_be_ours(item)) {
            return incomplete("a task of the same lyrics shows no webhook: whose it is cannot be told");
        }
        if items.last().is_none_or(|last| made(last).is_some_and(|made| made < search.oldest())) {
            return Next::ok(None);
        }
        match next_cursor(&list) {
            None => Next::ok(None),
            Some(_) if number >= PAGES => {
                incomplete(&format!("{PAGES} pages of tasks do not reach back to the submission"))
            }
            Some(cursor) => Next::Then(page(search, Some(cursor), number + 1)),
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
        text(item, &["webhook"]).is_some_and(|address| address.contains(&self.mark))
    }

    /// Whether it could be ours, but shows no address.
    fn may_be_ours(&self, item: &Object) -> bool {
        let recent = made(item).is_none_or(|made| made >= self.oldest());
        let lyrics = child(item, "input").and_then(|input| text(input, &["lyrics"]));
        recent && text(item, &["webhook"]).is_none() && lyrics == Some(&self.lyrics)
    }
}

fn next_cursor(list: &Object) -> Option<String> {
    let more = list.get("has_next").and_then(Value::as_bool).unwrap_or(true);
    text(list, &["next_cursor"]).filter(|_| more).map(str::to_owned)
}

fn made(item: &Object) -> Option<Timestamp> {
    let at: jiff::Timestamp = text(item, &["created_at"])?.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp::from_millis)
}
