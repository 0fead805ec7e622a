//! Logs, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::args::Global;
use crate::config::{Log, LogFormat};
use crate::exit::usage;

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
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // It would be written to standard error, and panic where that is closed.
        .log_internal_errors(false);
    let started = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))
}
