//! The operator's storage: written once, named by job.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use object_store::{ObjectStoreExt as _, PutPayload, WriteMultipart};
use songmill_core::{Fault, FaultKind};
use tempfile::TempPath;
use tokio::io::AsyncReadExt as _;

use crate::fetch::no_room;
use crate::incoming::Incoming;
use crate::settings::{Cloud, Settings};

mod bucket;
mod folder;

use self::bucket::Bucket;
use self::folder::Folder;
pub(crate) use self::folder::{INCOMING, is_gone};

/// Where audio goes.
pub(crate) struct Storage {
    place: Place,
    incoming: PathBuf,
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

/// Files larger than this are put in parts.
const PART: usize = 8 << 20;
/// Parts on their way at the same time.
const PARTS_AHEAD: usize = 2;
/// Files left over by a crash are removed after this.
const LEFT_OVER: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

impl Place {
    pub(crate) fn open(settings: &Settings) -> Result<Self, StorageError> {
        match settings.storage.local_folder() {
            Some(folder) => Ok(Self::Folder(Folder::new(folder))),
            None => Bucket::open(settings).map(Self::Bucket),
        }
    }
}

impl Storage {
    pub(crate) fn open(settings: &Settings) -> Result<Self, StorageError> {
        let incoming = match settings.storage.local_folder() {
            Some(folder) => folder.join(INCOMING),
            None => std::env::temp_dir().join("songmill-incoming"),
        };
        let place = Place::open(settings)?;
        ready(&incoming)?;
        Ok(Self { place, incoming })
    }

    /// A new file that is not in the storage yet and goes away by itself. Blocks, as briefly as a file is made.
    pub(crate) fn incoming(&self) -> std::io::Result<Incoming> {
        // In a folder as any file is made: whoever runs us decides by the umask who may read songs.
        let mode = if matches!(self.place, Place::Folder(_)) { 0o666 } else { 0o600 };
        let permissions = std::fs::Permissions::from_mode(mode);
        let file =
            tempfile::Builder::new().prefix("in-").permissions(permissions).tempfile_in(&self.incoming)?;
        Ok(Incoming::new(file))
    }

    /// Moves an incoming file to its path, which only this output of this job has, where that takes no more than a
    /// new name; gives it back otherwise. Blocks.
    pub(crate) fn take(&self, file: TempPath, path: &str) -> Result<Option<TempPath>, Fault> {
        let Place::Folder(folder) = &self.place else { return Ok(Some(file)) };
        let refused =
            |error: StorageError| Fault::new(FaultKind::Locked, "storage_refused", error.to_string());
        let to = folder.file(path).map_err(refused)?;
        let parent = to.parent().unwrap_or(&to);
        let moved = match file.persist(&to) {
            Err(error) if error.error.kind() == ErrorKind::NotFound => std::fs::create_dir_all(parent)
                .and_then(|()| error.path.persist(&to).map_err(|error| error.error)),
            // The batch's folder is on another disk.
            Err(error) if error.error.kind() == ErrorKind::CrossesDevices => copied(&error.path, parent, &to),
            moved => moved.map_err(|error| error.error),
        };
        moved.map(|()| None).map_err(|error| no_room(&error))
    }

    /// Writes a file into the bucket under a path that only this output of this job has.
    pub(crate) async fn put(&self, file: &Path, path: &str) -> Result<(), Fault> {
        let Place::Bucket(Bucket { store, .. }) = &self.place else { return Ok(()) };
        let to = object_store::path::Path::parse(path)
            .map_err(|error| Fault::new(FaultKind::Locked, "storage_refused", error.to_string()))?;
        let mut from = tokio::fs::File::open(file).await.map_err(|error| no_room(&error))?;
        let size = from.metadata().await.map_err(|error| no_room(&error))?.len();
        let mut buffer = Vec::with_capacity(usize::try_from(size).unwrap_or(PART).min(PART));
        if size <= PART as u64 {
            from.read_to_end(&mut buffer).await.map_err(|error| no_room(&error))?;
            return store.put(&to, PutPayload::from(buffer)).await.map(drop).map_err(|error| sorted(&error));
        }
        let upload = store.put_multipart(&to).await.map_err(|error| sorted(&error))?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART);
        loop {
            buffer.resize(1 << 20, 0);
            let read = from.read(&mut buffer).await.map_err(|error| no_room(&error))?;
            if read == 0 {
                return parts.finish().await.map(drop).map_err(|error| sorted(&error));
            }
            parts.wait_for_capacity(PARTS_AHEAD).await.map_err(|error| sorted(&error))?;
            parts.write(&buffer[..read]);
        }
    }
}

/// Copies a file beside its place, then puts it there under its name.
fn copied(file: &Path, parent: &Path, to: &Path) -> std::io::Result<()> {
    let beside = tempfile::Builder::new().prefix(".in-").tempfile_in(parent)?.into_temp_path();
    std::fs::copy(file, &beside)?;
    beside.persist(to).map_err(|error| error.error)
}

/// Makes the folder and removes what a crash left there long ago.
fn ready(incoming: &Path) -> Result<(), StorageError> {
    let fail = |source| StorageError::Folder { folder: incoming.display().to_string(), source };
    std::fs::create_dir_all(incoming).map_err(fail)?;
    for entry in std::fs::read_dir(incoming).map_err(fail)?.flatten() {
        let old = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        let ours = entry.file_name().to_string_lossy().starts_with("in-");
        if ours && old.is_some_and(|age| age > LEFT_OVER) {
            // Somebody else may have been faster.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn sorted(error: &object_store::Error) -> Fault {
    use object_store::Error as E;
    let words = error.to_string();
    match error {
        E::PermissionDenied { .. }
        | E::Unauthenticated { .. }
        | E::NotFound { .. }
        | E::NotSupported { .. } => Fault::new(FaultKind::Locked, "storage_refused", words),
        _ => Fault::new(FaultKind::Unavailable, "storage_unreachable", words),
    }
}
