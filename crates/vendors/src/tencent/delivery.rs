//! Callbacks: a job, alone or in one of two envelopes; never signed.

use songmill_core::Report;

use super::wire::Job;
use super::{Callbacks, Settings, exchange};
use crate::contract::{Delivery, Reading, Refusal};
use crate::tolerant::{BODY_MAX, child, object};

pub(super) fn read(settings: &Settings, delivery: &Delivery<'_>) -> Result<Reading, Refusal> {
    let body = object(delivery.body, BODY_MAX).map_err(|fault| Refusal::Garbled(fault.message))?;
    let inner = child(&body, "getJobResponse").unwrap_or(&body);
    let job = child(inner, "job").unwrap_or(inner);
    let job = Job::read(job, &settings.content_id).map_err(|fault| Refusal::Garbled(fault.message))?;
    let report = exchange::report(&job).map_err(|fault| Refusal::Garbled(fault.message))?;
    let believed = settings.callbacks == Callbacks::Accept && report != Report::Pending;
    Ok(Reading { task: Some(job.id), report, believed })
}
