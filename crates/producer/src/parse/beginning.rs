//! What an input is, by how it begins.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result as IoResult};

use flate2::bufread::MultiGzDecoder;

use crate::parse::error::ReadError;
use crate::parse::json_values::is_whole;
use crate::parse::text::Ahead;

/// How text begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Nothing,
    /// `[`
    Array,
    /// A JSON object that ends on its line, or is broken there.
    ObjectOnALine,
    /// A JSON object over several lines.
    Object,
    /// Names of columns.
    Other,
}

/// How much is looked at.
const LOOKED_AT: usize = 64 << 10;
/// The most bytes that an archive unpacks to.
const UNPACKED: u64 = 16 << 30;

/// Looks at how text begins, and takes nothing.
pub(crate) fn first(text: &mut Ahead<impl BufRead>) -> IoResult<First> {
    let mut wanted = 1;
    loop {
        let ahead = text.peek_at_least(wanted)?;
        let is_all = ahead.len() < wanted || ahead.len() >= LOOKED_AT;
        if let Some(first) = first_of(ahead, is_all) {
            return Ok(first);
        }
        wanted = ahead.len() + 1;
    }
}

/// How text begins, as soon as that can be told.
fn first_of(ahead: &[u8], is_all: bool) -> Option<First> {
    let begin = ahead.trim_ascii_start();
    match begin.first() {
        None => is_all.then_some(First::Nothing),
        Some(b'[') => Some(First::Array),
        Some(b'{') => {
            let line = begin.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            match line {
                Some(end) if !is_whole(&begin[..end]) => Some(First::Object),
                Some(_) => Some(First::ObjectOnALine),
                // One that does not end here is a long line.
                None => is_all.then_some(First::ObjectOnALine),
            }
        }
        Some(_) => Some(First::Other),
    }
}

/// Whether this is the beginning of JSON lines, each of which stands for itself; nothing where that cannot be told yet.
pub(crate) fn is_json_lines(begin: &[u8]) -> Option<bool> {
    let mark = "\u{feff}".as_bytes();
    match begin.strip_prefix(mark) {
        None if mark.starts_with(begin) => None,
        text => first_of(text.unwrap_or(begin), begin.len() >= LOOKED_AT)
            .map(|first| first == First::ObjectOnALine),
    }
}

/// Names what is no text at all.
pub(crate) fn refuse_others(begin: &[u8]) -> Result<(), ReadError> {
    let refused = |text: &str| Err(ReadError::Form(text.to_owned()));
    match begin {
        [0xd0, 0xcf, 0x11, 0xe0, ..] => refused(
            "is a workbook of Excel 97 (.xls), or one with a password: save it as .xlsx or CSV (UTF-8)",
        ),
        [b'%', b'P', b'D', b'F', ..] => refused("is a PDF: save the table as .xlsx or CSV (UTF-8)"),
        [b'P', b'K', ..] => refused("is an empty or broken archive: save the table as .xlsx or CSV (UTF-8)"),
        _ => Ok(()),
    }
}

/// Unpacks gzip; whether it is.
pub(crate) fn unpacked(mut source: Box<dyn BufRead + Send>) -> IoResult<(Box<dyn BufRead + Send>, bool)> {
    if !source.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        return Ok((source, false));
    }
    let limited = Limited { source: MultiGzDecoder::new(source), left: UNPACKED };
    Ok((Box::new(BufReader::with_capacity(1 << 16, limited)), true))
}

/// A reader that fails behind so many bytes.
struct Limited<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, into: &mut [u8]) -> IoResult<usize> {
        let read = self.source.read(into)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| Error::from(ErrorKind::FileTooLarge))?;
        Ok(read)
    }
}
