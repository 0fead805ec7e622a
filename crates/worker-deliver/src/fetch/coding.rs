//! What a file is coded in, and how it becomes what it was: a header names codings, and the bytes decide.
//!
//! Buckets serve intact audio under `Content-Encoding: aws-chunked`, `utf-8`, `none` or even `gzip`, as somebody's upload
//! left it there. No header makes audio bad: a song that is made anew would be served with it, too.

use std::path::Path;

use http::HeaderMap;
use http::header;
use songmill_core::{Fault, FaultKind};
use tempfile::NamedTempFile;
use tokio::sync::Semaphore;

use super::decode::{Undecoded, decode};
use super::{framing, no_room, too_large};
use crate::incoming::{Incoming, beside};
use crate::probe::probe;

/// A coding that files are sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// How many codings of one file are taken off.
const MOST: usize = 4;
/// Files that are decoded at the same time: each may need a window of [`super::decode`] in memory.
static PLACES: Semaphore = Semaphore::const_new(2);

impl Coding {
    fn named(name: &[u8]) -> Option<Self> {
        const NAMES: [(&str, Coding); 6] = [
            ("gzip", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("deflate", Coding::Deflate),
            ("br", Coding::Brotli),
            ("zstd", Coding::Zstd),
            ("x-zstd", Coding::Zstd),
        ];
        let name = name.trim_ascii();
        NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())).map(|(_, coding)| *coding)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// The codings that the head of a reply names, in the order in which they were applied. Whatever else it names is none.
pub(super) fn named(headers: &HeaderMap) -> Vec<Coding> {
    let content = headers.get_all(header::CONTENT_ENCODING).iter();
    let all = content.chain(headers.get_all(header::TRANSFER_ENCODING));
    all.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).filter_map(Coding::named).collect()
}

/// Makes a whole file what it was before it was coded, as far as its bytes are.
pub(super) async fn settle(file: &mut Incoming, codings: Vec<Coding>, most: u64) -> Result<(), Fault> {
    let is_framed = framing::may_begin(file.head());
    if file.head().is_empty() || (codings.is_empty() && !is_framed) {
        return Ok(());
    }
    let place = PLACES.acquire().await;
    file.remake(move |path| {
        // Kept to the end even if nobody waits for it any more.
        let _place = place;
        let mut made = Made { path, now: None };
        if is_framed {
            made.unframe()?;
        }
        made.decode(&codings, most)?;
        Ok(made.now)
    })
    .await
}

/// What has become of a file by now.
struct Made<'a> {
    path: &'a Path,
    now: Option<NamedTempFile>,
}

impl Made<'_> {
    fn path(&self) -> &Path {
        self.now.as_ref().map_or(self.path, NamedTempFile::path)
    }

    fn unframe(&mut self) -> Result<(), Fault> {
        let mut next = beside(self.path).map_err(|error| no_room(&error))?;
        if framing::unframe(self.path(), next.as_file_mut()).map_err(|error| no_room(&error))? {
            self.now = Some(next);
        }
        Ok(())
    }

    /// Takes off the codings, the last one first. One that the bytes are not in is named by mistake if they are audio.
    fn decode(&mut self, codings: &[Coding], most: u64) -> Result<(), Fault> {
        let mut wrong = (codings.len() > MOST).then(|| format!("it is coded {} times", codings.len()));
        for coding in codings.iter().rev().take(MOST) {
            let mut next = beside(self.path).map_err(|error| no_room(&error))?;
            match decode(*coding, self.path(), next.as_file_mut(), most) {
                Ok(()) => self.now = Some(next),
                Err(Undecoded::TooLarge) if !self.is_audio() => return Err(too_large(most)),
                Err(Undecoded::TooLarge) => {}
                Err(Undecoded::Other(why)) => {
                    wrong = Some(format!("it is said to be in {} and is not: {why}", coding.as_str()));
                }
                Err(Undecoded::Disk(error)) => return Err(no_room(&error)),
            }
        }
        match wrong {
            Some(why) if !self.is_audio() => Err(Fault::new(FaultKind::Locked, "output_encoded", why)),
            _ => Ok(()),
        }
    }

    fn is_audio(&self) -> bool {
        probe(self.path(), None).is_ok()
    }
}
