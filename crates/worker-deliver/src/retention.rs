//! Removing songs that are too old or too many.
//!
//! Only audio with our record of it beside it (`<path>.json`) is ever removed. Any number of processes may do so at
//! the same time: each removes the oldest songs, and what one has removed the others find gone.

use std::collections::BinaryHeap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{Stream, StreamExt as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use songmill_core::Timestamp;
use songmill_core::time::Span;
use tokio_util::sync::CancellationToken;

use crate::formats::is_audio;
use crate::library::{Entry, Library};
use crate::storage::StorageError;

/// Which songs are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSettings {
    /// Those older than this; none for any age.
    #[serde(serialize_with = "or_empty", deserialize_with = "unless_empty")]
    pub age: Option<Span>,
    /// The oldest, as long as all have more bytes together; 0 for any number.
    pub bytes: u64,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Songs.
    pub songs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether there are more to be removed.
    pub more: bool,
}

/// Between two searches.
const EVERY: Duration = Duration::from_secs(3600);
/// Before the first one: what starts and ends often does not search each time.
const FIRST: Duration = Duration::from_secs(300);
/// The most songs that are removed after one search.
const AT_ONCE: usize = 100_000;

/// Removes songs about once an hour until told to stop; ends at once if all are kept.
pub(crate) async fn run(settings: RetentionSettings, library: Library, shutdown: CancellationToken) {
    if settings == RetentionSettings::default() {
        return;
    }
    let mut wait = FIRST;
    // Songs are removed one by one: to stop between two of them leaves nothing half done but a record without
    // its audio, which is harmless.
    while shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        let Some(swept) = shutdown.run_until_cancelled(sweep(&library, settings, now())).await else {
            return;
        };
        wait = EVERY;
        match swept {
            Ok(Swept { songs, bytes, more }) => {
                if songs > 0 {
                    tracing::info!(
                        songs,
                        bytes,
                        "retention: removed {songs} songs of {bytes} bytes from storage"
                    );
                }
                if more && songs > 0 {
                    wait = Duration::ZERO;
                }
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "retention: storage cannot be cleared of old songs; it is tried again");
            }
        }
    }
}

/// Removes what these settings do not keep, the oldest first.
pub async fn sweep(
    library: &Library,
    settings: RetentionSettings,
    now: Timestamp,
) -> Result<Swept, StorageError> {
    let Songs { oldest, bytes: mut left, skipped } = songs(library.list(""), AT_ONCE).await?;
    let mut swept = Swept::default();
    for song in oldest.into_sorted_vec() {
        let too_old = settings.age.is_some_and(|age| now.since(song.modified) > age.get());
        let too_many = settings.bytes > 0 && left > settings.bytes;
        if !too_old && !too_many {
            return Ok(swept);
        }
        left = left.saturating_sub(song.bytes);
        // Somebody else may have removed it, or its job written it anew, or another job has come to share it.
        let newest =
            async |path: &str| Ok::<_, StorageError>(library.stat(path).await?.map(|stat| stat.modified));
        let (audio, beside) = (newest(&song.path).await?, newest(&record(&song.path)).await?);
        if audio.is_none()
            || audio.max(beside) != Some(song.modified)
            || !is_record_of(library, &song.path).await?
        {
            continue;
        }
        library.remove(&song.path).await?;
        library.remove(&record(&song.path)).await?;
        swept.songs += 1;
        swept.bytes += song.bytes;
    }
    swept.more = skipped;
    Ok(swept)
}

/// Whether what stands beside audio is our record of it, and not somebody's own file of that name.
async fn is_record_of(library: &Library, path: &str) -> Result<bool, StorageError> {
    let mut chunks = match library.get(&record(path)).await {
        Ok(chunks) => chunks,
        Err(StorageError::Missing { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut json = Vec::new();
    while let Some(chunk) = chunks.next().await {
        json.extend_from_slice(&chunk?);
        if json.len() > RECORD_MOST {
            return Ok(false);
        }
    }
    Ok(serde_json::from_slice::<Record>(&json).is_ok_and(|record| record.path == path))
}

/// What a record must say, whatever else it does.
#[derive(Deserialize)]
struct Record {
    path: String,
}

/// The most bytes of a record.
const RECORD_MOST: usize = 4 << 20;

/// Audio and its record; the oldest is the least.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Song {
    modified: Timestamp,
    path: String,
    bytes: u64,
}

/// What a search found.
struct Songs {
    /// The oldest ones.
    oldest: BinaryHeap<Song>,
    /// The bytes of all.
    bytes: u64,
    /// Whether there are more than the oldest.
    skipped: bool,
}

/// Finds songs among entries in order of path, and keeps no more than so many in memory.
async fn songs(
    mut entries: impl Stream<Item = Result<Entry, StorageError>> + Unpin,
    most: usize,
) -> Result<Songs, StorageError> {
    let mut songs = Songs { oldest: BinaryHeap::new(), bytes: 0, skipped: false };
    // Between audio and its record stands only what begins as both do.
    let mut before: Vec<Entry> = vec![];
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        while before.last().is_some_and(|audio| !entry.path.starts_with(&audio.path)) {
            before.pop();
        }
        if is_audio(&entry.path) {
            before.push(entry);
            continue;
        }
        let Some(audio) = before.iter().rfind(|audio| record(&audio.path) == entry.path) else { continue };
        let bytes = audio.stat.bytes + entry.stat.bytes;
        songs.bytes += bytes;
        let modified = audio.stat.modified.max(entry.stat.modified);
        songs.oldest.push(Song { modified, path: audio.path.clone(), bytes });
        if songs.oldest.len() > most {
            songs.oldest.pop();
            songs.skipped = true;
        }
    }
    Ok(songs)
}

/// Where our record of an audio file is.
fn record(audio: &str) -> String {
    format!("{audio}.json")
}

pub(crate) fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

fn or_empty<S: Serializer>(age: &Option<Span>, to: S) -> Result<S::Ok, S::Error> {
    match age {
        Some(age) => age.serialize(to),
        None => to.serialize_str(""),
    }
}

fn unless_empty<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Span>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Age {
        Secs(u64),
        Text(String),
    }
    match Age::deserialize(from)? {
        Age::Text(text) if text.trim().is_empty() => Ok(None),
        Age::Text(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
        Age::Secs(secs) => Ok(Some(Span::secs(secs))),
    }
}
