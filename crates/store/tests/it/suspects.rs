//! Which job kills its workers, and that no other pays for it. A process has a store of its own, and dies as a whole.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apalis::prelude::{Data, WorkerBuilder};
use apalis_core::error::BoxDynError;
use futures_util::future::BoxFuture;
use songmill_core::job::{StateName, Via};
use songmill_core::time::Span;
use songmill_core::{Event, Fault, FaultKind, JobId, Report, Stage, State, Timestamp};
use songmill_store::{Lease, QueueSettings, StageQueue, Standing, Store, UnderWay};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::tools::*;

/// A lease that is over soon after its worker has died.
const LEASE: Duration = Duration::from_millis(150);

/// What happens to jobs, over all processes.
#[derive(Clone, Default)]
struct Scene {
    /// The jobs that kill whoever works on them.
    guilty: Arc<Vec<JobId>>,
    takes: Duration,
    /// Whether work does not end.
    hangs: Arc<AtomicBool>,
    dies: Arc<Notify>,
    busy: Arc<AtomicUsize>,
    /// How many jobs were worked on in the process when each began, itself included.
    beside: Arc<Mutex<HashMap<JobId, Vec<usize>>>>,
}

impl Scene {
    fn of(guilty: &[JobId]) -> Self {
        Self { guilty: Arc::new(guilty.to_vec()), ..Self::default() }
    }

    fn begun(&self, id: JobId) -> Vec<usize> {
        self.beside.lock().unwrap().get(&id).cloned().unwrap_or_default()
    }
}

/// Workers of some stages with a store of their own.
struct Process {
    workers: Vec<JoinHandle<()>>,
    stops: Vec<CancellationToken>,
    under_way: Vec<UnderWay>,
}

impl Process {
    fn start(store: &Store, stages: &[Stage], concurrency: usize, scene: &Scene) -> Self {
        Self::start_with(store, stages, concurrency, LEASE, scene)
    }

    fn start_with(
        store: &Store,
        stages: &[Stage],
        concurrency: usize,
        lease: Duration,
        scene: &Scene,
    ) -> Self {
        scene.busy.store(0, Ordering::SeqCst);
        let mut process = Self { workers: vec![], stops: vec![], under_way: vec![] };
        for stage in stages {
            let settings = QueueSettings { concurrency, lease: Span::millis(lease.as_millis() as u64) };
            let queue = StageQueue::start(store.clone(), *stage, vendor(), settings);
            process.stops.push(queue.stop_token());
            process.under_way.push(queue.under_way());
            let worker = WorkerBuilder::new("w").backend(queue).data(scene.clone()).build(handle);
            let running: BoxFuture<'static, _> = Box::pin(worker.run());
            process.workers.push(tokio::spawn(async move {
                let _ = running.await;
            }));
        }
        process
    }

    /// Ends it as a kill would.
    async fn kill(self) {
        for worker in self.workers {
            worker.abort();
            let _ = worker.await;
        }
    }

    async fn stop(self) {
        self.stops.iter().for_each(CancellationToken::cancel);
        for worker in self.workers {
            tokio::time::timeout(PATIENCE, worker).await.unwrap().unwrap();
        }
    }
}

async fn handle(lease: Arc<Lease>, scene: Data<Scene>) -> Result<Event, BoxDynError> {
    let busy = scene.busy.fetch_add(1, Ordering::SeqCst) + 1;
    scene.beside.lock().unwrap().entry(lease.job.id).or_default().push(busy);
    let harmless = lease.stage == Stage::Resolve;
    if scene.guilty.contains(&lease.job.id) && !harmless {
        scene.dies.notify_one();
        std::future::pending::<()>().await;
    }
    if scene.hangs.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(scene.takes).await;
    scene.busy.fetch_sub(1, Ordering::SeqCst);
    let attempt = lease.job.submissions;
    Ok(match lease.stage {
        Stage::Resolve => Event::NotFound { attempt, asked: Timestamp::from_millis(u64::MAX) },
        Stage::Submit => rejected(attempt),
        _ => Event::Reported {
            attempt,
            vendor: vendor(),
            task: None,
            report: Report::Failed(Fault::new(FaultKind::Rejected, "no", "")),
            via: Via::Callback,
        },
    })
}

/// Jobs whose tasks are to be polled now.
async fn to_poll(store: &Store, count: usize) -> Vec<JobId> {
    let jobs = enqueue(store, count).await;
    futures_util::future::join_all(jobs.iter().map(async |id| {
        for event in [Event::Claimed, accepted(1)] {
            store.apply(*id, &event).await.unwrap();
        }
    }))
    .await;
    jobs
}

async fn counts(store: &Store, state: StateName) -> u64 {
    store.batch(&batch()).await.unwrap().unwrap().counts.of(state)
}

/// Runs one process after the other, each until a job kills it, until all but some jobs have ended.
async fn run_until_over(redis: &Redis, stages: &[Stage], concurrency: usize, scene: &Scene) -> usize {
    let store = redis.store().await;
    let mut kills = 0;
    loop {
        let process = Process::start(&redis.store().await, stages, concurrency, scene);
        let over = until("all is over", async || {
            let batch = store.batch(&batch()).await.unwrap().unwrap();
            batch.counts.ended() + batch.counts.of(StateName::Held) == batch.counts.0.values().sum::<u64>()
        });
        tokio::select! {
            () = over => {
                process.stop().await;
                return kills;
            }
            () = scene.dies.notified() => process.kill().await,
        }
        kills += 1;
        assert!(kills < 100, "it kills for ever");
    }
}

#[tokio::test]
async fn of_five_hundred_jobs_only_the_one_that_kills_its_workers_is_poisoned() {
    let redis = Redis::start(&["--appendfsync", "no"]);
    let store = redis.store().await;
    let jobs = to_poll(&store, 500).await;
    let scene = Scene::of(&jobs[217..218]);
    let kills = run_until_over(&redis, &[Stage::Poll], 64, &scene).await;
    assert_eq!((counts(&store, StateName::Failed).await, counts(&store, StateName::Held).await), (499, 1));
    let State::Held { of, .. } = store.load(jobs[217]).await.unwrap().unwrap().job.state else { panic!() };
    assert_eq!(&*of.fault.code, "poisoned");
    // Twice beside others, then with ever fewer, and then alone.
    let begun = scene.begun(jobs[217]);
    assert!(begun.len() == kills && kills <= 10, "{kills} kills, {begun:?}");
    assert!(begun[2..].iter().all(|beside| *beside <= 32) && begun.ends_with(&[1; 5]), "{begun:?}");
    let most = jobs.iter().filter(|id| **id != jobs[217]).map(|id| scene.begun(*id).len()).max();
    assert!(most <= Some(5), "an innocent job was begun {most:?} times");
    assert_eq!(store.audit().await.unwrap().breaches, []);
}

#[tokio::test]
async fn many_guilty_jobs_among_innocent_ones_are_all_found_and_nobody_else() {
    let redis = Redis::start(&["--appendfsync", "no"]);
    let store = redis.store().await;
    let jobs = to_poll(&store, 120).await;
    let scene = Scene::of(&jobs[40..44]);
    run_until_over(&redis, &[Stage::Poll], 32, &scene).await;
    assert_eq!((counts(&store, StateName::Failed).await, counts(&store, StateName::Held).await), (116, 4));
}

#[tokio::test]
async fn thirty_kills_at_random_poison_nobody_who_is_innocent() {
    let redis = Redis::start(&["--appendfsync", "no"]);
    let store = redis.store().await;
    to_poll(&store, 1500).await;
    let scene = Scene { takes: Duration::from_millis(20), ..Scene::default() };
    let mut random = 7_u64;
    for _ in 0..30 {
        // What was claimed and not ended is lost each time.
        let process = Process::start(&redis.store().await, &[Stage::Poll], 500, &scene);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        tokio::time::sleep(Duration::from_millis(random >> 57)).await;
        process.kill().await;
    }
    run_until_over(&redis, &[Stage::Poll], 500, &scene).await;
    assert_eq!((counts(&store, StateName::Failed).await, counts(&store, StateName::Held).await), (1500, 0));
}

#[tokio::test]
async fn a_submission_that_kills_its_workers_takes_others_along_only_twice() {
    let redis = Redis::start(&["--appendfsync", "no"]);
    // It is given up after so many submissions that were not made.
    let strikes = 5;
    let set = |policy: &mut songmill_core::Policy| {
        policy.vendors.get_mut(&vendor()).unwrap().strikes = strikes;
    };
    let store = redis.store_of(set).await;
    let jobs = enqueue(&store, 200).await;
    let scene = Scene { takes: Duration::from_millis(5), ..Scene::of(&jobs[31..32]) };
    let mut kills = 0;
    loop {
        let process =
            Process::start(&redis.store_of(set).await, &[Stage::Submit, Stage::Resolve], 50, &scene);
        let over = until("all have ended", async || counts(&store, StateName::Failed).await == 200);
        tokio::select! {
            () = over => break process.stop().await,
            () = scene.dies.notified() => process.kill().await,
        }
        kills += 1;
    }
    assert_eq!(kills, strikes, "each submission that it killed was looked up and not found");
    let innocent = |id: &&JobId| **id != jobs[31];
    for id in jobs.iter().filter(innocent) {
        let job = store.load(*id).await.unwrap().unwrap().job;
        assert!(job.submissions <= 3, "{id} was submitted {} times", job.submissions);
    }
    assert_eq!(store.audit().await.unwrap().breaches, []);
}

#[tokio::test]
async fn while_a_suspect_is_worked_on_the_other_queues_of_the_process_have_few_jobs() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let jobs = to_poll(&store, 1).await;
    let suspect = format!("{{sm:0}}:j:{}", jobs[0]);
    redis.command(&["hset", &suspect, "c", "2"]);
    let scene = Scene::default();
    scene.hangs.store(true, Ordering::SeqCst);
    // The others are few for as long as that at the most.
    let lease = Duration::from_secs(30);
    let process = Process::start_with(&store, &[Stage::Poll], 64, lease, &scene);
    until("the suspect is worked on", async || scene.begun(jobs[0]).len() == 1).await;
    let others: Vec<_> = (10..110).map(|n| new_job(&store, n)).collect();
    store.enqueue(Some(&batch()), &others).await.unwrap();
    let more = Process::start(&store, &[Stage::Submit], 64, &scene);
    until("others are worked on", async || scene.beside.lock().unwrap().len() == 9).await;
    // It is woken by each job that comes, and takes none.
    for n in 200..220 {
        store.enqueue(Some(&batch()), &[new_job(&store, n)]).await.unwrap();
    }
    assert_eq!(scene.beside.lock().unwrap().len(), 9);
    process.kill().await;
    until("all that may be worked on is", async || scene.beside.lock().unwrap().len() == 65).await;
    more.kill().await;
}

#[tokio::test]
async fn jobs_behind_lanes_that_wait_for_a_suspect_are_worked_on() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let jobs: Vec<_> = (0..100)
        .map(|n| {
            let mut new = new_job(&store, n);
            (new.job.tenant, new.job.batch) = (format!("t{n:02}").parse().unwrap(), None);
            new
        })
        .collect();
    store.enqueue(None, &jobs).await.unwrap();
    let (last, suspects) = jobs.split_last().unwrap();
    suspects.iter().for_each(|new| {
        redis.command(&["hset", &format!("{{sm:0}}:j:{}", new.job.id), "k", "2"]);
    });
    let scene = Scene::default();
    scene.hangs.store(true, Ordering::SeqCst);
    let _registered =
        store.register("here", vec![songmill_store::Role::Generate], vec![vendor()]).await.unwrap();
    let process = Process::start(&store, &[Stage::Submit], 1, &scene);
    until("the last is worked on", async || !scene.begun(last.job.id).is_empty()).await;
    let waits = store.load(suspects[0].job.id).await.unwrap().unwrap();
    let standing = async || store.standing(&waits).await.unwrap();
    until("it is said why a suspect waits", async || standing().await == Standing::Apart { lost: 2 }).await;
    assert_eq!(scene.beside.lock().unwrap().len(), 1, "suspects wait");
    process.kill().await;
}

#[tokio::test]
async fn a_lane_that_comes_to_a_suspect_gives_each_of_its_jobs_once() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let now = store.now();
    // The first of two in a lane is taken, then its suspect is met, and others are read on behind those who wait.
    let jobs: Vec<_> = [("a", 0), ("a", 1), ("b", 0), ("c", 0), ("d", 0)]
        .into_iter()
        .enumerate()
        .map(|(n, (tenant, after))| {
            let mut new = new_job(&store, n);
            (new.job.tenant, new.job.batch) = (tenant.parse().unwrap(), None);
            new.job.due = now - Duration::from_millis(10) + Duration::from_millis(after);
            new
        })
        .collect();
    store.enqueue(None, &jobs).await.unwrap();
    for suspect in [1, 2] {
        redis.command(&["hset", &format!("{{sm:0}}:j:{}", jobs[suspect].job.id), "k", "2"]);
    }
    let scene = Scene { takes: Duration::from_millis(50), ..Scene::default() };
    let process = Process::start(&store, &[Stage::Submit], 3, &scene);
    until("all are worked on", async || scene.beside.lock().unwrap().len() == 5).await;
    process.stop().await;
    let begun: Vec<_> = jobs.iter().map(|new| scene.begun(new.job.id).len()).collect();
    assert_eq!(begun, [1; 5]);
}

#[tokio::test]
async fn a_queue_that_always_has_other_jobs_comes_to_its_suspects() {
    let redis = Redis::start(&["--appendfsync", "no"]);
    let store = redis.store().await;
    let jobs = to_poll(&store, 600).await;
    redis.command(&["hset", &format!("{{sm:0}}:j:{}", jobs[0]), "c", "2"]);
    // Another queue of the process is in the place again and again.
    let isolation_of_others = enqueue_for(&store, "others", 600, 0).await;
    for id in &isolation_of_others {
        redis.command(&["hset", &format!("{{sm:0}}:j:{id}"), "k", "2"]);
    }
    let scene = Scene { takes: Duration::from_millis(10), ..Scene::default() };
    let process = Process::start(&store, &[Stage::Poll, Stage::Submit], 1, &scene);
    until("the suspect is worked on", async || !scene.begun(jobs[0]).is_empty()).await;
    let others = jobs.iter().filter(|id| !scene.begun(**id).is_empty()).count();
    assert!(others < 400, "{others} jobs were before it");
    process.stop().await;
}

#[tokio::test]
async fn a_lost_claim_that_is_more_than_there_is_room_for_now_is_worked_on_by_and_by() {
    let redis = Redis::start(&[]);
    let (store, patient) = (redis.impatient_store().await, redis.store().await);
    let (hanging, quick) = (Scene::default(), Scene::default());
    hanging.hangs.store(true, Ordering::SeqCst);
    let mut jobs: Vec<_> = (10..60).map(|n| new_job(&patient, n)).collect();
    jobs.iter_mut().for_each(|new| new.job.due = patient.now() + Duration::from_millis(1600));
    patient.enqueue(Some(&batch()), &jobs).await.unwrap();
    let polled = to_poll(&patient, 2).await;
    redis.command(&["hset", &format!("{{sm:0}}:j:{}", polled[1]), "c", "2"]);
    // The room becomes small a third of the lease after the suspect is seen, as the other job does not end.
    let lease = Duration::from_secs(6);
    let poller = Process::start_with(&store, &[Stage::Poll], 64, lease, &hanging);
    let submitter = Process::start(&store, &[Stage::Submit], 64, &quick);
    // They are claimed while nobody hears of it, and the room is small when somebody does.
    tokio::time::sleep(Duration::from_millis(1400)).await;
    redis.command(&["client", "pause", "1500", "all"]);
    until("all are over", async || counts(&patient, StateName::Failed).await == 50).await;
    assert!(jobs.iter().all(|new| quick.begun(new.job.id).len() == 1), "each is submitted once");
    submitter.stop().await;
    poller.kill().await;
}

#[tokio::test]
async fn what_a_worker_gives_back_because_it_has_no_more_time_is_not_held_against_it() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let jobs = to_poll(&store, 3).await;
    let scene = Scene::default();
    scene.hangs.store(true, Ordering::SeqCst);
    for round in 1..=6 {
        let mut process = Process::start(&store, &[Stage::Poll], 3, &scene);
        let begun = async || jobs.iter().all(|id| scene.begun(*id).len() == round);
        until("all are begun", begun).await;
        let under_way = process.under_way.remove(0);
        process.kill().await;
        under_way.give_back().await;
        for id in &jobs {
            assert_eq!(store.load(*id).await.unwrap().unwrap().claims, 0, "round {round}");
        }
    }
}
