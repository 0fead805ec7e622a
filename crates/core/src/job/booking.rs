//! What a job's submissions are booked with: each at the price of its own claim.

use serde::{Deserialize, Serialize};

use super::record::Job;
use crate::money::{Terms, priced_by};

/// What a submission is booked with; earlier ones may still be heard of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Booking {
    /// Which submission.
    #[serde(rename = "n")]
    pub attempt: u32,
    /// What was reserved for it, in millionths.
    #[serde(rename = "p")]
    pub price: u64,
    /// What it is charged by.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// What it is booked with, once that is not what was reserved.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub charged: Option<u64>,
}

/// How many earlier submissions' bookings a job remembers.
const EARLIER: usize = 8;

impl Booking {
    /// What it is booked with, in millionths.
    pub(super) fn amount(&self) -> u64 {
        self.charged.unwrap_or(self.price)
    }
}

impl Job {
    /// Its next submission is being claimed, and this was reserved for it.
    pub fn reserve(&mut self, price: u64, terms: Option<Terms>) {
        if self.submissions > 0 && (self.price > 0 || self.terms.is_some()) {
            if self.earlier.len() >= EARLIER {
                self.earlier.remove(0);
            }
            self.earlier.push(self.booking(self.submissions));
        }
        (self.price, self.terms, self.charged) = (price, terms, None);
    }

    /// What a submission is booked with; one that is not known any more as the latest.
    pub(super) fn booking(&self, attempt: u32) -> Booking {
        let earlier = self.earlier.iter().rev().find(|booking| booking.attempt == attempt);
        let (price, terms, charged) = (self.price, self.terms, self.charged);
        let latest = Booking { attempt, price, terms, charged };
        earlier.filter(|_| attempt != self.submissions).copied().unwrap_or(latest)
    }

    /// Books a submission with this; none with what was reserved for it.
    pub(super) fn book(&mut self, attempt: u32, charged: Option<u64>) {
        let is_latest = attempt == self.submissions;
        match self.earlier.iter_mut().rev().find(|booking| booking.attempt == attempt && !is_latest) {
            Some(booking) => booking.charged = charged,
            None => self.charged = charged,
        }
    }

    /// What its next submission is priced by, for the script that claims it.
    pub fn priced_by(&self) -> String {
        priced_by(self.step_kind(), self.size())
    }
}
