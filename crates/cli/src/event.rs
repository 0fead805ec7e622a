//! What happened, and what vendors there are.

use anyhow::Result;
use clap::{Args, Subcommand};
use songmill_api::views::{EventView, Listed};
use songmill_core::{BatchRef, JobId, Tenant};

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::exit::Exit;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum EventCommand {
    /// Prints what happened, oldest first
    List(Which),
    /// Prints what happens, as it does
    Follow(Which),
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Only those behind this one
    #[arg(long, value_name = "EVENT")]
    after: Option<String>,
    /// Only those of this job
    #[arg(long)]
    job: Option<JobId>,
    /// Only those of this batch
    #[arg(long)]
    batch: Option<BatchRef>,
    /// Whose
    #[arg(long)]
    tenant: Option<Tenant>,
    /// At most so many
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

impl Which {
    fn ask(&self, after: Option<&str>, limit: usize) -> Ask {
        let of_batch = self.batch.as_ref().map(|batch| &batch.tenant).filter(|tenant| !tenant.is_default());
        Ask::get("/v1/events")
            .with("after", after)
            .with("job", self.job)
            .with("batch", self.batch.as_ref().map(|batch| &batch.name))
            .with("tenant", self.tenant.as_ref().or(of_batch))
            .with("limit", Some(limit))
    }
}

/// `songmill event`.
pub(crate) async fn run(global: &Global, command: EventCommand) -> Result<Exit> {
    let client = Client::open(global).await?;
    let (which, follow) = match command {
        EventCommand::List(which) => (which, false),
        EventCommand::Follow(which) => (which, true),
    };
    let mut after = which.after.clone().or(follow.then(|| "latest".to_owned()));
    let mut left = which.limit;
    loop {
        let page: Listed<EventView> = client
            .value(which.ask(after.as_deref(), if follow { 1000 } else { left.clamp(1, 1000) }))
            .await?;
        for event in &page.data {
            if global.json { output::json_line(event)? } else { output::line(words(event))? }
        }
        left -= page.data.len().min(left);
        // A page may be empty although there is more behind it; `next` moves all the same.
        let moved = page.next != after;
        after = page.next.or(after);
        if !follow && (left == 0 || !moved) {
            return Ok(Exit::Ok);
        }
        if follow && (!moved || page.data.len() < 1000) {
            tokio::time::sleep(client.look()).await;
        }
    }
}

fn words(event: &EventView) -> String {
    let subject = event.job.map(|job| job.to_string()).or(event.batch.as_ref().map(ToString::to_string));
    let vendor = event.vendor.as_ref().map(|vendor| format!("  {vendor}")).unwrap_or_default();
    let code = event.code.as_ref().map(|code| format!("  {code}")).unwrap_or_default();
    let (at, kind) = (output::moment(event.at_ms), &event.kind);
    let message = if event.message.is_empty() { String::new() } else { format!("  {}", event.message) };
    format!("{}  {at}  {kind:<16} {}{vendor}{code}{message}", event.id, subject.unwrap_or_default())
}
