//! The rows of a table, as requests: from delimited text, or from a workbook.

use std::io::BufRead;

use serde_json::{Map, Value};
use songmill_core::song::Invalid;

use crate::parse::columns::{Columns, Mapping, UNREAD, fields, is_error};
use crate::parse::error::ReadError;
use crate::parse::records::{Opened, Record, Records, Shape, Torn, Why};
use crate::parse::values::{Kind, VENDORS, quoted, vendor};
use crate::parse::workbook::Sheet;

/// Records of either kind.
pub(crate) enum Source<R> {
    Text(Records<R>),
    Sheet(Box<Sheet>),
}

/// A table whose header has been read.
pub(crate) struct Table<R> {
    source: Source<R>,
    /// The names in the file, as they are written.
    pub(crate) names: Vec<String>,
    pub(crate) columns: Columns,
    /// The character between two cells; a comma for a workbook.
    pub(crate) delimiter: u8,
}

/// What stands between two cells.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// The header is in this much of the file.
const HEADER_BYTES: usize = 64 << 10;
/// How many names an error lists.
const LISTED: usize = 12;

impl<R: BufRead> Table<R> {
    /// Reads the header of delimited text.
    pub(crate) fn of_text(source: R, mapping: &Mapping) -> Result<Self, ReadError> {
        let mut records = Records::new(source, b',');
        let ahead = records.peek(HEADER_BYTES)?;
        let delimiter = delimiter(ahead, mapping);
        records.set_delimiter(delimiter);
        Self::open(Source::Text(records), delimiter, mapping)
    }

    /// Reads the header of a workbook's sheet.
    pub(crate) fn of_sheet(sheet: Sheet, mapping: &Mapping) -> Result<Self, ReadError> {
        Self::open(Source::Sheet(Box::new(sheet)), b',', mapping)
    }

    fn open(mut source: Source<R>, delimiter: u8, mapping: &Mapping) -> Result<Self, ReadError> {
        let mut record = Record::default();
        loop {
            if !source.read(&mut record, &AnyText).map_err(|torn| named(torn, &[]))? {
                return Err(ReadError::Empty);
            }
            let is_separator = record.row == 1 && is_separator(&record);
            if is_separator && let Source::Text(records) = &mut source {
                records.uncount();
            } else if !record.is_blank() {
                break;
            }
        }
        let names: Vec<_> =
            record.cells().map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect();
        let columns = Columns::of(&names, mapping)?;
        if columns.known() == 0 {
            // Bytes of another kind of file.
            if names.iter().any(|name| name.chars().any(|c| c.is_control() && !c.is_whitespace())) {
                return Err(ReadError::Form(
                    "is not a table: it holds no text; write CSV, .xlsx, JSON lines or JSON".to_owned(),
                ));
            }
            let found: Vec<_> =
                names.iter().filter(|name| !name.is_empty()).take(LISTED).map(|name| quoted(name)).collect();
            let known: Vec<_> = fields().collect();
            return Err(ReadError::Form(format!(
                "has no known column in its first row ({}); name columns in the first row, as `songmill template` does, or map them with --map; known are {}",
                found.join(", "),
                known.join(", ")
            )));
        }
        Ok(Self { source, names, columns, delimiter })
    }

    /// Columns that are not read.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = String> {
        self.columns.unknown.iter().take(LISTED).map(|(name, meant)| match meant {
            Some(meant) => {
                format!("column {name:?} is not read; did you mean {meant}? (--map {name:?}={meant})")
            }
            None => format!("column {} is not read", quoted(name)),
        })
    }

    /// Lengths that a workbook shows as hours and minutes.
    pub(crate) fn by_clock(&self, cells: &[(u64, usize)]) -> Option<String> {
        let is_length = |n: usize| matches!(self.columns.all.get(n), Some(Some(column)) if matches!(column.kind, Kind::Duration(_)));
        let count = cells.iter().filter(|(_, column)| is_length(*column)).count();
        match count {
            0 => None,
            1 => Some("1 length shown as hours and minutes is read as minutes and seconds".to_owned()),
            _ => Some(format!("{count} lengths shown as hours and minutes are read as minutes and seconds")),
        }
    }

    /// Reads the next record that is not blank; false at the end.
    pub(crate) fn read(&mut self, record: &mut Record) -> Result<bool, ReadError> {
        let Self { source, columns, names, .. } = self;
        loop {
            match source.read(record, &*columns) {
                Ok(false) => return Ok(false),
                Ok(true) if record.is_blank() => {}
                Ok(true) => return Ok(true),
                Err(torn) => return Err(named(torn, names)),
            }
        }
    }

    /// Why a record's cells may stand in other columns than they should; nothing where they do not.
    pub(crate) fn askew(&self, record: &Record) -> Invalid {
        let mut invalid = Invalid::default();
        let named = self.columns.least;
        if let Some(cell) = record.stray_quote {
            let name = self.names.get(cell).map_or("(row)", String::as_str);
            invalid.push(
                name,
                "has a quote within a text in quotes",
                "write it twice (\"\"), or leave out the quotes around the text",
            );
        }
        // Workbooks leave out cells at the end of a row that are empty.
        if record.len() < named && matches!(self.source, Source::Text(_)) {
            let fault = format!("has {} cells, but the header names {named} columns", record.len());
            invalid.push("(row)", fault, "give every row as many cells; put a text with line ends in quotes");
        }
        if let Some(more) = (self.names.len()..record.len()).find(|n| !record.cell(*n).is_empty()) {
            let fault = format!(
                "has {} in cell {}, but there are {} columns",
                quoted(&text(record.cell(more))),
                more + 1,
                self.names.len()
            );
            invalid.push("(row)", fault, "put a text with the delimiter in it in quotes");
        }
        invalid
    }

    /// What a record asks for, as a JSON line would say it.
    pub(crate) fn request(
        &self,
        record: &Record,
    ) -> Result<Map<String, Value>, (Map<String, Value>, Invalid)> {
        let (mut request, mut invalid) = (Map::new(), self.askew(record));
        if let Some(error) = (0..self.names.len()).find(|n| is_error(&self.names[*n]))
            && record.cell(error).starts_with(UNREAD.as_bytes())
        {
            invalid.push(
                "(row)",
                "could not be read before",
                "correct it, and then clear its cell in the column error",
            );
        }
        for (n, column) in self.columns.all.iter().enumerate() {
            let cell = record.cell(n);
            let Some(column) = column.as_ref().filter(|_| !cell.is_empty()) else { continue };
            match column.kind.read(&text(cell)) {
                Ok(value) => put(&mut request, &column.field, value),
                Err(wrong) => invalid.push(&column.field, wrong.fault, wrong.fix),
            }
        }
        match invalid.problems.is_empty() {
            true => Ok(request),
            false => Err((request, invalid)),
        }
    }
}

impl<R: BufRead> Source<R> {
    fn read(&mut self, record: &mut Record, shape: &impl Shape) -> Result<bool, Torn> {
        match self {
            Self::Text(records) => records.read(record, shape),
            Self::Sheet(sheet) => Ok(sheet.read(record)),
        }
    }
}

/// What cannot be read is shown as the character that says so, and refused by its kind.
fn text(cell: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(cell)
}

/// Sets `a.b.c` within objects.
pub(crate) fn put(object: &mut Map<String, Value>, field: &str, value: Value) {
    let mut at = object;
    let mut parts = field.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            at.insert(part.to_owned(), value);
            return;
        }
        let inner = at.entry(part.to_owned()).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = inner else { return };
        at = inner;
    }
}

/// `sep=;`, which Excel writes and wants.
fn is_separator(record: &Record) -> bool {
    let whole: Vec<u8> = record.cells().collect::<Vec<_>>().concat();
    whole.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case(b"sep=")) && whole.len() <= 5
}

/// The delimiter with which most names of the header are known, or which divides it into most cells.
fn delimiter(ahead: &[u8], mapping: &Mapping) -> u8 {
    if let Some([sep @ .., delimiter, b'\n' | b'\r']) = ahead.get(..6)
        && sep.eq_ignore_ascii_case(b"sep=")
        && DELIMITERS.contains(delimiter)
    {
        return *delimiter;
    }
    let score = |delimiter: u8| {
        let mut records = Records::new(ahead, delimiter);
        let mut record = Record::default();
        while records.read(&mut record, &AnyText).unwrap_or(false) {
            if !record.is_blank() {
                let names: Vec<_> = record.cells().map(|cell| text(cell).into_owned()).collect();
                let known = Columns::of(&names, mapping).map_or(1, |columns| columns.known());
                return (known, record.len());
            }
        }
        (0, 0)
    };
    // The first of equals.
    DELIMITERS.into_iter().rev().max_by_key(|delimiter| score(*delimiter)).unwrap_or(b',')
}

/// Before the header is known nothing looks like a row.
struct AnyText;

impl Shape for AnyText {
    fn looks_like_a_row(&self, _: &[&[u8]]) -> bool {
        false
    }

    fn resembles_a_row(&self, _: &[&[u8]]) -> bool {
        false
    }
}

impl Shape for Columns {
    /// As many cells as there are columns, with values that fit those that take few texts.
    fn looks_like_a_row(&self, cells: &[&[u8]]) -> bool {
        if cells.len() != self.all.len() || cells.len() < 2 {
            return false;
        }
        let (mut any, mut all, mut names_a_vendor) = (false, true, false);
        for (column, cell) in self.all.iter().zip(cells) {
            let (Some(column), cell) = (column, cell.trim_ascii()) else { continue };
            if column.kind.is_telling() && !cell.is_empty() {
                let fits = fits(column.kind, &text(cell));
                (any, all) = (true, all && fits);
                names_a_vendor |= fits && column.kind == Kind::Vendors;
            }
        }
        // In a sentence a blank follows each comma.
        any && all && (names_a_vendor || is_tight(cells))
    }

    fn resembles_a_row(&self, cells: &[&[u8]]) -> bool {
        cells.len() == self.all.len()
            && cells.len() >= 2
            && !cells[0].trim_ascii().is_empty()
            && is_tight(cells)
    }
}

/// Whether cells stand as programs write them: without a blank behind a delimiter.
fn is_tight(cells: &[&[u8]]) -> bool {
    cells[1..].iter().all(|cell| !cell.starts_with(b" "))
}

/// Whether a cell is a value of a kind that takes few texts.
fn fits(kind: Kind, text: &str) -> bool {
    match kind {
        Kind::Vendors => text.split([';', '|']).all(|name| {
            let name = vendor(name);
            name == "auto" || VENDORS.contains(&name)
        }),
        Kind::Word | Kind::Vocal => text.len() <= 12 && text.chars().all(|c| c.is_alphanumeric() || c == '_'),
        kind => kind.read(text).is_ok(),
    }
}

fn named(torn: Torn, names: &[String]) -> ReadError {
    let Opened { row, line, cell, why } = match torn {
        Torn::Io(error) => return ReadError::Io(error),
        Torn::TooLong { row, line } => {
            return ReadError::Form(format!(
                "has more than 1 MiB in row {row}, which begins on line {line}; is a quote not closed?"
            ));
        }
        Torn::Quote(opened) => opened,
    };
    let column = names.get(cell).filter(|name| !name.is_empty());
    let column = column.map_or_else(|| format!("column {}", cell + 1), |name| format!("column {name:?}"));
    let begun = format!("has a quote that is not closed: it opens on line {line}, in row {row}, {column}");
    let why = match why {
        Why::NeverClosed => "and the file ends within it".to_owned(),
        Why::ClosedWithin(at) => format!("and the next quote, on line {at}, does not end the cell"),
        Why::TooLong => "and the text within it has more than 200 lines, or 1 MiB".to_owned(),
        Why::HoldsRows(at) => format!("and line {at} within it looks like a row of the table"),
    };
    ReadError::Form(format!("{begun}, {why}; close it, or write a quote within a text twice (\"\")"))
}
