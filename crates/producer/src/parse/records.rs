//! Records of delimited text: RFC 4180 as spreadsheets write it, with any line ends and any of four delimiters.
//!
//! A quote that is never closed would take the rows behind it for one text, which somebody would pay for. So a quoted text
//! must end where a cell may end, and may not hold what looks like rows of the table.

use std::io::{BufRead, Error};
use std::ops::Range;

use memchr::{memchr, memchr2, memchr3};

/// The most bytes of a record.
const RECORD_BYTES: usize = 1 << 20;
/// The most lines of a cell.
const CELL_LINES: u64 = 200;

/// How many cells, in lines one behind the other that have as many as the table has columns, are rows and no text.
const ALIKE: u64 = 6;

/// Why the rest of a file cannot be trusted.
#[derive(Debug)]
pub(crate) enum Torn {
    Io(Error),
    /// A quote that opens a cell, and is not closed, or not where the cell ends.
    Quote(Opened),
    /// A record of more than a megabyte without quotes.
    TooLong {
        row: u64,
        line: u64,
    },
}

/// A quoted cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The record, from 1.
    pub(crate) row: u64,
    /// The line on which the quote stands, from 1.
    pub(crate) line: u64,
    /// The cell, from 0.
    pub(crate) cell: usize,
    pub(crate) why: Why,
}

/// What is wrong with a quoted cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The file ends in it.
    NeverClosed,
    /// There is more text behind the quote that closes it, on this line.
    ClosedWithin(u64),
    /// It has more lines, or bytes, than a text has.
    TooLong,
    /// It holds what looks like rows, the first of them on this line.
    HoldsRows(u64),
}

/// What is known of a table's rows, to tell them from texts.
pub(crate) trait Shape {
    /// Whether these cells look like a row.
    fn looks_like_a_row(&self, cells: &[&[u8]]) -> bool;

    /// Whether these cells may be a row of texts, where those beside them may be, too.
    fn resembles_a_row(&self, cells: &[&[u8]]) -> bool;
}

/// One record.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Which, from 1; blank ones count.
    pub(crate) row: u64,
    text: Vec<u8>,
    ends: Vec<usize>,
    /// A quote within a quoted cell that is not doubled, where the rest of the line tells where the record ends.
    pub(crate) stray_quote: Option<usize>,
}

impl Record {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A cell, without the blanks around it.
    pub(crate) fn cell(&self, n: usize) -> &[u8] {
        let Some(&end) = self.ends.get(n) else { return b"" };
        let start = if n == 0 { 0 } else { self.ends[n - 1] };
        self.text[start..end].trim_ascii()
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|n| self.cell(n))
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.text.trim_ascii().is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.stray_quote = None;
    }

    pub(crate) fn push(&mut self, cell: &[u8]) {
        self.text.extend_from_slice(cell);
        self.ends.push(self.text.len());
    }
}

/// Reads records.
pub(crate) struct Records<R> {
    source: R,
    delimiter: u8,
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
    /// Records read so far.
    row: u64,
    /// Line ends read so far.
    lines: u64,
}

/// Where a record ends in the buffer, and behind its line end.
enum Scanned {
    Whole,
    /// The buffer ends before it does.
    Short,
}

impl<R: BufRead> Records<R> {
    pub(crate) fn new(source: R, delimiter: u8) -> Self {
        Self { source, delimiter, buffer: Vec::new(), at: 0, ended: false, row: 0, lines: 0 }
    }

    /// The first bytes of the table, to find out what it is like.
    pub(crate) fn peek(&mut self, count: usize) -> Result<&[u8], Error> {
        while self.buffer.len() - self.at < count && !self.ended {
            self.fill()?;
        }
        Ok(&self.buffer[self.at..])
    }

    pub(crate) fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
    }

    /// The record that was just read is no row to those who see the table.
    pub(crate) fn uncount(&mut self) {
        self.row -= 1;
    }

    fn fill(&mut self) -> Result<(), Error> {
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        let ahead = self.source.fill_buf()?;
        self.ended = ahead.is_empty();
        self.buffer.extend_from_slice(ahead);
        let some = ahead.len();
        self.source.consume(some);
        Ok(())
    }

    /// Reads the next record; false at the end.
    pub(crate) fn read(&mut self, record: &mut Record, shape: &impl Shape) -> Result<bool, Torn> {
        loop {
            if self.at < self.buffer.len() || self.ended {
                if self.at == self.buffer.len() {
                    return Ok(false);
                }
                if let Scanned::Whole = self.scan(record, shape)? {
                    return Ok(true);
                }
                if self.buffer.len() - self.at > RECORD_BYTES {
                    return Err(Torn::TooLong { row: self.row + 1, line: self.lines + 1 });
                }
            }
            self.fill().map_err(Torn::Io)?;
        }
    }

    /// Takes a record from the buffer, if all of it is there.
    fn scan(&mut self, record: &mut Record, shape: &impl Shape) -> Result<Scanned, Torn> {
        let bytes = &self.buffer[self.at..];
        let Some(line) = line_end(bytes, self.ended) else { return Ok(Scanned::Short) };
        record.clear();
        record.row = self.row + 1;
        let mut lines = 1;
        let used = if memchr(b'"', &bytes[..line.start]).is_none() {
            split(&bytes[..line.start], self.delimiter, |cell| record.push(cell));
            line.end
        } else {
            let quoted =
                Quoted { bytes, ended: self.ended, delimiter: self.delimiter, first_line: self.lines + 1 };
            match quoted.record(record, shape)? {
                Some((used, ends)) => {
                    lines = ends;
                    used
                }
                None => return Ok(Scanned::Short),
            }
        };
        self.at += used;
        self.row += 1;
        self.lines += lines;
        Ok(Scanned::Whole)
    }
}

/// The bytes of the first line end, at the end of the input an empty range; none where more has to be read.
fn line_end(bytes: &[u8], is_all: bool) -> Option<Range<usize>> {
    match memchr2(b'\n', b'\r', bytes) {
        Some(at) if bytes[at] == b'\n' => Some(at..at + 1),
        Some(at) if at + 1 < bytes.len() => Some(at..at + 1 + usize::from(bytes[at + 1] == b'\n')),
        // A line feed may follow.
        Some(at) => is_all.then_some(at..at + 1),
        None => is_all.then_some(bytes.len()..bytes.len()),
    }
}

/// The cells of a line without quotes.
fn split<'a>(line: &'a [u8], delimiter: u8, mut each: impl FnMut(&'a [u8])) {
    let mut rest = line;
    while let Some(at) = memchr(delimiter, rest) {
        each(&rest[..at]);
        rest = &rest[at + 1..];
    }
    each(rest);
}

/// A record that has quotes somewhere.
struct Quoted<'a> {
    bytes: &'a [u8],
    ended: bool,
    delimiter: u8,
    first_line: u64,
}

impl Quoted<'_> {
    /// How many bytes and line ends it has; none where more has to be read.
    fn record(&self, record: &mut Record, shape: &impl Shape) -> Result<Option<(usize, u64)>, Torn> {
        let (mut at, mut ends) = (0, 0);
        loop {
            let blanks = self.bytes[at..].iter().take_while(|byte| **byte == b' ').count();
            if self.bytes.get(at + blanks) == Some(&b'"') {
                let opened = at + blanks + 1;
                let Some((closed, more)) = self.text(opened, record, self.first_line + ends, shape)? else {
                    return Ok(None);
                };
                (at, ends) = (closed, ends + more);
            } else {
                let rest = &self.bytes[at..];
                let end = match memchr3(self.delimiter, b'\n', b'\r', rest) {
                    Some(end) => end,
                    None if self.ended => rest.len(),
                    None => return Ok(None),
                };
                record.push(&rest[..end]);
                at += end;
            }
            if self.bytes.get(at) == Some(&self.delimiter) {
                at += 1;
                continue;
            }
            let Some(line) = line_end(&self.bytes[at..], self.ended) else { return Ok(None) };
            return Ok(Some((at + line.end, ends + 1)));
        }
    }

    /// Takes a quoted text that begins here: where the next cell's delimiter or the line end stands, and how many line
    /// ends the text has. None where more has to be read.
    fn text(
        &self,
        opened: usize,
        record: &mut Record,
        line: u64,
        shape: &impl Shape,
    ) -> Result<Option<(usize, u64)>, Torn> {
        let (row, cell) = (record.row, record.len());
        let torn = |why| Torn::Quote(Opened { row, line, cell, why });
        let begun = record.text.len();
        let mut at = opened;
        let closed = loop {
            let Some(quote) = memchr(b'"', &self.bytes[at..]).map(|found| at + found) else {
                let lines = count_lines(&self.bytes[opened..]);
                if self.ended {
                    return Err(torn(Why::NeverClosed));
                }
                if lines > CELL_LINES || self.bytes.len() - opened > RECORD_BYTES {
                    return Err(torn(Why::TooLong));
                }
                return Ok(None);
            };
            record.text.extend_from_slice(&self.bytes[at..quote]);
            match self.bytes.get(quote + 1) {
                Some(b'"') => {
                    record.text.push(b'"');
                    at = quote + 2;
                }
                None if !self.ended => return Ok(None),
                _ => break quote,
            }
        };
        let lines = count_lines(&self.bytes[opened..closed]);
        let blanks = self.bytes[closed + 1..].iter().take_while(|byte| **byte == b' ').count();
        let behind = closed + 1 + blanks;
        match self.bytes.get(behind) {
            None if !self.ended => return Ok(None),
            None | Some(b'\n' | b'\r') => {}
            Some(byte) if *byte == self.delimiter => {}
            Some(_) => {
                if lines > 0 {
                    return Err(torn(Why::ClosedWithin(line + lines)));
                }
                // The rest of the line has as many quotes as it takes: the record ends with the line.
                let Some(end) = line_end(&self.bytes[behind..], self.ended) else { return Ok(None) };
                let rest = &self.bytes[closed + 1..behind + end.start];
                if memchr::memchr_iter(b'"', rest).count() % 2 == 1 {
                    return Err(torn(Why::ClosedWithin(line)));
                }
                record.stray_quote = Some(cell);
                record.text.extend_from_slice(rest);
                record.ends.push(record.text.len());
                return Ok(Some((behind + end.start, 0)));
            }
        }
        if lines > CELL_LINES {
            return Err(torn(Why::TooLong));
        }
        if lines > 0
            && let Some(first) = self.row_within(&self.bytes[opened..closed], shape)
        {
            return Err(torn(Why::HoldsRows(line + first)));
        }
        debug_assert!(record.text.len() >= begun);
        record.ends.push(record.text.len());
        Ok(Some((behind, lines)))
    }

    /// The line of a text, counted from 0, that looks like a row of the table; the first one is none.
    fn row_within(&self, text: &[u8], shape: &impl Shape) -> Option<u64> {
        let (mut rest, mut n) = (text, 0);
        let (mut cells, mut alike) = (Vec::new(), 0);
        loop {
            let end = line_end(rest, true)?;
            if n > 0 {
                cells.clear();
                split(&rest[..end.start], self.delimiter, |cell| cells.push(cell));
                if shape.looks_like_a_row(&cells) {
                    return Some(n);
                }
                alike = if shape.resembles_a_row(&cells) { alike + 1 } else { 0 };
                if alike >= 2 && alike * cells.len() as u64 >= ALIKE {
                    return Some(n + 1 - alike);
                }
            }
            if end.is_empty() {
                return None;
            }
            rest = &rest[end.end..];
            n += 1;
        }
    }
}

/// How many line ends there are.
fn count_lines(bytes: &[u8]) -> u64 {
    let mut count = 0;
    for at in memchr::memchr2_iter(b'\n', b'\r', bytes) {
        count += u64::from(bytes[at] == b'\r' || at == 0 || bytes[at - 1] != b'\r');
    }
    count
}

#[cfg(test)]
mod tests;
