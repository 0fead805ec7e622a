//! A claimed job, ours until the lease runs out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use songmill_core::{Job, SongRequest, Stage, VendorName};

/// What a vendor's gate has to do with a submission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// Nothing: all is well.
    #[default]
    None,
    /// It wants to know how the submission ends, be it well.
    Wanted,
    /// It is shut, and this one was let through to find out.
    Probe,
}

/// A claimed job. Whoever holds it may work on it until the lease runs out; the version it was claimed at is
/// its fence.
#[derive(Debug)]
pub struct Lease {
    /// The job as it is now: a claimed submit is `submitting` already.
    pub job: Job,
    /// What the job waited for.
    pub stage: Stage,
    /// The vendor whose queue it stood in.
    pub vendor: VendorName,
    /// The request as JSON, where the stage needs it.
    pub request: Option<Arc<str>>,
    /// Claims in a row without an outcome, this one included.
    pub claims: u32,
    /// What the vendor's gate has to do with it.
    pub watch: Watch,
    /// Earlier ones of these claims in which its worker had no other job of the queue.
    pub(crate) alone: u32,
    /// Whether this one counts as such a claim.
    pub(crate) is_alone: bool,
    pub(crate) version: u64,
    claimed: Instant,
    /// Milliseconds from `claimed` to the end of the lease; zero when it was lost.
    lasts_ms: AtomicU64,
}

/// A claim of a job as Redis counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fence {
    pub(crate) version: u64,
    pub(crate) claims: u32,
    pub(crate) alone: u32,
    pub(crate) is_alone: bool,
}

impl Lease {
    pub(crate) fn new(
        job: Job,
        (stage, vendor): (Stage, VendorName),
        request: Option<Arc<str>>,
        Fence { version, claims, alone, is_alone }: Fence,
        (claimed, lasts): (Instant, Duration),
        watch: Watch,
    ) -> Self {
        let lasts_ms = AtomicU64::new(millis(lasts));
        Self { job, stage, vendor, request, claims, watch, alone, is_alone, version, claimed, lasts_ms }
    }

    /// Whether the lease lasts at least so much longer. Ask right before anything that must not happen twice:
    /// a process that was stopped for a while does not know that it was.
    pub fn is_held_for(&self, longer: Duration) -> bool {
        let ends = Duration::from_millis(self.lasts_ms.load(Ordering::Acquire));
        self.claimed.elapsed() + longer < ends
    }

    /// The request, read.
    pub fn song(&self) -> Result<SongRequest, serde_json::Error> {
        serde_json::from_str(self.request.as_deref().unwrap_or_default())
    }

    pub(crate) fn extended(&self, asked: Instant, lease: Duration) {
        let until = asked.duration_since(self.claimed) + lease;
        self.lasts_ms.store(millis(until), Ordering::Release);
    }

    pub(crate) fn lost(&self) {
        self.lasts_ms.store(0, Ordering::Release);
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
