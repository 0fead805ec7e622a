//! From a delivery to an event, and into the store.

use std::net::SocketAddr;

use bytes::Bytes;
use http::HeaderMap;
use songmill_core::callback::CallbackKeys;
use songmill_core::job::Via;
use songmill_core::{Event, JobId};
use songmill_http_server::Counted;
use songmill_store::{Applied, Store};
use songmill_vendors::{Delivery, Reading, Refusal, Vendor, Vendors};

use crate::answer::Answer;

/// What receiving needs.
pub(crate) struct Receiver {
    store: Store,
    vendors: Vendors,
    keys: CallbackKeys,
    forged: Counted,
}

/// The address of a delivery, unchecked: `/callbacks/{vendor}/{job}/{attempt}/{token}`.
pub(crate) struct Address {
    pub(crate) vendor: String,
    pub(crate) job: String,
    pub(crate) attempt: String,
    pub(crate) token: String,
    /// Who posted it.
    pub(crate) peer: SocketAddr,
}

/// What a delivery may be about: its address is ours.
pub(crate) struct Expected<'a> {
    vendor: &'a dyn Vendor,
    job: JobId,
    attempt: u32,
    peer: SocketAddr,
}

impl Receiver {
    pub(crate) fn new(store: Store, vendors: Vendors, keys: CallbackKeys) -> Self {
        Self { store, vendors, keys, forged: Counted::default() }
    }

    pub(crate) async fn ping(&self) -> Result<(), Answer> {
        self.store.health().await.map_err(|_| Answer::Later)
    }

    /// Refuses what address and headers can refuse, before anything of the body is read.
    pub(crate) fn expected(&self, address: &Address, headers: &HeaderMap) -> Result<Expected<'_>, Answer> {
        let Address { vendor, peer, .. } = address;
        let (Ok(job), Ok(attempt)) = (address.job.parse::<JobId>(), address.attempt.parse::<u32>()) else {
            return Err(Answer::Unknown);
        };
        if !self.keys.verify(vendor, job, attempt, &address.token) {
            return Err(self.forged(*peer, "the address is not one of ours"));
        }
        let vendor = self.vendors.iter().find(|known| known.card().name.as_str() == vendor);
        let vendor = vendor.ok_or(Answer::Unknown)?.as_ref();
        match vendor.read_delivery_headers(headers, self.store.now()) {
            Ok(()) => Ok(Expected { vendor, job, attempt, peer: *peer }),
            Err(refusal) => Err(self.refused(vendor, *peer, refusal)),
        }
    }

    fn refused(&self, vendor: &dyn Vendor, peer: SocketAddr, refusal: Refusal) -> Answer {
        match refusal {
            Refusal::Forged(why) => {
                self.forged(peer, &format!("{} did not sign it: {why}", vendor.card().name))
            }
            Refusal::Garbled(why) => Answer::Garbled(why),
        }
    }

    fn forged(&self, peer: SocketAddr, why: &str) -> Answer {
        self.forged.add(format!("{}: {why}", peer.ip()), |count, last| {
            tracing::warn!(
                count,
                "{count} forged callbacks refused in the last second; the last from {last}"
            );
        });
        Answer::Forged
    }

    /// Takes a delivery; its answer is `Taken` only when what it says is durable.
    pub(crate) async fn receive(&self, expected: &Expected<'_>, headers: &HeaderMap, body: &Bytes) -> Answer {
        let Expected { vendor, job, attempt, peer } = *expected;
        let name = &vendor.card().name;
        let reading = match vendor.read_delivery(&Delivery { headers, body }, self.store.now()) {
            Ok(reading) => reading,
            Err(Refusal::Garbled(why)) => return self.quarantine(name.as_str(), job, why, body).await,
            Err(refusal @ Refusal::Forged(_)) => return self.refused(vendor, peer, refusal),
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
