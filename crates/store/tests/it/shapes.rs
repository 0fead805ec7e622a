//! What is JSON, a number or a key of ours, but of another shape than it should be, stops nobody else.

use std::time::Duration;

use songmill_core::job::{Route, StateName, StepKind};
use songmill_core::{BatchRef, Estimate, Event, JobId, Price, Stage, VendorName};
use songmill_store::{Applied, Enqueued, Store, Upload};

use crate::queues::{Work, queue, run_with};
use crate::tools::{Redis, accepted, enqueue_for, enqueue_more, new_job, until, vendor};

/// Values that a field of JSON may have instead of its own.
const VALUES: [&str; 11] =
    ["null", "true", "7", "-1", "1.5", "1e400", "\"x\"", "\"a:b\"", "[]", "[null]", "{\"a\":1}"];

fn key(id: JobId) -> String {
    format!("{{sm:0}}:j:{id}")
}

async fn names_set_aside(store: &Store) -> Vec<String> {
    store.corrupt(1000).await.unwrap().into_iter().map(|corrupt| corrupt.what).collect()
}

/// A record's text with one field of it, or all of it, changed.
fn changed(record: &str) -> Vec<String> {
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(record).unwrap();
    let mut names: Vec<String> = fields.keys().cloned().collect();
    // Those that the scripts read, whether the job has them or not.
    names.extend(["w", "b", "pr", "ri", "r"].map(str::to_owned));
    names.sort();
    names.dedup();
    let mut changed: Vec<String> = VALUES.map(str::to_owned).to_vec();
    for name in names {
        for value in VALUES {
            let others = fields.iter().filter(|(other, _)| **other != name);
            let mut parts: Vec<String> =
                others.map(|(other, value)| format!("\"{other}\":{value}")).collect();
            parts.push(format!("\"{name}\":{value}"));
            changed.push(format!("{{{}}}", parts.join(",")));
        }
    }
    changed
}

/// Workers of a stage get the job that is well; all others are worked on, or set aside.
async fn only_other_shapes_are_set_aside(stage: Stage, events: &[Event], later: Duration) {
    let redis = Redis::start(&[]);
    let store = redis.store_of(|policy| policy.vendors.get_mut(&vendor()).unwrap().cancel = true).await;
    let sample = enqueue_for(&store, "sample", 1, 0).await[0];
    let count = changed(&redis.command(&["hget", &key(sample), "d"])).len();
    store.apply(sample, &Event::CancelAsked).await.unwrap();
    let jobs: Vec<_> = (0..=count)
        .map(|n| {
            let mut new = new_job(&store, n);
            (new.job.batch, new.job.due) = (None, new.job.due + later);
            new
        })
        .collect();
    assert_eq!(store.enqueue(None, &jobs).await.unwrap(), vec![Enqueued::Created; count + 1]);
    let (well, bad) = jobs.split_last().unwrap();
    for event in events {
        let told = jobs.iter().map(|new| store.apply(new.job.id, event));
        for told in futures_util::future::join_all(told).await {
            assert!(matches!(told.unwrap(), Applied::Changed(_)), "{event:?}");
        }
    }
    let record = redis.command(&["hget", &key(bad[0].job.id), "d"]);
    for (new, record) in bad.iter().zip(changed(&record)) {
        redis.command(&["hset", &key(new.job.id), "d", &record]);
    }
    let work = Work::accepting();
    let worker = run_with(queue(&store, stage, 10, Duration::from_secs(30)), work.clone());
    let is_worked_on = |id: JobId| work.leases().iter().any(|lease| lease.job.id == id);
    until(&format!("{stage}: the one that is well is worked on"), async || is_worked_on(well.job.id)).await;
    until(&format!("{stage}: all others are worked on or set aside"), async || {
        let aside = names_set_aside(&store).await;
        bad.iter().all(|new| is_worked_on(new.job.id) || aside.contains(&new.job.id.to_string()))
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn records_of_another_shape_stop_no_submission() {
    only_other_shapes_are_set_aside(Stage::Submit, &[], Duration::ZERO).await;
}

#[tokio::test]
async fn records_of_another_shape_that_wait_for_their_time_stop_no_submission() {
    only_other_shapes_are_set_aside(Stage::Submit, &[], Duration::from_secs(3)).await;
}

#[tokio::test]
async fn records_of_another_shape_stop_no_look_up() {
    only_other_shapes_are_set_aside(Stage::Resolve, &[Event::Claimed], Duration::ZERO).await;
}

#[tokio::test]
async fn records_of_another_shape_stop_no_poll() {
    only_other_shapes_are_set_aside(Stage::Poll, &[Event::Claimed, accepted(1)], Duration::ZERO).await;
}

#[tokio::test]
async fn records_of_another_shape_stop_no_cancellation() {
    let events = [Event::Claimed, accepted(1), Event::CancelAsked];
    only_other_shapes_are_set_aside(Stage::Cancel, &events, Duration::ZERO).await;
}

#[tokio::test]
async fn a_waiting_job_without_a_record_is_set_aside() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let mut new = new_job(&store, 0);
    (new.job.batch, new.job.due) = (None, new.job.due + Duration::from_millis(300));
    let id = new.job.id;
    store.enqueue(None, &[new]).await.unwrap();
    redis.command(&["hdel", &key(id), "d"]);
    let worker = run_with(queue(&store, Stage::Submit, 10, Duration::from_secs(30)), Work::accepting());
    until("it is set aside", async || names_set_aside(&store).await.contains(&id.to_string())).await;
    worker.stop().await;
}

#[tokio::test]
async fn nothing_is_submitted_while_any_part_of_a_price_is_no_price() {
    let redis = Redis::start(&[]);
    for value in ["null", "\"x\"", "[]", "{}", "true", "-1", "1e400", "-1e400"] {
        for field in ["l", "s", "d", "w", "r"] {
            redis.command(&["flushall"]);
            let store = redis.store().await;
            let song = enqueue_for(&store, "t", 1, 1000).await[0];
            let mut words = new_job(&store, 1);
            words.job.batch = None;
            words.job.routes = vec![Route::new(vendor(), vec![StepKind::Lyrics, StepKind::Song])];
            store.enqueue(None, &[words]).await.unwrap();
            let terms = format!("{{\"{field}\":{value}}}");
            redis.command(&["hset", "{sm:0}:fleet", "t:acme", &terms]);
            let before = redis.command(&["hgetall", &key(song)]);
            let work = Work::accepting();
            let worker = run_with(queue(&store, Stage::Submit, 10, Duration::from_secs(30)), work.clone());
            until(&format!("{terms}: it is set aside"), async || {
                names_set_aside(&store).await.contains(&"{sm:0}:fleet".to_owned())
            })
            .await;
            assert_eq!(redis.command(&["hgetall", &key(song)]), before, "{terms}: nothing was written");
            assert!(work.leases().is_empty(), "{terms}");
            worker.stop().await;
        }
    }
}

#[tokio::test]
async fn a_number_of_the_books_that_is_none_stops_no_submission() {
    let redis = Redis::start(&[]);
    for value in ["inf", "nan", "-inf", "1e400", "0x1p9999", "?"] {
        for (key, field) in [
            ("{sm:0}:t:t", "max_spend"),
            ("{sm:0}:fleet", "day"),
            ("{sm:0}:fleet", "tenant_day"),
            ("day", "="),
        ] {
            redis.command(&["flushall"]);
            let store = redis.store_of(|policy| policy.money.day = 1000.0).await;
            let ids = enqueue_for(&store, "t", 2, 1000).await;
            redis.command(&["hset", "{sm:0}:t:t", "max_spend", "10000000"]);
            let ledger = format!("{{sm:0}}:s:{}", store.now().as_millis() / 86_400_000);
            redis.command(&["hset", if key == "day" { &ledger } else { key }, field, value]);
            let work = Work::accepting();
            let worker = run_with(queue(&store, Stage::Submit, 10, Duration::from_secs(30)), work.clone());
            until(&format!("{key} {field} is {value}: both are submitted"), async || {
                work.leases().len() == 2
            })
            .await;
            worker.stop().await;
            let stands = redis.command(&["zcard", "{sm:0}:q:poll:acme"]);
            assert_eq!((stands.as_str(), ids.len()), ("2", 2), "{key} {field} is {value}");
        }
    }
}

#[tokio::test]
async fn a_price_that_cannot_be_read_stops_no_role_and_no_other_vendor() {
    let redis = Redis::start(&[]);
    let other: VendorName = "other".parse().unwrap();
    let store = redis
        .store_of(|policy| {
            let (source, date) = ("a page".to_owned(), "2026-01-01".to_owned());
            let estimate = Estimate { price: Price { song: 2.0, ..Price::default() }, source, date };
            policy.money.estimates.insert(other.clone(), estimate);
        })
        .await;
    enqueue_for(&store, "t", 1, 1000).await;
    store.seed_fleet().await.unwrap();
    for info in ["?", "7", "null", "[]", "{\"estimate\":{}}", "{\"estimate\":{\"date\":7}}", "{\"price\":7}"]
    {
        redis.command(&["hset", "{sm:0}:fleet", "i:other", info]);
        assert!(!store.seed_fleet().await.unwrap(), "{info}");
        store.refresh_fleet().await.unwrap();
        let fleet = store.fleet().await.unwrap();
        assert!((fleet.prices[&vendor()].price.song - 0.001).abs() < 1e-9, "{info}: {fleet:?}");
        assert!((fleet.prices[&other].price.song - 2.0).abs() < 1e-9, "{info}: as the settings say");
    }
}

#[tokio::test]
async fn what_tasks_take_is_counted_on_beside_what_is_no_number() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let script =
        concat!(include_str!("../../src/scripts/shared.lua"), include_str!("../../src/scripts/pace.lua"));
    let add =
        |more: &[&str]| redis.command(&[&["eval", script, "1", "{sm:0}:p:acme", "60000"], more].concat());
    for value in ["?", "inf", "nan", ""] {
        redis.command(&["hset", "{sm:0}:p:acme", "7.3", value, "other", value]);
        assert_eq!(add(&["came", "3", "1.2", "5"]), "1", "{value:?}");
        let pace = store.read_pace(&[vendor()]).await.unwrap();
        assert_eq!(pace.callbacks[&vendor()].came % 3, 0, "{value:?}: {pace:?}");
        assert_eq!(add(&["7.3", "1"]), "1", "{value:?}");
        assert_eq!(redis.command(&["hget", "{sm:0}:p:acme", "7.3"]), "1", "{value:?}");
    }
    redis.command(&["del", "{sm:0}:p:acme"]);
    redis.command(&["rpush", "{sm:0}:p:acme", "x"]);
    assert!(store.read_pace(&[vendor()]).await.unwrap().callbacks.is_empty());
}

#[tokio::test]
async fn keys_of_a_tenant_that_are_of_another_type_stop_nobody() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let (batch, mut first): (BatchRef, usize) = ("t/songs".parse().unwrap(), 0);
    let mut go_through = async |what: &str| {
        let jobs: Vec<_> = (first..first + 2)
            .map(|n| {
                let mut new = new_job(&store, n);
                new.job.id = JobId::derive("t", &n.to_string());
                (new.job.tenant, new.job.batch) = ("t".parse().unwrap(), Some(batch.name.clone()));
                new
            })
            .collect();
        first += 2;
        let others = enqueue_more(&store, "other", first, 1).await;
        assert_eq!(store.enqueue(Some(&batch), &jobs).await.unwrap(), [Enqueued::Created; 2], "{what}");
        let (id, label) = ("u".to_owned(), "u".to_owned());
        let batch = format!("t/songs-{first}").parse().unwrap();
        let upload = Upload { batch, id, label, notify: vec![], trace: None, budget: None, weight: None };
        assert!(store.begin_upload(&upload).await.unwrap(), "{what}: another batch");
        for id in jobs.iter().map(|new| new.job.id).chain(others) {
            let told = store.apply(id, &Event::CancelAsked).await;
            assert!(matches!(told, Ok(Applied::Changed(_))), "{what}: {told:?}");
            let state = store.load(id).await.unwrap().unwrap().job.state.name();
            assert_eq!(state, StateName::Canceled, "{what}");
        }
    };
    go_through("nothing is broken").await;
    let keys = redis.command(&["keys", "*"]);
    let is_theirs = |key: &&str| !key.contains(":j:") && redis.command(&["type", key]) != "hash";
    let of_tenant = |key: &&str| {
        [":events", ":ended", ":m:", ":d:", ":bs:", ":batches", ":day"].iter().any(|part| key.contains(part))
    };
    let keys: Vec<&str> = keys.lines().filter(is_theirs).filter(of_tenant).collect();
    assert!(keys.len() >= 7, "{keys:?} of {}", redis.command(&["keys", "*"]));
    for key in keys {
        redis.command(&["del", key]);
        redis.command(&["hset", key, "a", "b"]);
        go_through(key).await;
        assert!(names_set_aside(&store).await.contains(&key.to_owned()), "{key}");
        redis.command(&["del", key]);
    }
}
