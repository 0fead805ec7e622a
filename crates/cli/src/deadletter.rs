//! Dead letters: jobs that failed, or that wait for an operator.

use anyhow::Result;
use axum::http::Method;
use clap::{Args, Subcommand};
use songmill_core::job::StateName;
use songmill_core::{BatchRef, JobId, Tenant, VendorName};

use crate::args::Global;
use crate::client::{Ask, Client, refused};
use crate::exit::{Exit, usage};
use crate::job::{self, ListArgs};
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetterCommand {
    /// Lists jobs that failed or are held, with why
    List {
        #[command(flatten)]
        which: Which,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Tries failed jobs again: those named, or all that the filters choose
    Replay {
        /// Ids of jobs
        ids: Vec<JobId>,
        #[command(flatten)]
        which: Which,
        /// All failed jobs, where there is no other filter
        #[arg(long)]
        all: bool,
    },
}

/// Which of them.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Only of this batch
    #[arg(long)]
    batch: Option<BatchRef>,
    /// Only with this vendor
    #[arg(long)]
    vendor: Option<VendorName>,
    /// Only with this code, such as vendor_error
    #[arg(long)]
    code: Option<String>,
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<Tenant>,
}

impl Which {
    fn is_any(&self) -> bool {
        self.batch.is_some() || self.vendor.is_some() || self.code.is_some() || self.tenant.is_some()
    }

    fn of(self, state: Vec<StateName>, limit: usize) -> ListArgs {
        let Self { batch, vendor, code, tenant } = self;
        ListArgs { state, vendor, batch, custom_id: None, code, tenant, limit }
    }
}

/// `songmill deadletter`.
pub(crate) async fn run(global: &Global, command: DeadLetterCommand) -> Result<Exit> {
    let client = Client::open(global).await?;
    match command {
        DeadLetterCommand::List { which, limit } => {
            list(global, &client, &which.of(vec![StateName::Failed, StateName::Held], limit)).await
        }
        DeadLetterCommand::Replay { ids, which, all } => {
            let ids = match (ids.is_empty(), which.is_any() || all) {
                (false, _) => ids,
                (true, false) => return Err(usage("name jobs, a filter (--batch, --code, …) or --all")),
                (true, true) => {
                    let mut ids = Vec::new();
                    let failed = which.of(vec![StateName::Failed], usize::MAX);
                    job::each(&client, &failed, |job| {
                        ids.push(job.id);
                        Ok(())
                    })
                    .await?;
                    ids
                }
            };
            replay(global, &client, &ids).await
        }
    }
}

async fn list(global: &Global, client: &Client, args: &ListArgs) -> Result<Exit> {
    if global.json {
        job::each(client, args, |job| output::json_line(&job)).await?;
        return Ok(Exit::Ok);
    }
    let mut table = output::table(&["JOB", "STATE", "VENDOR", "CREATED", "SONG", "WHY"]);
    job::each(client, args, |job| {
        table.add_row([
            job.id.to_string(),
            job.state.to_string(),
            job.vendor.to_string(),
            output::moment(job.created_ms),
            job.title.clone().or(job.custom_id.clone()).unwrap_or_default(),
            job.fault.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]);
        Ok(())
    })
    .await?;
    if table.row_count() == 0 {
        output::line("no dead letters")?;
        return Ok(Exit::Ok);
    }
    output::print(&table)?;
    output::line("")?;
    output::line(
        "`songmill deadletter replay` tries failed ones again, `songmill job resolve` decides about held ones",
    )?;
    Ok(Exit::Ok)
}

async fn replay(global: &Global, client: &Client, ids: &[JobId]) -> Result<Exit> {
    let (mut again, mut not) = (0u64, 0u64);
    for id in ids {
        match client.ask_patiently(|| Ask::new(Method::POST, format!("/v1/jobs/{id}/retry"))).await {
            Ok(_) => again += 1,
            Err(error) => match refused(&error) {
                Some(problem) if matches!(problem.status, 404 | 409) => {
                    not += 1;
                    if !global.json {
                        output::line(&problem.detail)?;
                    }
                }
                _ => return Err(error),
            },
        }
    }
    if global.json {
        output::json(&serde_json::json!({ "replayed": again, "not": not }))?;
    } else {
        output::line(format_args!("{again} jobs are tried again"))?;
    }
    Ok(if not == 0 { Exit::Ok } else { Exit::Some })
}
