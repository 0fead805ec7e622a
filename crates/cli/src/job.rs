//! Jobs: what they are, why they wait, and an operator's decisions.

use anyhow::Result;
use clap::{ArgGroup, Args};
use serde::Serialize;
use songmill_core::job::{Choice, Entry, Explanation, Job, StateName, explain};
use songmill_core::{Event, JobId, TaskId};
use songmill_store::{Applied, Stored};

use crate::args::{Global, JobCommand};
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::{output, telemetry};

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
    /// End it as failed
    #[arg(long, group = "choice")]
    fail: bool,
}

/// `songmill job`.
pub(crate) async fn run(global: &Global, command: JobCommand) -> Result<Exit> {
    let context = Context::open(global).await?;
    telemetry::start(&context.config.log, global, true)?;
    match command {
        JobCommand::Show { id } => show(global, &context, id).await,
        JobCommand::Explain { id } => explained(global, &context, id).await,
        JobCommand::Cancel { id } => {
            act(global, &context, id, &Event::CancelAsked, "has ended already").await
        }
        JobCommand::Retry { id } => {
            act(
                global,
                &context,
                id,
                &Event::RetryAsked,
                "is neither failed nor canceled: there is nothing to retry",
            )
            .await
        }
        JobCommand::Resolve(args) => {
            let choice = match (args.resubmit, args.adopt, args.fail) {
                (true, _, _) => Choice::Resubmit,
                (_, Some(task), _) => Choice::Adopt(task),
                (_, None, _) => Choice::Fail,
            };
            act(
                global,
                &context,
                args.id,
                &Event::Resolved(choice),
                "is not held: there is nothing to decide",
            )
            .await
        }
    }
}

async fn known(context: &Context, id: JobId) -> Result<Stored> {
    let stored = context.store.load(id).await?;
    stored.ok_or_else(|| unknown(id))
}

fn unknown(id: JobId) -> anyhow::Error {
    usage(format!("job {id} is not known (any more: ended jobs are kept for retention.age)"))
}

async fn act(global: &Global, context: &Context, id: JobId, event: &Event, otherwise: &str) -> Result<Exit> {
    match context.store.apply(id, event).await? {
        Applied::Changed(job) => {
            let state = job.state.name();
            if global.json {
                output::json(&serde_json::json!({ "id": id, "state": state, "changed": true }))?;
            } else {
                let waits = if state.is_live() {
                    format!("; {}", explain(&job, context.store.now()).waits_for)
                } else {
                    String::new()
                };
                output::line(format_args!("job {id} is {state}{waits}"))?;
            }
            Ok(Exit::Ok)
        }
        Applied::Unchanged(job) => {
            if global.json {
                output::json(&serde_json::json!({ "id": id, "state": job.state.name(), "changed": false }))?;
            } else {
                output::line(format_args!("job {id} is {} and {otherwise}", job.state.name()))?;
            }
            Ok(Exit::Some)
        }
        Applied::NoSuchJob => Err(unknown(id)),
    }
}

/// A job for programs.
#[derive(Serialize)]
struct View<'a> {
    id: JobId,
    state: StateName,
    #[serde(flatten)]
    explanation: Explanation,
    claims: u32,
    #[serde(flatten)]
    job: JobView<'a>,
    request: serde_json::Value,
}

#[derive(Serialize)]
struct JobView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_id: Option<&'a str>,
    created_ms: u64,
    vendor: &'a str,
    vendors: Vec<&'a str>,
    left_out: Vec<&'static str>,
    submissions: u32,
    paid_this_step: u32,
    maybe_paid_twice: u32,
    is: &'a songmill_core::State,
    history: Vec<HistoryView<'a>>,
}

#[derive(Serialize)]
struct HistoryView<'a> {
    at_ms: u64,
    what: &'a str,
    words: &'a str,
}

impl<'a> JobView<'a> {
    fn of(job: &'a Job) -> Self {
        Self {
            batch: job.batch.as_ref().map(songmill_core::BatchName::as_str),
            custom_id: job.custom_id.as_deref(),
            created_ms: job.created.as_millis(),
            vendor: job.vendor().as_str(),
            vendors: job.routes.iter().map(|route| route.vendor.as_str()).collect(),
            left_out: job.here().dropped.iter().map(|field| field.as_str()).collect(),
            submissions: job.submissions,
            paid_this_step: job.paid,
            maybe_paid_twice: job.maybe_paid_twice,
            is: &job.state,
            history: job
                .history
                .iter()
                .map(|Entry(at, what, words)| HistoryView { at_ms: at.as_millis(), what, words })
                .collect(),
        }
    }
}

async fn show(global: &Global, context: &Context, id: JobId) -> Result<Exit> {
    let Stored { job, request, claims, .. } = known(context, id).await?;
    let request: serde_json::Value = serde_json::from_str(&request)?;
    let explanation = explain(&job, context.store.now());
    if global.json {
        let (state, job) = (job.state.name(), JobView::of(&job));
        output::json(&View { id, state, explanation, claims, job, request })?;
        return Ok(Exit::Ok);
    }
    let view = JobView::of(&job);
    output::line(format_args!("job       {id}"))?;
    output::line(format_args!("state     {}", job.state.name()))?;
    output::line(format_args!("now       {}", explanation.waits_for))?;
    output::line(format_args!("vendor    {} (of {})", view.vendor, view.vendors.join(", ")))?;
    if let Some(batch) = view.batch {
        output::line(format_args!("batch     {batch}"))?;
    }
    if let Some(custom_id) = view.custom_id {
        output::line(format_args!("custom id {custom_id}"))?;
    }
    output::line(format_args!("created   {}", output::moment(view.created_ms)))?;
    output::line(format_args!(
        "attempts  {} submissions, {} paid in this step, {} maybe paid twice",
        view.submissions, view.paid_this_step, view.maybe_paid_twice
    ))?;
    if !view.left_out.is_empty() {
        output::line(format_args!(
            "left out  {} (not honoured by {})",
            view.left_out.join(", "),
            view.vendor
        ))?;
    }
    if let songmill_core::State::Completed { assets, .. } = &job.state {
        for asset in assets {
            let length = output::span(asset.duration_ms);
            output::line(format_args!(
                "file      {} ({length}, {} bytes, sha256 {})",
                asset.path, asset.bytes, asset.sha256
            ))?;
        }
    }
    output::line(format_args!("request   {}", shortened(&request)))?;
    history(&job)?;
    Ok(Exit::Ok)
}

/// A request without the audio that may stand in it.
fn shortened(request: &serde_json::Value) -> serde_json::Value {
    let mut request = request.clone();
    if let Some(audio) = request.get_mut("reference_audio")
        && let Some(text) = audio.as_str().filter(|text| text.len() > 100)
    {
        *audio =
            format!("{}… ({} characters)", &text.chars().take(40).collect::<String>(), text.len()).into();
    }
    request
}

fn history(job: &Job) -> Result<()> {
    if job.history.is_empty() {
        return Ok(());
    }
    output::line("history")?;
    for Entry(at, what, words) in &job.history {
        output::line(
            format_args!("  {}  {what:<15} {words}", output::moment(at.as_millis())).to_string().trim_end(),
        )?;
    }
    Ok(())
}

async fn explained(global: &Global, context: &Context, id: JobId) -> Result<Exit> {
    let Stored { job, claims, .. } = known(context, id).await?;
    let now = context.store.now();
    let explanation = explain(&job, now);
    if global.json {
        output::json(&serde_json::json!({
            "id": id, "state": job.state.name(), "waits_for": explanation.waits_for,
            "due_ms": explanation.due, "claims": claims, "history": JobView::of(&job).history,
        }))?;
        return Ok(Exit::Ok);
    }
    output::line(format_args!("job {id} is {}", job.state.name()))?;
    output::line(&explanation.waits_for)?;
    if let Some(due) = explanation.due {
        let when = if due > now {
            format!("in {}", output::span(due.since(now).as_millis() as u64))
        } else {
            "now".into()
        };
        output::line(format_args!("due {when} ({})", output::moment(due.as_millis())))?;
    }
    if claims > 0 {
        output::line(format_args!("a worker has it (claim {claims} without an outcome)"))?;
    }
    history(&job)?;
    Ok(Exit::Ok)
}
