//! Looking for the prediction that an unanswered submission may have created: it carries our callback address.
//!
//! Should the list cease to show addresses, nothing would ever be found and everything be paid for twice. So a
//! prediction of the same prompt that shows none makes the search end without an answer.

use std::time::Duration;

use serde_json::Value;
use songmill_core::{Fault, TaskId, Timestamp};

use super::wire::{id, moment};
use crate::pages::{self, incomplete};
use crate::tolerant::{Object, child, text};

/// How many pages of 100 are looked at.
pub(super) const PAGES: u32 = 30;
/// How far the vendor's clock may be behind ours.
const SKEW: Duration = Duration::from_secs(60);

/// What is looked for.
pub(super) struct Search {
    /// The part of the address that names the attempt.
    pub(super) mark: String,
    /// The prompt that was sent, if any.
    pub(super) prompt: Option<String>,
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
            let words = "a prediction of the same prompt shows no webhook: whose it is cannot be told";
            return Some(Err(incomplete(words)));
        }
        let older = |item: &&Object| moment(item, "created_at").is_some_and(|made| made < self.oldest());
        items.iter().any(older).then_some(Ok(None))
    }

    fn end(self) -> Result<Option<TaskId>, Fault> {
        Ok(None)
    }

    fn unfinished(self) -> Result<Option<TaskId>, Fault> {
        Err(incomplete(&format!("{PAGES} pages of predictions do not reach back to the submission")))
    }
}

impl Search {
    pub(super) fn oldest(&self) -> Timestamp {
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
}
