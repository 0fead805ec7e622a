//! From a delivery to an event, and into the store.

use bytes::Bytes;
use http::HeaderMap;
use songmill_core::callback::CallbackKeys;
use songmill_core::job::Via;
use songmill_core::{Event, JobId};
use songmill_store::{Applied, Store};
use songmill_vendors::{Delivery, Reading, Refusal, Vendors};

use crate::answer::Answer;

/// What receiving needs.
pub(crate) struct Receiver {
    pub(crate) store: Store,
    pub(crate) vendors: Vendors,
    pub(crate) keys: CallbackKeys,
}

/// The address of a delivery, unchecked: `/callbacks/{vendor}/{job}/{attempt}/{token}`.
pub(crate) struct Address {
    pub(crate) vendor: String,
    pub(crate) job: String,
    pub(crate) attempt: String,
    pub(crate) token: String,
}

impl Receiver {
    /// Takes a delivery; its answer is `Taken` only when what it says is durable.
    pub(crate) async fn receive(&self, address: &Address, headers: &HeaderMap, body: &Bytes) -> Answer {
        let (Ok(job), Ok(attempt)) = (address.job.parse::<JobId>(), address.attempt.parse::<u32>()) else {
            return Answer::Unknown;
        };
        if !self.keys.verify(&address.vendor, job, attempt, &address.token) {
            tracing::warn!(job.id = %job, vendor = %address.vendor, "delivery refused: its address is forged");
            return Answer::Forged;
        }
        let Some(vendor) = self.vendors.iter().find(|vendor| vendor.card().name.as_str() == address.vendor)
        else {
            return Answer::Unknown;
        };
        let name = &vendor.card().name;
        let reading = match vendor.read_delivery(&Delivery { headers, body }, self.store.now()) {
            Ok(reading) => reading,
            Err(Refusal::Forged(why)) => {
                tracing::warn!(job.id = %job, vendor = %name, why, "delivery refused: {name} did not sign it");
                return Answer::Forged;
            }
            Err(Refusal::Garbled(why)) => return self.quarantine(name.as_str(), job, why, body).await,
        };
        let is_of_another = reading.is_of_another(name, job, attempt);
        if is_of_another {
            tracing::warn!(job.id = %job, vendor = %name, "the callback is about another submission: the vendor is polled");
        }
        let event = match reading {
            // Whatever it says, something has happened: the vendor is polled.
            Reading { believed, .. } if is_of_another || !believed => Event::Heard { attempt },
            Reading { task, report, .. } => {
                Event::Reported { attempt, vendor: name.clone(), task, report, via: Via::Callback }
            }
        };
        match self.store.apply(job, &event).await {
            Ok(Applied::Changed(job)) => {
                tracing::debug!(job.id = %job.id, vendor = %name, state = %job.state.name(), "delivery taken");
                Answer::Taken
            }
            Ok(Applied::Unchanged(_)) => Answer::Taken,
            Ok(Applied::NoSuchJob) => Answer::Unknown,
            Err(error) => later_or_broken(job, &error),
        }
    }

    async fn quarantine(&self, vendor: &str, job: JobId, why: String, body: &Bytes) -> Answer {
        tracing::error!(job.id = %job, vendor, why, "delivery of {vendor} is not understood; it is in quarantine");
        match self.store.quarantine(&format!("callback of {vendor}, job {job}"), &why, body).await {
            Ok(()) => Answer::Garbled(why),
            Err(error) => later_or_broken(job, &error),
        }
    }
}

fn later_or_broken(job: JobId, error: &songmill_store::StoreError) -> Answer {
    if error.will_pass() {
        tracing::warn!(job.id = %job, %error, "delivery put off: redis cannot be written to");
        Answer::Later
    } else {
        tracing::error!(job.id = %job, %error, "delivery cannot be written down");
        Answer::Broken
    }
}
