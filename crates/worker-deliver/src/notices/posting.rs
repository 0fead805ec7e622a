//! What is being posted, and whose: each endpoint that is posted to takes one of the process's places.

use std::collections::HashMap;

use songmill_core::Tenant;
use songmill_store::Places;
use tokio::task::{Id, JoinError, JoinSet};

/// Posts under way.
pub(super) struct Posting {
    places: usize,
    tasks: JoinSet<()>,
    held: HashMap<Id, Holder>,
}

/// Who has a place.
struct Holder {
    tenant: Tenant,
    slow: bool,
}

impl Posting {
    /// Nothing yet, with so many places.
    pub(super) fn new(places: usize) -> Self {
        Self { places: places.max(1), tasks: JoinSet::new(), held: HashMap::new() }
    }

    /// The places as they are now. Endpoints whose last delivery failed get at most half of all.
    pub(super) fn places(&self) -> Places {
        let mut places = Places { free: self.places.saturating_sub(self.tasks.len()), ..Places::default() };
        for Holder { tenant, slow } in self.held.values() {
            let held = places.held.entry(tenant.clone()).or_default();
            held.all += 1;
            held.slow += usize::from(*slow);
        }
        let slow: usize = places.held.values().map(|held| held.slow).sum();
        places.slow = (self.places / 2).max(1).saturating_sub(slow).min(places.free);
        places
    }

    /// Posts for a tenant.
    pub(super) fn spawn(
        &mut self,
        tenant: Tenant,
        slow: bool,
        post: impl Future<Output = ()> + Send + 'static,
    ) {
        let id = self.tasks.spawn(post).id();
        self.held.insert(id, Holder { tenant, slow });
    }

    /// Waits until one ends; none where none is under way. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Option<()> {
        let ended = self.tasks.join_next_with_id().await?;
        self.free(ended);
        Some(())
    }

    /// Frees the places of those that have ended.
    pub(super) fn sweep(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.free(ended);
        }
    }

    fn free(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.held.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_counted_by_tenant_and_freed_even_by_a_post_that_panics() {
        let [one, other]: [Tenant; 2] = ["one", "other"].map(|name| name.parse().unwrap());
        let mut posting = Posting::new(4);
        assert_eq!((posting.places().free, posting.places().slow), (4, 2));
        posting.spawn(one.clone(), true, async { panic!("it is meant to") });
        posting.spawn(one.clone(), false, std::future::pending());
        posting.spawn(other.clone(), true, async {});
        let places = posting.places();
        assert_eq!((places.free, places.slow), (1, 0));
        assert_eq!((places.held[&one].all, places.held[&one].slow), (2, 1));
        for _ in 0..2 {
            posting.ended().await.unwrap();
        }
        let places = posting.places();
        assert_eq!((places.free, places.slow, places.held.len()), (3, 2, 1));
    }
}
