//! Which Songmill runs in a data folder: a file there that is locked for as long as its process lives.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::exit::usage;

/// A data folder that is ours until this is dropped, or the process ends in any way.
#[derive(Debug)]
pub(crate) struct DataLock(#[expect(dead_code, reason = "the open file holds the lock")] File);

impl DataLock {
    /// Locks a data folder; an error names the process that has it.
    pub(crate) fn acquire(data_dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(data_dir).with_context(|| format!("cannot create {}", data_dir.display()))?;
        let path = data_dir.join("songmill.lock");
        let cannot = || format!("cannot lock {}", path.display());
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).with_context(cannot)?;
                let (folder, pid) = (data_dir.display(), pid.trim());
                return Err(usage(match pid.parse::<u32>() {
                    Ok(pid) => format!(
                        "songmill is already running in {folder} (pid {pid}); stop it with `kill {pid}`, or use another --data-dir"
                    ),
                    // It has just started, and not written its pid yet.
                    Err(_) => {
                        format!("songmill is already running in {folder}; stop it, or use another --data-dir")
                    }
                }));
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        file.set_len(0).and_then(|()| file.rewind()).with_context(cannot)?;
        writeln!(file, "{}", std::process::id()).with_context(cannot)?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_has_one_owner_and_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataLock::acquire(folder.path()).unwrap();
        let error = DataLock::acquire(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
        drop(first);
        DataLock::acquire(folder.path()).unwrap();
    }
}
