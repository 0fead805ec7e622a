//! Looking for the task that an unanswered submission may have created: it carries our callback address.
//!
//! Should the list cease to show addresses, nothing would ever be found and everything be paid for twice. So a
//! task of the same lyrics that shows none makes the search end without an answer.

use std::time::Duration;

use songmill_core::{Fault, TaskId, Timestamp};

use super::list::made;
use super::wire::id;
use crate::pages::{self, incomplete};
use crate::tolerant::{Object, child, text};

/// How many pages are looked at.
pub(super) const PAGES: u32 = 30;
/// How far the vendor's clock may be behind ours.
const SKEW: Duration = Duration::from_secs(60);

/// What is looked for.
pub(super) struct Search {
    /// The part of the address that names the attempt.
    pub(super) mark: String,
    /// The lyrics that were sent.
    pub(super) lyrics: String,
    /// When the submission began.
    pub(super) since: Timestamp,
}

impl pages::Search for Search {
    type Found = Option<TaskId>;

    fn page(&mut self, items: &[&Object]) -> Option<Result<Option<TaskId>, Fault>> {
        if let Some(ours) = items.iter().find(|item| self.is_ours(item)) {
            return Some(id(ours).map(Some));
        }
        if items.iter().any(|item| self.may_be_ours(item)) {
            let words = "a task of the same lyrics shows no webhook: whose it is cannot be told";
            return Some(Err(incomplete(words)));
        }
        let last = items.last()?;
        made(last).is_some_and(|made| made < self.oldest()).then_some(Ok(None))
    }

    fn end(self) -> Result<Option<TaskId>, Fault> {
        Ok(None)
    }

    fn unfinished(self) -> Result<Option<TaskId>, Fault> {
        Err(incomplete(&format!("{PAGES} pages of tasks do not reach back to the submission")))
    }
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
