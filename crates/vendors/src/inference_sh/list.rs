//! Going through the list of tasks, newest first, page by page.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use songmill_core::Timestamp;

use super::Settings;
use super::read::read;
use crate::contract::{Exchange, Next};
use crate::pages::Search;
use crate::tolerant::{Object, Reply, post_json, text};

/// How many tasks a page has.
const PAGE: u32 = 100;

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

/// How the list is asked for.
pub(super) struct Pages {
    pub(super) settings: Arc<Settings>,
    /// How many are looked at.
    pub(super) most: u32,
    /// Where the next one begins; none for the first.
    pub(super) cursor: Option<String>,
}

/// Searches one page after the other.
pub(super) fn search<S: Search>(pages: Pages, mut search: S) -> Exchange<S::Found> {
    let Pages { settings, most, cursor } = pages;
    let body = List { limit: PAGE, cursor, sort: [Sort { field: "created_at", dir: "desc" }] };
    let request = post_json(settings.base_url.at(&["tasks", "list"]), Some(&settings.key), &body);
    Exchange::free(request, move |response| {
        let reply = Reply::from(response);
        let list = match read(&reply, &settings) {
            Ok(list) => list,
            Err(fault) => return Next::fault(fault),
        };
        let items: Vec<&Object> = match list.get("items") {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_object).collect(),
            // An empty list is null in the vendor's language.
            Some(Value::Null) => Vec::new(),
            _ => return Next::fault(reply.garbled("a list without items")),
        };
        if let Some(found) = search.page(&items) {
            return Next::Done(found);
        }
        match next_cursor(&list) {
            Some(_) if most <= 1 => Next::Done(search.unfinished()),
            Some(cursor) if !items.is_empty() => {
                let pages = Pages { settings, most: most - 1, cursor: Some(cursor) };
                Next::Then(self::search(pages, search))
            }
            _ => Next::Done(search.end()),
        }
    })
}

fn next_cursor(list: &Object) -> Option<String> {
    let more = list.get("has_next").and_then(Value::as_bool).unwrap_or(true);
    text(list, &["next_cursor"]).filter(|_| more).map(str::to_owned)
}

/// When a task was made.
pub(super) fn made(item: &Object) -> Option<Timestamp> {
    let at: jiff::Timestamp = text(item, &["created_at"])?.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp::from_millis)
}
