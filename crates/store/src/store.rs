//! The store itself: reading jobs, claiming them, and writing what became of them.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use redis::aio::ConnectionManager;
use songmill_core::job::{Effect, StateName, step};
use songmill_core::time::Span;
use songmill_core::{Event, Job, JobId, Policy, Stage, Step, Timestamp, VendorName};

use crate::connection::{Clock, Settings, StoreError, open};
use crate::enqueue::{decode, encode};
use crate::keys::Keys;
use crate::lease::Lease;
use crate::scripts::{CLAIM, COMMIT, EXTEND};
use crate::wake::Wake;

/// How long what has ended is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// How long an ended job's record is kept.
    pub age: Span,
    /// The most ended jobs that are kept, whatever their age.
    pub jobs: u64,
    /// About how many state changes the event stream keeps.
    pub events: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Span::secs(7 * 86_400), jobs: 1_000_000, events: 100_000 }
    }
}

/// The store. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    client: redis::Client,
    connection: ConnectionManager,
    keys: Keys,
    policy: Policy,
    retention: Retention,
    clock: Clock,
    wake: OnceLock<Wake>,
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
    version: u64,
}

/// What an event did to a job.
#[derive(Clone, Debug)]
pub enum Applied {
    /// It changed the job to this.
    Changed(Box<Job>),
    /// It changed nothing.
    Unchanged(Box<Job>),
    /// There is no such job.
    NoSuchJob,
}

/// One line of the event stream: a job changed its state.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Logged {
    /// Whose.
    pub job: JobId,
    /// The batch it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<songmill_core::BatchName>,
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
}

impl Logged {
    pub(crate) fn of(job: &Job, from: Option<StateName>) -> Self {
        let code = match &job.state {
            songmill_core::State::Failed { fault, .. } => Some(fault.code.to_string()),
            songmill_core::State::Held { of, .. } => Some(of.fault.code.to_string()),
            _ => None,
        };
        let (batch, vendor) = (job.batch.clone(), job.vendor().clone());
        Self { job: job.id, batch, from, to: job.state.name(), vendor, code }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and enums are always JSON")
    }
}

/// What is to become of a job, if its version is still the one that was read.
pub(crate) struct Commit<'a> {
    pub(crate) version: u64,
    pub(crate) before: &'a Job,
    pub(crate) after: &'a Job,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    Done,
    Stale,
    NoSuchJob,
}

/// The jobs that a claim took, and when there will be more.
pub(crate) struct Claims {
    pub(crate) leases: Vec<Lease>,
    pub(crate) now: Timestamp,
    pub(crate) next_due: Option<Timestamp>,
    pub(crate) unreadable: Vec<StoreError>,
}

/// The most commits in one script call.
pub(crate) const COMMIT_CHUNK: usize = 64;
/// How often an event is tried on a job that others change at the same time.
const APPLY_TRIES: u32 = 32;
/// The longest a queue sleeps without being woken.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(5);

impl Store {
    /// Connects; Redis must be there now, later it may come and go.
    pub async fn connect(
        settings: &Settings,
        retention: Retention,
        policy: Policy,
    ) -> Result<Self, StoreError> {
        let (client, connection) = open(settings).await?;
        let store = Self(Arc::new(Inner {
            client,
            connection,
            keys: Keys::new(&settings.namespace),
            policy,
            retention,
            clock: Clock::default(),
            wake: OnceLock::new(),
        }));
        store.learn_clock().await?;
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

    /// How jobs are waited for and retried.
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    pub(crate) async fn learn_clock(&self) -> Result<(), StoreError> {
        let (secs, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut self.connection()).await?;
        self.0.clock.learn(Timestamp::from_millis(secs * 1000 + micros / 1000));
        Ok(())
    }

    pub(crate) fn connection(&self) -> ConnectionManager {
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

    /// Reads a job.
    pub async fn load(&self, id: JobId) -> Result<Option<Stored>, StoreError> {
        let mut ask = redis::cmd("HMGET");
        ask.arg(self.keys().job(id)).arg(&["d", "v", "x", "c", "r"]);
        type Fields = (Option<Vec<u8>>, Option<u64>, Option<u64>, Option<u32>, Option<String>);
        let fields: Fields = ask.query_async(&mut self.connection()).await?;
        let (Some(record), Some(version), began, claims, request) = fields else { return Ok(None) };
        let job = self.begun(decode(id, &record)?, began.unwrap_or(0));
        let request = request.unwrap_or_default().into();
        Ok(Some(Stored { job, request, claims: claims.unwrap_or(0), version }))
    }

    /// A submit claim is written as the moment it began; the machine says what that makes of the record.
    fn begun(&self, job: Job, began_ms: u64) -> Job {
        if began_ms == 0 {
            return job;
        }
        match step(&job, &Event::Claimed, Timestamp::from_millis(began_ms), self.policy()) {
            Some(step) => step.job,
            None => job,
        }
    }

    /// Has the machine decide what an event makes of a job, and writes that down.
    pub async fn apply(&self, id: JobId, event: &Event) -> Result<Applied, StoreError> {
        for _ in 0..APPLY_TRIES {
            let Some(stored) = self.load(id).await? else { return Ok(Applied::NoSuchJob) };
            let Some(Step { job, effects }) = step(&stored.job, event, self.now(), self.policy()) else {
                return Ok(Applied::Unchanged(Box::new(stored.job)));
            };
            let commit = Commit { version: stored.version, before: &stored.job, after: &job };
            match self.commit(&[commit]).await?[0] {
                Committed::Done => {
                    announce(&job, &effects);
                    return Ok(Applied::Changed(Box::new(job)));
                }
                Committed::Stale => {}
                Committed::NoSuchJob => return Ok(Applied::NoSuchJob),
            }
        }
        Err(StoreError::Contended(id.to_string()))
    }

    /// Takes up to `most` due jobs from a queue for a lease.
    pub(crate) async fn claim(
        &self,
        stage: Stage,
        vendor: &VendorName,
        most: usize,
        lease: Duration,
    ) -> Result<Claims, StoreError> {
        let keys = self.keys();
        let queue = keys.queue(stage, vendor);
        let waits_in =
            if stage == Stage::Submit { keys.queue(Stage::Resolve, vendor) } else { queue.clone() };
        let mut call = CLAIM.call(&[queue, waits_in]);
        call.arg(most).arg(lease.as_millis() as u64).arg(keys.job_prefix()).arg(keys.batch_prefix());
        call.arg(LONGEST_SLEEP.as_millis() as u64).arg(if needs_request(stage) { "r" } else { "" });
        let claimed = Instant::now();
        let mut reply = call.run::<Vec<redis::Value>>(&mut self.connection()).await?.into_iter();
        let now = Timestamp::from_millis(next(&mut reply)?);
        self.0.clock.learn(now);
        let next_due: i64 = next(&mut reply)?;
        let mut claims = Claims {
            leases: Vec::new(),
            now,
            next_due: u64::try_from(next_due).ok().map(Timestamp::from_millis),
            unreadable: Vec::new(),
        };
        while reply.len() > 0 {
            let id: String = next(&mut reply)?;
            let fence = (next(&mut reply)?, next(&mut reply)?);
            let began: u64 = next(&mut reply)?;
            let record: Vec<u8> = next(&mut reply)?;
            let request: String = next(&mut reply)?;
            let Ok(id) = id.parse::<JobId>() else { continue };
            match decode(id, &record) {
                Ok(job) => {
                    let job = self.begun(job, began);
                    let request = (!request.is_empty()).then(|| request.into());
                    let place = (stage, vendor.clone());
                    claims.leases.push(Lease::new(job, place, request, fence, (claimed, lease)));
                }
                Err(error) => claims.unreadable.push(error),
            }
        }
        Ok(claims)
    }

    /// Writes what became of jobs; each for itself, in one call.
    pub(crate) async fn commit(&self, commits: &[Commit<'_>]) -> Result<Vec<Committed>, StoreError> {
        let keys = self.keys();
        let mut named = vec![keys.events(), keys.ended(), keys.totals()];
        for Commit { before, after, .. } in commits {
            let record = keys.job(after.id);
            let queue = |job: &Job| match job.place() {
                Some(place) => keys.queue(place.stage, place.vendor),
                None if job.state.name() == StateName::Held => keys.held(),
                None => record.clone(),
            };
            let (leaves, enters) = (queue(before), queue(after));
            let (batch, members) = match &after.batch {
                Some(batch) => (keys.batch(batch), keys.members(batch)),
                None => (record.clone(), record.clone()),
            };
            named.extend([record, leaves, enters, batch, members]);
        }
        let mut call = COMMIT.call(&named);
        call.arg(self.retention().events).arg(keys.wake());
        call.arg(self.retention().age.get().as_millis() as u64)
            .arg(self.retention().jobs)
            .arg(keys.job_prefix());
        for Commit { version, before, after } in commits {
            let (from, to) = (before.state.name(), after.state.name());
            let due = if to == StateName::Held { self.now() } else { after.due };
            call.arg(after.id.to_string()).arg(*version).arg(encode(after)?).arg(due.as_millis());
            call.arg(from.as_str()).arg(to.as_str()).arg(after.vendor().as_str()).arg(flags(before, after));
            call.arg(if from == to { Vec::new() } else { Logged::of(after, Some(from)).encode() });
        }
        let codes: Vec<i64> = call.run(&mut self.connection()).await?;
        let read = |code| match code {
            0 => Committed::Stale,
            -1 => Committed::NoSuchJob,
            _ => Committed::Done,
        };
        Ok(codes.into_iter().map(read).collect())
    }

    /// Lengthens the leases that are still ours; zero gives them back. Marks the others as lost.
    pub(crate) async fn extend(&self, leases: &[Arc<Lease>], lease: Duration) -> Result<(), StoreError> {
        for chunk in leases.chunks(COMMIT_CHUNK) {
            let keys: Vec<_> = chunk
                .iter()
                .flat_map(|held| {
                    let stage = if held.stage == Stage::Submit { Stage::Resolve } else { held.stage };
                    [self.keys().job(held.job.id), self.keys().queue(stage, &held.vendor)]
                })
                .collect();
            let mut call = EXTEND.call(&keys);
            call.arg(lease.as_millis() as u64);
            for held in chunk {
                call.arg(held.job.id.to_string()).arg(held.version);
            }
            let asked = Instant::now();
            let codes: Vec<i64> = call.run(&mut self.connection()).await?;
            for (held, code) in chunk.iter().zip(codes) {
                if code == 1 { held.extended(asked, lease) } else { held.lost() }
            }
        }
        Ok(())
    }
}

const fn needs_request(stage: Stage) -> bool {
    matches!(stage, Stage::Submit | Stage::Resolve | Stage::Collect)
}

fn flags(before: &Job, after: &Job) -> String {
    let mut flags = String::new();
    let stands = |job: &Job| job.place().is_some() || job.state.name() == StateName::Held;
    if stands(before) {
        flags.push('l');
    }
    if stands(after) {
        flags.push('e');
    }
    if after.batch.is_some() {
        flags.push('b');
    }
    if after.state.name().is_final() {
        flags.push('f');
    } else if before.state.name().is_final() {
        flags.push('w');
    }
    flags
}

fn next<T: redis::FromRedisValue>(reply: &mut impl Iterator<Item = redis::Value>) -> Result<T, StoreError> {
    let value = reply.next().unwrap_or(redis::Value::Nil);
    T::from_redis_value(value).map_err(|error| StoreError::from(redis::RedisError::from(error)))
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
