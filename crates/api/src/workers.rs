//! Processes that run roles.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Out;
use axum::extract::State;
use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::song::Moment;
use songmill_core::{Timestamp, VendorName};
use songmill_store::{Missing, Role, Scope, Worker};

use crate::app::App;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::views::Listed;

/// A process that runs roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Worker")]
pub struct WorkerView {
    /// Its name: host and pid.
    pub name: String,
    /// Its roles: `generate`, `deliver`, `listener`, `api`, `schedule`.
    pub roles: Vec<String>,
    /// The vendors that it submits to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vendors: Vec<VendorName>,
    /// Songmill's version.
    pub version: String,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// What it does.
    pub state: WorkerState,
    /// When it started, in RFC 3339.
    pub started_at: String,
    /// Its last sign of life, in RFC 3339.
    pub last_seen_at: String,
    /// How many jobs it works on.
    pub jobs: u64,
    /// The same by stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jobs_by_stage: BTreeMap<String, u64>,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It works.
    Running,
    /// It finishes what is under way, and claims nothing more.
    Stopping,
    /// It gives no sign of life.
    Lost,
}

impl WorkerState {
    /// Its name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Lost => "lost",
        }
    }
}

impl WorkerView {
    fn of(worker: &Worker, now: Timestamp) -> Self {
        let at = |millis| Moment(Timestamp::from_millis(millis)).to_string();
        let state = match (worker.is_lost(now), worker.stopping) {
            (true, _) => WorkerState::Lost,
            (false, true) => WorkerState::Stopping,
            (false, false) => WorkerState::Running,
        };
        Self {
            name: worker.name.clone(),
            roles: worker.roles.iter().map(|role| role.as_str().to_owned()).collect(),
            vendors: worker.vendors.clone(),
            version: worker.version.clone(),
            host: worker.host.clone(),
            pid: worker.pid,
            state,
            started_at: at(worker.since_ms),
            last_seen_at: at(worker.seen_ms),
            jobs: worker.in_hand.values().sum(),
            jobs_by_stage: worker.in_hand.iter().map(|(stage, jobs)| (stage.to_string(), *jobs)).collect(),
        }
    }
}

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/workers", "workers.list", list)
            .says(
                "List workers",
                "Processes that run roles, by name. Each gives a sign of life every two seconds; one that gives none is \
                 `lost` after 8 s, and listed for another minute.",
            )
            .for_scope(Scope::Admin)
            .reply::<Listed<WorkerView>>(200, "All of them"),
    ]
}

async fn list(State(app): State<Arc<App>>) -> Result<Out<Listed<WorkerView>>, Problem> {
    let workers = app.store.workers().await?;
    let data = workers.all.iter().map(|worker| WorkerView::of(worker, workers.now)).collect();
    Ok(Out(Listed { data, next: None }))
}

/// Who is missing, and what to do about it.
pub(crate) fn missing(missing: &Missing) -> (String, String) {
    match missing {
        Missing::Role(role) => {
            let role = role.as_str();
            (format!("no {role} worker is running"), format!("start one with `songmill serve {role}`"))
        }
        Missing::Vendor(vendor) => {
            let role = Role::Generate.as_str();
            let message = format!("no {role} worker has a key for {vendor}");
            (message, format!("set its key for `songmill serve {role}`, and start that again"))
        }
    }
}
