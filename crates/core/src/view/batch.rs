//! Batches, and why songs wait.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{BatchName, EndpointId, Tenant, VendorName};
use crate::job::StateName;
use crate::money::{Amount, Currency};
use crate::song::IgnoredField;

/// Songs that wait for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Wait")]
pub struct WaitView {
    /// The vendor that they wait for; not set where the reason holds for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<VendorName>,
    /// Why they wait.
    pub reason: WaitReason,
    /// The fault's code where the vendor is paused; `docs/faults/<code>.md` explains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why, in words.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Which budget: `day`, `tenant_day` or `batch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// A page on which that can be put right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// When it is tried again by itself, in RFC 3339; not set where nothing happens without a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<String>,
    /// Whether it takes a person to go on, or to go on sooner.
    pub needs_person: bool,
    /// How many songs wait.
    pub songs: u64,
}

/// Why songs wait to be submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// Nothing is submitted to the vendor: its account, failures, or an operator.
    Paused,
    /// A budget would be passed.
    Budget,
    /// The vendor asked for a pause.
    AskedToWait,
    /// No worker is running.
    NoWorker,
}

/// A batch as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Batch")]
pub struct BatchView {
    /// Its name.
    pub name: BatchName,
    /// Whose it is.
    pub tenant: Tenant,
    /// When its first job was taken in.
    pub created_ms: u64,
    /// When its last job ended; not set while one may still go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_ms: Option<u64>,
    /// How many jobs were taken in.
    pub total: u64,
    /// How many of them have ended.
    pub ended: u64,
    /// How many jobs are in each state; states without any are left out.
    pub counts: BTreeMap<StateName, u64>,
    /// How many lines were refused, as far as they are kept (10,000).
    pub refused: u64,
    /// Uploads under way: more jobs may come.
    pub uploads: u64,
    /// Whether no job of it will change any more without an operator.
    pub settled: bool,
    /// When it may have ended, by how fast its jobs have ended so far; not set before the first has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_ms: Option<u64>,
    /// What its jobs cost, those under way by what they are expected to; not set where nothing is charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Amount>,
    /// The most that its jobs may cost; not set where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Amount>,
    /// The currency of these amounts, as in ISO 4217.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Why its jobs wait to be submitted, where that holds for more than one job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WaitView>,
    /// Endpoints that are told of it and of its jobs, beside those that are told of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<EndpointId>,
    /// What vendors ignore in its songs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<IgnoredField>,
    /// The request it first came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The W3C `traceparent` it first came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}
