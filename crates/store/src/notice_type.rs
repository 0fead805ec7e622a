//! What can be told to endpoints.

use serde::{Deserialize, Serialize};

/// What a notice tells of.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum NoticeType {
    /// A job's audio is in storage.
    #[serde(rename = "job.completed")]
    JobCompleted,
    /// A job ended without audio.
    #[serde(rename = "job.failed")]
    JobFailed,
    /// A job was stopped.
    #[serde(rename = "job.canceled")]
    JobCanceled,
    /// A job waits for an operator.
    #[serde(rename = "job.held")]
    JobHeld,
    /// The last job of a batch ended.
    #[serde(rename = "batch.completed")]
    BatchCompleted,
    /// Four fifths of a budget are used.
    #[serde(rename = "budget.warning")]
    BudgetWarning,
    /// Jobs wait because a budget is used up.
    #[serde(rename = "budget.reached")]
    BudgetReached,
    /// Nothing is submitted to a vendor for a while.
    #[serde(rename = "vendor.paused")]
    VendorPaused,
    /// Jobs are submitted to a vendor again.
    #[serde(rename = "vendor.resumed")]
    VendorResumed,
    /// Another endpoint of the tenant was switched off.
    #[serde(rename = "endpoint.disabled")]
    EndpointDisabled,
    /// Somebody asked for a test.
    #[serde(rename = "notice.test")]
    Test,
}

impl NoticeType {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::JobCompleted,
        Self::JobFailed,
        Self::JobCanceled,
        Self::JobHeld,
        Self::BatchCompleted,
        Self::BudgetWarning,
        Self::BudgetReached,
        Self::VendorPaused,
        Self::VendorResumed,
        Self::EndpointDisabled,
        Self::Test,
    ];

    /// Its name in payloads.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JobCompleted => "job.completed",
            Self::JobFailed => "job.failed",
            Self::JobCanceled => "job.canceled",
            Self::JobHeld => "job.held",
            Self::BatchCompleted => "batch.completed",
            Self::BudgetWarning => "budget.warning",
            Self::BudgetReached => "budget.reached",
            Self::VendorPaused => "vendor.paused",
            Self::VendorResumed => "vendor.resumed",
            Self::EndpointDisabled => "endpoint.disabled",
            Self::Test => "notice.test",
        }
    }
}
