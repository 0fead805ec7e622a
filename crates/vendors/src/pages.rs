//! Looking through a vendor's list of tasks, page by page.

use std::collections::HashSet;
use std::time::Duration;

use songmill_core::{Fault, FaultKind, Report, TaskId, Timestamp};

use crate::contract::{Seen, Watched};
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
    Fault::new(FaultKind::Unavailable, "look_up_incomplete", words)
}

/// What an item of a list says of its task; none where it must be asked for by itself.
type ReadItem = dyn Fn(&Object) -> Option<Seen> + Send;

/// Looks for what many tasks are doing; the ends of others of ours that stand beside them are taken along.
pub(crate) struct Looks {
    wanted: HashSet<TaskId>,
    found: Vec<Seen>,
    read: Box<ReadItem>,
    /// Whether an item is older than all that are wanted.
    is_older: Box<dyn Fn(&Object) -> bool + Send>,
}

impl Looks {
    pub(crate) fn of(
        tasks: &[Watched],
        read: impl Fn(&Object) -> Option<Seen> + Send + 'static,
        is_older: impl Fn(&Object) -> bool + Send + 'static,
    ) -> Self {
        let wanted = tasks.iter().map(|task| task.id.clone()).collect();
        Self { wanted, found: Vec::new(), read: Box::new(read), is_older: Box::new(is_older) }
    }
}

impl Search for Looks {
    type Found = Vec<Seen>;

    fn page(&mut self, items: &[&Object]) -> Option<Result<Self::Found, Fault>> {
        for item in items {
            let Some(seen) = (self.read)(item) else { continue };
            let is_news = seen.ours.is_some() && seen.report != Report::Pending;
            if self.wanted.remove(&seen.task) || is_news {
                self.found.push(seen);
            }
        }
        let over = self.wanted.is_empty() || items.iter().any(|item| (self.is_older)(item));
        over.then(|| Ok(std::mem::take(&mut self.found)))
    }

    fn end(self) -> Result<Self::Found, Fault> {
        Ok(self.found)
    }

    fn unfinished(self) -> Result<Self::Found, Fault> {
        Ok(self.found)
    }
}

/// When the first and the last of some tasks were submitted, and how many pages are looked at for them: fewer requests
/// than asking for each of them, even if it is in vain.
pub(crate) fn span(tasks: &[Watched]) -> (Timestamp, Timestamp, u32) {
    let made = || tasks.iter().map(|task| task.since);
    let most = u32::try_from(tasks.len() / 3).unwrap_or(u32::MAX).clamp(2, MOST_PAGES);
    (made().min().unwrap_or_default(), made().max().unwrap_or_default(), most)
}

/// Pages of one search: an exchange has not many more requests.
const MOST_PAGES: u32 = 24;
/// How far the vendor's clock may be from ours, and how long a submission usually takes: what is missed so is asked for
/// by itself.
pub(crate) const SLACK: Duration = Duration::from_secs(3);
