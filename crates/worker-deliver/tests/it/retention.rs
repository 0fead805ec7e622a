//! Old songs go, and nothing else does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use songmill_core::Timestamp;
use songmill_core::time::Span;
use songmill_worker_deliver::{Library, RetentionSettings, Settings, Storage, Swept, sweep};

use crate::buckets::{bucket, url};
use crate::s3::Server;

/// A hundred bytes with their record.
async fn put(storage: &Storage, path: &str) {
    storage.put_bytes(path, Bytes::from("songs"), "audio/mpeg").await.unwrap();
    let record = format!("{:<95}", serde_json::json!({ "path": path }).to_string());
    storage.put_bytes(&format!("{path}.json"), Bytes::from(record), "application/json").await.unwrap();
}

async fn paths(library: &Library) -> Vec<String> {
    library.list("").map_ok(|entry| entry.path).try_collect().await.unwrap()
}

fn in_days(days: u64) -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    Timestamp::from_millis(now) + Duration::from_secs(days * 86_400)
}

const DAY: Span = Span::secs(86_400);

#[tokio::test]
async fn the_oldest_songs_go_first_and_only_with_their_record() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { storage: url(folder.path().to_str().unwrap()), ..Settings::default() };
    let (storage, library) = (Storage::open(&settings).unwrap(), Library::open(&settings).unwrap());
    for (path, days) in [("a/1.mp3", 3), ("b/2.mp3", 9), ("c/3.mp3", 6), ("c/3.mp3-1.mp3", 0)] {
        put(&storage, path).await;
        for path in [path, &format!("{path}.json")] {
            let file = std::fs::File::open(folder.path().join(path)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
        }
    }
    for path in ["b/not-ours.mp3", "b/not-ours.mp3.json", "b/notes.json", "b/2.txt", "b/2.txt.json"] {
        storage.put_bytes(path, Bytes::from("0123456789"), "audio/mpeg").await.unwrap();
        let file = std::fs::File::open(folder.path().join(path)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    let none = sweep(&library, RetentionSettings::default(), in_days(0)).await.unwrap();
    assert_eq!(none, Swept::default());
    let fits = RetentionSettings { age: Some(Span::secs(10 * 86_400)), bytes: 420 };
    assert_eq!(sweep(&library, fits, in_days(0)).await.unwrap(), Swept::default());
    let less = RetentionSettings { bytes: 250, ..fits };
    assert_eq!(sweep(&library, less, in_days(0)).await.unwrap(), Swept { songs: 2, bytes: 200, more: false });
    let kept = ["b/2.txt", "b/2.txt.json", "b/not-ours.mp3", "b/not-ours.mp3.json", "b/notes.json"];
    let mut all = vec!["a/1.mp3", "a/1.mp3.json"];
    all.extend(kept);
    all.extend(["c/3.mp3-1.mp3", "c/3.mp3-1.mp3.json"]);
    assert_eq!(paths(&library).await, all);
    let young = RetentionSettings { age: Some(DAY), bytes: 0 };
    assert_eq!(sweep(&library, young, in_days(0)).await.unwrap().songs, 1);
    assert!(!folder.path().join("a").exists());
    assert_eq!(sweep(&library, young, in_days(2)).await.unwrap().songs, 1);
    assert_eq!(paths(&library).await, kept);
}

#[tokio::test]
async fn two_who_clear_a_bucket_at_once_remove_no_more_than_one_would() {
    let Some(server) = Server::start().await else { return };
    let settings = bucket(&server.address, "s3://songs/ours", &[]);
    let (storage, library) = (Storage::open(&settings).unwrap(), Library::open(&settings).unwrap());
    for n in 0..12 {
        put(&storage, &format!("{n:02}.mp3")).await;
    }
    let keep = RetentionSettings { age: None, bytes: 550 };
    let (one, two) =
        futures_util::join!(sweep(&library, keep, in_days(0)), sweep(&library, keep, in_days(0)));
    assert!(one.unwrap().songs + two.unwrap().songs >= 7);
    let left = paths(&library).await;
    assert_eq!(left.len(), 10, "{left:?}");
    let old = RetentionSettings { age: Some(DAY), bytes: 0 };
    assert_eq!(sweep(&library, old, in_days(2)).await.unwrap(), Swept { songs: 5, bytes: 500, more: false });
    assert!(paths(&library).await.is_empty());
}

#[test]
fn retention_is_off_unless_it_is_asked_for() {
    let settings = |text: &str| serde_json::from_str::<RetentionSettings>(text);
    assert_eq!(settings(r#"{"age":"","bytes":0}"#).unwrap(), RetentionSettings::default());
    assert_eq!(settings(r#"{"age":"90d"}"#).unwrap().age, Some(Span::secs(90 * 86_400)));
    assert!(settings(r#"{"age":"old"}"#).is_err());
    assert_eq!(serde_json::to_string(&RetentionSettings::default()).unwrap(), r#"{"age":"","bytes":0}"#);
}
