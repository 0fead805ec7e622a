//! What the API answers with, beside the views of `core`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::job::StateName;
use songmill_core::song::{IgnoredField, PlannedChange};
use songmill_core::view::{EntryView, FaultView, JobView};
use songmill_core::{BatchName, JobId, SongRequest, Tenant, VendorName};
use songmill_store::{AccessKey, Kept, Usage};

use crate::problem::ProblemError;

mod endpoint;
mod event;
mod flow;

pub use crate::prices::{BudgetScope, BudgetView, Budgets, NewBudget, NewPrice, PriceView, Prices};
pub use crate::workers::{WorkerState, WorkerView};
pub use endpoint::{EndpointView, SecretView};
pub use event::EventView;
pub use flow::{Blocked, Blocker, FlowView, GateBy, GateView, RateView, Spend, SpendRow};
pub use songmill_core::view::{BatchView, NoticePayload, WaitReason, WaitView};

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub struct Listed<T> {
    /// The page.
    pub data: Vec<T>,
    /// The `cursor` of the next page; not set on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A job with its request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobDetail {
    /// The job.
    #[serde(flatten)]
    pub job: JobView,
    /// The request.
    pub request: SongRequest,
}

/// Why a job waits, and every decision so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// The job.
    pub id: JobId,
    /// What it is doing.
    pub state: StateName,
    /// What it waits for, and what happens then.
    pub waits_for: String,
    /// When it is looked at again; not set when nothing will happen by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<u64>,
    /// The one limit, gate, lease or time that it waits for at present.
    pub blocked: Blocked,
    /// Claims in a row without an outcome: a worker has it, or died over it.
    pub claims: u32,
    /// Every decision so far, oldest first; the latest 24.
    pub history: Vec<EntryView>,
}

/// What an action did to a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Acted {
    /// Whether it changed anything.
    pub changed: bool,
    /// The job after it.
    pub job: JobView,
}

/// What an action did to a batch's jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActedOnAll {
    /// The batch.
    pub batch: BatchName,
    /// How many of its jobs it changed.
    pub changed: u64,
    /// How many it did not.
    pub unchanged: u64,
}

/// What a part of erasing a tenant came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Erased {
    /// Whose.
    pub tenant: Tenant,
    /// Jobs whose words were erased.
    pub jobs: u64,
    /// Files that were removed from storage, each with what lay beside it.
    pub files: u64,
    /// Other texts that were erased: of notices, refused lines, kept answers.
    #[serde(default)]
    pub texts: u64,
    /// Jobs that had not ended when this part began, and were left: cancel them, then erase again.
    pub open: u64,
    /// Records that cannot be read, whoever's they are, and were left.
    #[serde(default)]
    pub unreadable: u64,
    /// The `cursor` to go on with; not set when all is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What an operator decides about a held job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Resolution {
    /// Submit it again, at the risk of paying twice: `{"resubmit": {}}`.
    Resubmit {},
    /// Follow this task of the vendor's.
    Adopt {
        /// The vendor's id of it.
        task: songmill_core::TaskId,
    },
    /// Download the audio of its task once more, and store it as it is, flagged: `{"store": {}}`.
    Store {},
    /// End it as failed: `{"fail": {}}`.
    Fail {},
}

/// What came of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Uploaded {
    /// The batch.
    pub batch: BatchName,
    /// The upload: the request's id, for `/errors?upload=`.
    pub upload: String,
    /// New jobs.
    pub created: u64,
    /// Lines that were known already.
    pub known: u64,
    /// Lines that were refused.
    pub refused: u64,
    /// What is wrong with the first refused lines; `/errors` has more.
    pub errors: Vec<ProblemError>,
    /// What else was noticed: an encoding that was guessed, columns that are not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What vendors will ignore in the new songs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<IgnoredField>,
}

/// A line that was refused, or a job that failed or is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "BatchError")]
pub struct BatchErrorView {
    /// The upload the refused line stood in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
    /// The refused line's number in its upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The caller's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_id: Option<String>,
    /// The job, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// Its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateName>,
    /// Why it failed or is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultView>,
    /// What is wrong with the refused line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemError>,
}

/// What an upload would come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Plan")]
pub struct PlanView {
    /// Lines that would be taken.
    pub good: u64,
    /// Lines that would be refused.
    pub refused: u64,
    /// Good lines that say the same as an earlier one, under the same id: no job of their own.
    pub repeated: u64,
    /// Good lines that were submitted before: no new job.
    pub known: u64,
    /// New jobs.
    pub jobs: u64,
    /// Songs they make.
    pub songs: u64,
    /// By the vendor they would go to first.
    pub vendors: BTreeMap<VendorName, PlannedVendor>,
    /// What they cost together, in the currency of the budgets: as expected, and if every attempt had to be made.
    pub cost: BTreeMap<String, Range>,
    /// Vendors whose price nobody has set: an estimate that ships with Songmill is counted with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub estimated: Vec<VendorName>,
    /// What is changed in the songs before their first vendor is sent them; nothing when all are sent as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<PlannedChange>,
    /// How long they take, in seconds, as far as the vendors' limits and time limits tell.
    pub seconds: Range,
    /// What else was noticed: an encoding that was guessed, columns that are not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What vendors will ignore in the new songs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<IgnoredField>,
    /// What is wrong with the first refused lines.
    pub errors: Vec<ProblemError>,
}

/// What would go to a vendor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedVendor {
    /// Jobs.
    pub jobs: u64,
    /// Songs they make.
    pub songs: u64,
    /// Paid submissions they need, when each works at the first try.
    pub submissions: u64,
}

/// From the least to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Range {
    /// The least.
    pub low: f64,
    /// The most.
    pub high: f64,
}

/// A vendor: what it can do, and how much goes on there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Vendor")]
pub struct VendorView {
    /// Its name in requests.
    pub name: VendorName,
    /// Its name for people.
    pub title: String,
    /// Whether it has its key set and may be used.
    pub usable: bool,
    /// The fields of a song request that it can honour.
    pub honours: Vec<songmill_core::song::Field>,
    /// How many songs one task can make.
    pub most_songs: u32,
    /// Whether it calls back when a task ends.
    pub calls_back: bool,
    /// Whether it can tell what became of a submission without an answer.
    pub look_up: bool,
    /// Whether it can stop a task.
    pub cancel: bool,
    /// Submissions a minute that it is sent at the most, where that is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creates_per_minute: Option<u32>,
    /// Its gate, where that is shut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateView>,
    /// A gate that is shut for one tenant alone, whose submissions fail beside those of others; only for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_gate: Option<GateView>,
    /// Its limits and what is used of them; only for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowView>,
    /// Jobs that wait there, by stage; an operator sees everybody's, others none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<BTreeMap<String, u64>>,
    /// Why songs wait to be submitted there; an operator sees everybody's, others their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WaitView>,
    /// JSON Schema of `options.<name>`.
    pub options: serde_json::Value,
}

/// A key that was just made: the only time that it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "MadeKey")]
pub struct NewKeyView {
    /// The key itself. Keep it; it cannot be shown again.
    pub secret: String,
    /// What is known of it.
    #[serde(flatten)]
    pub key: AccessKey,
}

/// A tenant: what it has, and what it may have; 0 is any number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TenantUsage")]
pub struct TenantView {
    /// Its name.
    pub tenant: Tenant,
    /// Jobs that have not ended.
    pub open_jobs: u64,
    /// Bytes that it makes us keep: all of `kept` together.
    pub bytes: u64,
    /// Of what they are.
    pub kept: Kept,
    /// Jobs taken in today, UTC.
    pub jobs_today: u64,
    /// The most jobs that have not ended.
    pub most_open_jobs: u64,
    /// The most bytes that it may make us keep.
    pub most_bytes: u64,
    /// The most jobs taken in on one day, UTC.
    pub most_jobs_per_day: u64,
    /// What is spent and reserved today, UTC, in the settings' currency.
    pub spent_today: f64,
    /// The most of that; 0 for no cap.
    pub most_spend_per_day: f64,
    /// Its share beside other tenants.
    pub weight: f64,
}

impl TenantView {
    pub(crate) fn of(tenant: Tenant, usage: &Usage) -> Self {
        Self {
            tenant,
            open_jobs: usage.open_jobs,
            bytes: usage.kept.total(),
            kept: usage.kept,
            jobs_today: usage.jobs_today,
            most_open_jobs: usage.quota.open_jobs,
            most_bytes: usage.quota.bytes,
            most_jobs_per_day: usage.quota.jobs_per_day,
            spent_today: usage.spent_today as f64 / 1e6,
            most_spend_per_day: usage.quota.spend_per_day as f64 / 1e6,
            weight: usage.weight,
        }
    }
}
