//! Stage queues under apalis workers: leases, fences, and a Redis that comes and goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apalis::layers::WorkerBuilderExt as _;
use apalis::prelude::{Data, WorkerBuilder};
use apalis_core::error::BoxDynError;
use futures_util::future::BoxFuture;
use songmill_core::job::StateName;
use songmill_core::time::Span;
use songmill_core::{Event, Stage, State, Tenant, Timestamp};
use songmill_store::{EventId, Lease, QueueSettings, StageQueue, Store, Told};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::tools::*;

/// What a worker of these tests does.
#[derive(Clone, Default)]
pub(crate) struct Work {
    takes: Duration,
    panics: bool,
    accepts: bool,
    holds: Option<Arc<tokio::sync::Semaphore>>,
    leases: Arc<std::sync::Mutex<Vec<Arc<Lease>>>>,
    busy: Arc<AtomicUsize>,
    busiest: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
}

impl Work {
    /// Takes every submission.
    pub(crate) fn accepting() -> Self {
        Self { accepts: true, ..Self::default() }
    }

    /// The same, but waits with each until it is released.
    pub(crate) fn holding() -> Self {
        Self { holds: Some(Arc::new(tokio::sync::Semaphore::new(0))), ..Self::accepting() }
    }

    pub(crate) fn release(&self) {
        self.holds.as_ref().unwrap().add_permits(1000);
    }

    /// What was claimed so far.
    pub(crate) fn leases(&self) -> Vec<Arc<Lease>> {
        self.leases.lock().unwrap().clone()
    }
}

pub(crate) struct Worker {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Worker {
    /// Tells it to stop and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("a worker ends when it is told to").unwrap();
    }

    /// Ends it as a crash would: nothing is given back.
    async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Runs a worker that refuses every submission.
pub(crate) fn run(queue: StageQueue) -> Worker {
    run_with(queue, Work::default())
}

pub(crate) fn run_with(queue: StageQueue, work: Work) -> Worker {
    let stop = queue.stop_token();
    let worker = WorkerBuilder::new("the same name").backend(queue).data(work).catch_panic().build(handle);
    let running: BoxFuture<'static, _> = Box::pin(worker.run());
    let task = tokio::spawn(async move {
        let _ = running.await;
    });
    Worker { stop, task }
}

async fn handle(lease: Arc<Lease>, work: Data<Work>) -> Result<Event, BoxDynError> {
    work.begun.fetch_add(1, Ordering::SeqCst);
    let busy = work.busy.fetch_add(1, Ordering::SeqCst) + 1;
    work.busiest.fetch_max(busy, Ordering::SeqCst);
    work.leases.lock().unwrap().push(lease.clone());
    if let Some(holds) = &work.holds {
        holds.acquire().await?.forget();
    }
    tokio::time::sleep(work.takes).await;
    assert!(!work.panics, "for a test");
    work.busy.fetch_sub(1, Ordering::SeqCst);
    Ok(match &lease.job.state {
        State::Uncertain { attempt, .. } | State::Submitting(attempt) if lease.stage == Stage::Resolve => {
            Event::NotFound { attempt: attempt.number, asked: Timestamp::from_millis(u64::MAX) }
        }
        _ if work.accepts => accepted(lease.job.submissions),
        _ => rejected(lease.job.submissions),
    })
}

pub(crate) fn queue(store: &Store, stage: Stage, concurrency: usize, lease: Duration) -> StageQueue {
    let lease = Span::millis(lease.as_millis() as u64);
    StageQueue::start(store.clone(), stage, vendor(), QueueSettings { concurrency, lease })
}

const LONG: Duration = Duration::from_secs(30);

async fn failed(store: &Store) -> u64 {
    store.batch(&batch()).await.unwrap().unwrap().counts.of(StateName::Failed)
}

#[tokio::test]
async fn twenty_thousand_jobs_due_at_once_are_all_done_by_no_more_hands_than_there_are() {
    let redis = Redis::start(&["--appendfsync", "no"]);
    let store = redis.store().await;
    enqueue(&store, 20_000).await;
    all_are_done_once(&store, 20_000).await;
}

#[tokio::test]
async fn two_hundred_thousand_jobs_due_at_once_are_all_done() {
    let redis = Redis::start(&["--appendfsync", "no"]);
    let store = redis.store().await;
    enqueue(&store, 200_000).await;
    all_are_done_once(&store, 200_000).await;
}

async fn all_are_done_once(store: &Store, jobs: usize) {
    let work = Work::default();
    let workers = [0; 2].map(|_| run_with(queue(store, Stage::Submit, 50, LONG), work.clone()));
    let mut last = 0;
    while last < jobs as u64 {
        until("another one has ended", async || failed(store).await > last).await;
        last = failed(store).await;
    }
    assert_eq!(work.begun.load(Ordering::SeqCst), jobs, "each once");
    assert!(work.busiest.load(Ordering::SeqCst) <= 100);
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_sleeping_queue_is_woken_by_new_work() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let work = Work::default();
    let worker = run_with(queue(&store, Stage::Submit, 4, LONG), work.clone());
    // It sleeps for five seconds when nobody wakes it.
    until("it sleeps", async || !redis.command(&["get", "{sm:0}:q:submit:acme:idle"]).is_empty()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    enqueue(&store, 1).await;
    until("it has begun", async || work.begun.load(Ordering::SeqCst) == 1).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    redis.command(&["client", "kill", "type", "pubsub"]);
    until("the ear is open again", async || {
        redis.command(&["pubsub", "numsub", "{sm:0}:wake"]).ends_with('1')
    })
    .await;
    enqueue(&store, 2).await;
    until("the second has begun", async || work.begun.load(Ordering::SeqCst) == 2).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_dead_workers_submission_goes_to_be_resolved_and_its_stale_fence_cannot_commit() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let id = enqueue(&store, 1).await[0];
    let slow = Work { takes: LONG, ..Work::default() };
    let dead = run_with(queue(&store, Stage::Submit, 1, Duration::from_millis(200)), slow.clone());
    until("it is claimed", async || slow.begun.load(Ordering::SeqCst) == 1).await;
    let claimed = store.load(id).await.unwrap().unwrap();
    assert_eq!(
        claimed.job.state.name(),
        StateName::Submitting,
        "the intent is written before anything is sent"
    );
    dead.crash().await;
    assert_eq!(store.audit().await.unwrap().breaches, []);
    let resolver = run(queue(&store, Stage::Resolve, 1, LONG));
    until("it was looked up", async || {
        store.load(id).await.unwrap().unwrap().job.state.name() == StateName::Queued
    })
    .await;
    resolver.stop().await;
    // The dead worker's news arrives after all: told to the job as it is now, it counts.
    store.apply(id, &accepted(1)).await.unwrap();
    let job = store.load(id).await.unwrap().unwrap().job;
    assert_eq!((job.state.name(), job.paid), (StateName::Generating, 1));
}

#[tokio::test]
async fn two_workers_and_one_expired_lease_count_once() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let id = enqueue(&store, 1).await[0];
    for event in [Event::Claimed, accepted(1)] {
        store.apply(id, &event).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    // Both work on the poll at the same time: the first stops extending its lease, as if it were frozen.
    let work = Work { takes: Duration::from_millis(300), ..Work::default() };
    let first = run_with(queue(&store, Stage::Poll, 1, Duration::from_millis(100_000)), work.clone());
    until("the first has it", async || work.begun.load(Ordering::SeqCst) == 1).await;
    redis.command(&["zadd", "{sm:0}:q:poll:acme", "1", &id.to_string()]);
    let second = run_with(queue(&store, Stage::Poll, 1, LONG), work.clone());
    until("the second has it too", async || work.begun.load(Ordering::SeqCst) == 2).await;
    store.apply(id, &Event::CancelAsked).await.unwrap();
    first.stop().await;
    second.stop().await;
    let batch = store.batch(&batch()).await.unwrap().unwrap();
    assert_eq!((batch.counts.of(StateName::Canceled), batch.counts.0.values().sum::<u64>()), (1, 1));
    assert_eq!(store.audit().await.unwrap().breaches, []);
}

#[tokio::test]
async fn where_looks_are_scarce_one_worker_at_a_time_has_them() {
    let redis = Redis::start(&[]);
    let store = redis
        .store_of(|policy| {
            policy.pace.round.insert(vendor(), Duration::from_secs(10));
            policy.vendors.get_mut(&vendor()).unwrap().poll_first = Span::millis(1);
        })
        .await;
    let generate = async |count| {
        for id in enqueue(&store, count).await {
            for event in [Event::Claimed, accepted(1)] {
                store.apply(id, &event).await.unwrap();
            }
        }
    };
    generate(4).await;
    let (one, other, started) = (Work::holding(), Work::holding(), Instant::now());
    let first = run_with(queue(&store, Stage::Poll, 2, LONG), one.clone());
    until("the first has some", async || one.leases().len() == 2).await;
    assert_eq!(store.audit().await.unwrap().breaches, [], "whose turn it is stands beside the queue");
    let second = run_with(queue(&store, Stage::Poll, 2, LONG), other.clone());
    until("the second has the rest", async || other.leases().len() == 2).await;
    assert!(started.elapsed() >= Duration::from_secs(2), "it was not to work on the same part of a list");
    one.release();
    other.release();
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_job_whose_workers_panic_is_poisoned_after_a_few() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let id = enqueue(&store, 1).await[0];
    for event in [Event::Claimed, accepted(1)] {
        store.apply(id, &event).await.unwrap();
    }
    let work = Work { panics: true, ..Work::default() };
    let worker = run_with(queue(&store, Stage::Poll, 2, Duration::from_millis(100)), work.clone());
    until("it is given up", async || {
        store.load(id).await.unwrap().unwrap().job.state.name() == StateName::Held
    })
    .await;
    let State::Held { of, .. } = store.load(id).await.unwrap().unwrap().job.state else { panic!() };
    assert_eq!((&*of.fault.code, work.begun.load(Ordering::SeqCst)), ("poisoned", 3));
    assert!(of.task.is_some(), "its task is paid for");
    worker.stop().await;
}

#[tokio::test]
async fn told_to_stop_a_worker_finishes_what_it_began_and_gives_back_the_rest() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    enqueue(&store, 400).await;
    let work = Work { takes: Duration::from_millis(150), ..Work::default() };
    let worker = run_with(queue(&store, Stage::Submit, 100, LONG), work.clone());
    until("it works", async || work.begun.load(Ordering::SeqCst) >= 100).await;
    worker.stop().await;
    let batch = store.batch(&batch()).await.unwrap().unwrap();
    let begun = work.begun.load(Ordering::SeqCst) as u64;
    assert_eq!(batch.counts.of(StateName::Failed), begun, "what was begun is written down");
    assert_eq!(batch.counts.of(StateName::Queued), 400 - begun, "the rest waits as before: {batch:?}");
    assert_eq!(store.audit().await.unwrap().breaches, []);
}

#[tokio::test]
async fn a_claim_whose_reply_is_lost_is_handed_out_again_and_nothing_is_in_doubt() {
    let redis = Redis::start(&[]);
    let store = redis.impatient_store().await;
    let work = Work::default();
    let worker = run_with(queue(&store, Stage::Submit, 100, LONG), work.clone());
    let patient = redis.store().await;
    for round in 1..=3 {
        let mut jobs: Vec<_> = (0..50).map(|n| new_job(&patient, 100 * round + n)).collect();
        jobs.iter_mut().for_each(|new| new.job.due = patient.now() + Duration::from_millis(300));
        patient.enqueue(Some(&batch()), &jobs).await.unwrap();
        // They fall due while Redis answers nobody in time: it takes them for us when we have given that up.
        redis.command(&["client", "pause", "900", "all"]);
        let all = 50 * round as u64;
        until("all of the round have ended", async || failed(&patient).await == all).await;
    }
    assert_eq!(work.begun.load(Ordering::SeqCst), 150, "each once, and none had to be resolved");
    worker.stop().await;
    assert_eq!(patient.audit().await.unwrap().breaches, []);
}

#[tokio::test]
async fn a_batch_whose_jobs_end_in_bursts_is_closed_once_and_opened_again_by_a_retry() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let jobs = enqueue(&store, 400).await;
    let closed = async || store.batch(&batch()).await.unwrap().unwrap().closed_ms;
    // Both workers commit by the dozen, and whoever's commit holds the last job closes the batch.
    let workers = [0; 2].map(|_| run(queue(&store, Stage::Submit, 100, LONG)));
    until("all have ended", async || failed(&store).await == 400).await;
    let at = closed().await.expect("the batch is closed");
    let told = store.events(&Tenant::default(), EventId::default(), 10_000).await.unwrap();
    assert_eq!(told.iter().filter(|(_, told)| *told == Some(Told::Closed(batch()))).count(), 1);
    for worker in workers {
        worker.stop().await;
    }
    store.apply(jobs[7], &Event::RetryAsked).await.unwrap();
    assert_eq!(closed().await, None, "one of its jobs goes on");
    tokio::time::sleep(Duration::from_millis(5)).await;
    let worker = run(queue(&store, Stage::Submit, 100, LONG));
    until("it has ended again", async || closed().await.is_some()).await;
    assert!(closed().await > Some(at));
    worker.stop().await;
}

#[tokio::test]
async fn one_job_whose_outcome_cannot_be_written_down_holds_up_nobody() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let ids = enqueue(&store, 3).await;
    let work = Work { takes: Duration::from_millis(300), ..Work::default() };
    let worker = run_with(queue(&store, Stage::Submit, 3, LONG), work.clone());
    until("all are begun", async || work.begun.load(Ordering::SeqCst) == 3).await;
    // Somebody changes it meanwhile into what we do not understand, as a newer version might.
    let key = format!("{{sm:0}}:j:{}", ids[1]);
    redis.command(&["hset", &key, "d", "{\"new\":1}"]);
    redis.command(&["hincrby", &key, "v", "1"]);
    until("the others have ended", async || failed(&store).await == 2).await;
    worker.stop().await;
}

#[tokio::test]
async fn redis_killed_and_started_again_loses_nothing() {
    let mut redis = Redis::start(&[]);
    let store = redis.store().await;
    enqueue(&store, 2000).await;
    let work = Work { takes: Duration::from_millis(5), ..Work::default() };
    let worker = run_with(queue(&store, Stage::Submit, 50, Duration::from_secs(1)), work.clone());
    let resolver = run(queue(&store, Stage::Resolve, 50, Duration::from_secs(1)));
    until("it works", async || work.begun.load(Ordering::SeqCst) >= 200).await;
    redis.kill();
    tokio::time::sleep(Duration::from_millis(500)).await;
    redis.resume(&[]);
    until("it answers", async || store.ping().await.is_ok()).await;
    redis.command(&["script", "flush"]);
    until("all have ended", async || {
        store.batch(&batch()).await.is_ok_and(|b| b.unwrap().counts.ended() == 2000)
    })
    .await;
    worker.stop().await;
    resolver.stop().await;
    assert_eq!(store.audit().await.unwrap().breaches, []);
}
