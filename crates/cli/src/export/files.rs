//! Files of an export: their names, and whether they are what they should be.

use std::io::{Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};
use songmill_core::JobId;
use songmill_core::view::AssetView;
use songmill_worker_deliver::is_audio;

use crate::output::{self, PART};

/// Files on their way that a crash left are removed after a day.
const LEFT_OVER: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// What is hashed as it is written.
pub(crate) struct Hashed<W> {
    to: W,
    hash: Sha256,
    bytes: u64,
    most: u64,
}

impl<W> Hashed<W> {
    /// For an asset: no more is written than it has.
    pub(crate) fn new(to: W, asset: &AssetView) -> Self {
        Self { to, hash: Sha256::new(), bytes: 0, most: asset.bytes }
    }

    /// What was written to, if the asset is there.
    pub(crate) fn checked(self, asset: &AssetView) -> Result<W> {
        ensure!(self.bytes == asset.bytes, "it has {} bytes, not {}", self.bytes, asset.bytes);
        ensure!(output::hex(&self.hash.finalize()) == asset.sha256, "it is not what was stored");
        Ok(self.to)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, some: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(some)?;
        self.hash.update(&some[..written]);
        self.bytes += written as u64;
        if self.bytes > self.most {
            return Err(std::io::Error::other(format!("it has more than {} bytes", self.most)));
        }
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

/// Whether a file is what it should be.
pub(super) async fn is_there(place: &Path, asset: &AssetView) -> Result<bool> {
    // Not a link: what is behind it may be anybody's.
    if !place.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == asset.bytes) {
        return Ok(false);
    }
    let (place, sha256) = (place.to_owned(), asset.sha256.clone());
    let same = tokio::task::spawn_blocking(move || {
        let (mut file, mut hash) = (std::fs::File::open(place)?, Sha256::new());
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok::<_, std::io::Error>(output::hex(&hash.finalize()) == sha256),
                read => hash.update(&buffer[..read]),
            }
        }
    });
    Ok(same.await??)
}

/// Makes the folder, and removes what a crash left there long ago.
pub(super) fn ready(folder: &Path) -> Result<()> {
    let cannot = || format!("cannot write to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    for entry in std::fs::read_dir(folder).with_context(cannot)?.flatten() {
        let old = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        let ours = entry.file_name().to_string_lossy().starts_with(PART);
        if ours && old.is_some_and(|age| age > LEFT_OVER) {
            // Somebody else may have been faster.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// A file's name: its own, where that is one, has the job in it and leads nowhere, whatever the server says.
pub(crate) fn safe_name(job: JobId, asset: &AssetView) -> String {
    let own = asset.path.rsplit('/').next().unwrap_or_default();
    let begins = own.starts_with(|first: char| first.is_alphanumeric() || matches!(first, '_' | '@'));
    let plain = own.chars().all(|c| c.is_alphanumeric() || "-_.@=+".contains(c));
    let unique = own.contains(&job.to_string()[..10]);
    if begins && plain && unique && own.len() <= 250 && is_audio(own) {
        return own.to_owned();
    }
    plain_name(job, asset)
}

/// A name that no other file has.
fn plain_name(job: JobId, asset: &AssetView) -> String {
    format!("{job}-{}.{}", asset.n, plain_ending(asset))
}

/// A file's ending, which is one of audio, whatever the server says.
pub(super) fn plain_ending(asset: &AssetView) -> &str {
    let is_plain = asset.format.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_plain && is_audio(&format!("a.{}", asset.format)) { &asset.format } else { "audio" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        let job = JobId::derive("default", "a");
        let named = |path: &str| {
            let asset = serde_json::json!({
                "n": 2, "url": "/", "path": path, "bytes": 1, "sha256": "", "format": "../mp3", "duration_ms": 1,
            });
            safe_name(job, &serde_json::from_value(asset).unwrap())
        };
        let own = format!("夏-夜-{}.mp3", &job.to_string()[..10]);
        assert_eq!(named(&format!("@acme/album/{own}")), own);
        for bad in [
            "",
            "a/",
            "..",
            "1.mp3",
            "a/..",
            "a\\b.mp3",
            "-rf.mp3",
            ".mp3",
            "#EXT.mp3",
            "a\nb.mp3",
            "manifest.jsonl",
        ] {
            assert_eq!(named(bad), format!("{job}-2.audio"), "{bad:?}");
        }
    }
}
