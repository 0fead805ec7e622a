//! Archives: a tar, or a zip that every system opens.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::output::WriteSeek;

/// A form of archive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    Tar,
    Zip,
}

impl Form {
    /// By its file's ending; none for a folder.
    pub(super) fn of(to: &Path) -> Option<Self> {
        let ending = to.extension()?.to_str()?;
        [("tar", Self::Tar), ("zip", Self::Zip)]
            .into_iter()
            .find_map(|(known, form)| ending.eq_ignore_ascii_case(known).then_some(form))
    }
}

/// An archive that is being written.
pub(super) enum Archive<'a> {
    Tar(tar::Builder<&'a mut dyn WriteSeek>),
    Zip(Box<zip::ZipWriter<&'a mut dyn WriteSeek>>),
}

impl<'a> Archive<'a> {
    pub(super) fn new(form: Form, out: &'a mut dyn WriteSeek) -> Self {
        match form {
            Form::Tar => Self::Tar(tar::Builder::new(out)),
            Form::Zip => Self::Zip(Box::new(zip::ZipWriter::new(out))),
        }
    }

    /// Puts a file into it; audio is kept as it is, as it is packed already.
    pub(super) fn put(&mut self, name: &str, mut file: File) -> Result<()> {
        let meta = file.metadata()?;
        let modified = meta.modified()?;
        match self {
            Self::Tar(tar) => {
                let mut header = tar::Header::new_gnu();
                header.set_size(meta.len());
                header.set_mode(0o644);
                let age = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                header.set_mtime(age.as_secs());
                tar.append_data(&mut header, name, file).context("cannot write the tar")
            }
            Self::Zip(zip) => {
                // Without offsets, zip's times are the reader's own.
                let at = jiff::Timestamp::try_from(modified).unwrap_or_default().to_zoned(TimeZone::system());
                let options = SimpleFileOptions::default()
                    .compression_method(CompressionMethod::Stored)
                    .last_modified_time(zip::DateTime::try_from(at.datetime()).unwrap_or_default())
                    .unix_permissions(0o644)
                    .large_file(meta.len() >= u64::from(u32::MAX));
                zip.start_file(name, options).context("cannot write the zip")?;
                std::io::copy(&mut file, zip).context("cannot write the zip")?;
                Ok(())
            }
        }
    }

    pub(super) fn finish(self) -> Result<()> {
        match self {
            Self::Tar(mut tar) => tar.finish().context("cannot write the tar"),
            Self::Zip(zip) => zip.finish().map(drop).context("cannot write the zip"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_the_form() {
        for (to, form) in [
            ("a.tar", Some(Form::Tar)),
            ("a.ZIP", Some(Form::Zip)),
            ("a", None),
            ("songs.2", None),
            (".zip", None),
        ] {
            assert_eq!(Form::of(Path::new(to)), form, "{to}");
        }
    }
}
