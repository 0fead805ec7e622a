//! A folder: what is in it, in order of path, and how it is removed.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use songmill_core::Timestamp;
use tokio::sync::mpsc;

use super::StorageError;
use crate::library::{Entry, Stat};

/// A folder of the operator's.
#[derive(Clone)]
pub(crate) struct Folder {
    pub(super) root: PathBuf,
    /// Whether files are on the disk before they have their names.
    pub(super) fsync: bool,
}

/// Where files on their way in lie.
pub(crate) const INCOMING: &str = ".incoming";
/// What copies beside their place are called until they are whole.
pub(super) const BESIDE: &str = ".in-";
/// Entries read ahead of whoever lists.
const AHEAD: usize = 256;

impl Folder {
    pub(crate) fn new(root: PathBuf, fsync: bool) -> Self {
        Self { root, fsync }
    }

    /// The file of a path; none that leads out of the folder or into what is ours.
    pub(crate) fn file(&self, path: &str) -> Result<PathBuf, StorageError> {
        let mut parts = Path::new(path).components().peekable();
        let ours = parts.peek() == Some(&Component::Normal(INCOMING.as_ref()));
        if path.is_empty() || ours || !parts.all(|part| matches!(part, Component::Normal(_))) {
            return Err(StorageError::Path(path.to_owned()));
        }
        Ok(self.root.join(path))
    }

    /// Blocks.
    pub(crate) fn stat(&self, path: &str) -> Result<Option<Stat>, StorageError> {
        match std::fs::metadata(self.file(path)?) {
            Ok(meta) => Ok(meta.is_file().then(|| stat(&meta))),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(StorageError::file(path, error)),
        }
    }

    /// Removes a file, and the folders that are empty without it. Blocks.
    pub(crate) fn remove(&self, path: &str) -> Result<(), StorageError> {
        let file = self.file(path)?;
        match std::fs::remove_file(&file) {
            Err(error) if !is_gone(&error) => return Err(StorageError::file(path, error)),
            _ => {}
        }
        let above = file.ancestors().skip(1).take_while(|above| *above != self.root);
        // One that is not empty stays, and so do those above it.
        let _ = above.into_iter().try_for_each(std::fs::remove_dir);
        Ok(())
    }

    /// Sends what lies below a path and after another, in order of path, for as long as somebody listens. Blocks.
    pub(crate) fn list(&self, below: &str, after: &str, to: &mpsc::Sender<Result<Entry, StorageError>>) {
        let mut walk = Walk { above: vec![], after, to };
        let from = if below.is_empty() { Ok(self.root.clone()) } else { self.file(below) };
        let listed = from.and_then(|from| walk.folder(&from, below.trim_end_matches('/')));
        if let Err(error) = listed {
            // Nobody listens any more.
            let _ = to.blocking_send(Err(error));
        }
    }

    pub(crate) fn listing(self, below: String, after: String) -> mpsc::Receiver<Result<Entry, StorageError>> {
        let (to, entries) = mpsc::channel(AHEAD);
        // Ends with the listing, or as soon as nobody listens.
        tokio::task::spawn_blocking(move || self.list(&below, &after, &to));
        entries
    }
}

/// A folder on the way down, so that a link to one of them is not followed for ever.
type Inode = (u64, u64);

struct Walk<'a> {
    above: Vec<Inode>,
    after: &'a str,
    to: &'a mpsc::Sender<Result<Entry, StorageError>>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, name: &str) -> Result<(), StorageError> {
        let fail = |error| StorageError::file(name, error);
        let here = match std::fs::metadata(folder) {
            Ok(meta) if meta.is_dir() => (meta.dev(), meta.ino()),
            Ok(_) => return Ok(()),
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(fail(error)),
        };
        if self.above.contains(&here) {
            return Ok(());
        }
        self.above.push(here);
        for (child, path) in children(folder).map_err(fail)? {
            let child = if name.is_empty() { child } else { format!("{name}/{child}") };
            if let Some(folder_name) = child.strip_suffix('/') {
                // What is in a folder that is before the start, and not on the way to it, is before it too.
                if *child > *self.after || self.after.starts_with(&child) {
                    self.folder(&path, folder_name)?;
                }
                continue;
            }
            if *child <= *self.after {
                continue;
            }
            let entry = match std::fs::metadata(&path) {
                Ok(meta) => Entry { path: child, stat: stat(&meta) },
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(StorageError::file(&child, error)),
            };
            if self.to.blocking_send(Ok(entry)).is_err() {
                break;
            }
        }
        self.above.pop();
        Ok(())
    }
}

/// What is in a folder, in the order that whole paths have: a folder is called `name/`. What is ours is left out.
fn children(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut children = vec![];
    let entries = match std::fs::read_dir(folder) {
        Err(error) if is_gone(&error) => return Ok(children),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // Nobody could ask for a name that is no text.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name == INCOMING || name.starts_with(BESIDE) {
            continue;
        }
        // Links are followed: a batch's folder may be on another disk.
        let Ok(meta) = std::fs::metadata(entry.path()) else { continue };
        if meta.is_dir() {
            children.push((name + "/", entry.path()));
        } else if meta.is_file() {
            children.push((name, entry.path()));
        }
    }
    children.sort_unstable();
    Ok(children)
}

fn stat(meta: &std::fs::Metadata) -> Stat {
    let modified = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let modified = u64::try_from(modified.as_millis()).unwrap_or(u64::MAX);
    Stat { bytes: meta.len(), modified: Timestamp::from_millis(modified) }
}

pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
