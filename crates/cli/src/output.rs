//! Tables for people, JSON for programs.

use std::io::{IsTerminal as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// Whether a person reads standard output.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Prints a value as JSON: pretty on a terminal, on one line in a pipe.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let text =
        if is_terminal() { serde_json::to_string_pretty(value)? } else { serde_json::to_string(value)? };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// Prints a value as one line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> Result<()> {
    writeln!(std::io::stdout(), "{}", serde_json::to_string(value)?)?;
    Ok(())
}

/// Prints a line.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// A table with these columns.
pub(crate) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns);
    if is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// Prints a table without trailing blanks.
pub(crate) fn print(table: &Table) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for row in table.lines() {
        writeln!(out, "{}", row.trim_end())?;
    }
    Ok(())
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

/// Writes a file, which takes its name only when all of it is there.
pub(crate) async fn write_whole(
    to: &Path,
    write: impl AsyncFnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    // A link is followed; a device, a pipe or a terminal is written to as it is.
    let followed = to.canonicalize();
    let to = followed.as_deref().unwrap_or(to);
    if to.metadata().is_ok_and(|known| !known.is_file()) {
        let cannot = || format!("cannot write to {}", to.display());
        let mut out = std::fs::File::options().write(true).open(to).with_context(cannot)?;
        write(&mut out).await?;
        return Ok(());
    }
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = || format!("cannot write {}", to.display());
    let everybodys = std::fs::Permissions::from_mode(0o666);
    let temp = tempfile::Builder::new().permissions(everybodys).tempfile_in(folder).with_context(cannot)?;
    let mut out = std::io::BufWriter::new(temp.as_file());
    write(&mut out).await?;
    out.flush().with_context(cannot)?;
    drop(out);
    temp.persist(to).with_context(cannot)?;
    Ok(())
}
