//! What can happen to a job. Past tense; each is heard of late, doubled or out of order without harm.

use super::record::Packed;
use crate::fault::Fault;
use crate::id::{TaskId, VendorName};
use crate::report::{Asset, Extra, Product, Report};
use crate::time::Timestamp;

/// How a vendor answered a submission that it took.
#[derive(Clone, Debug, PartialEq)]
pub enum Accepted {
    /// With a task to follow.
    Task(TaskId),
    /// With the product itself (lyrics in the reply).
    Done(Product),
}

/// Where a report came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// We asked, at this moment.
    Poll {
        /// When the request was made; a callback that came later asks for another look.
        asked: Timestamp,
    },
    /// It stood in the vendor's list, which may be behind what the task itself shows.
    List {
        /// When the list was requested.
        asked: Timestamp,
    },
    /// The vendor called back.
    Callback,
}

/// What is wrong with a file that was downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// It is no audio, or not all of it: it may not be ready yet.
    NotReady,
    /// It is audio that ends within a sound, and does not say how long it should be: another download may bring more. If
    /// none does, it is what there is.
    Doubtful,
    /// It is complete, and nobody can use it.
    Unusable,
}

impl Via {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Poll { .. } | Self::List { .. } => "poll",
            Self::Callback => "callback",
        }
    }
}

/// What an operator decided for a held job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Submit again, at the risk of paying twice.
    Resubmit,
    /// Follow this task of the vendor's.
    Adopt(TaskId),
    /// Download the audio of its task once more, and store it as it is, flagged.
    Store,
    /// End the job as failed.
    Fail,
}

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A worker took the queued job to submit it; nothing has been sent yet.
    Claimed,
    /// The worker gave the job back before anything was sent.
    HandedBack {
        /// The attempt that was not begun.
        attempt: u32,
    },
    /// The submission is shared with other jobs; nothing has been sent yet.
    Packed {
        /// Which submission.
        attempt: u32,
        /// With whom.
        into: Packed,
    },
    /// The vendor's gate is shut while the job waits for it.
    Shut {
        /// Whose.
        vendor: VendorName,
        /// Why.
        fault: Fault,
    },
    /// A submission that was let through a shut gate, to find out, was not done: that is no strike.
    ProbeFailed {
        /// Which submission.
        attempt: u32,
        /// Why.
        fault: Fault,
    },
    /// The job waits, and nothing may be submitted any more.
    DeadlinePassed,
    /// The vendor took the submission.
    Accepted {
        /// Which submission.
        attempt: u32,
        /// What it answered.
        accepted: Accepted,
    },
    /// The submission did not succeed, or it is not known whether it did.
    SubmitFailed {
        /// Which submission.
        attempt: u32,
        /// What to do about it.
        fault: Fault,
    },
    /// The look-up found the task of a submission.
    Found {
        /// Which submission.
        attempt: u32,
        /// The vendor's id of it.
        task: TaskId,
    },
    /// The look-up did not find a task for a submission.
    NotFound {
        /// Which submission.
        attempt: u32,
        /// When the look-up was asked; what was looked for too early says nothing, however late it is told.
        asked: Timestamp,
    },
    /// The vendor has no look-up, or it cannot tell.
    CannotTell {
        /// Which submission.
        attempt: u32,
    },
    /// The look-up itself failed.
    LookFailed {
        /// Which submission.
        attempt: u32,
        /// Why.
        fault: Fault,
    },
    /// The vendor said how a task is.
    Reported {
        /// Which submission.
        attempt: u32,
        /// Who said it.
        vendor: VendorName,
        /// The task, where it was named.
        task: Option<TaskId>,
        /// What was said.
        report: Report,
        /// How we heard.
        via: Via,
    },
    /// A callback came that is not believed as it is: the vendor must be asked now.
    Heard {
        /// Which submission.
        attempt: u32,
    },
    /// Asking how a task is failed.
    PollFailed {
        /// Which submission.
        attempt: u32,
        /// Why.
        fault: Fault,
    },
    /// The caller wants the job to stop.
    CancelAsked,
    /// The vendor stopped a task, or it had ended.
    CancelDone {
        /// Which submission.
        attempt: u32,
    },
    /// Stopping a task failed.
    CancelFailed {
        /// Which submission.
        attempt: u32,
        /// Why.
        fault: Fault,
    },
    /// All outputs are in our storage, or what is good of them where that is all there will be.
    Stored {
        /// Where they lie.
        assets: Vec<Asset>,
        /// Files that turned out to be no audio, or that could not be had.
        extra: Vec<Extra>,
    },
    /// A file was downloaded, and it is not what a song should be.
    QualityRejected {
        /// What is wrong with it.
        fault: Fault,
        /// Whether that may pass.
        defect: Defect,
    },
    /// An output could not be brought in.
    CollectFailed {
        /// Why; `rejected` says that the address does not serve any more.
        fault: Fault,
    },
    /// Workers took the job again and again and none came back with an outcome.
    Poisoned {
        /// How many.
        claims: u32,
    },
    /// An operator wants a failed or canceled job to be tried again from the step that failed.
    RetryAsked,
    /// An operator decided what becomes of a held job.
    Resolved(Choice),
}

impl Event {
    /// The event's name, for logs: what it holds may be a tenant's words, or an address that is a secret.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::HandedBack { .. } => "handed_back",
            Self::Packed { .. } => "packed",
            Self::Shut { .. } => "shut",
            Self::ProbeFailed { .. } => "probe_failed",
            Self::DeadlinePassed => "deadline_passed",
            Self::Accepted { .. } => "accepted",
            Self::SubmitFailed { .. } => "submit_failed",
            Self::Found { .. } => "found",
            Self::NotFound { .. } => "not_found",
            Self::CannotTell { .. } => "cannot_tell",
            Self::LookFailed { .. } => "look_failed",
            Self::Reported { .. } => "reported",
            Self::Heard { .. } => "heard",
            Self::PollFailed { .. } => "poll_failed",
            Self::CancelAsked => "cancel_asked",
            Self::CancelDone { .. } => "cancel_done",
            Self::CancelFailed { .. } => "cancel_failed",
            Self::Stored { .. } => "stored",
            Self::QualityRejected { .. } => "quality_rejected",
            Self::CollectFailed { .. } => "collect_failed",
            Self::Poisoned { .. } => "poisoned",
            Self::RetryAsked => "retry_asked",
            Self::Resolved(_) => "resolved",
        }
    }
}
