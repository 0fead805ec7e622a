//! Jobs, batches and what keeps them honest.

use std::collections::BTreeSet;

use songmill_core::job::StateName;
use songmill_core::time::Span;
use songmill_core::{Event, JobId, Stage, Tenant};
use songmill_store::{
    Applied, Capacity, DefaultQuota, Enqueued, EventId, QueueSettings, Retention, StageQueue, StoreError,
    Told,
};

use crate::queues::run;
use crate::tools::*;

#[tokio::test]
async fn the_same_request_is_taken_in_once_and_another_one_under_its_key_is_not() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let mut jobs: Vec<_> = (0..300).map(|n| new_job(&store, n)).collect();
    let first = store.enqueue(Some(&batch()), &jobs[..200]).await.unwrap();
    assert!(first.iter().all(|result| *result == Enqueued::Created));
    let again = store.enqueue(Some(&batch()), &jobs).await.unwrap();
    assert!(again[..200].iter().all(|result| *result == Enqueued::Known));
    assert!(again[200..].iter().all(|result| *result == Enqueued::Created));
    jobs[0].request = "{}".into();
    assert_eq!(store.enqueue(Some(&batch()), &jobs[..1]).await.unwrap(), [Enqueued::Conflict]);
    let counted = store.batch(&batch()).await.unwrap().unwrap();
    assert_eq!((counted.total, counted.counts.of(StateName::Queued)), (300, 300));
    let members = store.members(&batch(), 0, 1000).await.unwrap();
    assert_eq!(
        members.iter().map(|m| m.id).collect::<Vec<_>>(),
        jobs.iter().map(|j| j.job.id).collect::<Vec<_>>()
    );
    assert_eq!(store.audit().await.unwrap().breaches, []);
}

#[tokio::test]
async fn every_change_is_counted_and_told() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let id = enqueue(&store, 2).await[0];
    for (event, counts) in [
        (Event::Claimed, "submitting"),
        (accepted(1), "generating"),
        (Event::CancelAsked, "canceled"),
        (Event::RetryAsked, "queued"),
        (Event::CancelAsked, "canceled"),
    ] {
        assert!(matches!(store.apply(id, &event).await.unwrap(), Applied::Changed(_)), "{event:?}");
        let batch = store.batch(&batch()).await.unwrap().unwrap();
        assert_eq!(batch.counts.0.values().sum::<u64>(), 2);
        assert!(batch.counts.0.keys().any(|state| state.as_str() == counts), "{event:?}: {batch:?}");
        assert_eq!(store.audit().await.unwrap().breaches, []);
    }
    assert!(matches!(store.apply(id, &accepted(7)).await.unwrap(), Applied::Unchanged(_)));
    assert!(matches!(
        store.apply(JobId::derive("no", "job"), &accepted(7)).await.unwrap(),
        Applied::NoSuchJob
    ));
    let told = store.events(&Tenant::default(), EventId::default(), 100).await.unwrap().into_iter().map(
        |(_, told)| match told.unwrap() {
            Told::Job(change) => change.to.as_str(),
            Told::Closed(_) => "closed",
            Told::News(_) => "news",
        },
    );
    let told: Vec<_> = told.collect();
    assert_eq!(told, ["queued", "queued", "submitting", "generating", "canceled", "queued", "canceled"]);
    assert_eq!(store.totals().await.unwrap()["acme:canceled"], 2);
}

#[tokio::test]
async fn events_told_at_once_by_many_are_all_heard() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let id = enqueue(&store, 1).await[0];
    store.apply(id, &Event::Claimed).await.unwrap();
    store.apply(id, &accepted(1)).await.unwrap();
    let poll = Event::PollFailed {
        attempt: 1,
        fault: songmill_core::Fault::new(songmill_core::FaultKind::Unavailable, "away", ""),
    };
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (store, poll) = (store.clone(), poll.clone());
            tokio::spawn(async move { store.apply(id, &poll).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.load(id).await.unwrap().unwrap().job.strikes, 8);
}

#[tokio::test]
async fn held_jobs_stand_aside_and_come_back() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let id = enqueue(&store, 1).await[0];
    for event in [Event::Claimed, Event::CannotTell { attempt: 1 }] {
        store.apply(id, &event).await.unwrap();
    }
    assert_eq!(store.held(10).await.unwrap()[0].0, id);
    assert_eq!(store.audit().await.unwrap().breaches, []);
    store.apply(id, &Event::Resolved(songmill_core::job::Choice::Resubmit)).await.unwrap();
    assert!(store.held(10).await.unwrap().is_empty());
    assert_eq!(store.audit().await.unwrap().breaches, []);
}

#[tokio::test]
async fn a_full_redis_refuses_clearly_and_writes_nothing_by_half() {
    let redis = Redis::start(&["--maxmemory", "3mb"]);
    let any = DefaultQuota { bytes: Capacity::Bytes(0), ..DefaultQuota::default() };
    let store = redis.store().await.with_quota(any);
    let jobs: Vec<_> = (0..20_000).map(|n| new_job(&store, n)).collect();
    let error = store.enqueue(Some(&batch()), &jobs).await.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error:?}");
    assert!(error.to_string().contains("nothing was written"));
    redis.command(&["config", "set", "maxmemory", "0"]);
    let taken = store.batch(&batch()).await.unwrap().unwrap().total;
    assert!(taken > 0 && taken % 128 == 0, "whole chunks only: {taken}");
    assert_eq!(store.audit().await.unwrap().breaches, []);
    store.enqueue(Some(&batch()), &jobs).await.unwrap();
    assert_eq!(store.batch(&batch()).await.unwrap().unwrap().total, 20_000);
}

#[tokio::test]
async fn ended_jobs_are_kept_for_their_time_and_number() {
    let redis = Redis::start(&[]);
    let retention = Retention { age: Span::secs(3600), jobs: 5, events: 1000, ..Retention::default() };
    let store = redis.store_with(retention).await;
    let ids = enqueue(&store, 12).await;
    let first = ids[0];
    for (n, id) in ids.iter().enumerate() {
        store.apply(*id, &Event::CancelAsked).await.unwrap();
        if n == 0 {
            // Tried again by an operator: it must not be taken for one that has ended.
            store.apply(first, &Event::RetryAsked).await.unwrap();
        }
    }
    let mut kept = BTreeSet::new();
    for id in &ids {
        if store.load(*id).await.unwrap().is_some() {
            kept.insert(*id);
        }
    }
    assert!(kept.contains(&first) && kept.contains(&ids[11]));
    assert_eq!(kept.len(), 6, "five that ended last, and the one that goes on");
    let brief = redis
        .store_with(Retention { age: Span::millis(30), jobs: 100, events: 10, ..Retention::default() })
        .await;
    brief.apply(first, &Event::CancelAsked).await.unwrap();
    until("its time is over", async || brief.load(first).await.unwrap().is_none()).await;
}

#[tokio::test]
async fn a_job_that_comes_again_after_its_time_is_not_taken_for_what_it_was() {
    let redis = Redis::start(&[]);
    let brief = redis
        .store_with(Retention { age: Span::millis(100), jobs: 2, events: 1000, ..Retention::default() })
        .await;
    let store = redis.store_with(Retention { jobs: 2, ..Retention::default() }).await;
    let ids = enqueue(&store, 3).await;
    brief.apply(ids[0], &Event::CancelAsked).await.unwrap();
    store.apply(ids[1], &Event::CancelAsked).await.unwrap();
    until("its time is over", async || store.load(ids[0]).await.unwrap().is_none()).await;
    // The same request again: as many changes as before, and it goes on.
    enqueue(&store, 1).await;
    store.apply(ids[0], &Event::Claimed).await.unwrap();
    store.apply(ids[2], &Event::CancelAsked).await.unwrap();
    assert!(store.load(ids[0]).await.unwrap().is_some(), "it is live");
    assert_eq!(store.audit().await.unwrap().breaches, []);
}

#[tokio::test]
async fn after_retention_redis_is_as_empty_as_before() {
    let redis = Redis::start(&[]);
    let store = redis
        .store_with(Retention {
            age: Span::millis(400),
            jobs: 100_000,
            events: 100_000,
            ..Retention::default()
        })
        .await;
    // Scripts, connections and what else is there for good.
    let ids = enqueue(&store, 1).await;
    store.apply(ids[0], &Event::CancelAsked).await.unwrap();
    let used = || {
        let info = redis.command(&["info", "memory"]);
        info.lines()
            .find_map(|line| line.strip_prefix("used_memory:"))
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap()
    };
    let keys = || redis.command(&["dbsize"]).parse::<u64>().unwrap();
    until("the first is gone", async || keys() <= 5).await;
    let base = used();
    let ids = enqueue(&store, 4000).await;
    let most = used();
    futures_util::future::join_all(ids.iter().map(|id| store.apply(*id, &Event::CancelAsked))).await;
    assert!(most > base + 2_000_000, "{base} {most}");
    // The totals, the tenant, its counts and its account are kept for good, and the names of batches until others come.
    until("all are gone", async || keys() <= 5).await;
    until("memory is back", async || used() < base + 200_000).await;
}

#[tokio::test]
async fn the_audit_finds_what_was_broken_by_hand() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let ids = enqueue(&store, 3).await;
    let queue = "{sm:0}:q:submit:acme";
    redis.command(&["zrem", &format!("{queue}:default:n:b"), &ids[0].to_string()]);
    redis.command(&["zrem", "{sm:0}:w:acme:default:n", "b"]);
    redis.command(&["zadd", "{sm:0}:q:poll:acme", "1", &ids[1].to_string()]);
    redis.command(&["zadd", queue, "1", &JobId::derive("no", "record").to_string()]);
    redis.command(&["hincrby", "{sm:0}:b:b", "queued", "5"]);
    let breaches = store.audit().await.unwrap().breaches;
    let subjects: Vec<_> = breaches.iter().map(|breach| breach.subject.as_str()).collect();
    assert_eq!(breaches.len(), 5, "{breaches:?}");
    assert!(subjects.contains(&format!("lane {queue}:default:n:b").as_str()), "nobody would claim its jobs");
    assert!(subjects.contains(&format!("job {}", ids[0]).as_str()) && subjects.contains(&"batch b"));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_blocks_nobody() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let ids = enqueue(&store, 5).await;
    redis.command(&["hset", &format!("{{sm:0}}:j:{}", ids[2]), "d", "garbage"]);
    assert!(matches!(store.load(ids[2]).await, Err(StoreError::Record { .. })));
    let queue = StageQueue::start(store.clone(), Stage::Submit, vendor(), QueueSettings::default());
    let worker = run(queue);
    until("the others have ended", async || {
        store.batch(&batch()).await.unwrap().unwrap().counts.of(StateName::Failed) == 4
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn what_is_not_understood_is_kept_aside_and_bounded() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    for _ in 0..3 {
        store.quarantine("callback", "no JSON", &vec![b'x'; 100_000]).await.unwrap();
    }
    assert_eq!(store.quarantined().await.unwrap(), 3);
    assert!(redis.command(&["memory", "usage", "{sm:0}:quarantine"]).parse::<u64>().unwrap() < 40_000);
}

#[tokio::test]
async fn a_redis_that_keeps_records_in_pieces_is_advised_against() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    assert_eq!(store.facts().await.unwrap().advice(), [""; 0], "who may not ask is not advised");
    redis.command(&["acl", "setuser", "songmill", "+config|get"]);
    assert!(store.facts().await.unwrap().advice()[0].contains("hash-max-listpack-value is 64"));
    redis.command(&["config", "set", "hash-max-listpack-value", "2048"]);
    assert_eq!(store.facts().await.unwrap().advice(), [""; 0]);
}

#[tokio::test]
async fn doctor_complains_of_a_redis_that_forgets() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    assert_eq!(store.facts().await.unwrap().complaints(), Vec::<String>::new());
    redis.command(&["config", "set", "maxmemory-policy", "allkeys-lru"]);
    redis.command(&["config", "set", "appendonly", "no"]);
    let complaints = store.facts().await.unwrap().complaints();
    assert!(complaints[0].contains("noeviction") && complaints[1].contains("appendonly"), "{complaints:?}");
    assert!(store.batch(&"none".parse().unwrap()).await.unwrap().is_none());
}
