//! Taking jobs in.

use std::collections::HashMap;
use std::sync::Arc;

use songmill_core::{BatchRef, Job, JobId, Stage};

use crate::connection::StoreError;
use crate::record::encode;
use crate::scripts::ENQUEUE;
use crate::store::{Logged, Store};
use crate::tenant::{Bound, DefaultQuota, day};

/// A job to take in.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its record, queued.
    pub job: Job,
    /// The request as JSON: kept as it is, and what makes two requests the same.
    pub request: Arc<str>,
    /// What makes it the same as another job of its tenant, where the caller cares.
    pub content: Option<String>,
}

/// What became of a job that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It is new.
    Created,
    /// The same request was handed in before: nothing was done.
    Known,
    /// Another request was handed in under the same key before: nothing was done.
    Conflict,
    /// Its tenant has as much as it may have: nothing was done.
    Over(Bound),
    /// Another job of its tenant has the same content: nothing was done.
    Same(JobId),
}

/// The most jobs handed to Redis in one script call.
pub(crate) const CHUNK: usize = 128;

impl Store {
    /// Takes jobs of one tenant in, at most [`Store::ENQUEUE_CHUNK`] in one atomic call; all of one batch or of none.
    ///
    /// The answers stand in the order of the jobs. On an error nothing, or a whole number of chunks, was
    /// taken in; handing all of them in again is safe.
    pub async fn enqueue(
        &self,
        batch: Option<&BatchRef>,
        jobs: &[NewJob],
    ) -> Result<Vec<Enqueued>, StoreError> {
        let mut results = Vec::with_capacity(jobs.len());
        for chunk in jobs.chunks(CHUNK) {
            self.enqueue_chunk(batch, chunk, &mut results).await?;
        }
        Ok(results)
    }

    /// The most jobs that one call of [`Store::enqueue`] takes in atomically.
    pub const ENQUEUE_CHUNK: usize = CHUNK;

    async fn enqueue_chunk(
        &self,
        batch: Option<&BatchRef>,
        jobs: &[NewJob],
        results: &mut Vec<Enqueued>,
    ) -> Result<(), StoreError> {
        let keys = self.keys();
        let Some(tenant) = jobs.first().map(|new| &new.job.tenant) else { return Ok(()) };
        let day = day(self.now());
        let mut named = Vec::with_capacity(8 + 2 * jobs.len());
        named.push(keys.events());
        named.push(keys.batches(tenant));
        match batch {
            Some(batch) => named.extend([keys.batch(batch), keys.members(batch)]),
            None => named.extend([keys.events(), keys.events()]),
        }
        named.extend([keys.tenant(tenant), keys.tenants(), keys.day(tenant, day), keys.deadlines()]);
        let mut queues = HashMap::new();
        for new in jobs {
            let vendor = new.job.vendor();
            let queue = queues.entry(vendor).or_insert_with(|| keys.queue(Stage::Submit, vendor));
            named.extend([keys.job(new.job.id), queue.clone()]);
        }
        let mut call = ENQUEUE.call(&named);
        call.arg(batch.map(ToString::to_string).unwrap_or_default());
        call.arg(self.event_limits()).arg(keys.wake()).arg(keys.batch_prefix());
        let DefaultQuota { open_jobs, jobs_per_day, .. } = self.quota();
        call.arg(tenant.as_str()).arg(day).arg(self.listed_for().as_millis() as u64);
        call.arg(open_jobs).arg(self.account_limits()).arg(jobs_per_day);
        call.arg(keys.content_prefix(tenant)).arg(self.listed_for().as_millis() as u64);
        let usual = self.policy().jobs.deadline.get();
        for new in jobs {
            let record = encode(&new.job)?;
            let event = Logged::of(&new.job, None).encode();
            call.arg(new.job.id.to_string()).arg(record).arg(&*new.request);
            call.arg(new.job.due.as_millis()).arg(event);
            let own = Some(new.job.until).filter(|until| *until < new.job.created + usual);
            call.arg(new.job.lane()).arg(new.job.priced_by()).arg(own.unwrap_or_default().as_millis());
            call.arg(new.content.as_deref().unwrap_or_default());
        }
        let codes: Vec<redis::Value> = call.run(&mut self.connection()).await?;
        for code in codes {
            results.push(read(code)?);
        }
        Ok(())
    }
}

fn read(code: redis::Value) -> Result<Enqueued, StoreError> {
    Ok(match code {
        redis::Value::Int(1) => Enqueued::Created,
        redis::Value::Int(0) => Enqueued::Known,
        redis::Value::Int(-2) => Enqueued::Over(Bound::OpenJobs),
        redis::Value::Int(-3) => Enqueued::Over(Bound::Bytes),
        redis::Value::Int(-4) => Enqueued::Over(Bound::JobsPerDay),
        redis::Value::Int(_) => Enqueued::Conflict,
        other => {
            let text: String = redis::from_redis_value(other).map_err(redis::RedisError::from)?;
            text.parse().map_or(Enqueued::Conflict, Enqueued::Same)
        }
    })
}
