//! Audio: what there is, fetching it, and proving that storage still has it.

use std::io::Write as _;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde::Serialize;
use songmill_api::views::JobDetail;
use songmill_core::job::StateName;
use songmill_core::view::{AssetView, JobView};
use songmill_core::{BatchRef, JobId, Tenant};

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::exit::Exit;
use crate::export::files::{Hashed, safe_name};
use crate::job::{self, ListArgs};
use crate::{output, verify};

#[derive(Debug, Subcommand)]
pub(crate) enum AssetCommand {
    /// Lists audio: of the newest jobs first, or a batch's in the order of its lines
    List {
        /// Only of this batch (TENANT/NAME for another tenant's)
        #[arg(long)]
        batch: Option<BatchRef>,
        /// Only this tenant's
        #[arg(long)]
        tenant: Option<Tenant>,
        /// Of at most so many jobs
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Fetches a piece of audio
    Get {
        /// The job, with /N for another piece than the first
        #[arg(value_name = "JOB[/N]")]
        asset: AssetId,
        /// Where to, or - for standard output [default: the file's own name, here]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Reads all audio in the storage of the settings, and says what is not as it was stored
    Verify(verify::VerifyArgs),
}

/// A piece of audio of a job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AssetId {
    job: JobId,
    n: usize,
}

impl FromStr for AssetId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (job, n) = text.split_once('/').unwrap_or((text, "1"));
        let n = n.parse().ok().filter(|n| *n > 0).ok_or("assets are numbered from 1")?;
        Ok(Self { job: job.parse().map_err(|error| format!("{error}"))?, n })
    }
}

/// `songmill asset`.
pub(crate) async fn run(global: &Global, command: AssetCommand) -> Result<Exit> {
    match command {
        AssetCommand::List { batch, tenant, limit } => {
            let state = vec![StateName::Completed];
            let args = ListArgs { state, vendor: None, batch, custom_id: None, code: None, tenant, limit };
            list(global, &Client::open(global).await?, &args).await
        }
        AssetCommand::Get { asset: AssetId { job, n }, output } => {
            get(&Client::open(global).await?, job, n, output).await
        }
        AssetCommand::Verify(args) => verify::run(global, &args).await,
    }
}

/// A piece of audio, with the job it is of.
#[derive(Serialize)]
struct Listed<'a> {
    job: JobId,
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_ms: Option<u64>,
    #[serde(flatten)]
    asset: &'a AssetView,
}

async fn list(global: &Global, client: &Client, args: &ListArgs) -> Result<Exit> {
    let mut table = output::table(&["JOB", "N", "PATH", "DURATION", "BYTES", "FLAGS"]);
    job::each(client, args, |job: JobView| {
        for asset in &job.assets {
            if global.json {
                output::json_line(&Listed { job: job.id, erased_ms: job.erased_ms, asset })?;
                continue;
            }
            let flags: Vec<_> = asset.flags.iter().map(|flag| flag.as_str()).collect();
            table.add_row([
                job.id.to_string(),
                asset.n.to_string(),
                if job.erased_ms.is_some() { "(erased)".into() } else { asset.path.clone() },
                output::span(asset.duration_ms),
                asset.bytes.to_string(),
                flags.join(" "),
            ]);
        }
        Ok(())
    })
    .await?;
    if !global.json && table.row_count() == 0 {
        output::line("no audio yet")?;
    } else if !global.json {
        output::print(&table)?;
    }
    Ok(Exit::Ok)
}

/// Fetches a job's piece of this number.
pub(crate) async fn get(client: &Client, id: JobId, n: usize, to: Option<PathBuf>) -> Result<Exit> {
    let detail: JobDetail = client.value(Ask::get(format!("/v1/jobs/{id}"))).await?;
    let asset = detail.job.assets.get(n.max(1) - 1).with_context(|| {
        format!("job {id} is {} and has {} files", detail.job.state, detail.job.assets.len())
    })?;
    let mut answer = client.ask(Ask::get(&asset.url)).await?;
    if to.as_ref().is_some_and(|to| to.as_os_str() == "-") {
        let mut out = Hashed::new(output::Out::open(), asset);
        answer.copy(&mut out).await?;
        out.checked(asset)?.flush()?;
        return Ok(Exit::Ok);
    }
    let to = to.unwrap_or_else(|| safe_name(id, asset).into());
    output::write_whole(&to, async |file| {
        let mut file = Hashed::new(file, asset);
        answer.copy(&mut file).await?;
        file.checked(asset).map(drop)
    })
    .await?;
    output::line(format_args!("{} ({} bytes)", to.display(), asset.bytes))?;
    Ok(Exit::Ok)
}
