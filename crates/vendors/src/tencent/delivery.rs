//! Callbacks: a job, alone or in one of two envelopes; never signed.

use songmill_core::{Fault, Report};

use super::wire::Job;
use super::{Callbacks, Settings, exchange, fault};
use crate::contract::{Delivery, Reading, Refusal};
use crate::tolerant::{BODY_MAX, child, object, text};

pub(super) fn read(settings: &Settings, delivery: &Delivery<'_>) -> Result<Reading, Refusal> {
    told(settings, delivery)
        .map_err(|garbled| Refusal::Garbled(fault::without_secrets(garbled, settings).message))
}

fn told(settings: &Settings, delivery: &Delivery<'_>) -> Result<Reading, Fault> {
    let body = object(delivery.body, BODY_MAX)?;
    let inner = child(&body, "getJobResponse").unwrap_or(&body);
    let shown = child(inner, "job").unwrap_or(inner);
    let callback = text(shown, &["callback"]).map(str::to_owned);
    let job = Job::read(shown, &settings.content_id)?;
    let report = exchange::report(&job, || exchange::raw(delivery.body, settings))?;
    let believed = settings.callbacks == Callbacks::Accept && report != Report::Pending;
    Ok(Reading { task: Some(job.id), report, believed, callback })
}
