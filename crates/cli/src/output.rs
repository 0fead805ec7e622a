//! Tables for people, JSON for programs. Nothing else in the program writes to standard output or standard error.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use comfy_table::{ContentArrangement, presets};
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::printable::{Printable, PrintableJson, PrintableLines};

/// Whether a person reads standard output.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Standard output, the one way there.
pub(crate) struct Out(io::StdoutLock<'static>);

/// Standard output takes no more. Not to be confused with any other pipe or connection that breaks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// Whoever reads it has enough, as `head` has.
    #[error("standard output was closed")]
    Closed,
    /// It cannot be written to.
    #[error("cannot write to standard output")]
    Failed(#[source] io::Error),
}

impl Out {
    /// Standard output, for this thread alone until it is dropped.
    pub(crate) fn open() -> Self {
        Self(io::stdout().lock())
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(ours)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(ours)
    }
}

/// A pipe has no places.
impl io::Seek for Out {
    fn seek(&mut self, _to: io::SeekFrom) -> io::Result<u64> {
        Err(ErrorKind::NotSeekable.into())
    }
}

fn ours(error: io::Error) -> io::Error {
    match error.kind() {
        // What `write_all` tries again.
        ErrorKind::Interrupted => error,
        ErrorKind::BrokenPipe => io::Error::other(OutputError::Closed),
        _ => io::Error::other(OutputError::Failed(error)),
    }
}

/// What went wrong with standard output, where that is what went wrong.
pub(crate) fn output_error(error: &anyhow::Error) -> Option<&OutputError> {
    error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref())
}

/// Writes what is still on its way to standard output.
pub(crate) fn flush() -> Result<()> {
    Ok(Out::open().flush()?)
}

/// Prints text of our own as it is: a file, a script for a shell.
pub(crate) fn text(text: &[u8]) -> Result<()> {
    Ok(Out::open().write_all(text)?)
}

/// Prints a line; what is in it cannot act on a terminal, or begin another line.
pub(crate) fn line(text: impl Display) -> Result<()> {
    Ok(writeln!(Out::open(), "{}", Printable(text))?)
}

/// Prints lines that are made here.
pub(crate) fn lines(text: impl Display) -> Result<()> {
    Ok(writeln!(Out::open(), "{}", PrintableLines(text))?)
}

/// Prints a line on standard error. Nobody may read it: that is no reason to end.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{}", Printable(text));
}

/// Prints help on standard error, as it is.
pub(crate) fn help(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints a value as JSON: pretty on a terminal, on one line in a pipe.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    if is_terminal() { json_text(&serde_json::to_string_pretty(value)?) } else { json_line(value) }
}

/// Prints a value as one line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> Result<()> {
    json_text(&serde_json::to_string(value)?)
}

/// Prints JSON that is written already.
pub(crate) fn json_text(json: &str) -> Result<()> {
    Ok(writeln!(Out::open(), "{}", PrintableJson(json))?)
}

/// A table whose cells cannot act on a terminal, or begin another row.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// How many rows it has.
    pub(crate) fn row_count(&self) -> usize {
        self.0.row_count()
    }

    /// Adds a row.
    pub(crate) fn add_row<T: Display>(&mut self, row: impl IntoIterator<Item = T>) {
        self.0.add_row(row.into_iter().map(|cell| Printable(cell).to_string()).collect::<Vec<_>>());
    }
}

/// A table with these columns.
pub(crate) fn table(columns: &[&str]) -> Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING).set_header(columns);
    if is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    Table(table)
}

/// Prints a table without trailing blanks.
pub(crate) fn print(table: &Table) -> Result<()> {
    let mut out = Out::open();
    for row in table.0.lines() {
        writeln!(out, "{}", row.trim_end())?;
    }
    Ok(())
}

/// An RFC 3339 moment in ms since 1970.
pub(crate) fn millis(moment: &str) -> Option<u64> {
    u64::try_from(moment.parse::<jiff::Timestamp>().ok()?.as_millisecond()).ok()
}

/// An RFC 3339 moment as local time with its zone: the clock alone where it is today.
pub(crate) fn local(moment: &str) -> Option<String> {
    let at: jiff::Timestamp = moment.parse().ok()?;
    let zone = jiff::tz::TimeZone::system();
    let (at, now) = (at.to_zoned(zone.clone()), jiff::Timestamp::now().to_zoned(zone));
    let format = if at.date() == now.date() { "%H:%M %Z" } else { "%Y-%m-%d %H:%M %Z" };
    Some(at.strftime(format).to_string())
}

/// A moment for people: UTC, to the second.
pub(crate) fn moment(millis: u64) -> String {
    match i64::try_from(millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok()) {
        Some(moment) => moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        None => "?".into(),
    }
}

/// A length of time for people.
pub(crate) fn span(millis: u64) -> String {
    let secs = millis / 1000;
    match secs {
        0..60 => format!("{secs}.{} s", millis % 1000 / 100),
        60..3600 => format!("{}:{:02} min", secs / 60, secs % 60),
        3600..172_800 => format!("{}:{:02} h", secs / 3600, secs / 60 % 60),
        _ => format!("{} d", secs / 86_400),
    }
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a whole file is written to: a file, or where that cannot be sought in, a pipe.
pub(crate) trait WriteSeek: Write + io::Seek {}
impl<T: Write + io::Seek> WriteSeek for T {}

/// What files on their way are called.
pub(crate) const PART: &str = ".songmill-part-";

/// The folder of a file.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that takes its name later, with the permissions of any other.
pub(crate) fn part_in(folder: &Path) -> io::Result<NamedTempFile> {
    let everybodys = std::fs::Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(PART).permissions(everybodys).tempfile_in(folder)
}

/// Writes a file, which takes its name only when all of it is there.
pub(crate) async fn write_whole(
    to: &Path,
    write: impl AsyncFnOnce(&mut dyn WriteSeek) -> Result<()>,
) -> Result<()> {
    // A link is followed; a device, a pipe or a terminal is written to as it is.
    let followed = to.canonicalize();
    let to = followed.as_deref().unwrap_or(to);
    if to.metadata().is_ok_and(|known| !known.is_file()) {
        if is_standard_output(to) {
            let mut out = Out::open();
            write(&mut out).await?;
            return Ok(out.flush()?);
        }
        let cannot = || format!("cannot write to {}", to.display());
        let mut out = std::fs::File::options().write(true).open(to).with_context(cannot)?;
        write(&mut out).await?;
        return Ok(());
    }
    let cannot = || format!("cannot write {}", to.display());
    let temp = part_in(folder_of(to)).with_context(cannot)?;
    let mut out = std::io::BufWriter::new(temp.as_file());
    write(&mut out).await?;
    out.flush().with_context(cannot)?;
    drop(out);
    temp.persist(to).with_context(cannot)?;
    Ok(())
}

/// Whether a path, such as /dev/stdout, is another name of standard output.
fn is_standard_output(path: &Path) -> bool {
    let ours = io::stdout().as_fd().try_clone_to_owned().and_then(|fd| std::fs::File::from(fd).metadata());
    match (ours, path.metadata()) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}
