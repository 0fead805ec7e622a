//! States: what is known of a job at each point, and nothing more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::Policy;
use super::record::is_zero;
use crate::fault::{Fault, FaultKind};
use crate::id::{TaskId, VendorName};
use crate::report::{Asset, Extras, Output, RawAnswer};
use crate::time::Timestamp;

/// One submission: its number within the job, and when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1; new for every submission, paid or not.
    #[serde(rename = "n")]
    pub number: u32,
    /// When a worker took the job for it.
    pub since: Timestamp,
}

/// Why it is not known whether a submission created a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    /// What went wrong.
    pub fault: Fault,
    /// How often the look-up found nothing.
    pub looks: u32,
    /// Whether the task exists or must be taken to: a callback for the attempt has come, or it was left when
    /// an earlier one was heard of.
    pub heard: bool,
    /// How often in a row the look-up itself failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fails: u32,
}

/// Why a task is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The caller asked for it.
    Asked,
    /// It took too long.
    Overdue,
}

/// Where outputs came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Whose they are.
    pub vendor: VendorName,
    /// Which submission made them.
    pub attempt: Attempt,
    /// The vendor's task, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
}

impl Origin {
    /// Whether audio is waited for that cannot be had for a fault of this kind: who cannot be reached has not said that
    /// it is gone.
    pub(super) fn is_waited_for(&self, kind: FaultKind, policy: &Policy, now: Timestamp) -> bool {
        kind != FaultKind::Rejected && now.since(self.attempt.since) < policy.jobs.collect_patience.get()
    }
}

/// What an operator is asked to decide about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldFor {
    /// The submission in doubt.
    pub attempt: Attempt,
    /// The vendor's task, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Why nobody can tell.
    pub fault: Fault,
    /// What the vendor answered, where that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<RawAnswer>,
}

/// Which of the downloaded audio is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// All of it, and only if all of it is good.
    #[default]
    Whole,
    /// What is good of it, without the rest.
    Partial,
    /// All that is audio at all, flagged.
    Any,
}

impl Accept {
    /// Whether all of it must be good.
    pub const fn is_whole(&self) -> bool {
        matches!(self, Self::Whole)
    }
}

/// What a job is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for a worker to submit it.
    Queued,
    /// A worker is submitting it, or died while doing so.
    Submitting(Attempt),
    /// It is not known whether the submission created a task.
    Uncertain {
        /// The submission.
        attempt: Attempt,
        /// What is not known of it.
        doubt: Doubt,
    },
    /// The vendor works on a task.
    Generating {
        /// The submission that created it.
        attempt: Attempt,
        /// The vendor's id of it.
        task: TaskId,
        /// How often it has been looked at.
        polls: u32,
        /// When a callback last asked for a look; zero before the first.
        nudged: Timestamp,
        /// How often in a row the vendor denied knowing the task.
        #[serde(default, skip_serializing_if = "is_zero")]
        denied: u32,
        /// How often the vendor was asked to stop it because it was overdue.
        #[serde(default, skip_serializing_if = "is_zero")]
        stops: u32,
    },
    /// The vendor is being asked to stop a task.
    Canceling {
        /// The submission that created it.
        attempt: Attempt,
        /// The vendor's id of it.
        task: TaskId,
        /// How often it has been asked in vain.
        tries: u32,
        /// Why.
        because: Ended,
    },
    /// The audio is being brought in.
    Collecting {
        /// Where it comes from.
        origin: Origin,
        /// What there is to bring in.
        outputs: Vec<Output>,
        /// What there is beside, and is not downloaded.
        #[serde(default, skip_serializing_if = "Extras::is_none")]
        extra: Extras,
        /// How often that has failed.
        tries: u32,
        /// Which of it is stored.
        #[serde(default, skip_serializing_if = "Accept::is_whole")]
        accept: Accept,
    },
    /// The audio is in our storage.
    Completed {
        /// When it was stored.
        at: Timestamp,
        /// Where it came from.
        origin: Origin,
        /// Where it lies.
        assets: Vec<Asset>,
        /// What there was beside it, and was not delivered.
        #[serde(default, skip_serializing_if = "Extras::is_none")]
        extra: Extras,
    },
    /// It is over without audio.
    Failed {
        /// Since when.
        at: Timestamp,
        /// Why.
        fault: Fault,
    },
    /// The caller stopped it.
    Canceled {
        /// Since when.
        at: Timestamp,
    },
    /// An operator must choose.
    Held {
        /// Since when.
        at: Timestamp,
        /// About what.
        of: HeldFor,
    },
}

/// A state's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the state of the same name, documented there")]
pub enum StateName {
    Queued,
    Submitting,
    Uncertain,
    Generating,
    Canceling,
    Collecting,
    Completed,
    Failed,
    Canceled,
    Held,
}

impl StateName {
    /// Every state, in the order a job goes through them.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Submitting,
        Self::Uncertain,
        Self::Generating,
        Self::Canceling,
        Self::Collecting,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::Held,
    ];

    /// The name as it stands in records, counts and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Submitting => "submitting",
            Self::Uncertain => "uncertain",
            Self::Generating => "generating",
            Self::Canceling => "canceling",
            Self::Collecting => "collecting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Held => "held",
        }
    }

    /// Whether nothing will happen to the job any more by itself or by a vendor.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }

    /// Whether the job waits for something that comes without an operator.
    pub const fn is_live(self) -> bool {
        !self.is_final() && !matches!(self, Self::Held)
    }
}

impl std::str::FromStr for StateName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|state| state.as_str()).collect();
            format!("is no state; use one of {}", names.join(", "))
        })
    }
}

impl std::fmt::Display for StateName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a live job waits for; each is a queue of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// To be submitted to a vendor.
    Submit,
    /// To find out what became of a submission.
    Resolve,
    /// To be asked how the task is.
    Poll,
    /// To be stopped at the vendor's.
    Cancel,
    /// To have its audio brought in.
    Collect,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 5] = [Self::Submit, Self::Resolve, Self::Poll, Self::Cancel, Self::Collect];

    /// The stage's name as it stands in keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Resolve => "resolve",
            Self::Poll => "poll",
            Self::Cancel => "cancel",
            Self::Collect => "collect",
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The one queue a live job stands in, and when it is due there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// What it waits for.
    pub stage: Stage,
    /// Whose queue: the vendor it is with.
    pub vendor: &'a VendorName,
    /// When it is to be looked at.
    pub due: Timestamp,
}

impl State {
    /// The state's name.
    pub const fn name(&self) -> StateName {
        match self {
            Self::Queued => StateName::Queued,
            Self::Submitting(_) => StateName::Submitting,
            Self::Uncertain { .. } => StateName::Uncertain,
            Self::Generating { .. } => StateName::Generating,
            Self::Canceling { .. } => StateName::Canceling,
            Self::Collecting { .. } => StateName::Collecting,
            Self::Completed { .. } => StateName::Completed,
            Self::Failed { .. } => StateName::Failed,
            Self::Canceled { .. } => StateName::Canceled,
            Self::Held { .. } => StateName::Held,
        }
    }

    /// What a live job in this state waits for; `None` for the others.
    pub const fn stage(&self) -> Option<Stage> {
        match self {
            Self::Queued => Some(Stage::Submit),
            Self::Submitting(_) | Self::Uncertain { .. } => Some(Stage::Resolve),
            Self::Generating { .. } => Some(Stage::Poll),
            Self::Canceling { .. } => Some(Stage::Cancel),
            Self::Collecting { .. } => Some(Stage::Collect),
            Self::Completed { .. } | Self::Failed { .. } | Self::Canceled { .. } | Self::Held { .. } => None,
        }
    }

    /// What failed or holds it.
    pub const fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Failed { fault, .. } => Some(fault),
            Self::Held { of, .. } => Some(&of.fault),
            Self::Queued
            | Self::Submitting(_)
            | Self::Uncertain { .. }
            | Self::Generating { .. }
            | Self::Canceling { .. }
            | Self::Collecting { .. }
            | Self::Completed { .. }
            | Self::Canceled { .. } => None,
        }
    }

    /// The submission under way, where there is one.
    pub const fn attempt(&self) -> Option<Attempt> {
        match self {
            Self::Submitting(attempt)
            | Self::Uncertain { attempt, .. }
            | Self::Generating { attempt, .. }
            | Self::Canceling { attempt, .. } => Some(*attempt),
            Self::Collecting { origin, .. } | Self::Completed { origin, .. } => Some(origin.attempt),
            Self::Held { of, .. } => Some(of.attempt),
            Self::Queued | Self::Failed { .. } | Self::Canceled { .. } => None,
        }
    }
}
