//! The store itself: reading jobs, claiming them, and writing what became of them.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

use songmill_core::job::{Effect, StateName, Trace, step};
use songmill_core::pace::Pace;
use songmill_core::time::Span;
use songmill_core::{BatchName, Event, Job, JobId, Money, Policy, Stage, Tenant, Timestamp, VendorName};

use crate::apply::Applier;
use crate::connection::{Clock, Settings, StoreError, open};
use crate::corrupt::Fields;
use crate::isolation::Isolation;
use crate::keys::Keys;
use crate::link::Link;
use crate::pace::Counted;
use crate::record::decode;
use crate::secret_key::SecretKeys;
use crate::tenant::DefaultQuota;
use crate::wake::Wake;
use crate::workers::Queues;

/// How long what has ended is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// How long an ended job's record is kept.
    pub age: Span,
    /// The most ended jobs of a tenant that are kept, whatever their age.
    pub jobs: u64,
    /// About how many events are kept for each tenant.
    pub events: u64,
    /// Events that are younger are kept beyond that number, as far as a tenant's quota goes.
    pub events_age: Span,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Span::secs(7 * 86_400), jobs: 1_000_000, events: 20_000, events_age: Span::secs(86_400) }
    }
}

/// The store. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

/// A store that may be gone.
#[derive(Clone)]
pub(crate) struct WeakStore(Weak<Inner>);

impl WeakStore {
    pub(crate) fn upgrade(&self) -> Option<Store> {
        self.0.upgrade().map(Store)
    }
}

struct Inner {
    client: redis::Client,
    connection: Link,
    keys: Keys,
    policy: RwLock<Arc<Policy>>,
    /// Prices and budgets as the settings have them.
    configured: Money,
    counted: Counted,
    retention: Retention,
    clock: Clock,
    quota: OnceLock<DefaultQuota>,
    /// Bytes that Redis may take; 0 where it does not say.
    memory: AtomicU64,
    secret_keys: OnceLock<SecretKeys>,
    wake: OnceLock<Wake>,
    applier: OnceLock<Applier>,
    isolation: Isolation,
    queues: Queues,
}

/// A job as it stands in Redis.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its record.
    pub job: Job,
    /// Its request as JSON.
    pub request: Arc<str>,
    /// Claims in a row without an outcome.
    pub claims: u32,
}

impl Stored {
    /// The song's title, where its request has one.
    pub fn title(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Titled {
            title: Option<String>,
        }
        serde_json::from_str::<Titled>(&self.request).ok()?.title
    }
}

/// One line of the event stream: a job changed its state.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Logged {
    /// Whose.
    pub job: JobId,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Tenant::is_default")]
    pub tenant: Tenant,
    /// The batch it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchName>,
    /// The state it left; none when it was taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<StateName>,
    /// The state it entered.
    pub to: StateName,
    /// The vendor it is with.
    pub vendor: VendorName,
    /// The code of the fault that failed or holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The request it came with, where it came alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<Trace>>,
}

impl Logged {
    pub(crate) fn of(job: &Job, from: Option<StateName>) -> Self {
        let code = job.state.fault().map(|fault| fault.code.to_string());
        Self {
            job: job.id,
            tenant: job.tenant.clone(),
            batch: job.batch.clone(),
            from,
            to: job.state.name(),
            vendor: job.vendor().clone(),
            code,
            trace: job.trace.clone(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and enums are always JSON")
    }
}

impl Store {
    /// Connects; Redis must be there now, later it may come and go.
    pub async fn connect(
        settings: &Settings,
        retention: Retention,
        policy: Policy,
    ) -> Result<Self, StoreError> {
        let (client, connection) = open(settings).await?;
        let configured = policy.money.clone();
        let store = Self(Arc::new(Inner {
            client,
            connection,
            keys: Keys::new(&settings.namespace),
            policy: RwLock::new(Arc::new(policy)),
            configured,
            counted: Counted::default(),
            retention,
            clock: Clock::default(),
            quota: OnceLock::new(),
            memory: AtomicU64::default(),
            secret_keys: OnceLock::new(),
            wake: OnceLock::new(),
            applier: OnceLock::new(),
            isolation: Isolation::default(),
            queues: Queues::default(),
        }));
        store.learn_clock().await?;
        store.learn_memory().await?;
        store.refresh_fleet().await?;
        Ok(store)
    }

    /// The moment it is on Redis's clock, which all due times are compared with.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// How far Redis's clock is ahead of ours, in ms.
    pub fn clock_offset_ms(&self) -> i64 {
        self.0.clock.offset_ms()
    }

    /// How jobs are waited for and retried, as it is now.
    pub fn policy(&self) -> Arc<Policy> {
        self.0.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn counted(&self) -> &Counted {
        &self.0.counted
    }

    pub(crate) fn set_pace(&self, pace: Pace) {
        self.change_policy(|policy| policy.pace = pace);
    }

    /// Changes what the policy says from now on.
    pub(crate) fn change_policy(&self, change: impl FnOnce(&mut Policy)) {
        let mut known = self.0.policy.write().unwrap_or_else(PoisonError::into_inner);
        let mut policy = (**known).clone();
        change(&mut policy);
        *known = Arc::new(policy);
    }

    /// Prices and budgets as this process' settings have them.
    pub fn configured(&self) -> &Money {
        &self.0.configured
    }

    /// The same store, in which tenants may have so much unless something else is said for them; the first call
    /// counts.
    #[must_use]
    pub fn with_quota(self, quota: DefaultQuota) -> Self {
        self.0.quota.get_or_init(|| quota);
        self
    }

    /// The same store, which encrypts endpoints' secrets with these keys; the first call counts.
    #[must_use]
    pub fn with_secret_keys(self, keys: SecretKeys) -> Self {
        self.0.secret_keys.get_or_init(|| keys);
        self
    }

    /// What endpoints' secrets are encrypted with.
    pub(crate) fn secret_keys(&self) -> SecretKeys {
        self.0.secret_keys.get().cloned().unwrap_or_default()
    }

    /// What a tenant may have unless something else is said for it.
    pub fn quota(&self) -> DefaultQuota {
        self.0.quota.get().copied().unwrap_or_default()
    }

    pub(crate) fn memory(&self) -> &AtomicU64 {
        &self.0.memory
    }

    pub(crate) async fn learn_clock(&self) -> Result<(), StoreError> {
        let (secs, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut self.connection()).await?;
        self.learned(Timestamp::from_millis(secs * 1000 + micros / 1000));
        Ok(())
    }

    pub(crate) fn learned(&self, now: Timestamp) {
        self.0.clock.learn(now);
    }

    /// What makes connections.
    pub(crate) fn client(&self) -> &redis::Client {
        &self.0.client
    }

    pub(crate) fn connection(&self) -> Link {
        self.0.connection.clone()
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub(crate) fn retention(&self) -> &Retention {
        &self.0.retention
    }

    pub(crate) fn wake(&self) -> &Wake {
        self.0.wake.get_or_init(|| Wake::start(self.0.client.clone(), self.keys().wake()))
    }

    pub(crate) fn isolation(&self) -> &Isolation {
        &self.0.isolation
    }

    pub(crate) fn queues(&self) -> &Queues {
        &self.0.queues
    }

    pub(crate) fn applier(&self) -> &Applier {
        self.0.applier.get_or_init(|| Applier::start(&WeakStore(Arc::downgrade(&self.0))))
    }

    /// Reads a job.
    pub async fn load(&self, id: JobId) -> Result<Option<Stored>, StoreError> {
        Ok(self.load_many(&[id]).await?.pop().flatten())
    }

    /// Reads jobs in one round trip, in the order of their ids; none for one that is not there (any more).
    pub async fn load_many(&self, ids: &[JobId]) -> Result<Vec<Option<Stored>>, StoreError> {
        self.load_each(ids).await?.into_iter().collect()
    }

    /// The same, where one that cannot be read is no obstacle to the others.
    pub async fn load_each(
        &self,
        ids: &[JobId],
    ) -> Result<Vec<Result<Option<Stored>, StoreError>>, StoreError> {
        let read = |(id, fields): (&JobId, Result<Option<Fields>, StoreError>)| {
            let Some(found) = fields? else { return Ok(None) };
            let job = self.begun(decode(*id, &found.record)?, found.began, found.price.as_deref());
            Ok(Some(Stored { job, request: found.request.into(), claims: found.claims }))
        };
        Ok(ids.iter().zip(self.fields(ids, true).await?).map(read).collect())
    }

    /// Which of these jobs are there, in the order of their ids.
    pub async fn known(&self, ids: &[JobId]) -> Result<Vec<bool>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut ask = redis::pipe();
        ids.iter().for_each(|id| {
            ask.cmd("EXISTS").arg(self.keys().job(*id));
        });
        Ok(ask.query_async(&mut self.connection()).await?)
    }

    /// How many jobs stand in each of a vendor's queues.
    pub async fn depths(&self, vendor: &VendorName) -> Result<Vec<(Stage, u64)>, StoreError> {
        let mut ask = redis::pipe();
        for stage in Stage::ALL {
            ask.cmd("ZCARD").arg(self.keys().queue(stage, vendor));
        }
        let mut counts: Vec<u64> = ask.query_async(&mut self.connection()).await?;
        let flow = self.flow(vendor).await?;
        if let Some(submit) = counts.first_mut() {
            *submit = flow.later + flow.ready;
        }
        Ok(Stage::ALL.into_iter().zip(counts).collect())
    }

    /// A submit claim is written as the moment it began; the machine says what that makes of the record.
    /// `price` is what was reserved, and what it is charged by.
    pub(crate) fn begun(&self, mut job: Job, began_ms: u64, price: Option<&str>) -> Job {
        if began_ms == 0 {
            return job;
        }
        let (price, terms) = price.and_then(|price| price.split_once(' ')).unwrap_or_default();
        job.reserve(price.parse().unwrap_or(0), serde_json::from_str(terms).ok());
        match step(&job, &Event::Claimed, Timestamp::from_millis(began_ms), &self.policy()) {
            Some(step) => step.job,
            None => job,
        }
    }
}

/// Says what an operator must know of.
pub(crate) fn announce(job: &Job, effects: &[Effect]) {
    for Effect::Alert(fault) in effects {
        tracing::error!(
            job.id = %job.id, vendor = %job.vendor(), code = %fault.code, kind = fault.kind.as_str(),
            "vendor {} needs an operator: {fault}", job.vendor()
        );
    }
    if let songmill_core::State::Held { of, .. } = &job.state {
        tracing::warn!(job.id = %job.id, code = %of.fault.code, "job is held for an operator: {}", of.fault);
    }
}
