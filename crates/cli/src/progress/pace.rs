//! How fast jobs end, and how long the rest will take.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use songmill_api::views::BatchView;
use songmill_core::job::StateName;

use crate::context::now;

/// How far back it is looked.
const WINDOW: Duration = Duration::from_secs(120);
/// How long it must have been watched before anything is said.
const LEAST: Duration = Duration::from_secs(5);

/// How many jobs had ended at some moments, not long ago.
#[derive(Default)]
pub(super) struct Pace(VecDeque<(Instant, u64)>);

impl Pace {
    /// Notes how many have ended, at most once a second.
    pub(super) fn note(&mut self, at: Instant, ended: u64) {
        if self.0.back().is_some_and(|(last, _)| at - *last < Duration::from_secs(1)) {
            return;
        }
        self.0.push_back((at, ended));
        while self.0.front().is_some_and(|(first, _)| at - *first > WINDOW) {
            self.0.pop_front();
        }
    }

    /// How many end in a minute; none where it is too early to say, or none did.
    pub(super) fn per_minute(&self) -> Option<f64> {
        let ((first, from), (last, to)) = (self.0.front()?, self.0.back()?);
        let took = *last - *first;
        let ended = to.saturating_sub(*from);
        (took >= LEAST && ended > 0).then(|| ended as f64 * 60.0 / took.as_secs_f64())
    }

    /// How long the rest will take: at this pace, or else at that since the batch began.
    pub(super) fn left(&self, batch: &BatchView) -> Option<Duration> {
        let held = batch.counts.get(&StateName::Held).copied().unwrap_or(0);
        let left = batch.total.saturating_sub(batch.ended + held);
        if let Some(rate) = self.per_minute() {
            return Duration::try_from_secs_f64(left as f64 * 60.0 / rate).ok();
        }
        Some(Duration::from_millis(batch.eta_ms?.saturating_sub(now().as_millis())))
    }
}

/// A length of time as people say it: `about 38 min`.
pub(super) fn roughly(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0..100 => format!("about {} s", secs.max(1)),
        100..6000 => format!("about {} min", (secs + 30) / 60),
        6000..172_800 => format!("about {} h", (secs + 1800) / 3600),
        _ => format!("about {} days", (secs + 43_200) / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_two_minutes() {
        let (begun, mut pace) = (Instant::now(), Pace::default());
        let after = |secs| begun + Duration::from_secs(secs);
        pace.note(after(0), 0);
        assert_eq!(pace.per_minute(), None);
        pace.note(after(3), 30);
        assert_eq!(pace.per_minute(), None, "too early to say");
        pace.note(after(60), 60);
        assert_eq!(pace.per_minute(), Some(60.0));
        for second in 61..=400 {
            pace.note(after(second), 60 + (second - 60) * 2);
        }
        assert_eq!(pace.per_minute(), Some(120.0));
        for second in 401..=600 {
            pace.note(after(second), 740);
        }
        assert_eq!(pace.per_minute(), None, "nothing ends any more");
        assert!(pace.0.len() < 130);
    }

    #[test]
    fn times_are_said_as_people_do() {
        for (secs, said) in [
            (0, "about 1 s"),
            (99, "about 99 s"),
            (100, "about 2 min"),
            (2280, "about 38 min"),
            (7200, "about 2 h"),
            (259_200, "about 3 days"),
        ] {
            assert_eq!(roughly(Duration::from_secs(secs)), said);
        }
    }
}
