//! A JSON object on each line.

use std::io::{BufRead, Read as _};

use crate::parse::error::ReadError;
use crate::parse::row::LINE_BYTES;

/// Reads lines that are not blank until `each` wants no more: its number and its text, none where it is too long.
pub(crate) fn read(
    mut source: impl BufRead,
    mut each: impl FnMut(u64, Option<&[u8]>) -> bool,
) -> Result<(), ReadError> {
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        source.by_ref().take(LINE_BYTES + 1).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            break;
        }
        let goes_on = if bytes.len() as u64 > LINE_BYTES {
            skip_line(&mut source, &bytes)?;
            each(number, None)
        } else {
            let text = bytes.trim_ascii();
            text.is_empty() || each(number, Some(text))
        };
        if !goes_on {
            break;
        }
    }
    Ok(())
}

fn skip_line(source: &mut impl BufRead, begun: &[u8]) -> Result<(), ReadError> {
    if begun.last() == Some(&b'\n') {
        return Ok(());
    }
    loop {
        let ahead = source.fill_buf()?;
        let end = ahead.iter().position(|&byte| byte == b'\n');
        let skip = end.map_or(ahead.len(), |end| end + 1);
        let last = end.is_some() || ahead.is_empty();
        source.consume(skip);
        if last {
            return Ok(());
        }
    }
}
