//! Jobs: what they are, why they wait, and an operator's decisions.

use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgGroup, Args, Subcommand};
use songmill_api::views::{Acted, Blocker, Explained, JobDetail, Listed, Resolution};
use songmill_core::job::StateName;
use songmill_core::song::summary;
use songmill_core::view::{EntryView, JobView};
use songmill_core::{BatchRef, JobId, TaskId, Tenant, VendorName};

use crate::args::Global;
use crate::client::{Ask, Client, refused};
use crate::exit::Exit;
use crate::{asset, output};

mod submit;

use submit::SubmitJobArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Submit one song without a file
    Submit(SubmitJobArgs),
    /// Lists jobs: the newest first, or a batch's in the order of its lines
    List(ListArgs),
    /// Shows a job: its request, state, history and files
    Show {
        /// Its id
        id: JobId,
    },
    /// Says what a job waits for, until when, and what was decided so far
    Explain {
        /// Its id
        id: JobId,
    },
    /// Fetches a job's audio, as `asset get` does
    Get {
        /// Its id
        id: JobId,
        /// Which piece, from 1
        #[arg(long, default_value_t = 1)]
        n: usize,
        /// Where to, or - for standard output [default: the file's own name, here]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Stops a job, upstream too where the vendor can
    Cancel {
        /// Its id
        id: JobId,
    },
    /// Tries a failed or canceled job again
    Retry {
        /// Its id
        id: JobId,
    },
    /// Decides what becomes of a held job
    Resolve(ResolveArgs),
}

/// Which jobs.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only in this state; several with commas between them
    #[arg(long, value_delimiter = ',')]
    pub(crate) state: Vec<StateName>,
    /// Only with this vendor
    #[arg(long)]
    pub(crate) vendor: Option<VendorName>,
    /// Only of this batch (TENANT/NAME for another tenant's)
    #[arg(long)]
    pub(crate) batch: Option<BatchRef>,
    /// Only the one with this id of yours
    #[arg(long)]
    pub(crate) custom_id: Option<String>,
    /// Only those that failed or are held with this code
    #[arg(long)]
    pub(crate) code: Option<String>,
    /// Only this tenant's
    #[arg(long)]
    pub(crate) tenant: Option<Tenant>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: usize,
}

/// An operator's decision.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("choice").required(true)))]
pub(crate) struct ResolveArgs {
    /// The job's id
    id: JobId,
    /// Submit it again, at the risk of paying twice
    #[arg(long, group = "choice")]
    resubmit: bool,
    /// Follow this task of the vendor's
    #[arg(long, group = "choice", value_name = "TASK")]
    adopt: Option<TaskId>,
    /// Download the audio of its task once more, and store it as it is, flagged
    #[arg(long, group = "choice")]
    store: bool,
    /// End it as failed
    #[arg(long, group = "choice")]
    fail: bool,
}

/// `songmill job`.
pub(crate) async fn run(global: &Global, command: JobCommand) -> Result<Exit> {
    let client = Client::open(global).await?;
    match command {
        JobCommand::Submit(args) => submit::run(global, &client, &args).await,
        JobCommand::List(args) => list(global, &client, &args).await,
        JobCommand::Show { id } => show(global, &client, id).await,
        JobCommand::Explain { id } => explained(global, &client, id).await,
        JobCommand::Get { id, n, output } => asset::get(&client, id, n, output).await,
        JobCommand::Cancel { id } => act(global, &client, Ask::post(format!("/v1/jobs/{id}/cancel"))).await,
        JobCommand::Retry { id } => act(global, &client, Ask::post(format!("/v1/jobs/{id}/retry"))).await,
        JobCommand::Resolve(args) => {
            let choice = match (args.resubmit, args.adopt, args.store) {
                (true, ..) => Resolution::Resubmit {},
                (_, Some(task), _) => Resolution::Adopt { task },
                (_, _, true) => Resolution::Store {},
                (_, None, false) => Resolution::Fail {},
            };
            act(global, &client, Ask::post(format!("/v1/jobs/{}/resolve", args.id)).json(&choice)?).await
        }
    }
}

/// Passes jobs on, page by page, at most so many.
pub(crate) async fn each(
    client: &Client,
    args: &ListArgs,
    mut each: impl FnMut(JobView) -> Result<()>,
) -> Result<()> {
    let (mut cursor, mut left) = (None::<String>, args.limit);
    while left > 0 {
        let states: Vec<_> = args.state.iter().map(StateName::to_string).collect();
        let tenant = args.batch.as_ref().map(|batch| &batch.tenant).filter(|tenant| !tenant.is_default());
        let ask = Ask::get("/v1/jobs")
            .with("state", (!states.is_empty()).then(|| states.join(",")))
            .with("vendor", args.vendor.as_ref())
            .with("batch", args.batch.as_ref().map(|batch| &batch.name))
            .with("custom_id", args.custom_id.as_ref())
            .with("code", args.code.as_ref())
            .with("tenant", args.tenant.as_ref().or(tenant))
            .with("cursor", cursor.as_ref())
            .with("limit", Some(left.min(1000)));
        let page: Listed<JobView> = client.value(ask).await?;
        left -= page.data.len().min(left);
        page.data.into_iter().try_for_each(&mut each)?;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}

async fn list(global: &Global, client: &Client, args: &ListArgs) -> Result<Exit> {
    if global.json {
        each(client, args, |job| output::json_line(&job)).await?;
        return Ok(Exit::Ok);
    }
    let mut table = output::table(&["JOB", "STATE", "VENDOR", "CREATED", "BATCH", "SONG", "FAULT"]);
    each(client, args, |job| {
        table.add_row([
            job.id.to_string(),
            job.state.to_string(),
            job.vendor.to_string(),
            output::moment(job.created_ms),
            job.batch.as_ref().map(ToString::to_string).unwrap_or_default(),
            job.title.clone().or(job.custom_id.clone()).unwrap_or_default(),
            job.fault.as_ref().map(|fault| fault.code.clone()).unwrap_or_default(),
        ]);
        Ok(())
    })
    .await?;
    if table.row_count() == 0 {
        output::line("no such jobs")?;
        return Ok(Exit::Ok);
    }
    output::print(&table)?;
    Ok(Exit::Ok)
}

/// Does something to a job. One that it can do nothing to is no error, but said by the exit code.
async fn act(global: &Global, client: &Client, ask: Ask) -> Result<Exit> {
    let acted: Acted = match client.value(ask).await {
        Ok(acted) => acted,
        Err(error) => match refused(&error) {
            Some(problem) if problem.status == 409 => {
                if global.json {
                    output::json(&serde_json::json!({ "changed": false, "detail": problem.detail }))?;
                } else {
                    output::line(&problem.detail)?;
                }
                return Ok(Exit::Some);
            }
            _ => return Err(error),
        },
    };
    let Acted { changed, job } = acted;
    if global.json {
        output::json(&serde_json::json!({ "id": job.id, "state": job.state, "changed": changed }))?;
    } else {
        let already = if changed { "" } else { " already" };
        let waits = if job.state.is_live() { format!("; {}", job.waits_for) } else { String::new() };
        output::line(format_args!("job {} is {}{already}{waits}", job.id, job.state))?;
    }
    Ok(if changed { Exit::Ok } else { Exit::Some })
}

async fn show(global: &Global, client: &Client, id: JobId) -> Result<Exit> {
    let detail: JobDetail = client.value(Ask::get(format!("/v1/jobs/{id}"))).await?;
    let events: Listed<EntryView> = client.value(Ask::get(format!("/v1/jobs/{id}/events"))).await?;
    if global.json {
        let mut shown = serde_json::to_value(&detail)?;
        shown["history"] = serde_json::to_value(&events.data)?;
        output::json(&shown)?;
        return Ok(Exit::Ok);
    }
    let JobDetail { job, request } = detail;
    let vendors: Vec<_> = job.vendors.iter().map(ToString::to_string).collect();
    output::line(format_args!("job       {id}"))?;
    output::line(format_args!("state     {}", job.state))?;
    output::line(format_args!("now       {}", job.waits_for))?;
    output::line(format_args!("vendor    {} (of {})", job.vendor, vendors.join(", ")))?;
    if let Some(task) = &job.task {
        output::line(format_args!("task      {task}"))?;
    }
    if !job.tenant.is_default() {
        output::line(format_args!("tenant    {}", job.tenant))?;
    }
    if let Some(batch) = &job.batch {
        output::line(format_args!("batch     {batch}"))?;
    }
    if let Some(custom_id) = &job.custom_id {
        output::line(format_args!("custom id {custom_id}"))?;
    }
    output::line(format_args!("created   {}", output::moment(job.created_ms)))?;
    output::line(format_args!(
        "attempts  {} submissions, {} paid in this step, {} maybe paid twice",
        job.submissions, job.paid_this_step, job.maybe_paid_twice
    ))?;
    if !job.left_out.is_empty() {
        let names: Vec<_> = job.left_out.iter().map(|field| field.as_str()).collect();
        output::line(format_args!("left out  {} (not honoured by {})", names.join(", "), job.vendor))?;
    }
    if !job.changes.is_empty() {
        output::line(format_args!("changed   {}", summary(&job.changes)))?;
    }
    for asset in &job.assets {
        let length = output::span(asset.duration_ms);
        output::line(format_args!(
            "file      {} ({length}, {} bytes, sha256 {})",
            asset.path, asset.bytes, asset.sha256
        ))?;
    }
    output::line(format_args!("request   {}", shortened(serde_json::to_value(&request)?)))?;
    history(&events.data)?;
    Ok(Exit::Ok)
}

/// A request without the audio that may stand in it.
fn shortened(mut request: serde_json::Value) -> serde_json::Value {
    if let Some(audio) = request.get_mut("reference_audio")
        && let Some(text) = audio.as_str().filter(|text| text.len() > 100)
    {
        *audio =
            format!("{}… ({} characters)", &text.chars().take(40).collect::<String>(), text.len()).into();
    }
    request
}

fn history(entries: &[EntryView]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    output::line("history")?;
    for EntryView { at_ms, what, words } in entries {
        output::line(
            format_args!("  {}  {what:<15} {words}", output::moment(*at_ms)).to_string().trim_end(),
        )?;
    }
    Ok(())
}

async fn explained(global: &Global, client: &Client, id: JobId) -> Result<Exit> {
    let why: Explained = client.value(Ask::get(format!("/v1/jobs/{id}/explain"))).await?;
    if global.json {
        output::json(&why)?;
        return Ok(Exit::Ok);
    }
    output::line(format_args!("job {id} is {}", why.state))?;
    output::line(&why.waits_for)?;
    if why.blocked.by != Blocker::Nothing {
        let until =
            why.blocked.until_ms.map_or_else(String::new, |at| format!(", until {}", output::moment(at)));
        output::line(format_args!("now: {}{until}", why.blocked.words))?;
    }
    if let Some(due) = why.due_ms {
        output::line(format_args!("due {}", output::moment(due)))?;
    }
    if why.claims > 0 {
        output::line(format_args!("a worker has it (claim {} without an outcome)", why.claims))?;
    }
    history(&why.history)?;
    Ok(Exit::Ok)
}
