//! The audit: a live job is a member of exactly one stage queue, and batches count right.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use songmill_core::job::StateName;
use songmill_core::{BatchRef, Job, JobId, Stage, Tenant, VendorName};

use crate::connection::StoreError;
use crate::store::Store;

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Audit {
    /// Jobs read.
    pub jobs: u64,
    /// How many of them are in each state.
    pub states: BTreeMap<StateName, u64>,
    /// Queues read.
    pub queues: u64,
    /// Submissions that may have been paid for beside the one that counts, over all jobs.
    pub maybe_paid_twice: u64,
    /// What breaks a promise.
    pub breaches: Vec<Breach>,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Breach {
    /// The job or batch.
    pub subject: String,
    /// What is wrong.
    pub what: String,
}

/// How often a job that seems wrong is looked at again: it may just have been on the move.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: std::time::Duration = std::time::Duration::from_millis(20);
/// Keys or members read in one step.
const SCAN: usize = 500;

impl Store {
    /// Reads every job and every queue and says what does not fit. Jobs may move meanwhile; what seems wrong
    /// is looked at again before it is reported.
    pub async fn audit(&self) -> Result<Audit, StoreError> {
        let mut audit = Audit::default();
        let mut batches: HashMap<BatchRef, BTreeMap<StateName, u64>> = HashMap::new();
        let mut open: BTreeMap<Tenant, u64> = BTreeMap::new();
        let prefix = self.keys().job_prefix();
        let queues = self.queue_keys().await?;
        for key in self.scan(&format!("{prefix}*"), "hash").await? {
            let Ok(id) = key[prefix.len()..].parse::<JobId>() else { continue };
            let stored = match self.load(id).await {
                Ok(Some(stored)) => stored,
                Ok(None) => continue,
                Err(StoreError::Record { source, .. }) => {
                    audit.breaches.push(Breach {
                        subject: format!("job {id}"),
                        what: format!("cannot be read: {source}"),
                    });
                    continue;
                }
                Err(error) => return Err(error),
            };
            audit.jobs += 1;
            *audit.states.entry(stored.job.state.name()).or_default() += 1;
            *open.entry(stored.job.tenant.clone()).or_default() +=
                u64::from(!stored.job.state.name().is_final());
            audit.maybe_paid_twice += u64::from(stored.job.maybe_paid_twice);
            if let Some(batch) = stored.job.batch_ref() {
                *batches.entry(batch).or_default().entry(stored.job.state.name()).or_default() += 1;
            }
            if let Some(what) = self.misplaced(id, &queues).await? {
                audit.breaches.push(Breach { subject: format!("job {id}"), what });
            }
        }
        self.audit_lanes(&mut audit, &queues).await?;
        self.audit_queues(&mut audit).await?;
        let moving = audit.states.keys().any(|state| state.is_live());
        self.audit_batches(&mut audit, batches).await?;
        if !moving {
            self.audit_tenants(&mut audit, open).await?;
        }
        Ok(audit)
    }

    /// What is wrong with a job's place, if it stays wrong.
    async fn misplaced(&self, id: JobId, queues: &[String]) -> Result<Option<String>, StoreError> {
        let mut queues = queues.to_vec();
        let mut last = None;
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(BETWEEN_LOOKS).await;
                queues = self.queue_keys().await?;
            }
            let Some(before) = self.load(id).await? else { return Ok(None) };
            let queue = |job: &Job| job.place().map(|place| self.keys().queue(place.stage, place.vendor));
            // Those that wait to be submitted stand in their lane, or with those that wait for their time.
            let lane = |queue: &String| format!("{queue}:{}", before.job.lane());
            let due: Vec<String> = match queue(&before.job) {
                Some(queue) if before.job.is_at(Stage::Submit) => vec![lane(&queue), queue],
                Some(queue) => vec![queue],
                None if before.job.state.name() == StateName::Held => vec![self.keys().held()],
                None => vec![],
            };
            let mut ask = redis::pipe();
            let looked = || queues.iter().filter(|queue| !self.is_lane(queue)).chain(due.iter().take(1));
            for queue in looked() {
                ask.cmd("ZSCORE").arg(queue).arg(id.to_string());
            }
            let scores: Vec<Option<f64>> = ask.query_async(&mut self.connection()).await?;
            let stands: BTreeSet<_> =
                looked().zip(scores).filter_map(|(queue, score)| score.map(|_| queue.clone())).collect();
            if stands.len() == due.len().min(1) && stands.iter().all(|queue| due.contains(queue)) {
                return Ok(None);
            }
            last = Some(format!("is {} and stands in {stands:?}, not in {due:?}", before.job.state.name()));
        }
        Ok(last)
    }

    /// Whether a queue is a lane: its name goes on behind the vendor's.
    fn is_lane(&self, queue: &str) -> bool {
        queue.strip_prefix(&*self.keys().queue_prefix()).is_some_and(|name| name.matches(':').count() > 1)
    }

    /// Jobs in lanes must belong there, and a lane with jobs must be one that claims look at.
    async fn audit_lanes(&self, audit: &mut Audit, queues: &[String]) -> Result<(), StoreError> {
        for queue in queues.iter().filter(|queue| self.is_lane(queue)) {
            let Some((vendor, lane)) = self.lane_of(queue) else { continue };
            let mut wrong = None;
            for look in 0..LOOKS {
                if look > 0 {
                    tokio::time::sleep(BETWEEN_LOOKS).await;
                }
                wrong = self.wrong_with(queue, &vendor, &lane).await?;
                if wrong.is_none() {
                    break;
                }
            }
            audit.breaches.extend(wrong.map(|what| Breach { subject: format!("lane {queue}"), what }));
        }
        Ok(())
    }

    fn lane_of(&self, queue: &str) -> Option<(VendorName, String)> {
        let (_, rest) = queue.strip_prefix(&*self.keys().queue_prefix())?.split_once(':')?;
        let (vendor, lane) = rest.split_once(':')?;
        Some((vendor.parse().ok()?, lane.to_owned()))
    }

    async fn wrong_with(
        &self,
        queue: &str,
        vendor: &VendorName,
        lane: &str,
    ) -> Result<Option<String>, StoreError> {
        let mut from = 0;
        loop {
            let mut ask = redis::cmd("ZRANGE");
            ask.arg(queue).arg(from).arg(from + SCAN - 1);
            let ids: Vec<String> = ask.query_async(&mut self.connection()).await?;
            let read: Vec<JobId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
            for stored in self.load_each(&read).await?.into_iter().filter_map(|found| found.ok().flatten()) {
                let job = &stored.job;
                if !job.is_at(Stage::Submit) || job.lane() != lane || job.vendor() != vendor {
                    return Ok(Some(format!("has job {}, which is {}", job.id, job.state.name())));
                }
            }
            if ids.len() < SCAN {
                break;
            }
            from += SCAN;
        }
        let share = self.keys().share(vendor);
        let (Some((tenant, rest)), true) = (lane.split_once(':'), from > 0 || self.has_any(queue).await?)
        else {
            return Ok(None);
        };
        let Some((class, batch)) = rest.split_once(':') else { return Ok(None) };
        let mut ask = redis::pipe();
        ask.cmd("ZSCORE").arg(&share).arg(tenant);
        ask.cmd("ZSCORE").arg(format!("{share}:{tenant}")).arg(class);
        ask.cmd("ZSCORE").arg(format!("{share}:{tenant}:{class}")).arg(batch);
        ask.cmd("ZSCORE").arg(format!("{share}~")).arg(lane);
        let known: Vec<Option<f64>> = ask.query_async(&mut self.connection()).await?;
        let looked_at = known[..3].iter().all(Option::is_some) || known[3].is_some();
        Ok((!looked_at).then(|| "has jobs, but no claim looks at it".to_owned()))
    }

    async fn has_any(&self, queue: &str) -> Result<bool, StoreError> {
        let count: u64 = redis::cmd("ZCARD").arg(queue).query_async(&mut self.connection()).await?;
        Ok(count > 0)
    }

    /// Members of queues must have a record.
    async fn audit_queues(&self, audit: &mut Audit) -> Result<(), StoreError> {
        for queue in self.queue_keys().await? {
            audit.queues += 1;
            let mut from = 0;
            loop {
                let mut ask = redis::cmd("ZRANGE");
                ask.arg(&queue).arg(from).arg(from + SCAN - 1);
                let ids: Vec<String> = ask.query_async(&mut self.connection()).await?;
                for id in &ids {
                    let known = match id.parse::<JobId>() {
                        // One that cannot be read is told of above.
                        Ok(id) => {
                            self.load_each(&[id]).await?.pop().is_some_and(|found| !matches!(found, Ok(None)))
                        }
                        Err(_) => false,
                    };
                    if !known {
                        let what = format!("stands in {queue} without a record");
                        audit.breaches.push(Breach { subject: format!("job {id}"), what });
                    }
                }
                if ids.len() < SCAN {
                    break;
                }
                from += SCAN;
            }
        }
        Ok(())
    }

    /// A batch's counts must be those of its jobs, unless retention has taken some.
    async fn audit_batches(
        &self,
        audit: &mut Audit,
        counted: HashMap<BatchRef, BTreeMap<StateName, u64>>,
    ) -> Result<(), StoreError> {
        for (name, states) in counted {
            let subject = format!("batch {name}");
            let Some(batch) = self.batch(&name).await? else {
                audit.breaches.push(Breach { subject, what: "has jobs but no counts".into() });
                continue;
            };
            let sum: u64 = batch.counts.0.values().sum();
            if sum != batch.total {
                let what = format!("has {} jobs but counts {sum}", batch.total);
                audit.breaches.push(Breach { subject: subject.clone(), what });
            }
            let kept: u64 = states.values().sum();
            let moving = states.iter().any(|(state, _)| state.is_live());
            if kept == batch.total && !moving && batch.counts.0 != states {
                let what = format!("counts {:?} but has {states:?}", batch.counts.0);
                audit.breaches.push(Breach { subject, what });
            }
        }
        Ok(())
    }

    /// What a tenant has open must be as many jobs as have not ended; asked only when nothing moves.
    async fn audit_tenants(&self, audit: &mut Audit, open: BTreeMap<Tenant, u64>) -> Result<(), StoreError> {
        for tenant in self.tenants().await? {
            let open = open.get(&tenant).copied().unwrap_or(0);
            let counted = self.usage(&tenant).await?.open_jobs;
            if counted != open {
                let what = format!("counts {counted} open jobs but has {open}");
                audit.breaches.push(Breach { subject: format!("tenant {tenant}"), what });
            }
        }
        Ok(())
    }

    async fn queue_keys(&self) -> Result<Vec<String>, StoreError> {
        // What stands beside queues, such as whose turn it is, is of another type.
        let mut keys = self.scan(&format!("{}*", self.keys().queue_prefix()), "zset").await?;
        keys.push(self.keys().held());
        Ok(keys)
    }

    /// Keys of a pattern and a type, read in small steps that do not block Redis.
    async fn scan(&self, pattern: &str, kind: &str) -> Result<Vec<String>, StoreError> {
        let pattern = pattern.replace('{', "[{]").replace('}', "[}]");
        let (mut cursor, mut keys) = (0u64, std::collections::BTreeSet::new());
        loop {
            let mut ask = redis::cmd("SCAN");
            ask.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN).arg("TYPE").arg(kind);
            let (next, page): (u64, Vec<String>) = ask.query_async(&mut self.connection()).await?;
            keys.extend(page);
            cursor = next;
            if cursor == 0 {
                return Ok(keys.into_iter().collect());
            }
        }
    }
}
