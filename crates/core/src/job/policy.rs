//! How jobs are waited for and retried: settings, as arguments of the machine.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::Job;
use crate::fault::Fault;
use crate::flow::Limits;
use crate::id::VendorName;
use crate::money::Money;
use crate::pace::Pace;
use crate::time::Span;

/// What to do when it cannot be known whether a submission created a paid task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// Wait for an operator.
    Hold,
    /// Submit again, at the risk of paying twice.
    Resubmit,
    /// End the job as failed.
    Fail,
}

/// What to do about audio that nobody can use: wholly silent twice in a row, or still broken or too short after `download_grace`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnusable {
    /// Have the same vendor make it again, which is paid for, at most `max_remakes` times.
    #[default]
    Remake,
    /// Wait for an operator.
    Hold,
    /// Store it as it is, flagged.
    Store,
}

/// How one vendor is waited for and retried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VendorPolicy {
    /// Paid tasks a step may create before the job moves on or fails, 1 or more.
    pub attempts: u32,
    /// Submissions in a row that were known not to be done before the job moves on or fails.
    pub strikes: u32,
    /// The first back-off; doubles with every strike, spread by a quarter either way.
    pub backoff: Span,
    /// The longest back-off.
    pub backoff_most: Span,
    /// The wait after `locked`.
    pub locked_wait: Span,
    /// The wait after `throttled` where the vendor names none.
    pub throttled_wait: Span,
    /// The longest wait that is taken on the vendor's word; then one request finds out.
    pub max_named_wait: Span,
    /// From the submission to the first look at the task, until recent tasks tell better.
    pub poll_first: Span,
    /// The shortest wait between two looks: an eighth of the time that the task has taken so far, within these bounds.
    pub poll_every: Span,
    /// The longest wait between two looks.
    pub poll_most: Span,
    /// How long a task may take before it is overdue: then it is canceled where that can be done.
    pub patience: Span,
    /// How long a task may take before the job gives it up.
    pub give_up: Span,
    /// Whether the vendor has a look-up for submissions without an answer.
    pub look_up: bool,
    /// Looks without a find before a submission counts as not done, 1 or more.
    pub looks: u32,
    /// Between two looks.
    pub look_every: Span,
    /// A submission younger than this is never taken for not done; longer than a submission's time limit.
    pub settle: Span,
    /// Whether the vendor can stop a task.
    pub cancel: bool,
    /// What to do where no look-up can tell.
    pub on_unknown: OnUnknown,
    /// What it is asked for at the most.
    pub limits: Limits,
}

impl VendorPolicy {
    /// The wait that a fault names, up to `max_named_wait`.
    pub fn named_wait(&self, fault: &Fault) -> Option<Duration> {
        fault.retry_after().map(|wait| wait.min(self.max_named_wait.get()))
    }
}

impl Default for VendorPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            strikes: 12,
            backoff: Span::secs(2),
            backoff_most: Span::secs(300),
            locked_wait: Span::secs(60),
            throttled_wait: Span::secs(15),
            max_named_wait: Span::secs(15 * 60),
            poll_first: Span::secs(10),
            poll_every: Span::secs(5),
            poll_most: Span::secs(60),
            patience: Span::secs(30 * 60),
            give_up: Span::secs(2 * 3600),
            look_up: false,
            looks: 3,
            look_every: Span::secs(10),
            settle: Span::secs(90),
            cancel: false,
            on_unknown: OnUnknown::Hold,
            limits: Limits::default(),
        }
    }
}

/// How jobs are waited for and retried.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Policy {
    /// By vendor; one that is not named here has the default.
    pub vendors: BTreeMap<VendorName, VendorPolicy>,
    /// For all jobs.
    pub jobs: JobPolicy,
    /// What songs cost, and how much may be spent.
    pub money: Money,
    /// What recent tasks tell: no setting.
    #[serde(skip)]
    pub pace: Pace,
    #[serde(skip)]
    default: VendorPolicy,
}

/// What holds for every job, whatever its vendor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobPolicy {
    /// From its creation, how long a job may wait for a submission.
    pub deadline: Span,
    /// Tries to collect an output before the address is asked for anew.
    pub collect_tries: u32,
    /// How often an address is asked for anew.
    pub collect_rounds: u32,
    /// How long after its submission audio whose address cannot be reached is still asked for.
    pub collect_patience: Span,
    /// The first wait between two tries to collect, and between two polls for an output that is not there yet; doubles.
    pub collect_backoff: Span,
    /// How long a task that has succeeded is polled for an output that can be read, at least six times, before the job
    /// is held as `output_unreadable`.
    pub output_grace: Span,
    /// How long a file that is no audio, or not whole, is downloaded again, at least six times, before it counts as
    /// unusable.
    pub download_grace: Span,
    /// What to do about audio that nobody can use.
    pub on_unusable: OnUnusable,
    /// How often a song is made again by the same vendor because its audio was unusable.
    pub max_remakes: u32,
    /// Claims in a row without an outcome (the worker died) before the job is `poisoned`.
    pub claims: u32,
}

impl Default for JobPolicy {
    fn default() -> Self {
        Self {
            deadline: Span::secs(7 * 86_400),
            collect_tries: 5,
            collect_rounds: 5,
            collect_patience: Span::secs(3 * 86_400),
            collect_backoff: Span::secs(1),
            output_grace: Span::secs(120),
            download_grace: Span::secs(180),
            on_unusable: OnUnusable::Remake,
            max_remakes: 1,
            claims: 5,
        }
    }
}

impl Policy {
    /// A policy for these vendors.
    pub fn new(vendors: BTreeMap<VendorName, VendorPolicy>, jobs: JobPolicy) -> Self {
        Self {
            vendors,
            jobs,
            money: Money::default(),
            pace: Pace::default(),
            default: VendorPolicy::default(),
        }
    }

    /// The same, with prices and caps.
    #[must_use]
    pub fn with_money(self, money: Money) -> Self {
        Self { money, ..self }
    }

    /// What the submission that a job waits for is expected to cost now, in millionths.
    pub fn price(&self, job: &Job) -> u64 {
        self.money.expected(job.vendor(), job.step_kind(), job.size())
    }

    /// How this vendor is waited for and retried.
    pub fn vendor(&self, name: &VendorName) -> &VendorPolicy {
        self.vendors.get(name).unwrap_or(&self.default)
    }
}

/// `first` doubled `times` times but at most `most`, spread by a quarter either way.
pub(super) fn backoff(first: Span, most: Span, times: u32, spread: u64) -> Duration {
    let wait = first.get().saturating_mul(1 << times.min(20)).min(most.get());
    jitter(wait, spread)
}

/// `wait` spread evenly from three to five quarters of it.
pub(super) fn jitter(wait: Duration, spread: u64) -> Duration {
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).min(u64::MAX / 2);
    Duration::from_millis(millis - millis / 4 + spread % (millis / 2 + 1))
}
