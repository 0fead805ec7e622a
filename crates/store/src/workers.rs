//! Which processes work: each says so every few seconds, and one that no longer does is forgotten by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use songmill_core::{Stage, Timestamp, VendorName};
use tokio_util::task::AbortOnDropHandle;

use crate::connection::StoreError;
use crate::held::{Shared, chain};
use crate::scripts::WORKER;
use crate::store::Store;

/// Between two signs of life.
const EVERY: Duration = Duration::from_secs(2);
/// A process without a sign of life for so long is lost.
const LOST: Duration = Duration::from_secs(8);
/// For so long it is listed as lost.
const KEPT: Duration = Duration::from_secs(60);

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Submits, resolves, polls and cancels upstream.
    Generate,
    /// Brings audio into storage, and sends webhooks.
    Deliver,
    /// Receives the vendors' callbacks.
    Listener,
    /// Serves the control API.
    Api,
    /// Submits files at their times.
    Schedule,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Generate, Self::Deliver, Self::Listener, Self::Api, Self::Schedule];

    /// Its name, as `songmill serve` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Deliver => "deliver",
            Self::Listener => "listener",
            Self::Api => "api",
            Self::Schedule => "schedule",
        }
    }

    /// Who works on a stage.
    pub const fn of(stage: Stage) -> Self {
        match stage {
            Stage::Submit | Stage::Resolve | Stage::Poll | Stage::Cancel => Self::Generate,
            Stage::Collect => Self::Deliver,
        }
    }
}

/// A process that runs roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its name: host and pid.
    pub name: String,
    /// What it does.
    pub roles: Vec<Role>,
    /// The vendors whose keys it has, where it needs them.
    pub vendors: Vec<VendorName>,
    /// Songmill's version.
    pub version: String,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// When it started, in ms since 1970.
    pub since_ms: u64,
    /// Its last sign of life, in ms since 1970.
    pub seen_ms: u64,
    /// How many jobs it works on, by stage.
    pub in_hand: BTreeMap<Stage, u64>,
    /// Whether it ends what is under way and claims nothing more.
    pub stopping: bool,
}

impl Worker {
    /// Whether it gives no sign of life.
    pub fn is_lost(&self, now: Timestamp) -> bool {
        now.since(Timestamp::from_millis(self.seen_ms)) > LOST
    }

    /// Whether it claims jobs that are for this role.
    pub fn works_as(&self, role: Role, now: Timestamp) -> bool {
        self.roles.contains(&role) && !self.stopping && !self.is_lost(now)
    }
}

/// The processes there are, and what can be said of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workers {
    /// All of them, also those that were lost in the last minute.
    pub all: Vec<Worker>,
    /// When that was so.
    pub now: Timestamp,
}

/// Who is missing for work that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No process has this role.
    Role(Role),
    /// Processes have the role, but none has this vendor's key.
    Vendor(VendorName),
}

impl Workers {
    /// Who is missing for a stage of a vendor; none where somebody works on it.
    pub fn missing(&self, stage: Stage, vendor: &VendorName) -> Option<Missing> {
        let role = Role::of(stage);
        let mut working = self.all.iter().filter(|worker| worker.works_as(role, self.now)).peekable();
        if working.peek().is_none() {
            return Some(Missing::Role(role));
        }
        let is_served = role != Role::Generate || working.any(|worker| worker.vendors.contains(vendor));
        (!is_served).then(|| Missing::Vendor(vendor.clone()))
    }
}

/// What this process knows of itself: the queues that it works on, for the jobs in hand, and whether its last sign of life
/// was refused.
#[derive(Default)]
pub(crate) struct Queues(Mutex<Vec<Weak<Shared>>>, Mutex<Option<StoreError>>);

impl Queues {
    pub(crate) fn add(&self, queue: &Arc<Shared>) {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(queue));
    }

    fn written(&self, refused: Option<&StoreError>) {
        // Whether it is away is asked anew each time.
        let refused = refused.filter(|error| !matches!(error, StoreError::Away(_))).cloned();
        *self.1.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    fn refused(&self) -> Option<StoreError> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn in_hand(&self) -> BTreeMap<Stage, u64> {
        let queues: Vec<_> = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut in_hand = BTreeMap::new();
        for queue in queues.iter().filter_map(Weak::upgrade) {
            let count = queue.count() as u64;
            if count > 0 {
                *in_hand.entry(queue.stage).or_default() += count;
            }
        }
        in_hand
    }
}

/// A process that is registered for as long as this lives; then for a few seconds more.
pub struct Registered {
    store: Store,
    id: String,
    stopping: Arc<AtomicBool>,
    worker: Worker,
    signs: AbortOnDropHandle<()>,
}

impl Registered {
    /// From now on it claims nothing more.
    pub async fn is_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        sign(&self.store, &self.id, &self.worker, true).await;
    }

    /// Takes it off the list.
    pub async fn end(&self) -> Result<(), StoreError> {
        self.signs.abort();
        let mut ask = redis::pipe();
        ask.atomic();
        ask.cmd("HDEL").arg(self.store.keys().workers()).arg(&self.id).ignore();
        ask.cmd("ZREM").arg(self.store.keys().workers_seen()).arg(&self.id).ignore();
        Ok(ask.query_async(&mut self.store.connection()).await?)
    }
}

impl Store {
    /// Registers this process: it is on the list when this returns, and gives signs of life by itself.
    pub async fn register(
        &self,
        host: &str,
        roles: Vec<Role>,
        vendors: Vec<VendorName>,
    ) -> Result<Registered, StoreError> {
        let (pid, now) = (std::process::id(), self.now().as_millis());
        let worker = Worker {
            name: format!("{host}:{pid}"),
            roles,
            vendors,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: host.to_owned(),
            pid,
            since_ms: now,
            seen_ms: now,
            in_hand: BTreeMap::new(),
            stopping: false,
        };
        // Containers of one name and pid are two.
        let id = format!("{}:{:x}", worker.name, getrandom::u64().unwrap_or(now));
        self.sign(&id, &worker, false).await?;
        let (stopping, signing) = (Arc::new(AtomicBool::new(false)), self.clone());
        let (ours, of, is_stopping) = (id.clone(), worker.clone(), stopping.clone());
        let signs = tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                sign(&signing, &ours, &of, is_stopping.load(Ordering::Relaxed)).await;
            }
        });
        Ok(Registered { store: self.clone(), id, stopping, worker, signs: AbortOnDropHandle::new(signs) })
    }

    async fn sign(&self, id: &str, worker: &Worker, stopping: bool) -> Result<(), StoreError> {
        let now = self.now().as_millis();
        let worker = Worker { seen_ms: now, in_hand: self.queues().in_hand(), stopping, ..worker.clone() };
        let record = serde_json::to_vec(&worker).expect("texts and numbers are always JSON");
        let mut call = WORKER.call(&[self.keys().workers(), self.keys().workers_seen()]);
        call.arg(id).arg(record).arg(now).arg(u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX));
        let written = call.run(&mut self.connection()).await.map_err(StoreError::from);
        self.queues().written(written.as_ref().err());
        written
    }

    /// Whether Redis answers, and took what this process wrote last: a process that is registered writes every two
    /// seconds.
    pub async fn health(&self) -> Result<(), StoreError> {
        self.ping().await?;
        self.queues().refused().map_or(Ok(()), Err)
    }

    /// Whether webhooks wait to be sent, now or later.
    pub async fn has_waiting_notices(&self) -> Result<bool, StoreError> {
        let keys = self.keys();
        let mut ask = redis::pipe();
        ask.cmd("XLEN").arg(keys.outbox());
        for endpoints in [keys.notify(), format!("{}:slow", keys.notify()), keys.notifying()] {
            ask.cmd("ZCARD").arg(endpoints);
        }
        let waiting: Vec<u64> = ask.query_async(&mut self.connection()).await?;
        Ok(waiting.iter().any(|count| *count > 0))
    }

    /// The processes that run roles, by name; those that were lost in the last minute, too.
    pub async fn workers(&self) -> Result<Workers, StoreError> {
        let mut ask = redis::cmd("HVALS");
        ask.arg(self.keys().workers());
        let records: Vec<Vec<u8>> = ask.query_async(&mut self.connection()).await?;
        let now = self.now();
        // One that a newer version wrote otherwise is no obstacle to the others.
        let mut all: Vec<Worker> =
            records.iter().filter_map(|record| serde_json::from_slice(record).ok()).collect();
        all.retain(|worker| now.since(Timestamp::from_millis(worker.seen_ms)) <= KEPT);
        all.sort_by(|one, other| (&one.name, one.since_ms).cmp(&(&other.name, other.since_ms)));
        Ok(Workers { all, now })
    }
}

async fn sign(store: &Store, id: &str, worker: &Worker, stopping: bool) {
    if let Err(error) = store.sign(id, worker, stopping).await {
        tracing::debug!(error = %chain(&error), "this process cannot say that it works");
    }
}
