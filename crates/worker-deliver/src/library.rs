//! Reading what is in storage, and removing it.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::{Error, ObjectMeta, ObjectStoreExt as _};
use songmill_core::Timestamp;
use tokio_util::io::ReaderStream;

use crate::settings::Settings;
use crate::storage::{INCOMING, Place, StorageError, is_gone};

/// What is in storage, by its path; the same for a folder and for every kind of bucket.
#[derive(Clone)]
pub struct Library(Place);

/// Where a piece of audio can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shelved {
    /// In a file here.
    File(PathBuf),
    /// At an address that works for a while.
    Address(String),
}

/// What is known of a file in storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its size.
    pub bytes: u64,
    /// When it was written.
    pub modified: Timestamp,
}

/// A file in storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub path: String,
    /// What is known of it.
    pub stat: Stat,
}

/// The bytes of a file.
pub type Chunks = BoxStream<'static, Result<Bytes, StorageError>>;

/// How long an address works.
const WORKS: Duration = Duration::from_secs(600);
/// Bytes of a file that are read at once.
const CHUNK: usize = 128 << 10;

impl Library {
    /// Opens the storage in the settings; nothing is asked or written yet.
    pub fn open(settings: &Settings) -> Result<Self, StorageError> {
        Place::open(settings).map(Self)
    }

    /// Where a file can be had; whether it is there is not asked.
    pub async fn find(&self, path: &str) -> Result<Shelved, StorageError> {
        match &self.0 {
            Place::Folder(folder) => folder.file(path).map(Shelved::File),
            Place::Bucket(bucket) => bucket.signed(&key(path)?, WORKS).await.map(Shelved::Address),
        }
    }

    /// The bytes of a file; [`StorageError::Missing`] where there is none.
    pub async fn get(&self, path: &str) -> Result<Chunks, StorageError> {
        match &self.0 {
            Place::Folder(folder) => {
                let file = tokio::fs::File::open(folder.file(path)?).await;
                let file = file.map_err(|error| match is_gone(&error) {
                    true => StorageError::Missing { path: path.to_owned() },
                    false => StorageError::file(path, error),
                })?;
                let path = path.to_owned();
                let chunks = ReaderStream::with_capacity(file, CHUNK);
                Ok(chunks.map(move |chunk| chunk.map_err(|error| StorageError::file(&path, error))).boxed())
            }
            Place::Bucket(bucket) => {
                let found = bucket.store.get(&key(path)?).await.map_err(|error| missing(error, path))?;
                Ok(found.into_stream().map(|chunk| Ok(chunk?)).boxed())
            }
        }
    }

    /// What is known of a file; nothing where there is none.
    pub async fn stat(&self, path: &str) -> Result<Option<Stat>, StorageError> {
        match &self.0 {
            Place::Folder(folder) => {
                let (folder, path) = (folder.clone(), path.to_owned());
                blocking(move || folder.stat(&path)).await
            }
            Place::Bucket(bucket) => match bucket.store.head(&key(path)?).await {
                Ok(meta) => Ok(Some(Stat::from(&meta))),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Removes a file, and in a folder what is empty without it; one that is gone already is fine.
    pub async fn remove(&self, path: &str) -> Result<(), StorageError> {
        match &self.0 {
            Place::Folder(folder) => {
                let (folder, path) = (folder.clone(), path.to_owned());
                blocking(move || folder.remove(&path)).await
            }
            Place::Bucket(bucket) => match bucket.store.delete(&key(path)?).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// The files below a path, or all below the empty one, in the order of their paths' bytes; those of ours that
    /// are still on their way in are left out.
    pub fn list(&self, below: &str) -> BoxStream<'static, Result<Entry, StorageError>> {
        self.list_after(below, "")
    }

    /// The same, of those whose path is after another, or of all after the empty one.
    pub fn list_after(&self, below: &str, after: &str) -> BoxStream<'static, Result<Entry, StorageError>> {
        match &self.0 {
            Place::Folder(folder) => {
                let entries = folder.clone().listing(below.to_owned(), after.to_owned());
                stream::unfold(entries, async |mut entries| Some((entries.recv().await?, entries))).boxed()
            }
            Place::Bucket(bucket) => {
                let below = match below {
                    "" => None,
                    below => match key(below) {
                        Ok(below) => Some(below),
                        Err(error) => return stream::iter([Err(error)]).boxed(),
                    },
                };
                let found = match after {
                    "" => bucket.store.list(below.as_ref()),
                    after => match key(after) {
                        Ok(after) => bucket.store.list_with_offset(below.as_ref(), &after),
                        Err(error) => return stream::iter([Err(error)]).boxed(),
                    },
                };
                found
                    .filter_map(async |meta| match meta {
                        Ok(meta)
                            if meta.location.parts().next().is_some_and(|part| part.as_ref() == INCOMING) =>
                        {
                            None
                        }
                        Ok(meta) => Some(Ok(Entry { stat: Stat::from(&meta), path: meta.location.into() })),
                        Err(error) => Some(Err(error.into())),
                    })
                    .boxed()
            }
        }
    }
}

impl From<&ObjectMeta> for Stat {
    fn from(meta: &ObjectMeta) -> Self {
        let modified = u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or_default();
        Self { bytes: meta.size, modified: Timestamp::from_millis(modified) }
    }
}

fn key(path: &str) -> Result<object_store::path::Path, StorageError> {
    let wrong = || StorageError::Path(path.to_owned());
    let key = object_store::path::Path::parse(path).map_err(|_| wrong())?;
    if key.as_ref().is_empty() { Err(wrong()) } else { Ok(key) }
}

fn missing(error: Error, path: &str) -> StorageError {
    match error {
        Error::NotFound { .. } => StorageError::Missing { path: path.to_owned() },
        error => error.into(),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(StorageError::file("", std::io::Error::other(error))))
}
