//! `songmill worker`: processes that run roles.

use anyhow::Result;
use clap::Subcommand;
use songmill_api::views::{Listed, WorkerView};

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::exit::Exit;
use crate::{context, output};

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// List them with their roles, jobs in hand and last sign of life
    #[command(after_help = EXAMPLES)]
    List,
}

const EXAMPLES: &str = "\
Examples:
  songmill worker list
  songmill worker list --server https://songs.example.com --json";

/// `songmill worker`.
pub(crate) async fn run(global: &Global, command: WorkerCommand) -> Result<Exit> {
    let WorkerCommand::List = command;
    let client = Client::open(global).await?;
    let workers: Listed<WorkerView> = client.value(Ask::get("/v1/workers")).await?;
    if global.json {
        output::json(&workers)?;
        return Ok(Exit::Ok);
    }
    if workers.data.is_empty() {
        output::line("No workers are running. Start all roles: songmill up")?;
        return Ok(Exit::Ok);
    }
    let mut table = output::table(&["NAME", "ROLES", "STATE", "JOBS", "VERSION", "UP FOR", "LAST SEEN"]);
    let now = context::now().as_millis();
    for worker in &workers.data {
        let ago = |at: &str| output::span(now.saturating_sub(output::millis(at).unwrap_or(now)));
        table.add_row([
            worker.name.clone(),
            worker.roles.join(", "),
            worker.state.as_str().to_owned(),
            worker.jobs.to_string(),
            worker.version.clone(),
            ago(&worker.started_at),
            format!("{} ago", ago(&worker.last_seen_at)),
        ]);
    }
    output::print(&table)?;
    Ok(Exit::Ok)
}
