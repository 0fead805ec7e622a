//! Books of what each vendor was asked and did.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use super::faults::Fault;
use super::limits::{Kind, Over};

/// One vendor's books.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) tasks_created: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) canceled: AtomicU64,
    pub(crate) polls: AtomicU64,
    pub(crate) look_ups: AtomicU64,
    pub(crate) downloads: AtomicU64,
    pub(crate) downloads_refused: AtomicU64,
    pub(crate) closed_idle: AtomicU64,
    pub(crate) cut_reused: AtomicU64,
    pub(crate) scheduled: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) unreachable: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) doubled: AtomicU64,
    over_creates: AtomicU64,
    over_reads: AtomicU64,
    over_in_flight: AtomicU64,
    most_in_flight: AtomicU64,
    faults: [AtomicU64; Fault::ALL.len()],
    busy: AtomicU64,
    busiest: AtomicU64,
    tokens: Mutex<BTreeMap<String, u64>>,
    rejected: Mutex<BTreeMap<u16, u64>>,
    refused: Mutex<BTreeMap<u16, u64>>,
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A request under way.
pub(crate) struct Busy<'a>(&'a AtomicU64);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Books {
    pub(crate) fn enter(&self, kind: Kind) -> Busy<'_> {
        match kind {
            Kind::Create | Kind::Other => {}
            Kind::Read => count(&self.polls),
            Kind::LookUp => count(&self.look_ups),
        }
        let busy = self.busy.fetch_add(1, Ordering::Relaxed) + 1;
        self.busiest.fetch_max(busy, Ordering::Relaxed);
        Busy(&self.busy)
    }

    /// A request was refused because there were too many.
    pub(crate) fn over(&self, over: Over) {
        count(match over {
            Over::Creates => &self.over_creates,
            Over::Reads => &self.over_reads,
            Over::InFlight => &self.over_in_flight,
        });
    }

    /// So many tasks are under way.
    pub(crate) fn under_way(&self, tasks: usize) {
        self.most_in_flight.fetch_max(tasks as u64, Ordering::Relaxed);
    }

    pub(crate) fn created(&self, token: &str) {
        count(&self.tasks_created);
        *lock(&self.tokens).entry(token.to_owned()).or_default() += 1;
    }

    /// A fault was applied to one more task.
    pub(crate) fn applied(&self, fault: Fault) {
        count(&self.faults[fault as usize]);
    }

    pub(crate) fn rejected(&self, status: u16) {
        *lock(&self.rejected).entry(status).or_default() += 1;
    }

    pub(crate) fn refused(&self, status: u16) {
        *lock(&self.refused).entry(status).or_default() += 1;
    }

    pub(crate) fn show(&self, in_flight: usize, with_tokens: bool) -> Value {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let tokens = lock(&self.tokens);
        let faults: Map<_, _> = Fault::ALL
            .into_iter()
            .map(|fault| (fault.name().to_owned(), read(&self.faults[fault as usize]).into()))
            .collect();
        let mut shown = json!({
            "tasks_created": read(&self.tasks_created),
            "completed": read(&self.completed),
            "failed": read(&self.failed),
            "canceled": read(&self.canceled),
            "in_flight": in_flight,
            "tokens": tokens.len(),
            "max_tasks_per_token": tokens.values().max().copied().unwrap_or(0),
            "duplicates": tokens.values().map(|count| count - 1).sum::<u64>(),
            "polls": read(&self.polls),
            "look_ups": read(&self.look_ups),
            "downloads": read(&self.downloads),
            "downloads_refused": read(&self.downloads_refused),
            "rejected": *lock(&self.rejected),
            "busiest": read(&self.busiest),
            "most_in_flight": read(&self.most_in_flight),
            "over_limit": {
                "creates": read(&self.over_creates),
                "reads": read(&self.over_reads),
                "in_flight": read(&self.over_in_flight),
            },
            "faults": faults,
            "connections": {
                "closed_idle": read(&self.closed_idle),
                "cut_reused": read(&self.cut_reused),
            },
            "callbacks": {
                "scheduled": read(&self.scheduled),
                "sent": read(&self.sent),
                "acknowledged": read(&self.acknowledged),
                "unreachable": read(&self.unreachable),
                "refused": *lock(&self.refused),
                "dropped": read(&self.dropped),
                "doubled": read(&self.doubled),
            },
        });
        if with_tokens {
            shown["tasks_per_token"] = json!(*tokens);
        }
        shown
    }
}
