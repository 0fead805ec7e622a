//! The rows of a table that were rejected, to be corrected and submitted again.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::parse::columns::{ERROR, UNREAD, is_error};
use crate::parse::error::ReadError;
use crate::parse::opened::{Kind, Opened};
use crate::parse::options::Options;
use crate::parse::records::Record;

/// Writes the rows of a table for which there is a reason, by ascending numbers, as they stand in the file, with a column `error` behind them.
/// False, and nothing written, where the file is no table.
///
/// # Errors
///
/// Of reading the file again, and of writing.
pub fn write_rejected(
    file: &Path,
    options: &Options,
    reasons: &[(u64, Arc<str>)],
    mut to: impl Write,
) -> Result<bool, ReadError> {
    let Kind::Table(mut table) = Opened::file(file, options)?.kind else { return Ok(false) };
    // The mark by which spreadsheets know UTF-8.
    to.write_all("\u{feff}".as_bytes())?;
    let mut csv = csv::WriterBuilder::new().flexible(true).delimiter(table.delimiter).from_writer(to);
    let kept: Vec<_> = (0..table.names.len()).filter(|n| !is_error(&table.names[*n])).collect();
    let header = kept.iter().map(|n| table.names[*n].as_bytes()).chain([ERROR.as_bytes()]);
    csv.write_record(header).map_err(failed)?;
    let mut record = Record::default();
    while table.read(&mut record)? {
        let Ok(found) = reasons.binary_search_by_key(&record.row, |(row, _)| *row) else { continue };
        let reason = &reasons[found].1;
        // A cell too many stays where it is: the row is not read before somebody has said where it belongs.
        let reason = match table.askew(&record).problems.is_empty() {
            true => reason.to_string(),
            false => format!("{UNREAD}{reason}"),
        };
        let more = (table.names.len()..record.len()).map(|n| record.cell(n));
        let cells = kept.iter().map(|n| record.cell(*n)).chain(more).chain([reason.as_bytes()]);
        csv.write_record(cells).map_err(failed)?;
    }
    csv.flush()?;
    Ok(true)
}

fn failed(error: csv::Error) -> ReadError {
    ReadError::Io(error.into())
}
