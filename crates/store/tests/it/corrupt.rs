//! A record that cannot be read stops nobody else: it is set aside in the same call, and told of.

use std::collections::BTreeMap;
use std::time::Duration;

use songmill_core::job::StateName;
use songmill_core::{Event, JobId, Stage, Tenant};
use songmill_store::{Applied, Condition, Enqueued, Store};

use crate::queues::{Work, queue, run_with};
use crate::tools::{Redis, accepted, enqueue_for, enqueue_more, new_job, until, vendor};

/// How a record is broken.
#[derive(Clone, Copy, Debug)]
enum Broken {
    /// It is not a hash.
    Type,
    /// A field is not what it should be.
    Field(&'static str),
    /// A field has more digits than a number has.
    Huge(&'static str),
    /// A field is not there.
    Missing(&'static str),
}

/// Every field of a job's record, and what else can be wrong with it.
const JOB: [Broken; 21] = [
    Broken::Type,
    Broken::Field("d"),
    Broken::Field("v"),
    Broken::Field("x"),
    Broken::Field("p"),
    Broken::Field("c"),
    Broken::Field("a"),
    Broken::Field("k"),
    Broken::Field("s"),
    Broken::Field("b"),
    Broken::Field("r"),
    Broken::Field("told"),
    Broken::Field("z"),
    Broken::Huge("v"),
    Broken::Huge("x"),
    Broken::Huge("c"),
    Broken::Huge("a"),
    Broken::Huge("k"),
    Broken::Missing("d"),
    Broken::Missing("v"),
    Broken::Missing("r"),
];

impl Broken {
    fn apply(self, redis: &Redis, key: &str) {
        match self {
            Self::Type => {
                redis.command(&["del", key]);
                redis.command(&["rpush", key, "x"])
            }
            Self::Field(field) => redis.command(&["hset", key, field, "?"]),
            Self::Huge(field) => redis.command(&["hset", key, field, "99999999999999999999"]),
            Self::Missing(field) => redis.command(&["hdel", key, field]),
        };
    }

    /// Whether nobody can work on a job with it.
    fn is_fatal(self) -> bool {
        matches!(
            self,
            Self::Type | Self::Field("d" | "v" | "x") | Self::Huge("v" | "x") | Self::Missing("d" | "v")
        )
    }
}

fn key(id: JobId) -> String {
    format!("{{sm:0}}:j:{id}")
}

/// A Redis without anything, a job that is to be broken and one that is well.
async fn two_jobs(redis: &Redis) -> (Store, JobId, JobId) {
    redis.command(&["flushall"]);
    let store = redis.store_of(|policy| policy.vendors.get_mut(&vendor()).unwrap().cancel = true).await;
    let bad = enqueue_for(&store, "bad", 1, 0).await[0];
    let well = enqueue_for(&store, "well", 1, 0).await[0];
    (store, bad, well)
}

async fn is_set_aside(store: &Store, id: JobId) -> bool {
    store.corrupt(100).await.unwrap().iter().any(|corrupt| corrupt.what == id.to_string())
}

/// Workers of a stage get the job that is well; the other one is worked on, or set aside if it cannot be.
async fn only_the_broken_one_stops(stage: Stage, events: &[Event]) {
    let redis = Redis::start(&[]);
    for broken in JOB {
        let (store, bad, well) = two_jobs(&redis).await;
        for event in events {
            for id in [bad, well] {
                assert!(matches!(store.apply(id, event).await.unwrap(), Applied::Changed(_)), "{event:?}");
            }
        }
        broken.apply(&redis, &key(bad));
        let work = Work::accepting();
        let worker = run_with(queue(&store, stage, 10, Duration::from_secs(30)), work.clone());
        until(&format!("{stage}, {broken:?}: the other is worked on"), async || {
            work.leases().iter().any(|lease| lease.job.id == well)
        })
        .await;
        if broken.is_fatal() {
            until(&format!("{stage}, {broken:?}: it is set aside"), async || is_set_aside(&store, bad).await)
                .await;
            let said = store.corrupt(100).await.unwrap().remove(0);
            assert!(matches!(said.condition, Condition::Broken(_)), "{stage}, {broken:?}: {said:?}");
        } else {
            until(&format!("{stage}, {broken:?}: it is worked on as well"), async || {
                work.leases().iter().any(|lease| lease.job.id == bad)
            })
            .await;
            let aside = store.corrupt(100).await.unwrap();
            let is_told = aside.iter().all(|told| told.condition == Condition::Repaired);
            assert!(is_told, "{stage}, {broken:?}: {aside:?}");
        }
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_broken_record_stops_no_submission() {
    only_the_broken_one_stops(Stage::Submit, &[]).await;
}

#[tokio::test]
async fn a_broken_record_stops_no_look_up() {
    only_the_broken_one_stops(Stage::Resolve, &[Event::Claimed]).await;
}

#[tokio::test]
async fn a_broken_record_stops_no_poll() {
    only_the_broken_one_stops(Stage::Poll, &[Event::Claimed, accepted(1)]).await;
}

#[tokio::test]
async fn a_broken_record_stops_no_cancellation() {
    only_the_broken_one_stops(Stage::Cancel, &[Event::Claimed, accepted(1), Event::CancelAsked]).await;
}

#[tokio::test]
async fn a_record_that_breaks_while_it_is_worked_on_stops_no_outcome() {
    let redis = Redis::start(&[]);
    for broken in JOB {
        let (store, bad, well) = two_jobs(&redis).await;
        let work = Work::holding();
        // Leases are lengthened meanwhile.
        let worker = run_with(queue(&store, Stage::Submit, 10, Duration::from_millis(300)), work.clone());
        until("both are claimed", async || work.leases().len() == 2).await;
        broken.apply(&redis, &key(bad));
        tokio::time::sleep(Duration::from_millis(150)).await;
        work.release();
        until(&format!("{broken:?}: the other's outcome is written"), async || {
            let stored = store.load(well).await.unwrap().unwrap();
            stored.job.state.name() == StateName::Generating
        })
        .await;
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_broken_record_stops_nothing_that_is_said_of_others() {
    let redis = Redis::start(&[]);
    for broken in JOB {
        let (store, bad, well) = two_jobs(&redis).await;
        broken.apply(&redis, &key(bad));
        let told = [bad, well].map(|id| store.apply(id, &Event::CancelAsked));
        let [of_bad, of_well] = futures_util::future::join_all(told).await.try_into().unwrap();
        assert!(matches!(of_well, Ok(Applied::Changed(_))), "{broken:?}: {of_well:?}");
        assert!(of_bad.is_ok() != broken.is_fatal(), "{broken:?}: {of_bad:?}");
        let loaded = store.load_each(&[bad, well]).await.unwrap();
        assert!(matches!(loaded[1], Ok(Some(_))), "{broken:?}");
        let mut again = new_job(&store, 0);
        again.job.id = bad;
        (again.job.tenant, again.job.batch) = ("bad".parse().unwrap(), None);
        let taken = store.enqueue(None, &[again]).await.unwrap();
        assert!(matches!(taken[0], Enqueued::Known | Enqueued::Conflict), "{broken:?}: {taken:?}");
        let tenant: Tenant = "well".parse().unwrap();
        let (mut from, mut found) = (Some(0), 0);
        while let Some(place) = from {
            let part = store.look_to_erase(&tenant, place, |_| None).await.unwrap();
            found += part.jobs.len();
            from = part.next;
        }
        assert_eq!(found, 1, "{broken:?}");
        store.audit().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_mended_is_put_back() {
    let redis = Redis::start(&[]);
    let (store, bad, _) = two_jobs(&redis).await;
    let version = redis.command(&["hget", &key(bad), "v"]);
    redis.command(&["hset", &key(bad), "v", "?"]);
    let work = Work::accepting();
    let worker = run_with(queue(&store, Stage::Submit, 10, Duration::from_secs(30)), work.clone());
    until("it is set aside", async || is_set_aside(&store, bad).await).await;
    assert_eq!(store.put_back().await.unwrap(), 0, "it cannot be read yet");
    let said = store.corrupt(10).await.unwrap();
    assert!(said[0].message().contains("field v is \"?\", not a number"), "{}", said[0].message());
    redis.command(&["hset", &key(bad), "v", &version]);
    assert_eq!(store.put_back().await.unwrap(), 1);
    assert_eq!(store.corrupt(10).await.unwrap(), []);
    until("it is worked on", async || work.leases().iter().any(|lease| lease.job.id == bad)).await;
    worker.stop().await;
    assert_eq!(store.audit().await.unwrap().breaches, []);
}

#[tokio::test]
async fn a_job_that_is_worked_on_or_stands_in_a_lane_is_put_back_where_it_is() {
    let redis = Redis::start(&[]);
    for (stage, events) in [
        (Stage::Submit, &[][..]),
        (Stage::Resolve, &[Event::Claimed]),
        (Stage::Poll, &[Event::Claimed, accepted(1)]),
        (Stage::Cancel, &[Event::Claimed, accepted(1), Event::CancelAsked]),
    ] {
        let (store, id, well) = two_jobs(&redis).await;
        store.apply(well, &Event::CancelAsked).await.unwrap();
        for event in events {
            store.apply(id, event).await.unwrap();
        }
        redis.command(&["zadd", "{sm:0}:corrupt", "1", &id.to_string()]);
        assert_eq!(store.put_back().await.unwrap(), 0, "{stage}: it stands where it belongs");
        let work = Work::holding();
        let worker = run_with(queue(&store, stage, 10, Duration::from_secs(30)), work.clone());
        until("it is claimed", async || work.leases().len() == 1).await;
        redis.command(&["zadd", "{sm:0}:corrupt", "1", &id.to_string()]);
        assert_eq!(store.put_back().await.unwrap(), 0, "{stage}: somebody works on it");
        let other = Work::accepting();
        let (second, third) = (if stage == Stage::Submit { Stage::Resolve } else { stage }, stage);
        let workers = [second, third]
            .map(|stage| run_with(queue(&store, stage, 10, Duration::from_secs(30)), other.clone()));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(other.leases().is_empty(), "{stage}: it is claimed once");
        assert_eq!(store.corrupt(10).await.unwrap(), [], "{stage}");
        work.release();
        for worker in workers.into_iter().chain([worker]) {
            worker.stop().await;
        }
    }
}

#[tokio::test]
async fn what_a_process_can_read_goes_on_and_what_is_gone_is_forgotten() {
    let redis = Redis::start(&[]);
    let (store, later, well) = two_jobs(&redis).await;
    store.apply(well, &Event::CancelAsked).await.unwrap();
    // What a newer version wrote, or will be able to read.
    let record = redis.command(&["hget", &key(later), "d"]);
    redis.command(&["hset", &key(later), "d", &record.replacen('{', "{\"pr\":\"newest\",", 1)]);
    let work = Work::accepting();
    let worker = run_with(queue(&store, Stage::Submit, 10, Duration::from_secs(30)), work.clone());
    until("it is set aside", async || is_set_aside(&store, later).await).await;
    let gone = JobId::derive("t", "gone").to_string();
    for what in [&gone, "{sm:0}:t:gone"] {
        redis.command(&["zadd", "{sm:0}:corrupt", "1", what]);
    }
    assert_eq!(store.corrupt(10).await.unwrap().len(), 1, "what is gone is not told of");
    assert_eq!(store.mend().await.unwrap(), 0);
    assert_eq!(redis.command(&["zrange", "{sm:0}:corrupt", "0", "-1"]), later.to_string());
    redis.command(&["hset", &key(later), "d", &record]);
    assert_eq!(store.mend().await.unwrap(), 1);
    until("it goes on", async || {
        let looked_up = run_with(queue(&store, Stage::Resolve, 10, Duration::from_secs(30)), work.clone());
        tokio::time::sleep(Duration::from_millis(50)).await;
        looked_up.stop().await;
        work.leases().iter().any(|lease| lease.job.id == later)
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn what_was_changed_or_claimed_since_is_not_set_aside() {
    let redis = Redis::start(&[]);
    let (_, id, _) = two_jobs(&redis).await;
    let script =
        concat!(include_str!("../../src/scripts/shared.lua"), include_str!("../../src/scripts/aside.lua"));
    let version = redis.command(&["hget", &key(id), "v"]);
    redis.command(&["zadd", "q", "1", &id.to_string()]);
    for (said, stands) in [("1", "1"), (&*version, "0")] {
        redis.command(&["eval", script, "2", "q", &key(id), &id.to_string(), said]);
        assert_eq!(redis.command(&["zcard", "q"]), stands, "{said}");
        assert_ne!(redis.command(&["zcard", "{sm:0}:corrupt"]), stands, "{said}");
    }
}

/// The hashes that stand in Redis beside jobs and what songs cost, with their fields.
fn records(redis: &Redis) -> BTreeMap<String, Vec<String>> {
    let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let keys = lines(redis.command(&["keys", "*"]));
    let is_other = |key: &String| !key.contains(":j:") && !key.ends_with(":fleet");
    let hashes = keys.into_iter().filter(|key| is_other(key) && redis.command(&["type", key]) == "hash");
    hashes.map(|key| (key.clone(), lines(redis.command(&["hkeys", &key])))).collect()
}

/// A job from its beginning to its end, with one of the same tenant that is refused.
async fn goes_through(store: &Store, tenant: &str, first: usize, what: &str) {
    let worker = run_with(queue(store, Stage::Submit, 10, Duration::from_secs(30)), Work::accepting());
    let id = enqueue_more(store, tenant, first, 2).await[0];
    until(&format!("{what}: a job is submitted"), async || {
        store.load(id).await.unwrap().unwrap().job.state.name() == StateName::Generating
    })
    .await;
    worker.stop().await;
    store.apply(id, &Event::CancelAsked).await.unwrap();
    store.flow(&vendor()).await.unwrap();
    store.usage(&tenant.parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_broken_record_of_another_kind_stops_no_job() {
    let redis = Redis::start(&[]);
    let store = redis.store_of(|policy| policy.money.day = 1000.0).await;
    enqueue_for(&store, "t", 1, 1000).await;
    goes_through(&store, "t", 1, "nothing is broken").await;
    // What refusals, failures and suspicions leave.
    let learned =
        "cr 600 cc 1 cb 600 cg 700 ce 1 ct 1 cw 1 cn 1 cf 0 fails 1 trips 1 sj x sw t sa 1 probe 1 fw t";
    let fields: Vec<&str> = ["hset", "{sm:0}:l:acme"].into_iter().chain(learned.split(' ')).collect();
    redis.command(&fields);
    let (records, mut first) = (records(&redis), 10);
    assert!(records.len() >= 5, "{records:?}");
    for (key, fields) in &records {
        let cases = fields.iter().map(|field| vec!["hset", key, field, "?"]).collect::<Vec<_>>();
        for case in &cases {
            redis.command(case);
            goes_through(&store, "t", first, &case.join(" ")).await;
            first += 2;
        }
        redis.command(&["del", key]);
        redis.command(&["rpush", key, "x"]);
        for tenant in ["well", "t"] {
            goes_through(&store, tenant, first, &format!("{key} is a list")).await;
        }
        assert!(store.corrupt(100).await.unwrap().iter().any(|corrupt| corrupt.what == *key), "{key}");
        redis.command(&["del", key]);
        first += 2;
    }
}
