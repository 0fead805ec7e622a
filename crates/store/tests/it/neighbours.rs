//! One tenant costs only itself: what each makes us keep is counted, bounded, and pushes out nobody else's.

use std::time::Duration;

use songmill_core::job::StateName;
use songmill_core::song::Problem;
use songmill_core::time::Span;
use songmill_core::{BatchRef, Event, JobId, Tenant};
use songmill_store::{
    Begun, Bound, Capacity, DefaultQuota, Enqueued, EventId, Kept, NewNotice, Notice, NoticeType, Refused,
    Retention, Store, StoreError, Upload,
};

use crate::tools::{Redis, enqueue_for, enqueue_more, new_job, until};

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn used(redis: &Redis) -> u64 {
    let info = redis.command(&["info", "memory"]);
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
    line.unwrap().trim().parse().unwrap()
}

async fn kept(store: &Store, name: &str) -> Kept {
    store.usage(&tenant(name)).await.unwrap().kept
}

fn upload(batch: &str) -> Upload {
    let batch: BatchRef = batch.parse().unwrap();
    Upload {
        batch,
        id: "u".into(),
        label: "u".into(),
        notify: vec![],
        trace: None,
        budget: None,
        weight: None,
    }
}

fn refused(line: u64, bytes: usize) -> Refused {
    let problem = Problem { field: "title".into(), fault: "x".repeat(bytes), fix: "shorten it".into() };
    Refused { upload: "u".into(), line, custom_id: None, title: None, problems: vec![problem] }
}

async fn cancel(store: &Store, ids: &[JobId]) {
    let told = ids.iter().map(|id| store.apply(*id, &Event::CancelAsked));
    for told in futures_util::future::join_all(told).await {
        told.unwrap();
    }
}

#[tokio::test]
async fn events_of_one_tenant_push_out_nobody_elses() {
    let redis = Redis::start(&[]);
    let retention = Retention { events: 200, events_age: Span::millis(1), ..Retention::default() };
    let store = redis.store_with(retention).await;
    enqueue_for(&store, "quiet", 3, 0).await;
    enqueue_for(&store, "loud", 1, 0).await;
    let early = store.last_event().await.unwrap();
    for round in 0..12 {
        enqueue_more(&store, "loud", 1 + round * 1000, 1000).await;
    }
    let of = async |name: &str| store.events(&tenant(name), EventId::default(), 100_000).await.unwrap().len();
    assert_eq!(of("quiet").await, 3);
    assert!(store.has_events_since(&tenant("quiet"), early).await.unwrap());
    assert!((200..400).contains(&of("loud").await), "{}", of("loud").await);
    assert!(!store.has_events_since(&tenant("loud"), early).await.unwrap(), "some are gone");
    let last = store.last_event().await.unwrap();
    assert!(store.has_events_since(&tenant("loud"), last).await.unwrap());
    // Who follows all of them and was away for long is told that there are gaps.
    let (first, page) = store.follow_events(early, 10).await.unwrap();
    assert!(first.unwrap() > early && page.len() == 10);
}

#[tokio::test]
async fn young_events_are_kept_beyond_their_number_as_far_as_the_quota_goes() {
    let redis = Redis::start(&[]);
    let retention = Retention { events: 100, ..Retention::default() };
    let store = redis.store_with(retention).await;
    enqueue_for(&store, "loud", 2000, 0).await;
    let of =
        async |store: &Store| store.events(&tenant("loud"), EventId::default(), 10_000).await.unwrap().len();
    assert_eq!(of(&store).await, 2000);
    // An eighth of its bytes are events, of a quarter of a kilobyte each.
    let store = store.with_quota(DefaultQuota { bytes: Capacity::Bytes(4 << 20), ..DefaultQuota::default() });
    enqueue_more(&store, "loud", 2000, 1000).await;
    assert!((1800..2100).contains(&of(&store).await), "{}", of(&store).await);
}

#[tokio::test]
async fn ended_jobs_of_one_tenant_push_out_nobody_elses() {
    let redis = Redis::start(&[]);
    let store = redis.store_with(Retention { jobs: 5, ..Retention::default() }).await;
    let quiet = enqueue_for(&store, "quiet", 1, 0).await;
    cancel(&store, &quiet).await;
    let loud = enqueue_for(&store, "loud", 40, 0).await;
    cancel(&store, &loud).await;
    assert!(store.load(quiet[0]).await.unwrap().is_some());
    let left = store.load_many(&loud).await.unwrap().into_iter().flatten().count();
    assert_eq!(left, 5);
    assert!(kept(&store, "loud").await.jobs < 5 * 2500, "what was pushed out is not counted any more");
}

/// What stands in Redis, counted anew.
fn recount(redis: &Redis, name: &str) -> [u64; 4] {
    let script = r#"
        local jobs, batches, rejected, answers = 0, 0, 0, 0
        for _, key in ipairs(redis.call('KEYS', '{sm:0}:j:*')) do
          jobs = jobs + 900 + redis.call('HSTRLEN', key, 'd') + redis.call('HSTRLEN', key, 'r')
        end
        for _, key in ipairs(redis.call('KEYS', '{sm:0}:b:' .. ARGV[1] .. '/*')) do
          local rows = string.gsub(key, '}:b:', '}:r:', 1)
          batches = batches + (redis.call('HGET', key, 'bytes') or 0)
          for _, row in ipairs(redis.call('ZRANGE', rows, 0, -1)) do rejected = rejected + 150 + #row end
        end
        for _, key in ipairs(redis.call('KEYS', '{sm:0}:i:' .. ARGV[1] .. ':*')) do
          answers = answers + 200 + #key + redis.call('HSTRLEN', key, 'answer')
        end
        return { jobs, batches, rejected, answers }"#;
    let counted = redis.command(&["eval", script, "0", name]);
    let numbers: Vec<u64> = counted.lines().map(|line| line.trim().parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

#[tokio::test]
async fn what_is_counted_is_what_is_there_until_it_expires() {
    let redis = Redis::start(&[]);
    let store = redis.store_with(Retention { age: Span::secs(1), ..Retention::default() }).await;
    let (name, other) = ("t", "other");
    enqueue_for(&store, other, 3, 0).await;
    let of_other = kept(&store, other).await.jobs;
    assert_eq!(recount(&redis, other)[0], of_other);
    let check = async |when: &str| {
        let kept = kept(&store, name).await;
        let [jobs, batches, rejected, answers] = recount(&redis, name);
        assert_eq!(
            [kept.jobs, kept.batches, kept.rejected, kept.answers],
            [jobs - of_other, batches, rejected, answers],
            "{when}"
        );
    };
    let batch: BatchRef = "t/songs".parse().unwrap();
    assert!(store.begin_upload(&upload("t/songs")).await.unwrap());
    let jobs: Vec<_> = (0..20)
        .map(|n| {
            let mut new = new_job(&store, n);
            new.job.id = JobId::derive(name, &n.to_string());
            (new.job.tenant, new.job.batch) = (tenant(name), Some(batch.name.clone()));
            new.content = Some(n.to_string());
            new
        })
        .collect();
    let ids: Vec<_> = jobs.iter().map(|new| new.job.id).collect();
    assert_eq!(store.enqueue(Some(&batch), &jobs).await.unwrap(), [Enqueued::Created; 20]);
    store.keep_refused(&batch, &[refused(1, 10), refused(2, 2000)]).await.unwrap();
    store.keep_refused(&batch, &[refused(1, 10), refused(3, 70)]).await.unwrap();
    check("while it goes on").await;
    let (begun, doing) = store.begin_once(&tenant(name), "key").await.unwrap();
    assert_eq!(begun, Begun::New);
    doing.answer(&[b'a'; 5000], Duration::from_secs(1)).await.unwrap();
    check("with an answer").await;
    cancel(&store, &ids).await;
    check("with ended jobs").await;
    store.apply(ids[0], &Event::RetryAsked).await.unwrap();
    check("with a job that goes on").await;
    cancel(&store, &ids[..1]).await;
    store.end_upload(&upload("t/songs")).await.unwrap();
    check("when all has ended").await;
    assert!(kept(&store, name).await.lists > 0);
    until("all of it has expired", async || {
        let Kept { jobs, batches, rejected, .. } = kept(&store, name).await;
        jobs + batches + rejected + recount(&redis, name)[3] == 0
    })
    .await;
    assert!(kept(&store, name).await.answers > 0, "when an answer is gone is known less exactly");
    assert_eq!(recount(&redis, name), [of_other, 0, 0, 0]);
    assert_eq!(kept(&store, other).await.jobs, of_other, "the other's are counted by themselves");
}

#[tokio::test]
async fn what_expires_while_everything_is_refused_is_no_longer_counted() {
    let redis = Redis::start(&[]);
    let store = redis.store_with(Retention { age: Span::secs(1), ..Retention::default() }).await;
    for calls in ["enqueue", "enqueue again", "begin once", "begin upload"] {
        redis.command(&["flushall"]);
        let stays = enqueue_for(&store, "t", 1, 0).await;
        assert!(store.begin_upload(&upload("t/known")).await.unwrap());
        let ids = enqueue_more(&store, "t", 1, 20).await;
        cancel(&store, &ids).await;
        let none = songmill_store::TenantQuota { bytes: Some(1), ..songmill_store::TenantQuota::default() };
        store.set_quota(&tenant("t"), none).await.unwrap();
        // Nothing else looks at what is counted: that would sweep by itself.
        until(&format!("{calls}: what has expired went"), async || {
            match calls {
                "enqueue" => drop(enqueue_more(&store, "t", 100, 1).await),
                "enqueue again" => assert_eq!(enqueue_more(&store, "t", 0, 1).await, stays),
                "begin once" => assert_eq!(store.begin_once(&tenant("t"), "k").await.unwrap().0, Begun::Full),
                _ => assert!(!store.begin_upload(&upload("t/new")).await.unwrap()),
            }
            !redis.command(&["hkeys", "{sm:0}:u:t"]).contains("jobs@")
        })
        .await;
        let [jobs, batches, ..] = recount(&redis, "t");
        let counted = ["jobs", "batches"].map(|kind| redis.command(&["hget", "{sm:0}:u:t", kind]));
        assert_eq!(counted, [jobs.to_string(), batches.to_string()], "{calls}");
    }
}

#[tokio::test]
async fn an_account_has_few_fields_however_short_the_retention() {
    let redis = Redis::start(&[]);
    let store = redis.store_with(Retention { age: Span::secs(1), ..Retention::default() }).await;
    let endpoint: songmill_core::EndpointId = "ep_1".parse().unwrap();
    for n in 0..4 {
        enqueue_more(&store, "t", n, 1).await;
        let notice = Notice::new(format!("msg_{n}"), endpoint.clone(), NoticeType::Test, store.now());
        let new = NewNotice { tenant: tenant("t"), notice, payload: "x".into() };
        store.tell(&[(String::new(), vec![new])]).await.unwrap();
        let (_, doing) = store.begin_once(&tenant("t"), &n.to_string()).await.unwrap();
        doing.answer(b"a", Duration::from_secs(86_400)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    let fields = redis.command(&["hkeys", "{sm:0}:u:t"]);
    for kind in ["lists@", "webhooks@", "answers@"] {
        // One, or two where the boundary lay between.
        let moments = fields.lines().filter(|field| field.starts_with(kind)).count();
        assert!((1..=2).contains(&moments), "{kind}: {fields}");
    }
}

#[tokio::test]
async fn an_account_that_cannot_be_read_keeps_no_other_from_being_swept() {
    let redis = Redis::start(&[]);
    let store = redis.store_with(Retention { age: Span::secs(1), ..Retention::default() }).await;
    for name in ["a", "b", "c", "d"] {
        let ids = enqueue_for(&store, name, 2, 0).await;
        cancel(&store, &ids).await;
    }
    for key in ["{sm:0}:events:a", "{sm:0}:u:c"] {
        redis.command(&["del", key]);
        redis.command(&["set", key, "x"]);
    }
    until("the others are swept", async || {
        redis.command(&["del", "{sm:0}:done:accounts"]);
        store.sweep_accounts().await.unwrap();
        ["b", "d"].iter().all(|name| redis.command(&["hget", &format!("{{sm:0}}:u:{name}"), "jobs"]) == "0")
    })
    .await;
}

#[tokio::test]
async fn what_was_taken_in_before_there_were_accounts_is_taken_from_none() {
    let redis = Redis::start(&[]);
    let store = redis.store_with(Retention { jobs: 1, ..Retention::default() }).await;
    let ids = enqueue_for(&store, "t", 2, 0).await;
    redis.command(&["hdel", &format!("{{sm:0}}:j:{}", ids[0]), "q"]);
    redis.command(&["del", "{sm:0}:u:t", &format!("{{sm:0}}:j:{}", ids[1])]);
    let ids = [&ids[..1], &enqueue_more(&store, "t", 2, 1).await].concat();
    let before = kept(&store, "t").await.jobs;
    cancel(&store, &ids[..1]).await;
    assert_eq!(kept(&store, "t").await.jobs, before);
    // It is pushed out by the other's end.
    cancel(&store, &ids[1..]).await;
    assert!(store.load(ids[0]).await.unwrap().is_none());
    assert_eq!(kept(&store, "t").await.jobs, recount(&redis, "t")[0], "what is left is the other");
}

/// A tenant does something a thousand times; what Redis takes for it stays within its quota, and others go on.
async fn a_thousand_times(what: &str, act: impl AsyncFn(&Store, usize) -> bool) {
    const QUOTA: u64 = 4 << 20;
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let store = store.with_quota(DefaultQuota { bytes: Capacity::Bytes(QUOTA), ..DefaultQuota::default() });
    enqueue_for(&store, "other", 10, 0).await;
    let before = used(&redis);
    let mut refused = 0;
    for n in 0..1000 {
        refused += u64::from(!act(&store, n).await);
    }
    let grown = used(&redis).saturating_sub(before);
    let kept = kept(&store, "t").await;
    assert!(refused > 0, "{what}: nothing was refused, {kept:?}");
    assert!(grown <= QUOTA, "{what}: redis has grown by {grown}, {kept:?}");
    assert!(kept.total() <= QUOTA, "{what}: {kept:?}");
    let others = enqueue_more(&store, "other", 10, 10).await;
    assert_eq!(store.load(others[9]).await.unwrap().unwrap().job.state.name(), StateName::Queued);
}

#[tokio::test]
async fn jobs_stay_within_a_tenants_quota() {
    a_thousand_times("jobs", async |store, n| {
        let mut new = new_job(store, n);
        new.job.id = JobId::derive("t", &n.to_string());
        (new.job.tenant, new.job.batch) = (tenant("t"), None);
        new.request = format!("{{\"prompt\":\"{}\"}}", "x".repeat(10_000)).into();
        store.enqueue(None, &[new]).await.unwrap() == [Enqueued::Created]
    })
    .await;
}

#[tokio::test]
async fn small_jobs_stay_within_a_tenants_quota() {
    a_thousand_times("small jobs", async |store, n| {
        let jobs: Vec<_> = (0..20)
            .map(|m| {
                let mut new = new_job(store, m);
                new.job.id = JobId::derive("t", &format!("{n} {m}"));
                (new.job.tenant, new.content) = (tenant("t"), Some(format!("{n} {m}")));
                new
            })
            .collect();
        let batch: BatchRef = format!("t/batch-{}", n / 10).parse().unwrap();
        !store.enqueue(Some(&batch), &jobs).await.unwrap().contains(&Enqueued::Over(Bound::Bytes))
    })
    .await;
}

#[tokio::test]
async fn kept_answers_stay_within_a_tenants_quota() {
    a_thousand_times("answers", async |store, n| {
        match store.begin_once(&tenant("t"), &n.to_string()).await.unwrap() {
            (Begun::Full, _) => false,
            (_, doing) => {
                doing.answer(&vec![b'x'; 100_000], Duration::from_secs(3600)).await.unwrap();
                true
            }
        }
    })
    .await;
}

#[tokio::test]
async fn rejected_rows_stay_within_a_tenants_quota() {
    a_thousand_times("rows", async |store, n| {
        let name = format!("t/batch-{}", n % 10);
        store.begin_upload(&upload(&name)).await.unwrap();
        let rows: Vec<_> = (0..100).map(|row| refused((n * 100 + row) as u64, 60)).collect();
        store.keep_refused(&name.parse().unwrap(), &rows).await.unwrap() == 0
    })
    .await;
}

#[tokio::test]
async fn webhooks_stay_within_a_tenants_quota_and_the_oldest_go_first() {
    let endpoint: songmill_core::EndpointId = "ep_1".parse().unwrap();
    a_thousand_times("webhooks", async |store, n| {
        let notice = Notice::new(format!("msg_{n}"), endpoint.clone(), NoticeType::Test, store.now());
        let new = NewNotice { tenant: tenant("t"), notice, payload: "x".repeat(8000) };
        assert_eq!(store.tell(&[(String::new(), vec![new])]).await.unwrap(), 1);
        store.notice(&tenant("t"), "msg_0").await.unwrap().is_some()
    })
    .await;
}

#[tokio::test]
async fn batches_stay_within_a_tenants_quota() {
    a_thousand_times("batches", async |store, n| {
        let name = format!("t/{}-{n}", "b".repeat(50));
        store.begin_upload(&upload(&name)).await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn ended_jobs_stay_within_a_tenants_quota() {
    a_thousand_times("ended jobs", async |store, n| {
        let jobs: Vec<_> = (0..10)
            .map(|m| {
                let mut new = new_job(store, m);
                new.job.id = JobId::derive("t", &format!("{n} {m}"));
                (new.job.tenant, new.job.batch) = (tenant("t"), None);
                new
            })
            .collect();
        let taken = store.enqueue(None, &jobs).await.unwrap();
        let taken = jobs.iter().zip(taken).filter(|(_, taken)| *taken == Enqueued::Created);
        let ids: Vec<_> = taken.map(|(new, _)| new.job.id).collect();
        cancel(store, &ids).await;
        ids.len() == 10
    })
    .await;
}

#[tokio::test]
async fn a_quota_of_its_own_counts_for_a_tenant() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let quota = songmill_store::TenantQuota { bytes: Some(8_000), ..songmill_store::TenantQuota::default() };
    store.set_quota(&tenant("t"), quota).await.unwrap();
    assert_eq!(store.usage(&tenant("t")).await.unwrap().quota.bytes, 8_000);
    assert!(store.begin_upload(&upload("t/a")).await.unwrap());
    assert!(!store.begin_upload(&upload("t/b")).await.unwrap(), "a quarter of it");
    assert!(store.begin_upload(&upload("other/b")).await.unwrap());
    let over: StoreError = StoreError::Over(Bound::Bytes);
    assert!(!over.will_pass() && over.to_string().contains("songmill tenant quota"));
}
