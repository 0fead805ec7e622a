//! Lines that were refused, with each fault.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use songmill_core::song::{Invalid, Problem};

use crate::output;

/// Bad lines, written to a file as they are found.
pub(crate) struct BadLines {
    path: PathBuf,
    file: Option<std::io::BufWriter<std::fs::File>>,
    failed: Option<std::io::Error>,
    first: Vec<String>,
    /// How many.
    pub(crate) count: u64,
    /// How many of them are not in the file, because not even the server kept them.
    more: u64,
}

/// One fault of a bad line, as it is written down.
#[derive(Serialize)]
struct BadLine<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_id: Option<&'a str>,
    #[serde(flatten)]
    problem: &'a Problem,
}

/// How many bad lines are shown at once.
const SHOWN: usize = 10;

impl BadLines {
    /// Writes bad lines to `to`, or to a file beside the one they come from.
    pub(crate) fn beside(file: &Path, to: Option<&Path>) -> Self {
        let beside = || {
            let mut name = if file == Path::new("-") { "stdin".into() } else { file.as_os_str().to_owned() };
            name.push(".errors.jsonl");
            PathBuf::from(name)
        };
        Self::at(to.map_or_else(beside, Path::to_owned))
    }

    /// Writes bad lines to this file.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, file: None, failed: None, first: Vec::new(), count: 0, more: 0 }
    }

    /// Writes a bad line down.
    pub(crate) fn refuse(&mut self, line: u64, custom_id: Option<String>, invalid: Invalid) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(format!("  line {line}: {invalid}"));
        }
        if let Err(error) = self.write(line, custom_id.as_deref(), &invalid) {
            self.failed.get_or_insert(error);
        }
    }

    fn write(&mut self, line: u64, custom_id: Option<&str>, invalid: &Invalid) -> std::io::Result<()> {
        if self.file.is_none() {
            self.file = Some(std::io::BufWriter::new(std::fs::File::create(&self.path)?));
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        for problem in &invalid.problems {
            serde_json::to_writer(&mut *file, &BadLine { line, custom_id, problem })?;
            file.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Closes the file; one of an earlier run that says nothing any more is removed.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let flushed = match self.file.take() {
            Some(mut file) => file.flush(),
            None if self.path.is_file() => std::fs::remove_file(&self.path),
            None => Ok(()),
        };
        let written = self.failed.take().map_or(flushed, Err);
        written.with_context(|| format!("bad lines cannot be written to {}", self.path.display()))
    }

    /// The file, if anything stands in it.
    pub(crate) fn path_if_any(&self) -> Option<&Path> {
        (self.count > 0).then_some(self.path.as_path())
    }

    /// Says that there were so many, of which not even a server kept all.
    pub(crate) fn were(&mut self, count: u64) {
        self.more = count.saturating_sub(self.count);
        self.count = self.count.max(count);
    }

    /// Shows the first of them.
    pub(crate) fn say(&self) -> Result<()> {
        for line in &self.first {
            output::line(line)?;
        }
        if self.count > 0 {
            let file = self.path.display();
            match self.more {
                0 => output::line(format_args!("every refused line is in {file} with its field and reason"))?,
                more => output::line(format_args!(
                    "refused lines are in {file} with their fields and reasons, but for {more} that the server did not keep"
                ))?,
            }
        }
        Ok(())
    }
}
