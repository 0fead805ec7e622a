//! Workbooks (`.xlsx`): the cells of the first sheet that has any, as the texts that people see.

use std::fmt::Write as _;
use std::io::{BufRead, Cursor, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use calamine::{DataRef, ExcelDateTime, Reader as _, SheetType, SheetVisible, Style, Xlsx, XlsxError};

use crate::parse::error::ReadError;
use crate::parse::records::Record;

/// The rows of a sheet that are not blank.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    /// All cells, one behind the other.
    text: Vec<u8>,
    /// Where each cell ends in it.
    ends: Vec<usize>,
    /// The row, from 1, and where its cells end in the list of ends.
    rows: Vec<(u64, usize)>,
    next: usize,
    /// Cells that are shown as hours and minutes, by their row and column, from 0.
    pub(crate) by_clock: Vec<(u64, usize)>,
    /// Further sheets that have cells.
    pub(crate) others: Vec<String>,
    pub(crate) name: String,
}

/// The most bytes that a workbook unpacks to.
const UNPACKED_BYTES: u64 = 512 << 20;
/// The most bytes of its cells.
const TEXT_BYTES: usize = 128 << 20;
/// The most cells, those left out before others counted.
const CELLS: usize = 8 << 20;
/// The most texts that cells share, and their bytes.
const SHARED: usize = 2_000_000;
const SHARED_BYTES: u64 = 192 << 20;
/// The most columns that are read.
const COLUMNS: usize = 1000;
/// How many cells shown as hours and minutes are told of.
const TOLD: usize = 100_000;

impl Sheet {
    /// Reads a workbook whole.
    pub(crate) fn read_from(source: impl BufRead, most: usize) -> Result<Self, ReadError> {
        let mut file = Vec::new();
        source.take(most as u64 + 1).read_to_end(&mut file)?;
        if file.len() > most {
            let most = most >> 20;
            return Err(form(&format!(
                "is a workbook of more than {most} MiB: save it as CSV (UTF-8), or divide it"
            )));
        }
        is_workbook(&file)?;
        // Whatever is wrong within it is wrong with the file.
        let read = catch_unwind(AssertUnwindSafe(|| read(&file)));
        read.unwrap_or_else(|_| {
            Err(form("is a workbook that cannot be read: open it, and save it again as .xlsx or CSV"))
        })
    }

    /// Takes the next row that is not blank; false at the end.
    pub(crate) fn read(&mut self, record: &mut Record) -> bool {
        let Some(&(row, end)) = self.rows.get(self.next) else { return false };
        let begin = self.next.checked_sub(1).map_or(0, |before| self.rows[before].1);
        record.clear();
        record.row = row;
        for n in begin..end {
            let start = if n == 0 { 0 } else { self.ends[n - 1] };
            record.push(&self.text[start..self.ends[n]]);
        }
        self.next += 1;
        true
    }

    /// Takes a cell; those of a row come in the order of its columns, and rows in theirs.
    fn cell(&mut self, row: u64, column: usize, text: &str) -> Result<(), ReadError> {
        if text.is_empty() {
            return Ok(());
        }
        if column >= COLUMNS {
            return Err(form("has more than 1,000 columns"));
        }
        let last = self.rows.last().map_or(0, |(row, _)| *row);
        if row < last {
            return Err(form("is a workbook whose rows are in no order: open it, and save it again"));
        }
        if row > last {
            self.rows.push((row, self.ends.len()));
        }
        let begin = self.rows.len().checked_sub(2).map_or(0, |before| self.rows[before].1);
        if self.ends.len() - begin > column {
            return Err(form("is a workbook whose cells are in no order: open it, and save it again"));
        }
        if self.ends.len() + column > CELLS {
            return Err(form("has more than 8 million cells: save it as CSV (UTF-8)"));
        }
        while self.ends.len() - begin < column {
            self.ends.push(self.text.len());
        }
        self.text.extend_from_slice(text.as_bytes());
        self.ends.push(self.text.len());
        if self.text.len() > TEXT_BYTES {
            return Err(form("has more than 128 MiB of text: save it as CSV (UTF-8)"));
        }
        if let Some((_, end)) = self.rows.last_mut() {
            *end = self.ends.len();
        }
        Ok(())
    }
}

fn form(text: &str) -> ReadError {
    ReadError::Form(text.to_owned())
}

/// Whether it is one, and unpacks to no more than it may.
fn is_workbook(file: &[u8]) -> Result<(), ReadError> {
    let broken = || form("is not a whole workbook: download or save it again");
    let mut zip = zip::ZipArchive::new(Cursor::new(file)).map_err(|_| broken())?;
    let has = |name: &str| zip.index_for_name(name).is_some();
    if has("Index/Document.iwa") {
        return Err(form("is a document of Numbers: export it as CSV (UTF-8) or Excel"));
    }
    if has("content.xml") {
        return Err(form("is an OpenDocument spreadsheet: save it as .xlsx or CSV (UTF-8)"));
    }
    if has("xl/workbook.bin") {
        return Err(form("is a binary workbook (.xlsb): save it as .xlsx or CSV (UTF-8)"));
    }
    if !has("[Content_Types].xml") && !has("xl/workbook.xml") {
        return Err(form("is a zip archive, but not a workbook: submit the table within it"));
    }
    // What an archive says of its sizes may be wrong.
    let mut left = UNPACKED_BYTES;
    for n in 0..zip.len() {
        let entry = zip.by_index(n).map_err(|_| broken())?;
        let name = entry.name().map_err(|_| broken())?.to_ascii_lowercase();
        let is_shared = name.ends_with("sharedstrings.xml");
        let mut counted = Counted::default();
        let read = std::io::copy(&mut entry.take(left + 1), &mut counted).map_err(|_| broken())?;
        if is_shared && (counted.items > SHARED || read > SHARED_BYTES) {
            return Err(form("has more than 2 million texts, or 192 MiB of them: save it as CSV (UTF-8)"));
        }
        let too_large = || form("is a workbook that unpacks to more than 512 MiB: save it as CSV (UTF-8)");
        left = left.checked_sub(read).ok_or_else(too_large)?;
    }
    Ok(())
}

/// Counts the items of a list of texts as they pass by.
#[derive(Default)]
struct Counted {
    items: usize,
    /// The last bytes of what came before, in which an item may begin.
    last: Vec<u8>,
}

impl std::io::Write for Counted {
    fn write(&mut self, some: &[u8]) -> std::io::Result<usize> {
        const ITEM: &[u8] = b"<si";
        self.last.extend_from_slice(&some[..some.len().min(ITEM.len() - 1)]);
        self.items += memchr::memmem::find_iter(&self.last, ITEM).count();
        self.items += memchr::memmem::find_iter(some, ITEM).count();
        self.last.clear();
        self.last.extend_from_slice(&some[some.len().saturating_sub(ITEM.len() - 1)..]);
        Ok(some.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn read(file: &[u8]) -> Result<Sheet, ReadError> {
    let broken = |error: XlsxError| match error {
        XlsxError::Password => form("is protected by a password: save a copy without one"),
        _ => form("is a workbook that cannot be read: open it, and save it again as .xlsx or CSV"),
    };
    let mut workbook = Xlsx::new(Cursor::new(file)).map_err(broken)?;
    let visible = |sheet: &&calamine::Sheet| {
        sheet.typ == SheetType::WorkSheet && sheet.visible == SheetVisible::Visible
    };
    let names: Vec<_> =
        workbook.sheets_metadata().iter().filter(visible).map(|sheet| sheet.name.clone()).collect();
    let mut found = Sheet::default();
    for name in names {
        if found.rows.is_empty() {
            found = sheet(&mut workbook, &name, broken)?;
            found.name = name;
        } else {
            let mut cells = workbook.worksheet_cells_reader(&name).map_err(broken)?;
            if cells.next_cell().map_err(broken)?.is_some() {
                found.others.push(name);
            }
        }
    }
    Ok(found)
}

fn sheet(
    workbook: &mut Xlsx<Cursor<&[u8]>>,
    name: &str,
    broken: impl Fn(XlsxError) -> ReadError,
) -> Result<Sheet, ReadError> {
    let mut found = Sheet::default();
    let mut cells = workbook.worksheet_cells_reader(name).map_err(&broken)?;
    let mut text = String::new();
    while let Some((cell, style)) = cells.next_cell_with_style_id().map_err(&broken)? {
        let (row, column) = cell.get_position();
        let (row, column) = (u64::from(row) + 1, column as usize);
        text.clear();
        let mut by_clock = false;
        match cell.get_value() {
            DataRef::String(value) => text.push_str(value),
            DataRef::SharedString(value) => text.push_str(value),
            DataRef::Int(value) => drop(write!(text, "{value}")),
            DataRef::Float(value) => drop(write!(text, "{value}")),
            DataRef::Bool(value) => text.push_str(if *value { "TRUE" } else { "FALSE" }),
            DataRef::DateTime(moment) => by_clock = shown(moment, cells.styles().get(style), &mut text),
            DataRef::DateTimeIso(value) | DataRef::DurationIso(value) => text.push_str(value),
            DataRef::Error(error) => drop(write!(text, "{error}")),
            DataRef::Empty => {}
        }
        // Excel's form of a carriage return.
        let value =
            if text.contains("_x000D_") { text.replace("_x000D_", "") } else { std::mem::take(&mut text) };
        found.cell(row, column, value.trim())?;
        text = value;
        if by_clock && found.by_clock.len() < TOLD {
            found.by_clock.push((row, column));
        }
    }
    Ok(found)
}

/// Writes a date or a time as the cell shows it; whether it shows hours and minutes alone.
fn shown(moment: &ExcelDateTime, style: Option<&Style>, text: &mut String) -> bool {
    let format =
        style.and_then(|style| style.number_format.as_ref()).map_or("", |format| &format.format_code);
    let format = format.split(';').next().unwrap_or_default().to_lowercase();
    let days = moment.as_f64();
    let is_date =
        format.contains(['y', 'd']) || days >= 1.0 && !moment.is_duration() && !format.contains('h');
    if is_date {
        let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
        let _ = write!(text, "{year:04}-{month:02}-{day:02}");
        if days.fract() != 0.0 {
            let _ = write!(text, " {hour:02}:{minute:02}:{second:02}");
        }
        return false;
    }
    let secs = (days * 86_400.0).round().max(0.0) as u64;
    let (hours, minutes, secs) = (secs / 3600, secs / 60 % 60, secs % 60);
    let _ = match (format.contains('h'), format.contains('s')) {
        (true, false) => write!(text, "{hours}:{minutes:02}"),
        (false, true) => write!(text, "{}:{secs:02}", hours * 60 + minutes),
        _ => write!(text, "{hours}:{minutes:02}:{secs:02}"),
    };
    format.contains('h') && !format.contains('s')
}

#[cfg(test)]
mod tests;
