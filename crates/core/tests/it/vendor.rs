//! A vendor with a truth of its own, and an adversary between it and us who reads from a tape.

use std::time::Duration;

use songmill_core::job::StepKind;
use songmill_core::{FaultKind, TaskId, Timestamp, VendorName};

/// Where the adversary's choices come from; when it has run out, everything goes well.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    choices: Vec<u8>,
    at: usize,
}

impl Tape {
    pub(crate) fn new(choices: Vec<u8>) -> Self {
        Self { choices, at: 0 }
    }

    /// A choice below `most`; zero when the tape has run out.
    pub(crate) fn choose(&mut self, most: u8) -> u8 {
        self.at += 1;
        self.choices.get(self.at - 1).map_or(0, |choice| choice % most)
    }

    pub(crate) fn chance(&mut self, in_256: u8) -> bool {
        self.at += 1;
        self.choices.get(self.at - 1).is_some_and(|choice| *choice < in_256)
    }

    pub(crate) fn secs(&mut self, most: u8) -> Duration {
        Duration::from_secs(self.choose(most).into())
    }
}

/// How a task ends if nobody stops it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Well,
    Badly(FaultKind),
    Never,
}

#[derive(Clone, Debug)]
pub(crate) struct VendorTask {
    pub(crate) id: TaskId,
    pub(crate) vendor: VendorName,
    pub(crate) attempt: u32,
    pub(crate) step: StepKind,
    pub(crate) created: Timestamp,
    pub(crate) fate: Fate,
    pub(crate) ends: Timestamp,
    pub(crate) stopped: Option<Timestamp>,
    /// Its audio came and was of no use.
    pub(crate) wasted: bool,
}

impl VendorTask {
    pub(crate) fn is_stopped(&self, now: Timestamp) -> bool {
        self.stopped.is_some_and(|stopped| stopped <= now)
    }

    pub(crate) fn has_ended(&self, now: Timestamp) -> bool {
        self.is_stopped(now) || (self.fate != Fate::Never && self.ends <= now)
    }

    /// Whether another submission for the same step would be one too many.
    pub(crate) fn counts(&self, now: Timestamp) -> bool {
        match self.fate {
            Fate::Well => !self.is_stopped(now) && !self.wasted,
            Fate::Badly(_) | Fate::Never => !self.has_ended(now),
        }
    }

    /// Whether it is one of the paid attempts that are bounded.
    pub(crate) fn is_paid(&self) -> bool {
        !matches!(self.fate, Fate::Badly(FaultKind::Locked | FaultKind::Throttled))
    }
}
