//! The operator's storage: written once, named by job.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use songmill_core::{Fault, FaultKind};
use tempfile::TempPath;

use crate::fetch::no_room;
use crate::incoming::{Incoming, PREFIX};
use crate::settings::{Cloud, Settings};

mod bucket;
mod folder;
mod put;
mod shelve;

use self::bucket::Bucket;
pub use self::bucket::is_storage_option;
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
        std::fs::create_dir_all(&incoming).and_then(|()| shelve::sweep(&incoming, PREFIX)).map_err(fail)?;
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
        tempfile::Builder::new().prefix(PREFIX).permissions(permissions).tempfile_in(&*self.incoming)
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
