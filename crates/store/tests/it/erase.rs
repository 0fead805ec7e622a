//! Erasing: what ended jobs said goes, what is open stays.

use std::time::Duration;

use songmill_core::song::Invalid;
use songmill_core::{Event, Lyrics, Tenant};
use songmill_store::{Begun, Enqueued, KeptAnswer, Made, Refused, Retention};

use crate::tools::{Redis, batch, enqueue, new_job};

#[tokio::test]
async fn what_is_erased_keeps_its_place_among_the_ended_and_what_is_open_its_words() {
    const MARK: &str = "zqmarkqz";
    let redis = Redis::start(&[]);
    let store = redis.store_with(Retention { jobs: 3, ..Retention::default() }).await;
    let jobs: Vec<_> = (0..4)
        .map(|n| {
            let mut new = new_job(&store, n);
            new.job.custom_id = Some(format!("{MARK}-{n}"));
            new.job.lyrics = Some(Lyrics { text: MARK.into(), title: None });
            (new.request, new.content) = (format!(r#"{{"prompt":"{MARK}"}}"#).into(), Some(format!("c{n}")));
            new
        })
        .collect();
    store.enqueue(Some(&batch()), &jobs).await.unwrap();
    let ids: Vec<_> = jobs.iter().map(|new| new.job.id).collect();
    for id in &ids[..2] {
        store.apply(*id, &Event::CancelAsked).await.unwrap();
    }
    for (id, n) in [(ids[0], 0), (ids[3], 3)] {
        store
            .quarantine(&format!("callback of acme, job {id}"), "no JSON", format!("{MARK} {n}").as_bytes())
            .await
            .unwrap();
    }
    // Two lines of one upload that were refused for different things stay two.
    let refused = |fault: &str| {
        let problems = Invalid::one("lyrics", format!("{MARK} {fault}"), "").problems;
        Refused {
            upload: "up".into(),
            line: 7,
            custom_id: Some(MARK.into()),
            title: Some(MARK.into()),
            problems,
        }
    };
    store.keep_refused(&batch(), &[refused("a"), refused("b")]).await.unwrap();
    let counted = store.batch(&batch()).await.unwrap().unwrap();
    let erase = async || {
        let (mut from, mut erased) = (0, 0);
        loop {
            let found = store.look_to_erase(&Tenant::default(), from, |_| None).await.unwrap();
            erased += store.erase(&Tenant::default(), &found.jobs).await.unwrap();
            match found.next {
                Some(next) => from = next,
                None => return erased,
            }
        }
    };
    let stale = store.look_to_erase(&Tenant::default(), 0, |_| None).await.unwrap().jobs;
    assert_eq!(erase().await, 2);
    assert_eq!(store.erase(&Tenant::default(), &stale).await.unwrap(), 0, "what has changed since is left");
    assert_eq!(erase().await, 0, "once is enough");
    assert_eq!(store.erase_quarantined(&Tenant::default()).await.unwrap(), 1);
    assert_eq!(store.batch(&batch()).await.unwrap().unwrap(), counted);
    for (n, id) in ids.iter().enumerate() {
        let stored = store.load(*id).await.unwrap().unwrap();
        let said = format!("{stored:?}");
        assert_eq!(said.contains(MARK), n > 1, "{said}");
        assert_eq!(stored.job.erased.is_some(), n < 2);
        let key = redis.command(&["exists", &format!("{{sm:0}}:k:default:c{n}")]);
        assert_eq!(key, if n > 1 { "1" } else { "0" });
    }
    for line in store.refused(&batch(), 0, 10).await.unwrap() {
        assert!(!format!("{line:?}").contains(MARK) && line.line == 7);
    }
    // The same request again is another one now, and nothing is made of it.
    assert_eq!(store.enqueue(Some(&batch()), &jobs[..1]).await.unwrap(), [Enqueued::Conflict]);
    // The oldest ended ones go first, erased or not: no more than three are kept.
    for id in &ids[2..] {
        store.apply(*id, &Event::CancelAsked).await.unwrap();
    }
    let kept = store.known(&ids).await.unwrap();
    assert_eq!(kept, [false, true, true, true]);
    assert!(store.audit().await.unwrap().breaches.is_empty());
}

#[tokio::test]
async fn an_answer_is_kept_as_long_as_what_it_is_about_is_open_and_what_cannot_be_read_stops_nothing() {
    let redis = Redis::start(&[]);
    let store = redis.store().await;
    let ids = enqueue(&store, 3).await;
    let keep = async |key: &str| {
        let (_, doing) = store.begin_once(&Tenant::default(), key).await.unwrap();
        doing.answer(key.as_bytes(), Duration::from_secs(60)).await.unwrap();
    };
    for key in ["ended", "open", "batch"] {
        keep(key).await;
    }
    let read = |kept: &[u8]| {
        let made = match kept {
            b"ended" => Made::Job(ids[0]),
            b"open" => Made::Job(ids[1]),
            b"batch" => Made::Batch(batch()),
            _ => return None,
        };
        Some(KeptAnswer { made: Some(made), left: b"left".to_vec() })
    };
    store.apply(ids[0], &Event::CancelAsked).await.unwrap();
    redis.command(&["hset", &format!("{{sm:0}}:j:{}", ids[2]), "d", "no record"]);
    let pass = async || {
        let (mut from, mut found) = (0, (0, 0, 0));
        loop {
            let part = store.look_to_erase(&Tenant::default(), from, read).await.unwrap();
            store.erase(&Tenant::default(), &part.jobs).await.unwrap();
            found = (found.0 + part.jobs.len(), found.1 + part.texts, found.2 + part.unreadable);
            let Some(next) = part.next else { return found };
            from = next;
        }
    };
    assert_eq!(pass().await, (1, 1, 1));
    let answered = async |key: &str| match store.begin_once(&Tenant::default(), key).await.unwrap().0 {
        Begun::Answered(answer) => String::from_utf8(answer).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!((answered("ended").await, answered("open").await), ("left".into(), "open".into()));
    assert_eq!(answered("batch").await, "batch");
    assert_eq!(pass().await, (0, 0, 1), "once is enough");
}
