//! How much of a vendor's allowance is used, by whom first, and how much a song's task is asked to make.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Span;

/// How urgent a job is beside its tenant's others. No class starves another: of fourteen submissions ten are
/// high, three normal and one low, as long as jobs of all three wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before others.
    High,
    /// As most.
    #[default]
    Normal,
    /// When there is room.
    Low,
}

impl Priority {
    /// Whether it is the one of jobs that name none.
    pub fn is_normal(&self) -> bool {
        *self == Self::Normal
    }

    /// Its letter in the names of lanes.
    pub const fn letter(self) -> char {
        match self {
            Self::High => 'h',
            Self::Normal => 'n',
            Self::Low => 'l',
        }
    }
}

/// What a vendor is asked for at the most, by the whole fleet together; 0 is any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Tasks under way at the same time, those in doubt included.
    pub in_flight: u32,
    /// Submissions in any minute.
    pub creates_per_minute: u32,
    /// How many of them at once after a pause; 0 for a hundredth.
    pub creates_burst: u32,
    /// Other requests in any minute: looks, look-ups, cancels, uploads.
    pub reads_per_minute: u32,
    /// How many of them at once after a pause; 0 for a hundredth.
    pub reads_burst: u32,
    /// Submissions in a row without an answer of use that shut the vendor's gate; 0 for never.
    pub breaker: u32,
    /// How long the gate is shut then, until one submission is let through; doubles as long as that fails.
    pub breaker_wait: Span,
    /// The longest that a gate is shut before one submission is let through.
    pub breaker_most: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 0,
            creates_per_minute: 0,
            creates_burst: 0,
            reads_per_minute: 0,
            reads_burst: 0,
            breaker: 5,
            breaker_wait: Span::secs(5),
            breaker_most: Span::secs(300),
        }
    }
}

/// A song's length where none was asked for, in seconds: for prices by the second.
pub(crate) const USUAL_SECONDS: u32 = 60;

/// What a song's task is asked to make, by the request that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Size {
    /// Seconds of each song; 0 where the request does not say.
    #[serde(rename = "s", skip_serializing_if = "is_zero")]
    pub seconds: u32,
    /// Songs, at least one.
    #[serde(rename = "n", skip_serializing_if = "is_one")]
    pub songs: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self { seconds: 0, songs: 1 }
    }
}

impl Size {
    /// One song of so many seconds, where the request says.
    pub fn one_song(seconds: Option<i64>) -> Self {
        let seconds = seconds.map_or(0, |seconds| u32::try_from(seconds.max(0)).unwrap_or(u32::MAX));
        Self { seconds, songs: 1 }
    }

    pub(crate) fn seconds_or_usual(self) -> u32 {
        if self.seconds == 0 { USUAL_SECONDS } else { self.seconds }
    }

    /// Whether it is one song of no particular length.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_one(songs: &u32) -> bool {
    *songs == 1
}
