//! Rows that were rejected, with each fault.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::Serialize;
use songmill_core::song::{Invalid, Problem};
use songmill_producer::parse::{self, Known, Options, Part};
use songmill_store::Refused;
use tempfile::NamedTempFile;

use crate::exit::usage;
use crate::{input, output};

/// Rejected rows, written down as they are found: those of a table as they stand there with a column `error`, to be
/// corrected and submitted again; those of anything else fault by fault as JSON lines.
pub(crate) struct Rejected {
    /// Where they come from; not set where that cannot be read again.
    table: Option<PathBuf>,
    options: Options,
    /// What is known of the input.
    known: Known,
    to: PathBuf,
    is_named: bool,
    file: Option<std::io::BufWriter<NamedTempFile>>,
    failed: Option<std::io::Error>,
    first: Vec<String>,
    /// What is wrong with rows of a table, by their numbers; most are said of many rows.
    reasons: Vec<(u64, Arc<str>)>,
    said: HashSet<Arc<str>>,
    said_bytes: usize,
    /// How many.
    pub(crate) count: u64,
    /// How many of them are not in the file, because not even the server kept them.
    more: u64,
}

/// One fault of a rejected row, as it is written down.
#[derive(Serialize)]
struct Fault<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(flatten)]
    problem: &'a Problem,
}

/// How many rejected rows are shown at once.
const SHOWN: usize = 10;
/// How many bytes of reasons are held for the rows of a table; further ones are told in few words.
const REASONS: usize = 24 << 20;

impl Rejected {
    /// Writes rejected rows of a file to `to`, or to a file beside it.
    pub(crate) fn of(file: &Path, to: Option<&Path>, options: &Options, known: Known) -> Result<Self> {
        let same = |to: &Path| Some(to.canonicalize().ok()? == file.canonicalize().ok()?);
        if to.and_then(same) == Some(true) {
            return Err(usage(format!(
                "--rejected: {} is the file that is submitted; name another",
                file.display()
            )));
        }
        let table = (!input::is_standard(file)).then(|| file.to_owned());
        let beside = || {
            let name = if input::is_standard(file) { Path::new("stdin") } else { file };
            let mut name = name.with_extension("").into_os_string();
            name.push(".rejected.jsonl");
            PathBuf::from(name)
        };
        Ok(Self {
            table,
            options: options.clone(),
            known,
            to: to.map_or_else(beside, Path::to_owned),
            is_named: to.is_some(),
            file: None,
            failed: None,
            first: Vec::new(),
            reasons: Vec::new(),
            said: HashSet::new(),
            said_bytes: 0,
            count: 0,
            more: 0,
        })
    }

    /// Notes a rejected row.
    pub(crate) fn reject(&mut self, row: &Refused) {
        self.count += 1;
        let Refused { line, custom_id, title, problems, .. } = row;
        let part = self.known.get().part;
        if self.first.len() < SHOWN {
            let name =
                title.as_ref().or(custom_id.as_ref()).map_or_else(String::new, |name| format!(" {name:?}"));
            self.first.push(format!("  {} {line}{name}, {}", part.as_str(), said(problems)));
        }
        if part == Part::Row && self.table.is_some() {
            let reason = self.shared(said(problems));
            self.reasons.push((*line, reason));
        } else if let Err(error) = self.write(row) {
            self.failed.get_or_insert(error);
        }
    }

    fn shared(&mut self, mut reason: String) -> Arc<str> {
        if !self.said.contains(&*reason) {
            if self.said_bytes > REASONS {
                reason = "rejected; submit it alone to see why".to_owned();
            }
            self.said_bytes += reason.len() + 64;
        }
        if let Some(known) = self.said.get(&*reason) {
            return known.clone();
        }
        let reason: Arc<str> = reason.into();
        self.said.insert(reason.clone());
        reason
    }

    fn write(&mut self, row: &Refused) -> std::io::Result<()> {
        if self.file.is_none() {
            self.file = Some(std::io::BufWriter::new(output::part_in(output::folder_of(&self.to))?));
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let Refused { line, custom_id, title, problems, .. } = row;
        for problem in problems {
            let (custom_id, title) = (custom_id.as_deref(), title.as_deref());
            serde_json::to_writer(&mut *file, &Fault { line: *line, custom_id, title, problem })?;
            file.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Closes the file. One of an earlier run stays as it is: somebody may have corrected it.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let cannot = |to: &Path| format!("rejected rows cannot be written to {}", to.display());
        if self.known.get().part == Part::Row && self.table.is_some() && !self.is_named {
            self.to.set_extension("csv");
        }
        if let (Some(table), false) = (&self.table, self.reasons.is_empty()) {
            // The last thing said of a row counts.
            self.reasons.sort_by_key(|(row, _)| *row);
            let file = output::part_in(output::folder_of(&self.to)).with_context(|| cannot(&self.to))?;
            let mut to = std::io::BufWriter::new(file);
            parse::write_rejected(table, &self.options, &self.reasons, &mut to)
                .with_context(|| cannot(&self.to))?;
            self.file = Some(to);
        }
        if let Some(error) = self.failed.take() {
            return Err(error).with_context(|| cannot(&self.to));
        }
        if let Some(file) = self.file.take() {
            let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
            let placed = file.and_then(|file| place(file, &self.to, self.is_named));
            self.to = placed.with_context(|| cannot(&self.to))?;
        }
        Ok(())
    }

    /// The file, if anything stands in it.
    pub(crate) fn path_if_any(&self) -> Option<&Path> {
        (self.count > 0).then_some(self.to.as_path())
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
            let file = self.to.display();
            let Options { mapping, defaults, .. } = &self.options;
            let again = match mapping.is_empty() && defaults.is_empty() {
                true => "",
                false => " with the same --map and --default",
            };
            match (self.more, self.reasons.is_empty()) {
                (0, false) => output::line(format_args!(
                    "rejected rows, with reasons: {file} (correct and submit it{again})"
                ))?,
                (0, true) => output::line(format_args!("rejected, with reasons: {file}"))?,
                (more, _) => output::line(format_args!(
                    "rejected, with reasons: {file}; {more} more were not kept by the server"
                ))?,
            }
        }
        Ok(())
    }
}

/// Gives a file its name: where nobody named it, one that no file with other contents has.
fn place(file: NamedTempFile, to: &Path, is_named: bool) -> std::io::Result<PathBuf> {
    let mut free = to.to_owned();
    if !is_named {
        let written = std::fs::read(file.path())?;
        let (stem, ending) = (to.with_extension(""), to.extension().unwrap_or_default());
        for n in 2.. {
            match std::fs::read(&free) {
                Ok(there) if there == written => return Ok(free),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
            let mut name = stem.clone().into_os_string();
            name.push(format!("-{n}."));
            name.push(ending);
            free = name.into();
        }
    }
    file.persist(&free)?;
    Ok(free)
}

/// What is wrong, field by field.
fn said(problems: &[Problem]) -> String {
    let problem = |Problem { field, fault, fix }: &Problem| match field.starts_with('(') {
        true => format!("{fault}; {fix}"),
        false => format!("{field}: {fault}; {fix}"),
    };
    problems.iter().map(problem).collect::<Vec<_>>().join(" | ")
}

/// A row that cannot be planned.
pub(crate) fn refused(
    number: u64,
    custom_id: Option<String>,
    title: Option<String>,
    invalid: Invalid,
) -> Refused {
    Refused { upload: String::new(), line: number, custom_id, title, problems: invalid.problems }
}
