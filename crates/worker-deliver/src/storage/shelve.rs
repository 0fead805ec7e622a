//! Giving a file its name in a folder: whole or not at all.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempPath;

use super::folder::{BESIDE, Folder};
use super::{Mode, StorageError, Stored};

/// Files left over by a crash are removed after this.
const LEFT_OVER: Duration = Duration::from_secs(24 * 3600);
/// How often a folder is made anew that somebody else removes as an empty one.
const TRIES: usize = 4;
/// Folders that copies were put into and that were searched for leftovers.
static SWEPT: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);
/// The most of them that are remembered.
const SWEPT_MOST: usize = 1024;

impl Folder {
    /// Moves a file to its path. With `fsync`, what is there under its name survives a loss of power. Blocks.
    pub(super) fn shelve(&self, file: TempPath, path: &str, mode: Mode) -> Result<Stored, StorageError> {
        let to = self.file(path)?;
        self.named(file, &to, mode).map_err(|error| StorageError::file(path, error))
    }

    fn named(&self, mut file: TempPath, to: &Path, mode: Mode) -> io::Result<Stored> {
        let parent = to.parent().unwrap_or(to);
        let (mut tries, mut made) = (0, false);
        if self.fsync {
            File::open(&file)?.sync_all()?;
        }
        loop {
            let Err(refused) = persist(file, to, mode) else { break };
            file = refused.path;
            match refused.error.kind() {
                ErrorKind::AlreadyExists if is_same(&file, to)? => return Ok(Stored::Already),
                // Torn by a crash: the whole one takes its place.
                ErrorKind::AlreadyExists => file.persist(to).map_err(|refused| refused.error)?,
                ErrorKind::NotFound if tries < TRIES => {
                    std::fs::create_dir_all(parent)?;
                    (tries, made) = (tries + 1, true);
                    continue;
                }
                // The batch's folder is on another disk.
                ErrorKind::CrossesDevices if tries < TRIES => {
                    file = self.beside(&file, parent)?;
                    tries += 1;
                    continue;
                }
                _ => return Err(refused.error),
            }
            break;
        }
        if self.fsync {
            let above = to.ancestors().skip(1).take_while(|above| above.starts_with(&self.root));
            above.take(if made { usize::MAX } else { 1 }).try_for_each(kept)?;
        }
        Ok(Stored::Written)
    }

    /// Copies a file beside its place, where it goes away by itself unless it is given its name.
    fn beside(&self, file: &Path, parent: &Path) -> io::Result<TempPath> {
        let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.len() >= SWEPT_MOST {
            swept.clear();
        }
        let first = swept.insert(parent.to_owned());
        drop(swept);
        if first {
            sweep(parent, BESIDE)?;
        }
        let beside = tempfile::Builder::new().prefix(BESIDE).tempfile_in(parent)?.into_temp_path();
        std::fs::copy(file, &beside)?;
        if self.fsync {
            File::open(&beside)?.sync_all()?;
        }
        Ok(beside)
    }
}

fn persist(file: TempPath, to: &Path, mode: Mode) -> Result<(), tempfile::PathPersistError> {
    match mode {
        Mode::Own => file.persist(to),
        Mode::Shared => match file.persist_noclobber(to) {
            // Neither links nor renames that keep what is there: a disk of a camera, or a mounted bucket.
            Err(refused)
                if matches!(refused.error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported)
                    && !to.exists() =>
            {
                refused.path.persist(to)
            }
            named => named,
        },
    }
}

/// Brings the names in a folder to the disk, where file systems can.
fn kept(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

fn is_same(file: &Path, there: &Path) -> io::Result<bool> {
    Ok(std::fs::metadata(file)?.len() == std::fs::metadata(there)?.len())
}

/// Removes what a crash left in a folder long ago.
pub(super) fn sweep(folder: &Path, prefix: &str) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let old = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if old.is_some_and(|age| age > LEFT_OVER) {
            // Somebody else may have been faster.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}
