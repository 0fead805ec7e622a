//! Batches: how they stand, what came of them.

use anyhow::Result;
use serde::Serialize;
use songmill_core::job::{State, StateName};
use songmill_core::{Asset, BatchName, Event, JobId};
use songmill_store::{Applied, Batch, Store, Stored};

use crate::args::{BatchCommand, Global};
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::{output, progress, telemetry};

/// Jobs read at once.
const PAGE: usize = 256;

/// `songmill batch`.
pub(crate) async fn run(global: &Global, command: BatchCommand) -> Result<Exit> {
    let context = Context::open(global).await?;
    telemetry::start(&context.config.log, global, true)?;
    let store = &context.store;
    match command {
        BatchCommand::List { limit } => list(global, store, limit).await,
        BatchCommand::Show { name } => {
            let batch = known(store, &name).await?;
            if global.json {
                output::json(&batch)?
            } else {
                show(&batch)?
            }
            Ok(Exit::Ok)
        }
        BatchCommand::Watch { name } => {
            let batch = progress::watch(store, &name, global.json).await?;
            if global.json {
                output::json(&batch)?
            } else {
                show(&batch)?
            }
            Ok(if ended_well(&batch) { Exit::Ok } else { Exit::Some })
        }
        BatchCommand::Cancel { name } => cancel(global, store, &name).await,
        BatchCommand::Results { name, state } => {
            known(store, &name).await?;
            if global.json {
                json_results(store, &name, state).await?
            } else {
                print_results(store, &name, state).await?
            }
            Ok(Exit::Ok)
        }
    }
}

async fn known(store: &Store, name: &BatchName) -> Result<Batch> {
    let batch = store.batch(name).await?;
    batch.ok_or_else(|| usage(format!("batch {name} is not known; see `songmill batch list`")))
}

/// Whether every job of a settled batch completed.
pub(crate) fn ended_well(batch: &Batch) -> bool {
    batch.counts.of(StateName::Completed) == batch.total
}

async fn list(global: &Global, store: &Store, limit: usize) -> Result<Exit> {
    let mut batches = Vec::new();
    for name in store.batches(limit).await? {
        batches.extend(store.batch(&name).await?);
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
            batch.counts.ended().to_string(),
            progress::counts(batch),
        ]);
    }
    output::print(&table)?;
    Ok(Exit::Ok)
}

fn show(batch: &Batch) -> Result<()> {
    output::line(format_args!("batch    {}", batch.name))?;
    output::line(format_args!("created  {}", output::moment(batch.created_ms)))?;
    if let Some(closed) = batch.closed_ms {
        output::line(format_args!("ended    {}", output::moment(closed)))?;
    }
    output::line(format_args!("jobs     {}, {} ended", batch.total, batch.counts.ended()))?;
    output::line(format_args!("states   {}", progress::counts(batch)))
}

async fn cancel(global: &Global, store: &Store, name: &BatchName) -> Result<Exit> {
    known(store, name).await?;
    let (mut asked, mut from) = (0u64, 0);
    loop {
        let members = store.members(name, from, PAGE).await?;
        for member in &members {
            if matches!(store.apply(member.id, &Event::CancelAsked).await?, Applied::Changed(_)) {
                asked += 1;
            }
        }
        if members.len() < PAGE {
            break;
        }
        from += PAGE;
    }
    if global.json {
        output::json(&serde_json::json!({ "batch": name, "canceled": asked }))?;
    } else {
        output::line(format_args!("batch {name}: {asked} jobs were told to stop"))?;
    }
    Ok(Exit::Ok)
}

/// What became of one job.
#[derive(Debug, Serialize)]
pub(crate) struct JobResult {
    id: JobId,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    state: Option<StateName>,
    vendor: String,
    submissions: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<songmill_core::Fault>,
    assets: Vec<Asset>,
}

impl JobResult {
    fn of(id: JobId, stored: Option<Stored>) -> Self {
        let Some(Stored { job, request, .. }) = stored else {
            let vendor = String::new();
            return Self {
                id,
                custom_id: None,
                title: None,
                state: None,
                vendor,
                submissions: 0,
                seconds: None,
                fault: None,
                assets: vec![],
            };
        };
        let song: Option<songmill_core::SongRequest> = serde_json::from_str(&request).ok();
        let title = song.and_then(|song| song.title);
        let (ended, fault, assets, vendor) = match &job.state {
            State::Completed { at, assets, origin } => {
                (Some(*at), None, assets.clone(), origin.vendor.to_string())
            }
            State::Failed { at, fault } => (Some(*at), Some(fault.clone()), vec![], job.vendor().to_string()),
            State::Held { of, .. } => (None, Some(of.fault.clone()), vec![], job.vendor().to_string()),
            State::Canceled { at } => (Some(*at), None, vec![], job.vendor().to_string()),
            State::Queued
            | State::Submitting(_)
            | State::Uncertain { .. }
            | State::Generating { .. }
            | State::Canceling { .. }
            | State::Collecting { .. } => (None, None, vec![], job.vendor().to_string()),
        };
        let seconds = ended.map(|at| at.since(job.created).as_millis() as f64 / 1000.0);
        Self {
            id,
            custom_id: job.custom_id.clone(),
            title,
            state: Some(job.state.name()),
            vendor,
            submissions: job.submissions,
            seconds,
            fault,
            assets,
        }
    }

    fn name(&self) -> String {
        match (&self.title, &self.custom_id) {
            (Some(title), _) => title.clone(),
            (None, Some(custom_id)) => custom_id.clone(),
            (None, None) => self.id.to_string(),
        }
    }
}

async fn each(
    store: &Store,
    name: &BatchName,
    state: Option<StateName>,
    mut act: impl FnMut(JobResult) -> Result<()>,
) -> Result<()> {
    let mut from = 0;
    loop {
        let members = store.members(name, from, PAGE).await?;
        let last = members.len() < PAGE;
        for member in members {
            let result = JobResult::of(member.id, member.stored);
            if state.is_none() || result.state == state {
                act(result)?;
            }
        }
        if last {
            return Ok(());
        }
        from += PAGE;
    }
}

async fn json_results(store: &Store, name: &BatchName, state: Option<StateName>) -> Result<()> {
    each(store, name, state, |result| output::json_line(&result)).await
}

/// Prints a row for each song, or for what each job came to.
pub(crate) async fn print_results(store: &Store, name: &BatchName, state: Option<StateName>) -> Result<()> {
    let mut table = output::table(&["SONG", "VENDOR", "SECONDS", "DURATION", "FILE"]);
    each(store, name, state, |result| {
        let seconds = result.seconds.map_or_else(String::new, |seconds| format!("{seconds:.1}"));
        for (n, asset) in result.assets.iter().enumerate() {
            let part = match (&asset.part, result.assets.len()) {
                (Some(part), _) => format!(" ({part})"),
                (None, 1) => String::new(),
                (None, _) => format!(" ({})", n + 1),
            };
            table.add_row([
                format!("{}{part}", result.name()),
                result.vendor.clone(),
                seconds.clone(),
                output::span(asset.duration_ms),
                asset.path.clone(),
            ]);
        }
        if result.assets.is_empty() {
            let state = result.state.map_or("kept no more", StateName::as_str);
            let fault = result.fault.as_ref().map_or_else(String::new, |fault| format!(": {fault}"));
            table.add_row([
                result.name(),
                result.vendor.clone(),
                seconds,
                String::new(),
                format!("({state}{fault})"),
            ]);
        }
        Ok(())
    })
    .await?;
    output::print(&table)
}
