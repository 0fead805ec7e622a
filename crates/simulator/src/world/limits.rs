//! What a vendor allows: requests in a window of time, and tasks under way.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::settings::Faults;

/// What kind of request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Creates a task.
    Create,
    /// Reads one task.
    Read,
    /// Does anything else.
    Other,
    /// Looks tasks up.
    LookUp,
}

/// The requests of the last window that were let in.
#[derive(Debug, Default)]
pub(crate) struct Limits(Mutex<[VecDeque<u64>; 2]>);

/// What was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Creates,
    Reads,
    InFlight,
}

impl Limits {
    /// Lets a request in, or says what it would exceed and in how many ms there is room again.
    pub(crate) fn enter(
        &self,
        kind: Kind,
        faults: &Faults,
        now: u64,
        in_flight: impl FnOnce() -> usize,
    ) -> Result<(), (Over, u64)> {
        let (most, over, place) = match kind {
            Kind::Create => (faults.creates_most, Over::Creates, 0),
            Kind::Read | Kind::LookUp | Kind::Other => (faults.reads_most, Over::Reads, 1),
        };
        if kind == Kind::Create && faults.in_flight_most > 0 && in_flight() >= faults.in_flight_most {
            return Err((Over::InFlight, 1000));
        }
        if most == 0 {
            return Ok(());
        }
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = &mut seen[place];
        while seen.front().is_some_and(|at| at + faults.window_ms <= now) {
            seen.pop_front();
        }
        if seen.len() >= most {
            let wait = seen.front().map_or(0, |at| (at + faults.window_ms).saturating_sub(now));
            return Err((over, wait));
        }
        seen.push_back(now);
        Ok(())
    }
}
