//! Reading many requests from what people have: a table (CSV in any encoding, `.xlsx`), JSON lines, JSON objects or an
//! array of them, plain or gzipped; one by one, in bounded memory.

use std::io::{BufRead, Cursor, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

// What the others stand on.
mod error;
mod row;
mod text;
mod values;
// What stands in a file.
mod columns;
mod json_lines;
mod json_values;
mod options;
mod records;
mod workbook;
// Rows of tables.
mod beginning;
mod table;
mod template;
// What fields a row has beside its own.
mod defaults;
// A file.
mod opened;
mod rejected;

pub use columns::Mapping;
pub use defaults::{default_field, field};
pub use error::ReadError;
pub use opened::{About, Part};
pub use options::{Format, Options};
pub use rejected::write_rejected;
pub use row::Row;
pub use template::template;

use beginning::is_json_lines;
use opened::Opened;
use row::Sink;

/// Where input comes from.
pub enum Input {
    /// A file, which can be read twice.
    File(PathBuf),
    /// A stream. One of at most 4 MiB is read whole before the first row is given; JSON lines are given as they come.
    Stream(Box<dyn BufRead + Send>),
}

/// An input that is being read.
pub struct Reading {
    /// Its rows. An error comes as the last item; where the input could be read whole before, as the only one.
    pub rows: mpsc::Receiver<Result<Row, ReadError>>,
    /// What is known of it.
    pub about: Known,
}

/// What is known of an input so far: how it is written before its first row comes, all of it once its rows have ended.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<Mutex<About>>);

impl Known {
    /// What is known now.
    pub fn get(&self) -> About {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, about: About) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = about;
    }
}

/// Rows read ahead of what is being submitted.
const AHEAD: usize = 512;
/// How much of a stream is checked before its first row is given.
const HELD: usize = 4 << 20;

/// Starts reading on a thread of its own.
pub fn read(input: Input, options: Options) -> Reading {
    let (sink, rows) = mpsc::channel(AHEAD);
    let about = Known::default();
    let known = about.clone();
    std::thread::spawn(move || {
        let read = catch_unwind(AssertUnwindSafe(|| read_checked(input, &options, &known, &sink)));
        // Rows that end without a word would be taken for all there are.
        let broken =
            |_| Err(ReadError::Form("cannot be read: an internal error, please report it".to_owned()));
        if let Err(error) = read.unwrap_or_else(broken) {
            // A closed channel means that nobody wants to know any more.
            let _ = sink.blocking_send(Err(error));
        }
    });
    Reading { rows, about }
}

/// Reads a file to its end for what would refuse it as a whole.
pub fn check(path: &Path, options: &Options) -> Result<(), ReadError> {
    Opened::file(path, options)?.check()
}

/// Checks what can be checked before any row is given, then gives them.
fn read_checked(input: Input, options: &Options, about: &Known, sink: &Sink) -> Result<(), ReadError> {
    let mut opened = match input {
        Input::File(path) => {
            check(&path, options)?;
            Opened::file(&path, options)?
        }
        Input::Stream(mut source) => {
            let (held, is_all) = hold(&mut source, options.format)?;
            if is_all {
                Opened::open(Box::new(Cursor::new(held.clone())), options)?.check()?;
            }
            Opened::open(Box::new(Cursor::new(held).chain(source)), options)?
        }
    };
    about.set(opened.about());
    let result = opened.rows(&options.defaults, sink);
    // An encoding may be found late.
    about.set(opened.about());
    result
}

/// Reads a stream to its end, as long as it is not too long and may be refused as a whole; whether that is all of it.
fn hold(source: &mut impl BufRead, format: Option<Format>) -> Result<(Arc<[u8]>, bool), ReadError> {
    let mut held = Vec::new();
    let mut alone = format.map(|format| format == Format::JsonLines);
    while alone != Some(true) && held.len() < HELD {
        let ahead = source.fill_buf()?;
        if ahead.is_empty() {
            return Ok((held.into(), true));
        }
        held.extend_from_slice(ahead);
        let some = ahead.len();
        source.consume(some);
        alone = alone.or_else(|| is_json_lines(&held));
    }
    Ok((held.into(), false))
}

#[cfg(test)]
mod tests;
