//! Batches: how they stand, what came of them.

use std::path::PathBuf;

use anyhow::Result;
use axum::http::Method;
use clap::Subcommand;
use songmill_api::views::{ActedOnAll, BatchErrorView, BatchView, Listed};
use songmill_core::job::StateName;
use songmill_core::song::IgnoredField;
use songmill_core::view::JobView;
use songmill_core::{BatchRef, Tenant};

use crate::args::Global;
use crate::client::{Ask, Changes, Client, What};
use crate::exit::Exit;
use crate::export::{self, ExportArgs};
use crate::printable::PrintableJson;
use crate::report::ReportArgs;
use crate::{outcome, output, progress, report, waits};

#[derive(Debug, Subcommand)]
pub(crate) enum BatchCommand {
    /// Lists batches, newest first
    List {
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Only this tenant's
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// Shows how a batch stands
    Show {
        /// Its name; TENANT/NAME for another tenant's
        name: BatchRef,
    },
    /// Follows a batch until all its jobs have ended or are held
    Watch {
        /// Its name
        name: BatchRef,
    },
    /// Stops all jobs of a batch that have not ended
    Cancel {
        /// Its name
        name: BatchRef,
    },
    /// Tries all failed jobs of a batch again
    RetryFailed {
        /// Its name
        name: BatchRef,
    },
    /// Prints what became of each job, in the order they were submitted
    Results {
        /// The batch's name
        name: BatchRef,
        /// Only jobs in this state
        #[arg(long)]
        state: Option<StateName>,
        /// Write JSON lines to this file
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Write the batch's audio with a manifest and a playlist; files that are there already are not fetched again
    Export(ExportArgs),
    /// Write a table of the batch for people: a row for each song
    Report(ReportArgs),
    /// Prints lines that were refused and jobs that failed or are held
    Errors {
        /// The batch's name
        name: BatchRef,
        /// Write JSON lines to this file
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// `songmill batch`.
pub(crate) async fn run(global: &Global, command: BatchCommand) -> Result<Exit> {
    let client = Client::open(global).await?;
    match command {
        BatchCommand::List { limit, tenant } => list(global, &client, limit, tenant.as_ref()).await,
        BatchCommand::Show { name } => {
            let batch: BatchView = client.value(Ask::batch(Method::GET, &name, "")).await?;
            shown(global, &batch)?;
            Ok(if waits::need_person(&batch.waits) { Exit::Some } else { Exit::Ok })
        }
        BatchCommand::Report(args) => report::run(global, &client, &args).await,
        BatchCommand::Watch { name } => {
            // One that was never there is not waited for.
            client.value::<BatchView>(Ask::batch(Method::GET, &name, "")).await?;
            let batch = progress::watch(&client, &name, global.json, progress::Made::Elsewhere).await?;
            if global.json {
                output::json(&batch)?;
            } else {
                outcome::say(&client, &name, &batch).await?;
            }
            Ok(if ended_well(&batch) { Exit::Ok } else { Exit::Some })
        }
        BatchCommand::Cancel { name } => {
            let acted: ActedOnAll = client.value(Ask::batch(Method::POST, &name, "/cancel")).await?;
            if global.json {
                output::json(&serde_json::json!({ "batch": name.to_string(), "canceled": acted.changed }))?;
            } else {
                output::line(format_args!("batch {name}: {} jobs were told to stop", acted.changed))?;
            }
            Ok(Exit::Ok)
        }
        BatchCommand::RetryFailed { name } => {
            let acted: ActedOnAll = client.value(Ask::batch(Method::POST, &name, "/retry-failed")).await?;
            if global.json {
                output::json(&acted)?;
            } else {
                output::line(format_args!("batch {name}: {} failed jobs are tried again", acted.changed))?;
            }
            Ok(Exit::Ok)
        }
        BatchCommand::Results { name, state, output } => {
            let batch: BatchView = client.value(Ask::batch(Method::GET, &name, "")).await?;
            // Each job has a line; more of them may have come meanwhile.
            let least = if state.is_some() { 0 } else { batch.total };
            let lines = Lines { ask: Ask::batch(Method::GET, &name, "/results").with("state", state), least };
            match output {
                Some(file) => to_file(global, &client, lines, &file).await?,
                None if global.json => to_stdout(&client, lines).await?,
                None => print_lines(&client, lines).await?,
            }
            Ok(Exit::Ok)
        }
        BatchCommand::Export(args) => export::run(global, &client, &args).await,
        BatchCommand::Errors { name, output } => {
            let ask = Ask::batch(Method::GET, &name, "/errors");
            match output {
                Some(file) => to_file(global, &client, Lines { ask, least: 0 }, &file).await?,
                None if global.json => to_stdout(&client, Lines { ask, least: 0 }).await?,
                None => print_errors(&client, ask).await?,
            }
            Ok(Exit::Ok)
        }
    }
}

/// Whether every job of a settled batch completed.
pub(crate) fn ended_well(batch: &BatchView) -> bool {
    batch.counts.get(&StateName::Completed).copied().unwrap_or(0) == batch.total
}

async fn list(global: &Global, client: &Client, limit: usize, tenant: Option<&Tenant>) -> Result<Exit> {
    let (mut batches, mut cursor) = (Vec::new(), None::<String>);
    while batches.len() < limit {
        let ask = Ask::get("/v1/batches")
            .with("tenant", tenant)
            .with("cursor", cursor.as_ref())
            .with("limit", Some((limit - batches.len()).min(200)));
        let page: Listed<BatchView> = client.value(ask).await?;
        batches.extend(page.data);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if global.json {
        output::json(&batches)?;
        return Ok(Exit::Ok);
    }
    if batches.is_empty() {
        output::line("no batches yet; submit one with `songmill submit FILE`")?;
        return Ok(Exit::Ok);
    }
    let mut table = output::table(&["BATCH", "CREATED", "JOBS", "ENDED", "STATES"]);
    for batch in &batches {
        table.add_row([
            batch.name.to_string(),
            output::moment(batch.created_ms),
            batch.total.to_string(),
            batch.ended.to_string(),
            progress::counts(batch),
        ]);
    }
    output::print(&table)?;
    Ok(Exit::Ok)
}

fn shown(global: &Global, batch: &BatchView) -> Result<()> {
    if global.json {
        return output::json(batch);
    }
    output::line(format_args!("batch    {}", batch.name))?;
    output::line(format_args!("created  {}", output::moment(batch.created_ms)))?;
    match (batch.closed_ms, batch.eta_ms) {
        (Some(closed), _) => output::line(format_args!("ended    {}", output::moment(closed)))?,
        // How fast it went says nothing of what waits for a person.
        (None, Some(_)) if waits::need_person(&batch.waits) => {}
        (None, Some(eta)) => output::line(format_args!("ends     about {}", output::moment(eta)))?,
        (None, None) => {}
    }
    output::line(format_args!("jobs     {}, {} ended", batch.total, batch.ended))?;
    if batch.refused > 0 {
        output::line(format_args!(
            "refused  {} lines (`songmill batch errors {}`)",
            batch.refused, batch.name
        ))?;
    }
    if batch.uploads > 0 {
        output::line("uploads  under way: more jobs may come")?;
    }
    output::line(format_args!("states   {}", progress::counts(batch)))?;
    for line in IgnoredField::lines(&batch.ignored) {
        output::line(format_args!("note     {line}"))?;
    }
    for wait in &batch.waits {
        output::line(format_args!("waiting  {}", waits::line(wait)))?;
    }
    Ok(())
}

/// Lines of an answer, and how many of them there are at least.
pub(crate) struct Lines {
    pub(crate) ask: Ask,
    pub(crate) least: u64,
}

impl Lines {
    /// Passes each line on.
    pub(crate) async fn each(
        self,
        client: &Client,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        let mut count = 0;
        let answer = client.ask(self.ask).await?;
        answer
            .lines(|line| {
                count += 1;
                each(line)
            })
            .await?;
        if count < self.least {
            let words = format!("the server sent the results of {count} of {} jobs", self.least);
            return Err(What::Partial(words).at(client.server(), Changes::Nothing).into());
        }
        Ok(count)
    }
}

async fn to_stdout(client: &Client, lines: Lines) -> Result<()> {
    let each = |line: &[u8]| output::json_text(&String::from_utf8_lossy(line));
    lines.each(client, each).await.map(drop)
}

/// Writes lines to a file, which takes its name only when all of them are there.
async fn to_file(global: &Global, client: &Client, lines: Lines, file: &std::path::Path) -> Result<()> {
    let mut count = 0;
    output::write_whole(file, async |out| {
        // It may be a terminal.
        let each = |line: &[u8]| Ok(writeln!(out, "{}", PrintableJson(&String::from_utf8_lossy(line)))?);
        count = lines.each(client, each).await?;
        Ok(())
    })
    .await?;
    if !global.json {
        output::line(format_args!("{count} lines in {}", file.display()))?;
    }
    Ok(())
}

/// Prints a row for each song, or for what each job came to.
pub(crate) async fn print_results(client: &Client, ask: Ask) -> Result<()> {
    print_lines(client, Lines { ask, least: 0 }).await
}

async fn print_lines(client: &Client, lines: Lines) -> Result<()> {
    let unexpected = |what| What::Unexpected(what).at(client.server(), Changes::Nothing).into();
    let mut table = output::table(&["SONG", "VENDOR", "SECONDS", "DURATION", "FILE"]);
    let mut changed = 0u64;
    lines
        .each(client, |line| {
            let Ok(job) = serde_json::from_slice::<JobView>(line) else {
                let gone: serde_json::Value = serde_json::from_slice(line)?;
                let (Some(id), Some("gone")) = (gone["id"].as_str(), gone["state"].as_str()) else {
                    return Err(unexpected("a line that is no result"));
                };
                table.add_row([id, "", "", "", "(kept no more)"]);
                return Ok(());
            };
            changed += u64::from(!job.changes.is_empty());
            let name = job.title.clone().or(job.custom_id.clone()).unwrap_or_else(|| job.id.to_string());
            let seconds = job.seconds.map_or_else(String::new, |seconds| format!("{seconds:.1}"));
            for (n, asset) in job.assets.iter().enumerate() {
                let part = match (&asset.part, job.assets.len()) {
                    (Some(part), _) => format!(" ({part})"),
                    (None, 1) => String::new(),
                    (None, _) => format!(" ({})", n + 1),
                };
                table.add_row([
                    format!("{name}{part}"),
                    job.vendor.to_string(),
                    seconds.clone(),
                    output::span(asset.duration_ms),
                    asset.path.clone(),
                ]);
            }
            if job.assets.is_empty() {
                let fault = job.fault.as_ref().map_or_else(String::new, |fault| format!(": {fault}"));
                let what = format!("({}{fault})", job.state);
                table.add_row([name, job.vendor.to_string(), seconds, String::new(), what]);
            }
            Ok(())
        })
        .await?;
    output::print(&table)?;
    if changed > 0 {
        let songs = if changed == 1 { "song was" } else { "songs were" };
        output::line(format_args!(
            "{changed} {songs} sent in another form than written; `songmill job show` says how"
        ))?;
    }
    Ok(())
}

async fn print_errors(client: &Client, ask: Ask) -> Result<()> {
    let unexpected = |what| What::Unexpected(what).at(client.server(), Changes::Nothing).into();
    let mut table = output::table(&["LINE", "JOB", "SONG", "STATE", "WHY"]);
    let answer = client.ask(ask).await?;
    answer
        .lines(|line| {
            let Ok(error) = serde_json::from_slice::<BatchErrorView>(line) else {
                return Err(unexpected("a line that is no error of a batch"));
            };
            let problem = |one: &songmill_api::ProblemError| {
                let at = if one.pointer.is_empty() { String::new() } else { format!("{}: ", one.pointer) };
                format!("{at}{}; {}", one.detail, one.fix)
            };
            let problems: Vec<_> = error.errors.iter().map(problem).collect();
            table.add_row([
                error.line.map_or_else(String::new, |line| line.to_string()),
                error.id.map_or_else(String::new, |id| id.to_string()),
                error.custom_id.unwrap_or_default(),
                error.state.map_or_else(|| "refused".into(), |state| state.to_string()),
                error.fault.map_or_else(|| problems.join(" | "), |fault| fault.to_string()),
            ]);
            Ok(())
        })
        .await?;
    if table.row_count() == 0 {
        return output::line("nothing went wrong");
    }
    output::print(&table)
}
