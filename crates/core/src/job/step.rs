//! Every decision about a job's fate.

use super::event::Event;
use super::policy::Policy;
use super::record::Job;
use crate::fault::Fault;
use crate::time::Timestamp;

/// Something to do beside writing the job down.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Tell the operator.
    Alert(Fault),
}

/// What an event makes of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The job as it is now.
    pub job: Job,
    /// What else to do.
    pub effects: Vec<Effect>,
}

/// Says what an event makes of a job; `None` when it changes nothing.
pub fn step(_job: &Job, _event: &Event, _now: Timestamp, _policy: &Policy) -> Option<Step> {
    None
}
