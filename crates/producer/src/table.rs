//! The rows of a table of comma-separated values, one by one in bounded memory.

use std::cell::Cell;
use std::io::BufRead;
use std::rc::Rc;

use serde_json::{Map, Value};
use songmill_core::song::{Field, Invalid};

use crate::lines::{Keys, LINE_BYTES, Line, Lines, ReadError};

pub(crate) fn read_csv(source: impl BufRead, keys: &mut Keys, lines: &Lines) -> Result<(), ReadError> {
    let spent = Rc::new(Cell::new(0));
    let source = Budgeted { source, spent: spent.clone() };
    let mut csv = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(source);
    let broken = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
            ReadError::Form(error.to_string())
        }
        csv::ErrorKind::Io(error) => ReadError::Io(error),
        kind => ReadError::Form(format!("the first line must name the fields: {kind:?}")),
    };
    let header = csv.headers().map_err(broken)?.clone();
    let known = |name: &str| {
        let field = |field: &Field| field.as_str() == name;
        // `options.<vendor>.<field>`, and nothing deeper.
        name.strip_prefix("options.").is_some_and(|rest| rest.split('.').count() == 2)
            || ["custom_id", "vendor", "require"].contains(&name)
            || Field::ALL.iter().any(field)
    };
    if let Some(name) = header.iter().find(|name| !known(name)) {
        return Err(ReadError::Form(format!(
            "names a field in its first line that there is not: {name:?}; see `songmill schema`"
        )));
    }
    let mut record = csv::StringRecord::new();
    loop {
        spent.set(0);
        let line = match csv.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let number = record.position().map_or(0, csv::Position::line);
                keys.line(number, object(&header, &record).to_string().as_bytes())
            }
            Err(error) if error.is_io_error() => return Err(broken(error)),
            Err(error) => {
                let number = error.position().map_or(0, csv::Position::line);
                let fault =
                    Invalid::one("(line)", error.to_string(), "give every line as many fields as the header");
                Line { number, custom_id: None, read: Err(fault) }
            }
        };
        if lines.blocking_send(Ok(line)).is_err() {
            return Ok(());
        }
    }
}

/// A reader that ends when one record takes too much: a quote that is never closed would take all there is.
struct Budgeted<R> {
    source: R,
    spent: Rc<Cell<u64>>,
}

impl<R: BufRead> std::io::Read for Budgeted<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.spent.get() > LINE_BYTES {
            let why = "a record is longer than 1 MiB; is a quote not closed?";
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, why));
        }
        let read = self.source.read(into)?;
        self.spent.set(self.spent.get() + read as u64);
        Ok(read)
    }
}

/// A record as the object that a JSON line would be: empty fields are left out, `a.b.c` makes objects.
fn object(header: &csv::StringRecord, record: &csv::StringRecord) -> Value {
    let mut object = Map::new();
    for (name, text) in header.iter().zip(record) {
        if text.is_empty() {
            continue;
        }
        let mut at = &mut object;
        let mut parts = name.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                at.insert(part.to_owned(), value(name, text));
                break;
            }
            let inner = at.entry(part.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(inner) = inner else { break };
            at = inner;
        }
    }
    Value::Object(object)
}

fn value(name: &str, text: &str) -> Value {
    let list = |text: &str| Value::Array(text.split(';').map(|part| Value::from(part.trim())).collect());
    match name {
        "vendor" if text.contains(';') => list(text),
        "require" => list(text),
        "duration_s" | "seed" | "count" | "instrumental" => plain(text),
        _ if name.starts_with("options.") => plain(text),
        _ => Value::from(text),
    }
}

/// A number or a truth where it reads as one, else the text.
fn plain(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_))) => value,
        _ => Value::from(text),
    }
}
