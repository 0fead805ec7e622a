//! Exports of a batch: its audio with a manifest and a playlist, as a folder, a tar or a zip.
//!
//! Nothing takes its name before all of it is there. The manifest and the playlist come last: where they are, the rest is.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use axum::http::Method;
use songmill_api::views::BatchView;
use songmill_core::BatchRef;

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::exit::{Exit, usage};
use crate::output;

mod archive;
mod bring;
pub(crate) mod files;
mod manifest;
mod names;

use archive::Form;
use bring::{Export, Sum};
use files::ready;
use manifest::MANIFEST;
use names::{TEMPLATE, Template};

/// What is exported, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// Batch name; TENANT/NAME for another tenant's
    name: BatchRef,
    /// Folder to write into, or archive to write when it ends in .tar or .zip
    #[arg(short, long, visible_alias = "to", value_name = "DIR|FILE")]
    output: PathBuf,
    /// File names: fields in braces are index, title, n (which of a song's files), ext, custom_id, id, vendor and batch
    #[arg(long, value_name = "TEMPLATE", default_value = TEMPLATE)]
    names: Template,
}

/// Endings of archives that are not written.
const OTHER_ARCHIVES: [&str; 8] = ["gz", "tgz", "7z", "rar", "bz2", "xz", "zst", "tbz"];

/// `songmill batch export`.
pub(crate) async fn run(global: &Global, client: &Client, args: &ExportArgs) -> Result<Exit> {
    let ExportArgs { name, output: to, names } = args;
    let ending = to.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    if OTHER_ARCHIVES.contains(&&*ending) || Form::of(to).is_none() && to.is_file() {
        return Err(usage(format!(
            "--output: {} is no folder, .zip or .tar; name one of these",
            to.display()
        )));
    }
    let batch: BatchView = client.value(Ask::batch(Method::GET, name, "")).await?;
    let sum = if let Some(form) = Form::of(to) {
        if form == Form::Zip && to.metadata().is_ok_and(|known| !known.is_file()) {
            return Err(usage(format!(
                "--output: {} is no file; a zip cannot be written to it",
                to.display()
            )));
        }
        let folder = output::folder_of(to);
        let spool = tempfile::Builder::new().prefix(output::PART).tempdir_in(folder);
        let spool = spool.with_context(|| format!("cannot write to {}", folder.display()))?;
        let export = Export { client, name, batch: &batch, names, folder: spool.path(), keep: false };
        let mut sum = Sum::default();
        output::write_whole(to, async |out| {
            sum = export.archive(form, out).await?;
            Ok(())
        })
        .await?;
        sum
    } else {
        ready(to)?;
        let export = Export { client, name, batch: &batch, names, folder: to, keep: true };
        export.folder().await?
    };
    say(global, &batch, &sum, args)?;
    Ok(if sum.missing + sum.gone == 0 && batch.settled { Exit::Ok } else { Exit::Some })
}

fn say(global: &Global, batch: &BatchView, sum: &Sum, args: &ExportArgs) -> Result<()> {
    let ExportArgs { name, output: to, .. } = args;
    if global.json {
        return output::json(&serde_json::json!({
            "batch": name.to_string(), "to": to, "jobs": sum.jobs, "files": sum.files, "bytes": sum.bytes,
            "missing": sum.missing, "gone": sum.gone, "settled": batch.settled,
        }));
    }
    output::line(format_args!(
        "Exported {} of {} to {} ({})",
        counted(sum.files, "file", "files"),
        counted(sum.jobs, "job", "jobs"),
        to.display(),
        indicatif::BinaryBytes(sum.bytes)
    ))?;
    if sum.missing > 0 {
        output::line(format_args!(
            "{} could not be fetched; {MANIFEST} says why",
            counted(sum.missing, "file", "files")
        ))?;
    }
    if sum.gone > 0 {
        output::line(format_args!(
            "{} past retention; {MANIFEST} has only their ids",
            counted(sum.gone, "job is", "jobs are")
        ))?;
    }
    if !batch.settled {
        output::line("The batch is still running; run export again when it finishes")?;
    }
    Ok(())
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
