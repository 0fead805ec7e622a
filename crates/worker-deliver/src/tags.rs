//! Tags in the file itself: its title, and where it comes from.

use std::path::Path;
use std::time::Duration;

use lofty::config::{ParseOptions, WriteOptions};
use lofty::file::{AudioFile as _, FileType, TaggedFileExt as _};
use lofty::tag::{Accessor as _, ItemKey, Tag, TagExt as _};
use tempfile::TempPath;

/// What is written into a file.
pub(crate) struct Tags<'a> {
    pub(crate) title: Option<&'a str>,
    /// Job, vendor and a hash of what was asked for.
    pub(crate) comment: String,
}

/// By how much a file's length may seem to differ once it has tags.
const MARGIN: Duration = Duration::from_millis(100);

impl Tags<'_> {
    /// A copy of a file with tags, beside it; none where it cannot be given any, or would not be the same audio. Blocks.
    pub(crate) fn on(&self, file: &Path, format: &str) -> Option<TempPath> {
        // As untrusted as the audio: what breaks the reader leaves the file as it is.
        let tagged = std::panic::catch_unwind(|| self.copied(file, format));
        match tagged {
            Ok(Ok(copy)) => copy,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a file is stored without tags");
                None
            }
            Err(_) => {
                tracing::debug!("a file is stored without tags: it broke their reader");
                None
            }
        }
    }

    fn copied(&self, file: &Path, format: &str) -> Result<Option<TempPath>, Box<dyn std::error::Error>> {
        let Some(kind) = kind(format) else { return Ok(None) };
        let copy = beside(file)?;
        std::fs::copy(file, &copy)?;
        let before = read(&copy, kind)?;
        let length = before.properties().duration();
        let mut tag = before.primary_tag().cloned().unwrap_or_else(|| Tag::new(before.primary_tag_type()));
        if let Some(title) = self.title {
            tag.set_title(title.to_owned());
        }
        tag.insert_text(ItemKey::Comment, self.comment.clone());
        tag.save_to_path(&copy, WriteOptions::default())?;
        let after = read(&copy, kind)?.properties().duration();
        Ok((after.abs_diff(length) < MARGIN).then_some(copy))
    }
}

/// A new file in the folder of another one.
pub(crate) fn beside(file: &Path) -> std::io::Result<TempPath> {
    let permissions = std::fs::metadata(file)?.permissions();
    let folder = file.parent().unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().prefix("in-").permissions(permissions).tempfile_in(folder)?;
    Ok(file.into_temp_path())
}

/// A second name of a file, or a copy where the disk has no such thing.
pub(crate) fn second_name(file: &Path) -> std::io::Result<TempPath> {
    let to = beside(file)?;
    std::fs::remove_file(&to)?;
    if std::fs::hard_link(file, &to).is_err() {
        std::fs::copy(file, &to)?;
    }
    Ok(to)
}

fn kind(format: &str) -> Option<FileType> {
    match format {
        "mp3" => Some(FileType::Mpeg),
        "wav" => Some(FileType::Wav),
        "flac" => Some(FileType::Flac),
        "opus" => Some(FileType::Opus),
        _ => None,
    }
}

fn read(file: &Path, kind: FileType) -> Result<lofty::file::TaggedFile, Box<dyn std::error::Error>> {
    let options = ParseOptions::new();
    Ok(lofty::probe::Probe::open(file)?.set_file_type(kind).options(options).read()?)
}
