//! How getting at the output of a finished task goes.

use serde::{Deserialize, Serialize};

use super::record::is_zero;
use crate::report::Output;
use crate::time::Timestamp;

/// How getting at the output of a finished task has gone so far; begins anew with each attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retrieval {
    /// How often the vendor was asked for fresh addresses.
    #[serde(rename = "r", skip_serializing_if = "is_zero")]
    pub refreshes: u32,
    /// The fingerprint of the addresses that did not serve; 0 before the first.
    #[serde(rename = "s", skip_serializing_if = "is_zero")]
    pub stale: u32,
    /// Polls that found the task succeeded and no output that can be read.
    #[serde(rename = "u", skip_serializing_if = "is_zero")]
    pub unreadable: u32,
    /// When that was first said.
    #[serde(rename = "us", skip_serializing_if = "is_never")]
    pub unreadable_since: Timestamp,
    /// Downloads that gave what may not be ready yet.
    #[serde(rename = "n", skip_serializing_if = "is_zero")]
    pub not_ready: u32,
    /// When the first of them was.
    #[serde(rename = "ns", skip_serializing_if = "is_never")]
    pub not_ready_since: Timestamp,
    /// Downloads that gave audio which nobody can use.
    #[serde(rename = "x", skip_serializing_if = "is_zero")]
    pub unusable: u32,
    /// Whether audio that ends within a sound is what there is: no download brought more.
    #[serde(rename = "e", skip_serializing_if = "std::ops::Not::not")]
    pub accept_open_end: bool,
    /// Whether an operator has its audio stored as it is.
    #[serde(rename = "a", skip_serializing_if = "std::ops::Not::not")]
    pub accept_any: bool,
    /// Whether what the task costs is booked.
    #[serde(rename = "b", skip_serializing_if = "std::ops::Not::not")]
    pub booked: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_never(at: &Timestamp) -> bool {
    *at == Timestamp::default()
}

impl Retrieval {
    /// Whether nothing has happened yet: the output was not looked for before.
    pub fn is_new(&self) -> bool {
        *self == Self::default()
    }

    /// Counts one more answer without a readable output.
    pub(super) fn count_unreadable(&mut self, now: Timestamp, polled: bool) {
        self.unreadable = self.unreadable.saturating_add(u32::from(polled));
        if is_never(&self.unreadable_since) {
            self.unreadable_since = now;
        }
    }

    /// The output can be read: should it not be again, it is waited for anew.
    pub(super) fn readable(&mut self) {
        (self.unreadable, self.unreadable_since) = (0, Timestamp::default());
    }

    /// Counts one more download of what may not be ready yet.
    pub(super) fn count_not_ready(&mut self, now: Timestamp) {
        self.not_ready = self.not_ready.saturating_add(1);
        if is_never(&self.not_ready_since) {
            self.not_ready_since = now;
        }
    }
}

/// A fingerprint of the addresses of outputs; never 0.
pub(super) fn fingerprint(outputs: &[Output]) -> u32 {
    // FNV-1a: it stands in records, so it must be the same in every build.
    let bytes = outputs.iter().flat_map(|output| output.source.as_str().bytes().chain([0]));
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_addresses_apart_and_is_the_same_in_every_build() {
        let of = |addresses: &[&str]| {
            fingerprint(&addresses.iter().map(|address| Output::at(*address)).collect::<Vec<_>>())
        };
        assert_eq!(of(&["https://a/1"]), of(&["https://a/1"]));
        assert_ne!(of(&["https://a/1"]), of(&["https://a/2"]));
        assert_ne!(of(&["https://a/1", "2"]), of(&["https://a/12"]));
        assert_eq!(of(&[]), 0x811c_9dc5);
    }
}
