//! The operator's storage: written once, named by job.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use songmill_core::{Fault, FaultKind, Job, Output};
use tempfile::TempPath;

use crate::fetch::no_room;
use crate::incoming::Incoming;
use crate::settings::{Cloud, Settings};

mod bucket;
mod folder;
mod put;
mod shelve;

use self::bucket::Bucket;
use self::folder::Folder;
pub(crate) use self::folder::{INCOMING, is_gone};

/// Where audio goes.
#[derive(Clone)]
pub struct Storage {
    place: Place,
    incoming: Arc<PathBuf>,
}

/// Whose a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One output's of one job: what is there is an earlier try of it and is replaced.
    Own,
    /// That of a content, whoever has it: what is there stays.
    Shared,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is in the storage now.
    Written,
    /// It was there before, which only [`Mode::Shared`] lets be.
    Already,
}

/// A storage of either kind.
#[derive(Clone)]
pub(crate) enum Place {
    /// A folder, in which incoming files lie already.
    Folder(Folder),
    /// A bucket.
    Bucket(Bucket),
}

/// Why the storage cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The address is not one of a storage.
    #[error(
        "deliver.storage {0:?} is not valid; write a folder, file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
    )]
    Address(String),
    /// The folder cannot be used.
    #[error("deliver.storage: folder {folder} cannot be used")]
    Folder {
        /// Which.
        folder: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A bucket cannot be opened or does not do what it is asked for.
    #[error("deliver.storage: the bucket cannot be used")]
    Store(#[from] object_store::Error),
    /// An option is not known.
    #[error("deliver.storage_options.{option} is not known; {}:// takes {}", .cloud.scheme(), .cloud.takes())]
    Option {
        /// Which.
        option: String,
        /// For what kind of bucket.
        cloud: Cloud,
    },
    /// A path leads out of the storage or into what is not for others.
    #[error("{0:?} is not the path of a file in storage")]
    Path(String),
    /// A file is not there, or not any more.
    #[error("{path} is not in storage")]
    Missing {
        /// Which.
        path: String,
    },
    /// A file of a folder cannot be read or removed.
    #[error("{path} cannot be used")]
    File {
        /// Which.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl StorageError {
    pub(crate) fn file(path: &str, source: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}

impl Place {
    pub(crate) fn open(settings: &Settings) -> Result<Self, StorageError> {
        match settings.storage.local_folder() {
            Some(folder) => Ok(Self::Folder(Folder::new(folder, settings.fsync))),
            None => Bucket::open(settings).map(Self::Bucket),
        }
    }
}

impl Storage {
    /// Opens the storage in the settings, and makes the folder in which files lie on their way in.
    pub fn open(settings: &Settings) -> Result<Self, StorageError> {
        let incoming = match settings.storage.local_folder() {
            Some(folder) => folder.join(INCOMING),
            None => std::env::temp_dir().join("songmill-incoming"),
        };
        let fail = |source| StorageError::Folder { folder: incoming.display().to_string(), source };
        let place = Place::open(settings)?;
        std::fs::create_dir_all(&incoming).and_then(|()| shelve::sweep(&incoming, "in-")).map_err(fail)?;
        Ok(Self { place, incoming: Arc::new(incoming) })
    }

    /// A new file that is not in the storage yet and goes away by itself. Blocks, as briefly as a file is made.
    pub(crate) fn incoming(&self) -> std::io::Result<Incoming> {
        self.temporary().map(Incoming::new)
    }

    fn temporary(&self) -> std::io::Result<tempfile::NamedTempFile> {
        // In a folder as any file is made: whoever runs us decides by the umask who may read songs.
        let mode = if matches!(self.place, Place::Folder(_)) { 0o666 } else { 0o600 };
        let permissions = std::fs::Permissions::from_mode(mode);
        tempfile::Builder::new().prefix("in-").permissions(permissions).tempfile_in(&*self.incoming)
    }

    /// Moves an incoming file to its path where that needs no network; gives it back otherwise. Blocks.
    pub(crate) fn take(&self, file: TempPath, path: &str, mode: Mode) -> Result<Taken, Fault> {
        match &self.place {
            Place::Folder(folder) => folder.shelve(file, path, mode).map(Taken::Stored).map_err(refused),
            Place::Bucket(_) => Ok(Taken::Left(file)),
        }
    }

    /// Writes a file under a path: the whole of it, or nothing that anybody sees.
    pub async fn put(&self, file: TempPath, path: &str, mode: Mode) -> Result<Stored, Fault> {
        match &self.place {
            Place::Folder(folder) => {
                let (folder, path) = (folder.clone(), path.to_owned());
                blocking(move || folder.shelve(file, &path, mode)).await
            }
            Place::Bucket(bucket) => bucket.put(&file, path, mode).await,
        }
    }

    /// Writes a few bytes under a path that is one job's alone: all of them, or nothing that anybody sees.
    pub async fn put_bytes(&self, path: &str, bytes: Bytes, content_type: &'static str) -> Result<(), Fault> {
        match &self.place {
            Place::Folder(folder) => {
                let (storage, folder, path) = (self.clone(), folder.clone(), path.to_owned());
                blocking(move || {
                    let fail = |error| StorageError::file(&path, error);
                    let mut file = storage.temporary().map_err(fail)?;
                    file.write_all(&bytes).map_err(fail)?;
                    folder.shelve(file.into_temp_path(), &path, Mode::Own).map(drop)
                })
                .await
            }
            Place::Bucket(bucket) => bucket.put_bytes(path, bytes, content_type).await,
        }
    }

    /// Waits for uploads that are being given up.
    pub async fn settle(&self) {
        if let Place::Bucket(bucket) = &self.place {
            bucket.aborts.close();
            bucket.aborts.wait().await;
        }
    }
}

/// What became of an incoming file.
pub(crate) enum Taken {
    /// It is in the storage.
    Stored(Stored),
    /// It is for [`Storage::put`].
    Left(TempPath),
}

/// The content type of a file in storage, by its name.
pub fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("mp3") => "audio/mpeg",
        Some("wav") => "audio/wav",
        Some("flac") => "audio/flac",
        Some("ogg") => "audio/ogg",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

/// Our own disk, or a path that is none: the operator's to mend.
fn refused(error: StorageError) -> Fault {
    match error {
        StorageError::File { source, .. } => no_room(&source),
        error => Fault::new(FaultKind::Locked, "storage_refused", error.to_string()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, Fault> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|error| no_room(&std::io::Error::other(error)))?.map_err(refused)
}

/// The path of an output but for its extension: for people, and no other job's.
/// `[@{tenant}/]{batch}/{custom id}-{job}[-{n}][-{part}]`
pub(crate) fn path(job: &Job, output: &Output, n: usize, of: usize) -> String {
    let batch = job.batch.as_ref().map_or("single", |batch| batch.as_str());
    // A batch called `..` must not lead out of the storage, nor one called `.incoming` into what is ours.
    let batch = match batch.trim_start_matches('.') {
        "" => "single",
        batch => batch,
    };
    // No batch's name begins so: the songs of a tenant stand apart from those of a batch of its name.
    let folder = if job.tenant.is_default() { batch.to_owned() } else { format!("@{}/{batch}", job.tenant) };
    let id = job.id.to_string();
    let mut name = match job.custom_id.as_deref().map(slug).filter(|slug| !slug.is_empty()) {
        Some(slug) => format!("{slug}-{}", &id[..10]),
        None => id,
    };
    if of > 1 {
        name = format!("{name}-{}", n + 1);
    }
    if let Some(part) = output.part.as_deref().map(slug).filter(|part| !part.is_empty()) {
        name = format!("{name}-{part}");
    }
    format!("{folder}/{name}")
}

/// The most bytes of a slug: two of them, an id and what else a name has stay below the 255 that file systems take.
const SLUG: usize = 90;

/// Letters and digits of any language; what else there is becomes a dash.
fn slug(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(SLUG)];
    let kept: String = text.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '-' }).collect();
    kept.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use songmill_core::job::{Route, StepKind};
    use songmill_core::{BatchName, JobId, Tenant, Timestamp, VendorName};

    use super::*;

    #[test]
    fn paths_are_for_people_and_differ_between_jobs_and_outputs() {
        let route =
            Route { vendor: VendorName::new("v").unwrap(), steps: vec![StepKind::Song], dropped: vec![] };
        let now = Timestamp::default();
        let mut job = Job::new(JobId::derive("s", "a"), vec![route], now, now);
        let output = Output::at("https://a");
        assert!(path(&job, &output, 0, 1).starts_with("single/"));
        job.custom_id = Some("../../etc/夏 夜".into());
        job.batch = Some(BatchName::new("album").unwrap());
        let one = path(&job, &output, 0, 2);
        assert!(one.starts_with("album/etc-夏-夜-") && one.ends_with("-1"), "{one}");
        assert_ne!(one, path(&job, &output, 1, 2));
        job.custom_id = Some("夏".repeat(60));
        let long = path(&job, &Output { part: Some("夜".repeat(60)), ..output.clone() }, 0, 2);
        assert!(long.len() < 240 + "album/".len(), "{}", long.len());
        job.batch = Some(BatchName::new(".incoming").unwrap());
        assert!(path(&job, &output, 0, 1).starts_with("incoming/"));
        job.batch = Some(BatchName::new("..").unwrap());
        job.tenant = Tenant::new("acme").unwrap();
        assert!(path(&job, &output, 0, 1).starts_with("@acme/single/"));
        job.tenant = Tenant::default();
        assert!(path(&job, &output, 0, 1).starts_with("single/"));
    }
}
