//! What there is only so much of, shared: no tenant takes more than a quarter, so that one cannot starve the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use http_body_util::BodyExt as _;

/// So many places.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    taken: Mutex<HashMap<String, usize>>,
}

/// One place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of: Arc<Inner>,
    who: String,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most: most.max(1), taken: Mutex::default() }))
    }

    /// A place for somebody; none when all are taken, or a quarter of them by the same.
    pub(crate) fn take(&self, who: &str) -> Option<Place> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.get(who).copied().unwrap_or(0);
        if all >= self.0.most || own >= self.0.most.div_ceil(4) {
            return None;
        }
        taken.insert(who.to_owned(), own + 1);
        Some(Place { of: self.0.clone(), who: who.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.who) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.who)),
        }
    }
}

/// A body that keeps a place as long as it is sent.
pub(crate) fn holding(place: Place, body: Body) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _held = &place;
        frame
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_takes_a_quarter_and_the_others_find_room() {
        let places = Places::new(8);
        let greedy: Vec<_> = std::iter::from_fn(|| places.take("greedy")).collect();
        assert_eq!(greedy.len(), 2);
        let others: Vec<_> = (0..10).filter_map(|n| places.take(&n.to_string())).collect();
        assert_eq!(others.len(), 6);
        drop(greedy);
        assert!(places.take("greedy").is_some());
    }
}
