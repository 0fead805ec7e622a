//! Audio that was fetched and could not be stored: it is kept for the next try, by this process, for a while.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use songmill_core::JobId;

/// What is kept, by job and attempt, the latest last.
pub(crate) struct Kept<T>(Mutex<VecDeque<(JobId, u32, T)>>);

/// Jobs whose audio is kept.
const MOST: usize = 500;

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Kept<T> {
    /// Keeps what an attempt has given; the oldest goes where there is too much.
    pub(crate) fn keep(&self, job: JobId, attempt: u32, what: T) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.pop_front();
        }
        kept.push_back((job, attempt, what));
    }

    /// What was kept of an attempt; what was kept of another attempt of the job goes.
    pub(crate) fn take(&self, job: JobId, attempt: u32) -> Option<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(known, ..)| *known == job)?;
        kept.remove(place).filter(|(_, of, _)| *of == attempt).map(|(.., what)| what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_of_one_attempt_and_not_without_end() {
        let kept = Kept::default();
        let job = |n: usize| JobId::derive("kept", &n.to_string());
        (0..MOST + 1).for_each(|n| kept.keep(job(n), 1, n));
        assert_eq!((kept.take(job(0), 1), kept.take(job(1), 1), kept.take(job(1), 1)), (None, Some(1), None));
        assert_eq!((kept.take(job(2), 2), kept.take(job(2), 1)), (None, None), "that was another song");
    }
}
