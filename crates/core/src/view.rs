//! The form in which jobs are shown to the outside: by the API, in notices, by the command line.
//!
//! Moments are milliseconds since 1970 UTC (`…_ms`). Fields are only ever added.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, FaultKind};
use crate::flow::Priority;
use crate::id::{BatchName, EndpointId, JobId, TaskId, Tenant, VendorName};
use crate::job::{Entry, Job, Route, State, StateName, Trace, explain};
use crate::report::{Extras, RawAnswer};
use crate::song::{Change, Field};
use crate::time::Timestamp;

mod asset;
mod batch;

pub use asset::{AssetView, ExtraView};
pub use batch::{BatchView, WaitReason, WaitView};

/// A job as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Job")]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// Whose it is.
    pub tenant: Tenant,
    /// The batch it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchName>,
    /// The caller's own id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_id: Option<String>,
    /// The song's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is doing.
    pub state: StateName,
    /// What it waits for, and what happens then, in words.
    pub waits_for: String,
    /// When it is looked at again; not set when nothing will happen by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<u64>,
    /// The vendor it is with, or that made the song.
    pub vendor: VendorName,
    /// The vendors it may go to, in order.
    pub vendors: Vec<VendorName>,
    /// The vendor's id of its task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Preferred fields that the vendor cannot honour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Field>,
    /// What was changed in the request before the vendor was sent it; nothing when it was sent as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Vendors it was sent on from, in order, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_over: Vec<FailOverView>,
    /// How urgent it is beside its tenant's others.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// What its tasks have cost, or will, in the settings' currency; 0 where no prices are set.
    #[serde(default)]
    pub cost: f64,
    /// When it was taken in.
    pub created_ms: u64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// From when it was taken in to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// How often it was submitted to a vendor.
    pub submissions: u32,
    /// Submissions of the present step that created, or may have created, a paid task.
    pub paid_this_step: u32,
    /// Submissions that may have been paid for beside the one that counts.
    pub maybe_paid_twice: u32,
    /// When its words and its audio were erased; what is left is for the accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_ms: Option<u64>,
    /// Why it failed or is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultView>,
    /// Its audio in storage.
    pub assets: Vec<AssetView>,
    /// How many there are, where not all are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assets_total: Option<usize>,
    /// Outputs of its task that are not delivered, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<ExtraView>,
    /// How many more of them there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_more: Option<u32>,
    /// What the vendor answered, where the job is held because nothing in it could be read; at most 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_answer: Option<String>,
    /// Endpoints that are told of it, beside those that are told of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<EndpointId>,
    /// The request it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The W3C `traceparent` it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// A vendor that a job was sent on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FailOver")]
pub struct FailOverView {
    /// The vendor it left.
    pub from: VendorName,
    /// The vendor it went on to.
    pub to: VendorName,
    /// Why.
    pub because: String,
    /// Preferred fields that only the first of them honours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Field>,
    /// Preferred fields that only the second of them honours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gained: Vec<Field>,
}

impl FailOverView {
    fn all(job: &Job) -> Vec<Self> {
        let only = |these: &[Field], those: &[Field]| -> Vec<Field> {
            these.iter().filter(|field| !those.contains(field)).copied().collect()
        };
        let view = |(pair, because): (&[Route], &String)| {
            let [from, to] = pair else { return None };
            Some(Self {
                from: from.vendor.clone(),
                to: to.vendor.clone(),
                because: because.clone(),
                left_out: only(&to.dropped, &from.dropped),
                gained: only(&from.dropped, &to.dropped),
            })
        };
        job.routes.windows(2).zip(&job.left).filter_map(view).collect()
    }
}

/// Why a job failed or is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Fault")]
pub struct FaultView {
    /// What to do about it.
    pub kind: FaultKind,
    /// Stable; `docs/faults/<code>.md` explains it.
    pub code: String,
    /// What the other side said, shortened.
    pub message: String,
}

impl From<&Fault> for FaultView {
    fn from(fault: &Fault) -> Self {
        Self { kind: fault.kind, code: fault.code.to_string(), message: fault.words() }
    }
}

impl std::fmt::Display for FaultView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.code, self.kind.as_str())?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

/// One line of a job's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "JobEvent")]
pub struct EntryView {
    /// When.
    pub at_ms: u64,
    /// What happened.
    pub what: String,
    /// More of it, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

impl JobView {
    /// Shows a job; its title stands in the request, which is kept beside it.
    pub fn of(job: &Job, title: Option<String>, now: Timestamp) -> Self {
        let explanation = explain(job, now);
        let (mut ended, mut assets, mut vendor, mut task) = (None, &[][..], job.vendor(), None);
        let (mut extra, mut answer) = (&Extras::default(), None);
        match &job.state {
            State::Completed { at, origin, assets: stored, extra: beside } => {
                (ended, assets, vendor, task) = (Some(*at), stored, &origin.vendor, origin.task.clone());
                extra = beside;
            }
            State::Collecting { origin, extra: beside, .. } => {
                (vendor, task, extra) = (&origin.vendor, origin.task.clone(), beside);
            }
            State::Failed { at, .. } | State::Canceled { at } => ended = Some(*at),
            State::Generating { task: at, .. } | State::Canceling { task: at, .. } => task = Some(at.clone()),
            State::Held { of, .. } => (task, answer) = (of.task.clone(), of.answer.as_ref()),
            State::Queued | State::Submitting(_) | State::Uncertain { .. } => {}
        }
        let trace = job.trace.as_deref();
        Self {
            id: job.id,
            tenant: job.tenant.clone(),
            batch: job.batch.clone(),
            custom_id: job.custom_id.clone(),
            title,
            state: job.state.name(),
            waits_for: explanation.waits_for,
            due_ms: explanation.due.map(Timestamp::as_millis),
            vendor: vendor.clone(),
            vendors: job.routes.iter().map(|route| route.vendor.clone()).collect(),
            task,
            left_out: job.here().dropped.clone(),
            changes: job.here().changes.clone(),
            failed_over: FailOverView::all(job),
            priority: job.priority,
            cost: job.spent as f64 / 1e6,
            created_ms: job.created.as_millis(),
            ended_ms: ended.map(Timestamp::as_millis),
            seconds: ended.map(|at| at.since(job.created).as_millis() as f64 / 1000.0),
            submissions: job.submissions,
            paid_this_step: job.paid,
            maybe_paid_twice: job.maybe_paid_twice,
            erased_ms: job.erased.map(Timestamp::as_millis),
            fault: job.state.fault().map(FaultView::from),
            assets: assets.iter().enumerate().map(|(n, asset)| AssetView::of(job.id, n, asset)).collect(),
            assets_total: None,
            extra: extra.files.iter().map(ExtraView::from).collect(),
            extra_more: (extra.more > 0).then_some(extra.more),
            vendor_answer: answer.map(RawAnswer::as_str).map(str::to_owned),
            notify: job.notify.clone(),
            request_id: trace.map(|trace| trace.request_id.clone()),
            traceparent: trace.and_then(|trace: &Trace| trace.traceparent.clone()),
        }
    }
}

impl JobView {
    /// Takes out what the owner and the vendors said.
    pub fn erase(&mut self) {
        (self.title, self.custom_id) = (None, None);
        // Faults and the history stand in it; and the caller's id of a request is any text.
        self.waits_for.clear();
        (self.request_id, self.traceparent) = (None, None);
        self.failed_over.iter_mut().for_each(|left| left.because.clear());
        (self.extra, self.vendor_answer) = (Vec::new(), None);
        self.changes.iter_mut().for_each(|change| change.examples.clear());
        if let Some(fault) = &mut self.fault {
            fault.message.clear();
        }
        for asset in &mut self.assets {
            (asset.path, asset.sha256, asset.title) = (String::new(), String::new(), None);
        }
    }
}

impl EntryView {
    /// A job's history, oldest first.
    pub fn all(job: &Job) -> Vec<Self> {
        let view = |Entry(at, what, words): &Entry| Self {
            at_ms: at.as_millis(),
            what: what.to_string(),
            words: words.clone(),
        };
        job.history.iter().map(view).collect()
    }
}

/// What is posted to an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "NoticePayload")]
pub struct NoticePayload {
    /// What it tells of, such as `job.completed`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When that happened, in RFC 3339.
    pub timestamp: String,
    /// More of it.
    pub data: NoticeData,
}

/// What a notice says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "NoticeData")]
pub struct NoticeData {
    /// Which notice of the job or batch it is, from 1: what has a lower number is older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The job, as it was when the notice was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Box<JobView>>,
    /// The batch, as it was when the notice was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Box<BatchView>>,
    /// The vendor that is paused or resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<VendorName>,
    /// Why it is paused; `docs/faults/<code>.md` explains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The endpoint that was switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointId>,
    /// More, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}
