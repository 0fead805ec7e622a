//! What submitting a file would come to.

use anyhow::Result;
use clap::Args;
use songmill_api::ProblemError;
use songmill_api::views::PlanView;
use songmill_core::{BatchRef, Tenant};
use songmill_producer::parse::{self, Input};

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::exit::Exit;
use crate::input::{self, InputArgs, media};
use crate::output;

/// How many bad lines are shown.
const SHOWN: usize = 10;

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    input: InputArgs,
    /// The batch it would be submitted to: what is there already is counted as known
    #[arg(long)]
    batch: Option<BatchRef>,
    /// Whose
    #[arg(long)]
    tenant: Option<Tenant>,
}

/// `songmill plan`.
pub(crate) async fn run(global: &Global, args: &PlanArgs) -> Result<Exit> {
    let client = Client::open(global).await?;
    let (file, options) = (&args.input.file, args.input.options()?);
    if let Input::File(path) = input::open(file)? {
        let options = options.clone();
        let checked = tokio::task::spawn_blocking(move || parse::check(&path, &options)).await?;
        checked.map_err(|error| input::refused(file, error))?;
    }
    let of_batch = args.batch.as_ref().map(|batch| &batch.tenant).filter(|tenant| !tenant.is_default());
    let ask = Ask::post("/v1/plan")
        .with("name", args.batch.as_ref().map(|batch| &batch.name))
        .with("tenant", args.tenant.as_ref().or(of_batch));
    let ask = input::asked(ask, &options).body(media(options.format), input::body(file).await?);
    let plan: PlanView = client.value(ask).await?;
    let exit = if plan.refused > 0 { Exit::Some } else { Exit::Ok };
    if global.json {
        output::json(&plan)?;
        return Ok(exit);
    }
    input::notes(file, &plan.notes);
    output::line(format_args!(
        "{} good lines, {} refused, {} repeated, {} submitted before: {} new jobs, {} songs; nothing was submitted",
        plan.good, plan.refused, plan.repeated, plan.known, plan.jobs, plan.songs
    ))?;
    for (vendor, of) in &plan.vendors {
        output::line(format_args!(
            "  {vendor}: {} jobs, {} songs, {} submissions",
            of.jobs, of.songs, of.submissions
        ))?;
    }
    for (currency, range) in &plan.cost {
        output::line(format_args!("cost: {:.2} to {:.2} {currency}", range.low, range.high))?;
    }
    if !plan.estimated.is_empty() {
        let names: Vec<_> = plan.estimated.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        output::line(format_args!(
            "cost is an estimate for {names}; set what you are charged with `songmill price set`"
        ))?;
    }
    for change in &plan.changes {
        output::line(format_args!("changed: {change}"))?;
    }
    crate::submit::say_ignored(&plan.ignored)?;
    let span = |seconds: f64| output::span((seconds * 1000.0) as u64);
    output::line(format_args!("time: {} to {}", span(plan.seconds.low), span(plan.seconds.high)))?;
    for ProblemError { pointer, line, custom_id, title, detail, fix } in plan.errors.iter().take(SHOWN) {
        let name =
            title.as_ref().or(custom_id.as_ref()).map_or_else(String::new, |name| format!(" {name:?}"));
        let field = pointer.trim_start_matches('/').replace('/', ".");
        let field = if field.is_empty() { field } else { format!("{field}: ") };
        output::line(format_args!("  row {}{name}, {field}{detail}; {fix}", line.unwrap_or(0)))?;
    }
    Ok(exit)
}
