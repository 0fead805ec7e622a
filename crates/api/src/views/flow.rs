//! How limits, gates, money and waiting are shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::fault::reason;
use songmill_core::pace::Health;
use songmill_core::{Tenant, VendorName};
use songmill_store::{Bucket, Flow, Gate, Purse, PurseOf, ShutBy, Standing};

/// A shut gate: nothing is submitted to the vendor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Gate")]
pub struct GateView {
    /// What shut it: `locked` (key, plan or balance), `failing` (failures in a row) or `hand` (an operator).
    pub by: GateBy,
    /// The fault's code; `docs/faults/<code>.md` explains it.
    pub code: String,
    /// Why, in our own words, or in those of the operator who shut it.
    pub words: String,
    /// The tenant that it is shut for, where it is for one alone; only for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Since when.
    pub since_ms: u64,
    /// Until when; then one submission is let through to find out, or it opens where an operator shut it. Not set: until
    /// an operator opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Whether a submission that was let through is under way.
    pub probing: bool,
}

/// What shut a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "explained at the field")]
pub enum GateBy {
    Locked,
    Failing,
    Hand,
}

impl From<&Gate> for GateView {
    fn from(gate: &Gate) -> Self {
        Self {
            by: match gate.by {
                ShutBy::Locked => GateBy::Locked,
                ShutBy::Failing => GateBy::Failing,
                ShutBy::Hand => GateBy::Hand,
            },
            code: gate.code.clone(),
            words: if gate.words.is_empty() { reason(&gate.code).into_owned() } else { gate.words.clone() },
            tenant: None,
            since_ms: gate.since.as_millis(),
            until_ms: gate.until.map(|until| until.as_millis()),
            probing: gate.probe.is_some(),
        }
    }
}

/// Requests of one kind to a vendor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Rate")]
pub struct RateView {
    /// Most a minute, as set; 0 for any number.
    pub most: u32,
    /// Most a minute now: less than set after the vendor refused; 0 for any number.
    pub allowed: f64,
    /// Made in the last minute, about.
    pub made: u64,
    /// When the next one may be made, where that is not now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<u64>,
    /// Whether the vendor asked for a pause until then.
    pub paused: bool,
}

impl RateView {
    fn of(bucket: &Bucket, now: u64) -> Self {
        let next = bucket.next as u64;
        Self {
            most: bucket.most,
            allowed: bucket.allowed,
            made: bucket.made,
            next_ms: (next > now).then_some(next),
            paused: bucket.paused,
        }
    }
}

/// A vendor's limits, and what is used of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Flow")]
pub struct FlowView {
    /// Tasks under way, those in doubt included.
    pub in_flight: u64,
    /// The most of them; 0 for any number.
    pub most_in_flight: u32,
    /// Submissions.
    pub creates: RateView,
    /// Other requests.
    pub reads: RateView,
    /// Jobs that may be submitted as soon as the limits let them.
    pub ready: u64,
    /// Jobs that wait for their time.
    pub later: u64,
    /// Whether callbacks come: `good`, `quiet`, or `unknown` as long as too few tasks have ended.
    pub callbacks: String,
    /// Within how many seconds half of the last songs had ended; not set while too few have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual_s: Option<f64>,
}

impl FlowView {
    pub(crate) fn of(flow: &Flow, health: Health, usual_s: Option<f64>, now: u64) -> Self {
        let callbacks = match health {
            Health::Unknown => "unknown",
            Health::Good => "good",
            Health::Quiet => "quiet",
        };
        Self {
            in_flight: flow.in_flight,
            most_in_flight: flow.most_in_flight,
            creates: RateView::of(&flow.creates, now),
            reads: RateView::of(&flow.reads, now),
            ready: flow.ready,
            later: flow.later,
            callbacks: callbacks.into(),
            usual_s,
        }
    }
}

/// What was spent. Amounts are in the settings' currency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpendRow {
    /// The day, UTC; not set where days are added up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// The vendor; not set where vendors are added up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<VendorName>,
    /// The tenant; not set where tenants are added up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Submissions begun.
    pub sent: u64,
    /// Submissions known to have created a task.
    pub confirmed: u64,
    /// Submissions known not to have been done, or not charged for.
    pub not_done: u64,
    /// Submissions of which it is not known, or not yet, whether they created a task.
    pub possibly_paid: u64,
    /// Submissions that may have been paid for beside the one that counts.
    pub possibly_duplicate_paid_creates: u64,
    /// What all that were begun were expected to cost.
    pub expected: f64,
    /// What those cost, or will, that are known to have created a task.
    pub cost: f64,
}

/// What was spent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spend {
    /// The currency of all amounts.
    pub currency: String,
    /// By day, vendor or tenant, as asked.
    pub data: Vec<SpendRow>,
    /// All of it together.
    pub total: SpendRow,
    /// What is spent and reserved today, with its cap: of the tenant asked for, else of all.
    pub today: f64,
    /// Vendors whose price nobody has set: their costs are estimates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub estimated: Vec<VendorName>,
    /// The cap of today; not set where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<f64>,
}

/// The one thing that a job waits for at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blocker {
    /// Nothing: it has ended.
    Nothing,
    /// An operator must decide.
    Operator,
    /// Its time has not come.
    Time,
    /// The vendor's gate is shut.
    Gate,
    /// As many tasks are under way at the vendor's as may be.
    Room,
    /// The vendor allows no more requests for a moment.
    Rate,
    /// A cap on money would be passed.
    Money,
    /// Others are before it.
    Share,
    /// A worker has it.
    Lease,
    /// A worker will take it.
    Worker,
}

/// What keeps a job waiting, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Blocked {
    /// What it is.
    pub by: Blocker,
    /// In words.
    pub words: String,
    /// Until when, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

impl Blocked {
    /// An operator is told what others do, too.
    pub(crate) fn of(standing: &Standing, vendor: &VendorName, currency: &str, operator: bool) -> Self {
        let (by, words, until) = match standing {
            Standing::Over => (Blocker::Nothing, "nothing: it has ended".to_owned(), None),
            Standing::Operator => {
                (Blocker::Operator, "an operator must decide (`songmill job resolve`)".into(), None)
            }
            Standing::Time(until) => (Blocker::Time, "its time has not come".into(), Some(until.as_millis())),
            Standing::Gate(gate) => {
                let said = match gate.words.as_str() {
                    "" => format!(": {}", reason(&gate.code)),
                    words => format!(": {words}"),
                };
                let then = match gate.by {
                    ShutBy::Hand => "until an operator opens it (`songmill vendor open`) or its time is over",
                    ShutBy::Locked | ShutBy::Failing => "then one submission is let through to find out",
                };
                let words = format!("the gate of {vendor} is shut, {}{said}; {then}", gate.code);
                (Blocker::Gate, words, gate.until.map(|until| until.as_millis()))
            }
            Standing::Room { in_flight, most } => (
                Blocker::Room,
                format!("{in_flight} tasks of at most {most} are under way at {vendor}"),
                None,
            ),
            Standing::Rate { bucket, creates } => {
                let what = if *creates { "submissions" } else { "requests" };
                let words = if bucket.paused {
                    format!("{vendor} asked for a pause")
                } else {
                    format!("{vendor} is sent at most {:.0} {what} a minute", bucket.allowed)
                };
                (Blocker::Rate, words, Some(bucket.next as u64))
            }
            Standing::Money(purse) if purse.of == PurseOf::Day && !operator => {
                (Blocker::Money, "the cap on all that is spent today would be passed".into(), None)
            }
            Standing::Money(purse) => (Blocker::Money, of_money(purse, currency), None),
            Standing::Share { ahead, tenants } => {
                let others = match (tenants, operator) {
                    (0 | 1, _) => String::new(),
                    (tenants, true) => format!("; {tenants} tenants share {vendor}"),
                    (_, false) => format!("; others share {vendor}"),
                };
                let words = match ahead {
                    0 => format!("it is the next of its batch and class{others}"),
                    1 => format!("1 job is before it in its batch and class{others}"),
                    ahead => format!("{ahead} jobs are before it in its batch and class{others}"),
                };
                (Blocker::Share, words, None)
            }
            Standing::Lease(until) => (Blocker::Lease, "a worker has it".into(), Some(until.as_millis())),
            Standing::Apart { lost } => {
                let words = format!(
                    "a worker that does little else meanwhile: {lost} workers in a row did not come back with it"
                );
                (Blocker::Worker, words, None)
            }
            Standing::Worker { missing: None } => (Blocker::Worker, "a worker takes it next".into(), None),
            Standing::Worker { missing: Some(missing) } => {
                let (message, hint) = crate::workers::missing(missing);
                (Blocker::Worker, format!("{message}; {hint}"), None)
            }
        };
        Self { by, words, until_ms: until }
    }
}

fn of_money(purse: &Purse, currency: &str) -> String {
    let Purse { of, most, spent, price, .. } = purse;
    let whose = match of {
        PurseOf::Day => "on all of today",
        PurseOf::Tenant => "for its tenant today",
        PurseOf::Batch => "for its batch",
    };
    let amount = |micros: &u64| *micros as f64 / 1e6;
    format!(
        "it is expected to cost {:.4} {currency}, and {:.4} of at most {:.4} are spent or reserved {whose}",
        amount(price),
        amount(spent),
        amount(most)
    )
}
