//! Dead letters: jobs that failed, or that wait for an operator.

use anyhow::Result;
use axum::http::Method;
use clap::{Args, Subcommand};
use songmill_api::views::{Acted, Listed, TenantView};
use songmill_core::job::StateName;
use songmill_core::view::JobView;
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
    /// Only this tenant's [default: every tenant's that the key may see]
    #[arg(long)]
    tenant: Option<Tenant>,
}

impl Which {
    fn is_any(&self) -> bool {
        self.batch.is_some() || self.vendor.is_some() || self.code.is_some() || self.tenant.is_some()
    }

    fn of(&self, state: StateName, tenant: Option<Tenant>, limit: usize) -> ListArgs {
        let Self { batch, vendor, code, .. } = self;
        let (vendor, batch, code) = (vendor.clone(), batch.clone(), code.clone());
        ListArgs { state: vec![state], vendor, batch, custom_id: None, code, tenant, limit }
    }

    /// Whose letters are meant: those of one, or of all there are for an operator.
    async fn tenants(&self, client: &Client) -> Result<Vec<Option<Tenant>>> {
        if self.tenant.is_some() || self.batch.is_some() {
            return Ok(vec![self.tenant.clone()]);
        }
        match client.value::<Listed<TenantView>>(Ask::get("/v1/tenants")).await {
            Ok(all) => Ok(all.data.into_iter().map(|one| Some(one.tenant)).collect()),
            Err(error) if refused(&error).is_some_and(|problem| problem.status == 403) => Ok(vec![None]),
            Err(error) => Err(error),
        }
    }

    /// Passes them on, those that are held first, at most so many.
    async fn each(
        &self,
        client: &Client,
        states: &[StateName],
        limit: usize,
        mut each: impl FnMut(JobView) -> Result<()>,
    ) -> Result<()> {
        let mut left = limit;
        for tenant in self.tenants(client).await? {
            for state in states {
                let args = self.of(*state, tenant.clone(), left);
                job::each(client, &args, |job| {
                    left -= 1;
                    each(job)
                })
                .await?;
            }
        }
        Ok(())
    }
}

/// `songmill deadletter`.
pub(crate) async fn run(global: &Global, command: DeadLetterCommand) -> Result<Exit> {
    let client = Client::open(global).await?;
    match command {
        DeadLetterCommand::List { which, limit } => list(global, &client, &which, limit).await,
        DeadLetterCommand::Replay { ids, which, all } => {
            let ids = match (ids.is_empty(), which.is_any() || all) {
                (false, _) => ids,
                (true, false) => return Err(usage("name jobs, a filter (--batch, --code, …) or --all")),
                (true, true) => {
                    let mut ids = Vec::new();
                    let each = |job: JobView| {
                        ids.push(job.id);
                        Ok(())
                    };
                    which.each(&client, &[StateName::Failed], usize::MAX, each).await?;
                    ids
                }
            };
            replay(global, &client, &ids).await
        }
    }
}

async fn list(global: &Global, client: &Client, which: &Which, limit: usize) -> Result<Exit> {
    let states = [StateName::Held, StateName::Failed];
    if global.json {
        which.each(client, &states, limit, |job| output::json_line(&job)).await?;
        return Ok(Exit::Ok);
    }
    let mut table = output::table(&["JOB", "TENANT", "STATE", "VENDOR", "CREATED", "SONG", "WHY"]);
    which
        .each(client, &states, limit, |job| {
            table.add_row([
                job.id.to_string(),
                job.tenant.to_string(),
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
            Ok(answer) => match answer.value::<Acted>().await? {
                Acted { changed: true, .. } => again += 1,
                Acted { changed: false, .. } => not += 1,
            },
            Err(error) => match refused(&error) {
                Some(problem) if matches!(problem.status, 404 | 409 | 410) => {
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
