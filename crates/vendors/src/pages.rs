//! Looking through a vendor's list of tasks, page by page.

use std::collections::HashSet;

use songmill_core::{Fault, FaultKind, TaskId, Timestamp};

use crate::contract::{Listed, Seen, Watched, Within};
use crate::tolerant::Object;

/// What is looked for in a list.
pub(crate) trait Search: Send + 'static {
    /// What is found.
    type Found;

    /// Looks through a page, newest first; `Some` ends the search.
    fn page(&mut self, items: &[&Object]) -> Option<Result<Self::Found, Fault>>;

    /// The list has no more pages.
    fn end(self) -> Result<Self::Found, Fault>;

    /// There are more pages than are looked at.
    fn unfinished(self) -> Result<Self::Found, Fault>;
}

/// A look-up that ends without an answer.
pub(crate) fn incomplete(words: &str) -> Fault {
    Fault::from_vendor(FaultKind::Unavailable, "look_up_incomplete", words)
}

/// What an item of a list says of its task; none where it must be asked for by itself.
type ReadItem = dyn Fn(&Object) -> Option<Seen> + Send;

/// Looks for what many tasks are doing; others of ours that stand beside them are taken along.
pub(crate) struct Looks {
    wanted: HashSet<TaskId>,
    found: Vec<Seen>,
    read: Box<ReadItem>,
    /// Whether an item is older than all that are wanted.
    is_older: Box<dyn Fn(&Object) -> bool + Send>,
    /// When the last item was made, where a search can go on from there.
    last: Option<Timestamp>,
    goes_on: bool,
}

impl Looks {
    pub(crate) fn of(
        tasks: &[Watched],
        read: impl Fn(&Object) -> Option<Seen> + Send + 'static,
        is_older: impl Fn(&Object) -> bool + Send + 'static,
    ) -> Self {
        let wanted = tasks.iter().map(|task| task.id.clone()).collect();
        Self {
            wanted,
            found: Vec::new(),
            read: Box::new(read),
            is_older: Box::new(is_older),
            last: None,
            goes_on: false,
        }
    }

    /// The same, where the vendor can be asked for what was made before a moment.
    pub(crate) fn going_on(self) -> Self {
        Self { goes_on: true, ..self }
    }

    fn listed(&mut self, whole: bool) -> Listed {
        let before = self.last.filter(|_| self.goes_on && !whole);
        Listed { seen: std::mem::take(&mut self.found), whole, before }
    }
}

impl Search for Looks {
    type Found = Listed;

    fn page(&mut self, items: &[&Object]) -> Option<Result<Self::Found, Fault>> {
        for item in items {
            let Some(seen) = (self.read)(item) else { continue };
            self.last = seen.made.or(self.last);
            if self.wanted.remove(&seen.task) || seen.mark.is_some() {
                self.found.push(seen);
            }
        }
        let over = self.wanted.is_empty() || items.iter().any(|item| (self.is_older)(item));
        over.then(|| Ok(self.listed(true)))
    }

    fn end(mut self) -> Result<Self::Found, Fault> {
        Ok(self.listed(true))
    }

    fn unfinished(mut self) -> Result<Self::Found, Fault> {
        Ok(self.listed(false))
    }
}

/// When the first and the last of some tasks may have been made, and how many pages are looked at for them: fewer
/// requests than asking for each of them, even if it is in vain.
pub(crate) fn span(tasks: &[Watched], within: Within) -> (Timestamp, Timestamp, u32) {
    let made = || tasks.iter().map(|task| task.since);
    let most = u32::try_from(tasks.len() / 3).unwrap_or(u32::MAX).clamp(2, MOST_PAGES);
    let (first, last) = (made().min().unwrap_or_default(), made().max().unwrap_or_default());
    let last = last + within.slack.after;
    (first - within.slack.before, within.before.map_or(last, |before| before.min(last)), most)
}

/// Pages of one search: an exchange has not many more requests.
const MOST_PAGES: u32 = 48;
