//! The stage queue alone: claims, commits, and how soon a job is begun.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use apalis::prelude::{Data, WorkerBuilder};
use apalis_core::error::BoxDynError;
use futures_util::future::BoxFuture;
use songmill_core::job::{Accepted, Route, StepKind};
use songmill_core::time::Span;
use songmill_core::{BatchRef, Event, Job, JobId, Policy, Stage, TaskId, VendorName};
use songmill_store::{Lease, NewJob, QueueSettings, Retention, Settings, StageQueue, Store};
use songmill_tests::Redis;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::report::{Mark, Report, percentile};
use crate::{Scale, limit};

pub(crate) fn vendor() -> Result<VendorName> {
    Ok(VendorName::new("replicate")?)
}

pub(crate) fn batch() -> Result<BatchRef> {
    Ok("bench".parse()?)
}

pub(crate) async fn store(redis: &Redis) -> Result<Store> {
    let settings = Settings { url: redis.url(), ..Settings::default() };
    Ok(Store::connect(&settings, Retention::default(), Policy::new(BTreeMap::new(), Default::default()))
        .await?)
}

/// Jobs of these numbers, as the producer would make them; the request as JSON is about 90 bytes long.
pub(crate) fn jobs(store: &Store, numbers: std::ops::Range<usize>) -> Result<Vec<NewJob>> {
    let (now, batch, vendor) = (store.now(), batch()?, vendor()?);
    let job = |n: usize| {
        let route = Route::new(vendor.clone(), vec![StepKind::Song]);
        let id = JobId::derive("default", &format!("bench\0{n}"));
        let mut job = Job::new(id, vec![route], now, now + Duration::from_secs(7 * 86_400));
        job.batch = Some(batch.name.clone());
        job.custom_id = Some(format!("song-{n:06}"));
        let request = format!(
            r#"{{"custom_id":"song-{n:06}","vendor":"replicate","prompt":"tune {n:06}","duration_s":8}}"#
        );
        NewJob { job, request: request.into(), content: None }
    };
    Ok(numbers.map(job).collect())
}

/// Takes so many jobs in.
pub(crate) async fn fill(store: &Store, count: usize) -> Result<()> {
    let batch = batch()?;
    for from in (0..count).step_by(10_000) {
        store.enqueue(Some(&batch), &jobs(store, from..(from + 10_000).min(count))?).await?;
    }
    Ok(())
}

const LEASE: Span = Span::secs(60);

/// No-op jobs: claimed, given back, and due again, so that as many wait at the end as at the beginning.
pub(crate) async fn claim_and_commit(report: &mut Report, scale: Scale) -> Result<()> {
    let folder = TempDir::new()?;
    let redis = Redis::start(folder.path())?;
    let limit = limit::claim_and_commit(&redis, 128, 64, scale.of(200_000))?;
    let mut first = None;
    for waiting in [1000, scale.of(100_000), scale.of(1_000_000)] {
        redis.cli(&["flushall"])?;
        let store = store(&redis).await?;
        fill(&store, waiting).await?;
        // What was filled in is being written anew; that is not what is measured.
        while !redis.cli(&["info", "persistence"])?.contains("aof_rewrite_in_progress:0") {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let done = Arc::new(AtomicU64::new(0));
        let settings = QueueSettings { concurrency: 256, lease: LEASE };
        let queue = StageQueue::start(store.clone(), Stage::Submit, vendor()?, settings);
        let stop = queue.stop_token();
        let worker = WorkerBuilder::new("bench").backend(queue).data(done.clone()).build(give_back);
        let running: BoxFuture<'static, _> = Box::pin(worker.run());
        let running = tokio::spawn(running);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (before, begun) = (done.load(Ordering::Relaxed), Instant::now());
        tokio::time::sleep(Duration::from_secs(4)).await;
        let rate = (done.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
        stop.cancel();
        let _ = running.await?;
        let least = first.map_or(20_000.0, |first: f64| (0.8 * first).max(20_000.0));
        first.get_or_insert(rate);
        report
            .add(format!("claim + commit, {waiting} waiting"), rate, "jobs/s")
            .limit(limit)
            .mark(Mark::Least(least));
    }
    Ok(())
}

async fn give_back(lease: Arc<Lease>, done: Data<Arc<AtomicU64>>) -> Result<Event, BoxDynError> {
    done.fetch_add(1, Ordering::Relaxed);
    Ok(Event::HandedBack { attempt: lease.job.submissions })
}

/// From the call that takes a job in to the first line of its handler, one job at a time.
pub(crate) async fn start(report: &mut Report, scale: Scale) -> Result<()> {
    let folder = TempDir::new()?;
    let redis = Redis::start(folder.path())?;
    let store = store(&redis).await?;
    let (begun, mut begins) = mpsc::unbounded_channel::<Instant>();
    let settings = QueueSettings { concurrency: 32, lease: LEASE };
    let queue = StageQueue::start(store.clone(), Stage::Submit, vendor()?, settings);
    let stop = queue.stop_token();
    let worker = WorkerBuilder::new("bench").backend(queue).data(begun).build(accept);
    let running: BoxFuture<'static, _> = Box::pin(worker.run());
    let running = tokio::spawn(running);
    let batch = batch()?;
    let mut samples = Vec::new();
    for n in 0..scale.of(2000) {
        let new = jobs(&store, n..n + 1)?;
        let asked = Instant::now();
        store.enqueue(Some(&batch), &new).await?;
        let begun = begins.recv().await.context("the worker runs")?;
        samples.push(begun.duration_since(asked).as_secs_f64() * 1000.0);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.cancel();
    let _ = running.await?;
    report.add("enqueue → start, p50", percentile(&mut samples, 50.0), "ms").mark(Mark::Most(1.0));
    report.add("enqueue → start, p99", percentile(&mut samples, 99.0), "ms");
    Ok(())
}

async fn accept(
    lease: Arc<Lease>,
    begun: Data<mpsc::UnboundedSender<Instant>>,
) -> Result<Event, BoxDynError> {
    begun.send(Instant::now())?;
    let accepted = Accepted::Task(TaskId::new("task")?);
    Ok(Event::Accepted { attempt: lease.job.submissions, accepted })
}
