//! How many requests a key may make: a bucket of tokens for each, in this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Buckets by key.
#[derive(Debug)]
pub(crate) struct Rates {
    per_minute: u32,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// What is left to a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Left {
    /// Requests a minute.
    pub(crate) quota: u32,
    /// Requests left now.
    pub(crate) remaining: u32,
    /// Until there are as many as there can be, or at least one where there is none.
    pub(crate) reset: Duration,
    /// Whether this one is allowed.
    pub(crate) allowed: bool,
}

/// Buckets that are kept; a full one says nothing and goes.
const BUCKETS: usize = 10_000;

impl Rates {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, buckets: Mutex::default() }
    }

    /// Takes a token of a key; none where there is no limit.
    pub(crate) fn take(&self, key: &str, now: Instant) -> Option<Left> {
        let most = f64::from(Some(self.per_minute).filter(|most| *most > 0)?);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS {
            buckets.retain(|_, bucket| bucket.filled(most, now) < most);
        }
        let bucket = buckets.entry(key.to_owned()).or_insert(Bucket { tokens: most, at: now });
        bucket.tokens = bucket.filled(most, now);
        bucket.at = now;
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        let missing = if allowed { most - bucket.tokens } else { 1.0 - bucket.tokens };
        Some(Left {
            quota: self.per_minute,
            remaining: bucket.tokens as u32,
            reset: Duration::from_secs_f64((missing * 60.0 / most).max(0.0)),
            allowed,
        })
    }
}

impl Bucket {
    fn filled(&self, most: f64, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + since * most / 60.0).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_what_it_has_and_fills_again() {
        let (rates, start) = (Rates::new(60), Instant::now());
        let taken = (0..100).filter(|_| rates.take("a", start).unwrap().allowed).count();
        assert_eq!(taken, 60);
        let refused = rates.take("a", start).unwrap();
        assert!(!refused.allowed && refused.reset <= Duration::from_secs(1));
        assert!(rates.take("b", start).unwrap().allowed, "another key has its own");
        let later = start + Duration::from_secs(2);
        let taken = (0..10).filter(|_| rates.take("a", later).unwrap().allowed).count();
        assert_eq!(taken, 2);
        assert!(Rates::new(0).take("a", start).is_none());
    }
}
