//! Faults: what to do about a failure, as data.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::callback::masked;

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The request is bad and will stay bad: it is over with this vendor.
    Rejected,
    /// Key, plan or balance: an operator must act; costs the job no attempt.
    Locked,
    /// Asked to wait; costs the job no attempt.
    Throttled,
    /// Known not to have been done: try again after a back-off.
    Unavailable,
    /// May have been done: must be looked up before anything is paid again.
    Unknown,
    /// Not understood: the contract moved, or something else answered.
    Garbled,
}

impl FaultKind {
    /// The kind's name as it stands in records and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Locked => "locked",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::Garbled => "garbled",
        }
    }
}

/// A failure as data: what to do about it, a stable code, and words for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What to do about it.
    pub kind: FaultKind,
    /// Stable, `snake_case`; each has a page `docs/faults/<code>.md`.
    pub code: Cow<'static, str>,
    /// What the other side said, shortened; never a secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How long the other side asked us to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// Requests a minute that the other side says it allows now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_minute: Option<u32>,
}

/// How many characters of somebody else's words a fault keeps.
const MESSAGE_CHARS: usize = 300;
/// The longest wait that is taken on somebody else's word.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

impl Fault {
    /// A fault of this kind and code; `message` is shortened and stripped of control characters, and of the secret part of
    /// our own callback addresses, which vendors quote.
    pub fn new(kind: FaultKind, code: impl Into<Cow<'static, str>>, message: impl AsRef<str>) -> Self {
        let message = masked(message.as_ref());
        let message = message.trim();
        let mut kept: String =
            message.chars().take(MESSAGE_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if kept.len() < message.len() {
            kept.push('…');
        }
        Self { kind, code: code.into(), message: kept, retry_after_ms: None, per_minute: None }
    }

    /// The same fault with the wait the other side asked for, at most a day.
    #[must_use]
    pub fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after_ms =
            wait.map(|wait| u64::try_from(wait.min(LONGEST_WAIT).as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// The same fault with the requests a minute that the other side says it allows now.
    #[must_use]
    pub fn allowing(mut self, per_minute: Option<u32>) -> Self {
        self.per_minute = per_minute.filter(|rate| *rate > 0);
        self
    }

    /// Requests a minute that the other side says it allows now.
    pub fn per_minute(&self) -> Option<u32> {
        self.per_minute
    }

    /// How long the other side asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.code, self.kind.as_str())?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
