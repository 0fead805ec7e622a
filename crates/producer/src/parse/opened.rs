//! An input whose kind is known: from its bytes to its rows.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Map, Value};

use crate::parse::beginning::{First, first, refuse_others, unpacked};
use crate::parse::defaults::fill;
use crate::parse::error::ReadError;
use crate::parse::json_lines;
use crate::parse::json_values::{self, Element, Layout};
use crate::parse::options::{Format, Options};
use crate::parse::records::Record;
use crate::parse::row::{Keys, Row, Sink, shortened, too_long};
use crate::parse::table::Table;
use crate::parse::text::{Ahead, Found, Utf8};
use crate::parse::workbook::Sheet;

/// What is known of an input that is being read.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What its parts are called.
    pub part: Part,
    /// What a reader should know: an encoding that was guessed, columns that are not read.
    pub notes: Vec<String>,
}

/// What the parts of an input are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// Of a table.
    Row,
    /// Of JSON lines.
    #[default]
    Line,
    /// Of an array or a sequence.
    Element,
}

impl Part {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Line => "line",
            Self::Element => "element",
        }
    }
}

/// The most bytes of a workbook where nothing else is said.
const WORKBOOK_BYTES: usize = 64 << 20;
/// What is read at once.
const CHUNK: usize = 1 << 18;

pub(crate) type Bytes = Box<dyn BufRead + Send>;

/// An input whose kind is known.
pub(crate) struct Opened {
    pub(crate) kind: Kind,
    encoding: Found,
    notes: Vec<String>,
    is_gzip: bool,
}

pub(crate) type Text = Ahead<Utf8<Bytes>>;

pub(crate) enum Kind {
    Lines(Text),
    Values(Text, Layout),
    Table(Box<Table<Text>>),
}

impl Opened {
    /// Opens a file.
    pub(crate) fn file(path: &Path, options: &Options) -> Result<Self, ReadError> {
        Self::open(Box::new(BufReader::with_capacity(CHUNK, File::open(path)?)), options)
    }

    pub(crate) fn open(source: Bytes, options: &Options) -> Result<Self, ReadError> {
        let encoding = options.encoding.as_ref().map(|name| {
            let known = encoding_rs::Encoding::for_label(name.as_bytes());
            known.ok_or_else(|| form(format!(
                "cannot be read as {name:?}, which is not an encoding; use utf-8, utf-16le, gb18030 or windows-1252"
            )))
        });
        let (mut source, is_gzip) = unpacked(source)?;
        let whole = |error| of_gzip(is_gzip, error);
        let begin = source.fill_buf().map_err(|error| whole(error.into()))?;
        let found = Found::default();
        let (kind, mut notes) = if begin.starts_with(b"PK\x03\x04") {
            let sheet =
                Sheet::read_from(source, options.workbook_bytes.unwrap_or(WORKBOOK_BYTES)).map_err(whole)?;
            let mut notes = Vec::new();
            if !sheet.others.is_empty() {
                notes.push(format!(
                    "sheet {:?} is read; these are not: {}",
                    sheet.name,
                    sheet.others.join(", ")
                ));
            }
            let by_clock = sheet.by_clock.clone();
            let table = Table::of_sheet(sheet, &options.mapping)?;
            notes.extend(table.by_clock(&by_clock));
            (Kind::Table(Box::new(table)), notes)
        } else if options.format == Some(Format::Xlsx) {
            return Err(form("is not a workbook (.xlsx)"));
        } else {
            refuse_others(begin)?;
            let text = Ahead::new(Utf8::new(source, encoding.transpose()?, found.clone()));
            (Kind::of(text, options).map_err(whole)?, Vec::new())
        };
        if let Kind::Table(table) = &kind {
            notes.extend(table.unknown());
        }
        Ok(Self { kind, encoding: found, notes, is_gzip })
    }

    pub(crate) fn about(&self) -> About {
        let mut notes = self.notes.clone();
        if let Some(encoding) = self.encoding.get() {
            notes.insert(
                0,
                format!(
                    "read as {}; if texts look wrong, name the encoding with --encoding",
                    encoding.name()
                ),
            );
        }
        let part = match &self.kind {
            Kind::Lines(_) => Part::Line,
            Kind::Values(..) => Part::Element,
            Kind::Table(_) => Part::Row,
        };
        About { part, notes }
    }

    /// Reads to the end, for what would refuse it as a whole.
    pub(crate) fn check(self) -> Result<(), ReadError> {
        let is_gzip = self.is_gzip;
        let checked = match self.kind {
            // Each line stands for itself.
            Kind::Lines(mut source) if is_gzip => {
                std::io::copy(&mut source, &mut std::io::sink()).map(drop).map_err(Into::into)
            }
            Kind::Lines(_) => Ok(()),
            Kind::Values(source, layout) => json_values::read(source, layout, |_| true),
            Kind::Table(mut table) => {
                let mut record = Record::default();
                let mut any = false;
                loop {
                    match table.read(&mut record) {
                        Ok(true) => any = true,
                        Ok(false) if any => break Ok(()),
                        Ok(false) => break Err(ReadError::Empty),
                        Err(error) => break Err(error),
                    }
                }
            }
        };
        checked.map_err(|error| of_gzip(is_gzip, error))
    }

    /// Gives all rows.
    pub(crate) fn rows(&mut self, defaults: &Map<String, Value>, sink: &Sink) -> Result<(), ReadError> {
        let mut keys = Keys::default();
        let mut any = false;
        let mut send = |row: Row| {
            any = true;
            sink.blocking_send(Ok(row)).is_ok()
        };
        let read = match &mut self.kind {
            Kind::Lines(source) => json_lines::read(source, |number, line| {
                send(match line {
                    Some(json) => with_defaults(&mut keys, number, json, defaults),
                    None => too_long(number),
                })
            }),
            Kind::Values(source, layout) => {
                let each = |element: &Element| {
                    send(match element.is_too_long() {
                        true => too_long(element.number),
                        false => {
                            with_defaults(&mut keys, element.number, element.bytes.trim_ascii(), defaults)
                        }
                    })
                };
                json_values::read(source, *layout, each)
            }
            Kind::Table(table) => of_table(table, &mut keys, defaults, &mut send),
        };
        read.map_err(|error| of_gzip(self.is_gzip, error))?;
        if any { Ok(()) } else { Err(ReadError::Empty) }
    }
}

impl Kind {
    fn of(mut text: Text, options: &Options) -> Result<Self, ReadError> {
        let table = |text| Table::of_text(text, &options.mapping).map(|table| Self::Table(Box::new(table)));
        let is_json = [options.format, options.named].contains(&Some(Format::Json));
        match options.format {
            Some(Format::JsonLines) => return Ok(Self::Lines(text)),
            Some(Format::Csv) => return table(text),
            Some(Format::Json | Format::Xlsx) | None => {}
        }
        match first(&mut text)? {
            First::Nothing => Err(ReadError::Empty),
            First::Array => Ok(Self::Values(text, Layout::Array)),
            First::ObjectOnALine if options.format != Some(Format::Json) => Ok(Self::Lines(text)),
            First::ObjectOnALine | First::Object => Ok(Self::Values(text, Layout::Sequence)),
            First::Other if options.named == Some(Format::JsonLines) => Ok(Self::Lines(text)),
            First::Other if is_json => Err(form("is not JSON: it must begin with [ or {")),
            First::Other => table(text),
        }
    }
}

fn of_table(
    table: &mut Table<Text>,
    keys: &mut Keys,
    defaults: &Map<String, Value>,
    send: &mut impl FnMut(Row) -> bool,
) -> Result<(), ReadError> {
    let mut record = Record::default();
    while table.read(&mut record)? {
        let row = match table.request(&record) {
            Ok(mut request) => {
                fill(&mut request, defaults);
                keys.object(record.row, Value::Object(request))
            }
            Err((request, invalid)) => {
                let text = |field: &str| Some(request.get(field)?.as_str()?.to_owned());
                let (custom_id, title) = (text("custom_id"), text("title"));
                Row { number: record.row, custom_id, title, read: Err(shortened(invalid)) }
            }
        };
        if !send(row) {
            break;
        }
    }
    Ok(())
}

fn with_defaults(keys: &mut Keys, number: u64, json: &[u8], defaults: &Map<String, Value>) -> Row {
    if defaults.is_empty() {
        return keys.row(number, json);
    }
    match serde_json::from_slice(json) {
        Ok(Value::Object(mut request)) => {
            fill(&mut request, defaults);
            keys.object(number, Value::Object(request))
        }
        _ => keys.row(number, json),
    }
}

fn form(text: impl Into<String>) -> ReadError {
    ReadError::Form(text.into())
}

/// What a library says of an archive is none of the reader's words.
fn of_gzip(is_gzip: bool, error: ReadError) -> ReadError {
    use std::io::ErrorKind::{FileTooLarge, InvalidData, InvalidInput, UnexpectedEof};
    match error {
        ReadError::Io(error) if is_gzip => match error.kind() {
            InvalidData | InvalidInput | UnexpectedEof => {
                form("is not a whole gzip file: download or pack it again")
            }
            FileTooLarge => form("unpacks to more than 16 GiB: divide it"),
            _ => ReadError::Io(error),
        },
        error => error,
    }
}
