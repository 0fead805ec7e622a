//! Logs, on standard error.

use std::io::{IsTerminal as _, Write};

use tracing_subscriber::EnvFilter;

use crate::args::Global;
use crate::config::{Log, LogFormat};
use crate::exit::usage;
use crate::printable::{PrintableJson, PrintableLog};

/// Starts logging; commands that only look at things are quiet unless asked.
pub(crate) fn start(log: &Log, global: &Global, quiet: bool) -> anyhow::Result<()> {
    let level = match global.verbose {
        0 if quiet => "warn".to_owned(),
        0 => log.level.clone(),
        1 => "info,songmill=debug,songmill_store=debug,songmill_worker_generate=debug,songmill_worker_deliver=debug,songmill_callback_listener=debug,songmill_api=debug".into(),
        _ => "trace".into(),
    };
    // What apalis says of its own workers and tasks stands in our own lines.
    let filter = EnvFilter::try_new(format!(
        "{level},apalis=error,apalis_core=error,hyper_util=warn,lofty=error,symphonia=error"
    ))
    .map_err(|error| usage(format!("log.level: {error}")))?;
    let json = log.format == LogFormat::Json;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Escaped(json))
        .with_target(false)
        // It would be written to standard error, and panic where that is closed.
        .log_internal_errors(false);
    let started = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))
}

/// Standard error, where a log line acts on no terminal. A line is written at once.
struct Escaped(bool);

impl Write for Escaped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let mut to = std::io::stderr();
        match self.0 {
            true => write!(to, "{}", PrintableJson(&text))?,
            false => write!(to, "{}", PrintableLog(&text))?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
