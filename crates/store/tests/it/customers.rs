//! What is there for customers: uploads, quotas, lists, endpoints and notices.

use std::time::Duration;

use songmill_core::job::StateName;
use songmill_core::song::Invalid;
use songmill_core::{EndpointId, Event, Tenant};
use songmill_store::{
    Begun, Bound, Endpoint, Enqueued, EventId, Filter, NewNotice, Notice, NoticeState, NoticeType, Refused,
    Retention, TenantQuota, Told, Upload,
};

use crate::places::places;
use crate::tools::{Redis, batch, enqueue, new_job, until, vendor};

fn upload(id: &str) -> Upload {
    Upload {
        batch: batch(),
        id: id.into(),
        label: id.into(),
        notify: vec![],
        trace: None,
        budget: None,
        weight: None,
    }
}

pub(crate) fn endpoint(id: &str) -> Endpoint {
    Endpoint {
        id: id.parse().unwrap(),
        url: "https://example.com".into(),
        description: String::new(),
        types: vec![],
        all: true,
        secrets: vec![],
        created_ms: 1,
        failing_since_ms: None,
        last_failure: None,
        last_success_ms: None,
        disabled: None,
    }
}

async fn closed(store: &songmill_store::Store) -> usize {
    let told = store.events(&Tenant::default(), EventId::default(), 10_000).await.unwrap();
    told.iter().filter(|(_, told)| matches!(told, Some(Told::Closed(_)))).count()
}

#[tokio::test]
async fn a_batch_is_not_closed_while_more_of_it_is_on_its_way() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    store.begin_upload(&upload("one")).await.unwrap();
    store.begin_upload(&upload("two")).await.unwrap();
    let ids = enqueue(&store, 3).await;
    for id in &ids {
        store.apply(*id, &Event::CancelAsked).await.unwrap();
    }
    let counted = store.batch(&batch()).await.unwrap().unwrap();
    assert_eq!((counted.uploads, counted.closed_ms, counted.is_settled()), (2, None, false));
    store.end_upload(&upload("one")).await.unwrap();
    store.end_upload(&upload("one")).await.unwrap();
    assert_eq!(closed(&store).await, 0, "the other goes on");
    store.end_upload(&upload("two")).await.unwrap();
    assert_eq!(closed(&store).await, 1);
    assert!(store.batch(&batch()).await.unwrap().unwrap().is_settled());
    // The same lines again are no news, and leave the batch to its retention.
    store.begin_upload(&upload("again")).await.unwrap();
    enqueue(&store, 3).await;
    store.end_upload(&upload("again")).await.unwrap();
    assert_eq!(closed(&store).await, 1);
    for key in ["{sm:0}:b:b", "{sm:0}:m:b"] {
        assert!(redis.command(&["pttl", key]).parse::<i64>().unwrap() > 0, "{key} is kept for good");
    }
}

#[tokio::test]
async fn an_upload_that_falls_silent_is_ended_and_one_that_speaks_again_is_not() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    store.begin_upload(&upload("dead")).await.unwrap();
    store.begin_upload(&upload("slow")).await.unwrap();
    let id = enqueue(&store, 1).await[0];
    store.apply(id, &Event::CancelAsked).await.unwrap();
    assert_eq!(store.end_silent_uploads().await.unwrap(), 0);
    for name in ["dead b", "slow b"] {
        redis.command(&["zadd", "{sm:0}:uploads", "1", name]);
    }
    store.go_on_uploading(&upload("slow")).await.unwrap();
    assert_eq!(store.end_silent_uploads().await.unwrap(), 1);
    assert_eq!(store.batch(&batch()).await.unwrap().unwrap().uploads, 1);
    store.end_upload(&upload("slow")).await.unwrap();
    assert_eq!(closed(&store).await, 1);
}

#[tokio::test]
async fn refused_lines_are_kept_once_in_their_order_and_go_with_the_batch() {
    let redis = Redis::start(&[]);
    let store = redis
        .store_with(Retention { age: songmill_core::time::Span::millis(200), ..Retention::default() })
        .await;
    let line = |line, fault: &str| Refused {
        upload: "one".into(),
        line,
        custom_id: None,
        title: None,
        problems: Invalid::one("prompt", fault, "mend it").problems,
    };
    store.begin_upload(&upload("one")).await.unwrap();
    let lines = [line(12, "is bad"), line(3, "is worse")];
    store.keep_refused(&batch(), &lines).await.unwrap();
    let again: Vec<_> = lines.iter().map(|line| Refused { upload: "two".into(), ..line.clone() }).collect();
    store.keep_refused(&batch(), &again).await.unwrap();
    let kept = store.refused(&batch(), 0, 100).await.unwrap();
    assert!(kept.iter().all(|line| line.upload == "two"), "as of the latest upload");
    assert_eq!(kept.iter().map(|line| line.line).collect::<Vec<_>>(), [3, 12]);
    store.end_upload(&upload("one")).await.unwrap();
    assert_eq!(closed(&store).await, 0, "a batch without a job is nobody's news");
    assert_eq!(store.batch(&batch()).await.unwrap().unwrap().refused, 2);
    until("it is gone", async || store.batch(&batch()).await.unwrap().is_none()).await;
    assert!(store.refused(&batch(), 0, 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_quota_is_kept_whoever_asks_and_what_ends_makes_room() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let tenant = Tenant::default();
    let quota = TenantQuota { open_jobs: Some(150), ..TenantQuota::default() };
    store.set_quota(&tenant, quota).await.unwrap();
    let jobs: Vec<_> = (0..400).map(|n| new_job(&store, n)).collect();
    // Four at once, none of whom knows of the others.
    let asked = jobs.chunks(100).map(|jobs| async { store.enqueue(Some(&batch()), jobs).await.unwrap() });
    let taken: Vec<_> = futures_util::future::join_all(asked).await.into_iter().flatten().collect();
    assert_eq!(taken.iter().filter(|one| **one == Enqueued::Created).count(), 150);
    assert_eq!(taken.iter().filter(|one| **one == Enqueued::Over(Bound::OpenJobs)).count(), 250);
    let usage = store.usage(&tenant).await.unwrap();
    assert_eq!((usage.open_jobs, usage.jobs_today), (150, 150));
    let first: Vec<_> = taken
        .iter()
        .zip(&jobs)
        .filter(|(one, _)| **one == Enqueued::Created)
        .map(|(_, job)| job.job.id)
        .collect();
    store.apply(first[0], &Event::CancelAsked).await.unwrap();
    assert_eq!(store.usage(&tenant).await.unwrap().open_jobs, 149);
    store.apply(first[0], &Event::RetryAsked).await.unwrap();
    let used = store.usage(&tenant).await.unwrap();
    assert_eq!(used.open_jobs, 150);
    for id in &first {
        store.apply(*id, &Event::CancelAsked).await.unwrap();
    }
    let used = store.usage(&tenant).await.unwrap();
    assert_eq!((used.open_jobs, used.kept.answers), (0, 0), "what all have together is what each has");
    let quota = TenantQuota { jobs_per_day: Some(151), ..TenantQuota::default() };
    store.set_quota(&tenant, quota).await.unwrap();
    let more: Vec<_> = (1000..1004).map(|n| new_job(&store, n)).collect();
    let taken = store.enqueue(Some(&batch()), &more).await.unwrap();
    assert_eq!(
        taken[..3],
        [Enqueued::Created, Enqueued::Over(Bound::JobsPerDay), Enqueued::Over(Bound::JobsPerDay)]
    );
    assert_eq!(store.audit().await.unwrap().breaches, []);
}

#[tokio::test]
async fn a_list_is_read_page_by_page_and_holds_each_job_once() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let (tenant, count) = (Tenant::default(), 700);
    let ids = enqueue(&store, count).await;
    for id in ids.iter().step_by(7) {
        store.apply(*id, &Event::CancelAsked).await.unwrap();
    }
    let all = async |filter: &Filter, most: usize| {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.list(&tenant, filter, cursor, most).await.unwrap();
            assert!(page.jobs.len() <= most);
            seen.extend(page.jobs.iter().map(|stored| stored.job.id));
            // A cursor is a text to whoever holds it.
            cursor = page.next.map(|next| next.to_string().parse().unwrap());
            if cursor.is_none() {
                return seen;
            }
        }
    };
    let mut newest_first = ids.clone();
    newest_first.reverse();
    assert_eq!(all(&Filter::default(), 64).await, newest_first);
    let of_batch = Filter { batch: Some(batch()), ..Filter::default() };
    assert_eq!(all(&of_batch, 100).await, ids);
    let canceled = Filter { states: vec![StateName::Canceled], ..Filter::default() };
    let expected: Vec<_> =
        newest_first.iter().filter(|id| ids.iter().step_by(7).any(|one| one == *id)).copied().collect();
    assert_eq!(all(&canceled, 9).await, expected);
    // What comes meanwhile moves nothing.
    let first = store.list(&tenant, &Filter::default(), None, 10).await.unwrap();
    let more: Vec<_> = (count..count + 5).map(|n| new_job(&store, n)).collect();
    store.enqueue(Some(&batch()), &more).await.unwrap();
    let second = store.list(&tenant, &Filter::default(), first.next, 10).await.unwrap();
    assert_eq!(second.jobs[0].job.id, newest_first[10]);
    let nobody = Filter { vendor: Some("nobody".parse().unwrap()), ..Filter::default() };
    assert!(all(&nobody, 10).await.is_empty());
    assert!(store.list(&Tenant::new("other").unwrap(), &of_batch, None, 10).await.unwrap().jobs.is_empty());
    assert!(all(&Filter { vendor: Some(vendor()), ..Filter::default() }, 1000).await.len() == count + 5);
    for bad in ["", "1", "1.", "+1.2", "1.2.3", "9999999999999999.1"] {
        assert!(bad.parse::<songmill_store::Cursor>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn what_is_to_be_told_is_written_with_the_change_and_turned_into_notices_once() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let tenant = Tenant::default();
    let ids = enqueue(&store, 2).await;
    store.apply(ids[0], &Event::CancelAsked).await.unwrap();
    assert!(store.untold(10).await.unwrap().is_empty(), "nobody wants to know");
    store.add_endpoint(&tenant, &endpoint("ep_1")).await.unwrap();
    store.apply(ids[1], &Event::CancelAsked).await.unwrap();
    let untold = store.untold(10).await.unwrap();
    let told: Vec<_> = untold.iter().map(|one| one.told.clone().unwrap()).collect();
    assert!(matches!(&told[..], [Told::Job(job), Told::Closed(_)] if job.job == ids[1]));
    assert_eq!((untold[0].sequence, untold[1].sequence), (1, 1));
    // Two workers choose for the same: one writes.
    let things: Vec<_> = untold
        .iter()
        .map(|one| {
            let id: EndpointId = "ep_1".parse().unwrap();
            let notice = Notice::new(format!("msg_{}", one.place), id, NoticeType::JobCanceled, store.now());
            (one.place.clone(), vec![NewNotice { tenant: tenant.clone(), notice, payload: "{}".into() }])
        })
        .collect();
    assert_eq!(store.tell(&things).await.unwrap() + store.tell(&things).await.unwrap(), 2);
    assert!(store.untold(10).await.unwrap().is_empty());
    let (waiting, looked) = store.notices(&tenant, 0, 10).await.unwrap();
    assert_eq!((waiting.len(), looked), (2, 2));
    // An endpoint is one worker's at a time; what it did not get done is there again when its lease ends.
    let lease = Duration::from_millis(300);
    let taken = store.take_notices(&places(10), 10, lease).await.unwrap();
    assert_eq!((taken.claimed.len(), taken.claimed[0].notices.len()), (1, 2));
    assert!(store.take_notices(&places(10), 10, lease).await.unwrap().claimed.is_empty());
    tokio::time::sleep(lease).await;
    let again = store.take_notices(&places(10), 10, Duration::from_secs(60)).await.unwrap();
    let claimed = &again.claimed[0];
    let [mut first, mut second] = [&claimed.notices[0].0, &claimed.notices[1].0].map(Clone::clone);
    (first.state, first.due_ms) = (NoticeState::Delivered, None);
    second.due_ms = Some(store.now().as_millis() + 60_000);
    store.told(claimed, &[first.clone(), second.clone()], None).await.unwrap();
    let next = store.take_notices(&places(10), 10, lease).await.unwrap();
    assert!(next.claimed.is_empty() && next.next_due.is_some());
    let (known, payload) = store.notice(&tenant, &first.id).await.unwrap().unwrap();
    assert_eq!((known.state, payload.as_str()), (NoticeState::Delivered, "{}"));
    assert!(store.notice(&Tenant::new("other").unwrap(), &first.id).await.unwrap().is_none());
    // Nothing that was said of an endpoint meanwhile is lost.
    let change = store.change_endpoint(&tenant, &claimed.endpoint, |endpoint| {
        endpoint.url = "https://example.org".into();
        Ok::<_, ()>(())
    });
    change.await.unwrap().unwrap().unwrap();
    let stale = endpoint("ep_1");
    let after = Endpoint { last_success_ms: Some(5), ..stale.clone() };
    let written = store.told(claimed, &[], Some((&stale, &after)));
    assert!(!written.await.unwrap());
    assert_eq!(store.endpoint(&tenant, &stale.id).await.unwrap().unwrap().url, "https://example.org");
    store.remove_endpoint(&tenant, &stale.id).await.unwrap();
    assert!(store.notice(&tenant, &second.id).await.unwrap().is_none(), "nobody waits for it");
    let (left, looked) = store.notices(&tenant, 0, 10).await.unwrap();
    assert_eq!((left.len(), looked), (1, 2), "a hole is no end");
    store.apply(ids[1], &Event::RetryAsked).await.unwrap();
    store.apply(ids[1], &Event::CancelAsked).await.unwrap();
    assert!(store.untold(10).await.unwrap().is_empty(), "there is nobody to tell any more");
}

#[tokio::test]
async fn endpoints_named_by_several_uploads_are_all_told() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    for (id, name) in [("one", "ep_a"), ("two", "ep_b"), ("three", "ep_a")] {
        let named = Upload { notify: vec![name.parse().unwrap()], ..upload(id) };
        store.begin_upload(&named).await.unwrap();
    }
    let named = store.batch(&batch()).await.unwrap().unwrap().notify;
    assert_eq!(named.iter().map(EndpointId::as_str).collect::<Vec<_>>(), ["ep_a", "ep_b"]);
}

#[tokio::test]
async fn a_request_is_begun_by_one_answered_for_all_and_free_again_when_nobody_does_it() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let tenant = Tenant::default();
    let (begun, doing) = store.begin_once(&tenant, "k").await.unwrap();
    assert_eq!(begun, Begun::New);
    assert_eq!(store.begin_once(&tenant, "k").await.unwrap().0, Begun::UnderWay);
    assert_eq!(store.begin_once(&Tenant::new("other").unwrap(), "k").await.unwrap().0, Begun::New);
    doing.forget().await.unwrap();
    let (begun, doing) = store.begin_once(&tenant, "k").await.unwrap();
    assert_eq!(begun, Begun::New);
    doing.answer(b"done", Duration::from_millis(200)).await.unwrap();
    assert_eq!(store.begin_once(&tenant, "k").await.unwrap().0, Begun::Answered(b"done".into()));
    // Whoever lost it meanwhile cannot take it back.
    doing.forget().await.unwrap();
    assert_eq!(store.begin_once(&tenant, "k").await.unwrap().0, Begun::Answered(b"done".into()));
    until("its time is over", async || store.begin_once(&tenant, "k").await.unwrap().0 == Begun::New).await;
}

#[tokio::test]
async fn held_jobs_are_listed_however_old_and_while_they_are_decided_about() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let ids = enqueue(&store, 10).await;
    for id in &ids {
        redis.command(&["zadd", "{sm:0}:held", "1795248085598", &id.to_string()]);
    }
    let held = Filter { states: vec![StateName::Held], ..Filter::default() };
    // They are queued in truth: whoever is listed is looked at as it is.
    assert!(store.list(&Tenant::default(), &held, None, 3).await.unwrap().jobs.is_empty());
    for id in &ids {
        store.apply(*id, &Event::Claimed).await.unwrap();
        let unknown = songmill_core::Fault::new(songmill_core::FaultKind::Unknown, "reply_lost", "");
        store.apply(*id, &Event::SubmitFailed { attempt: 1, fault: unknown }).await.unwrap();
        store.apply(*id, &Event::CannotTell { attempt: 1 }).await.unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.list(&Tenant::default(), &held, cursor, 3).await.unwrap();
        for stored in &page.jobs {
            seen.push(stored.job.id);
            store.apply(stored.job.id, &Event::Resolved(songmill_core::job::Choice::Fail)).await.unwrap();
        }
        cursor = page.next.map(|next| next.to_string().parse().unwrap());
        if cursor.is_none() {
            break;
        }
    }
    seen.sort_unstable();
    let mut all = ids.clone();
    all.sort_unstable();
    assert_eq!(seen, all, "none is passed over although each leaves the set");
}
