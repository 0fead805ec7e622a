//! Why a job waits, in words.

use serde::Serialize;

use super::record::Job;
use crate::time::Timestamp;

/// Why a job waits, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What it waits for, as a sentence.
    pub waits_for: String,
    /// When it will be looked at again; `None` when nothing will happen by itself.
    pub due: Option<Timestamp>,
}

/// Says why a job waits.
pub fn explain(job: &Job, _now: Timestamp) -> Explanation {
    Explanation { waits_for: job.state.name().to_string(), due: job.place().map(|place| place.due) }
}
