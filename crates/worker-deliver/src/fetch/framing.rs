//! Chunks of an upload that were stored as they came.
//!
//! S3 clients upload in chunks with a line before each, `aws-chunked`, and some stores keep the lines. What was meant is
//! what is between them: `10000;chunk-signature=…⏎`, so many bytes, `⏎`; at last `0…⏎`, and checksums in lines of their
//! own. A file is only read so when all of it can be.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

/// No line is longer, nor are the lines behind the last chunk together.
const LINE: u64 = 4 << 10;

/// Whether a file that begins so may be one of chunks.
pub(super) fn may_begin(head: &[u8]) -> bool {
    let digits = head.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let then = &head[digits..];
    (1..=16).contains(&digits) && (then.starts_with(b"\r\n") || then.starts_with(b";"))
}

/// Writes what is in the chunks of a file to an empty one; whether it consists of chunks. Blocks.
pub(super) fn unframe(from: &Path, to: &mut File) -> io::Result<bool> {
    let mut from = BufReader::with_capacity(64 << 10, File::open(from)?);
    let mut to = BufWriter::with_capacity(64 << 10, to);
    loop {
        let Some(size) = line(&mut from)?.as_deref().and_then(size) else { return Ok(false) };
        if size == 0 {
            to.flush()?;
            return ends(&mut from);
        }
        if io::copy(&mut from.by_ref().take(size), &mut to)? < size || line(&mut from)? != Some(vec![]) {
            return Ok(false);
        }
    }
}

/// A line without its end; none where there is none.
fn line(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    from.by_ref().take(LINE).read_until(b'\n', &mut line)?;
    Ok(line.strip_suffix(b"\r\n").map(<[u8]>::to_vec))
}

fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    // No sign: a number is not read as one that has it.
    let digits =
        str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()))?;
    u64::from_str_radix(digits, 16).ok()
}

/// Whether only checksums and the like follow.
fn ends(from: &mut impl BufRead) -> io::Result<bool> {
    let mut rest = Vec::new();
    let read = from.by_ref().take(LINE + 1).read_to_end(&mut rest)? as u64;
    let is_field = |line: &[u8]| line.trim_ascii().is_empty() || line.starts_with(b"x-amz-");
    Ok(read <= LINE && rest.split(|byte| *byte == b'\n').all(is_field))
}
