//! Submitting a file.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::http::Method;
use clap::Args;
use serde::Serialize;
use songmill_api::views::BatchView;
use songmill_core::money::micros;
use songmill_core::song::{Invalid, PlannedChange};
use songmill_core::{BatchName, BatchRef};
use songmill_producer::Tally;
use songmill_producer::lines::{self, Line, ReadError};
use songmill_store::{Refused, Upload};

use crate::args::Global;
use crate::bad_lines::BadLines;
use crate::client::{Ask, Client};
use crate::config::Config;
use crate::context::{Context, vendors};
use crate::exit::{Exit, unreadable, usage};
use crate::{batch, output, progress, telemetry, waits};

mod upload;

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The file, or - for standard input
    file: PathBuf,
    /// The batch to submit to, TENANT/NAME for another tenant's [default: the file's name without its ending]
    #[arg(long)]
    batch: Option<BatchRef>,
    /// How the file is written [default: by its ending, else jsonl]
    #[arg(long)]
    format: Option<Format>,
    /// Where bad lines are written [default: FILE.errors.jsonl]
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Wait until all jobs of the batch have ended or are held
    #[arg(long)]
    wait: bool,
    /// Check and plan every line but submit nothing; needs no Redis
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    #[command(flatten)]
    wishes: Wishes,
}

/// What is said of the batch.
#[derive(Debug, Default, Args)]
struct Wishes {
    /// Tell these endpoints of the batch and its jobs, beside those that are told of all
    #[arg(long, value_name = "ENDPOINT", value_delimiter = ',')]
    notify: Vec<songmill_core::EndpointId>,
    /// The most that may be spent for the batch, in the settings' currency; 0 for no cap
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    budget: Option<f64>,
    /// The batch's share beside its tenant's others [default: 1]
    #[arg(long, value_name = "SHARE", value_parser = weight)]
    weight: Option<f64>,
}

/// An amount of money.
pub(crate) fn amount(text: &str) -> Result<f64, String> {
    number(text, 0.0, 1e9)
}

/// A share beside others.
pub(crate) fn weight(text: &str) -> Result<f64, String> {
    number(text, 0.001, 1000.0)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("is no number from {least} to {most}"))
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A JSON object on each line
    Jsonl,
    /// An array of JSON objects
    Json,
    /// Comma-separated values with a header of field names
    Csv,
}

impl From<Format> for lines::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Jsonl => Self::Jsonl,
            Format::Json => Self::Json,
            Format::Csv => Self::Csv,
        }
    }
}

/// What the API calls a format.
pub(crate) const fn media(format: lines::Format) -> &'static str {
    match format {
        lines::Format::Jsonl => "application/jsonl",
        lines::Format::Json => "application/json",
        lines::Format::Csv => "text/csv",
        lines::Format::Detect => "application/octet-stream",
    }
}

/// Opens a file, or standard input.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(Box::new(BufReader::with_capacity(1 << 18, file)))
}

/// The same as a body of a request.
pub(crate) async fn body(path: &Path) -> Result<Body> {
    let reader: Box<dyn tokio::io::AsyncRead + Send + Unpin> = if path == Path::new("-") {
        Box::new(tokio::io::stdin())
    } else {
        Box::new(tokio::fs::File::open(path).await.map_err(|error| unreadable(path, &error))?)
    };
    Ok(Body::from_stream(tokio_util::io::ReaderStream::with_capacity(reader, 1 << 16)))
}

/// What a submission came to.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    batch: &'a BatchName,
    #[serde(flatten)]
    tally: Tally,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<&'a BatchView>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    by_vendor: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<PlannedChange>,
    dry_run: bool,
}

/// `songmill submit`.
pub(crate) async fn run(global: &Global, args: &SubmitArgs) -> Result<Exit> {
    let name = match &args.batch {
        Some(name) => name.clone(),
        None => named_after(&args.file)?.into(),
    };
    let format = args.format.map_or_else(|| lines::Format::of(&args.file), Into::into);
    let mut bad = BadLines::beside(&args.file, args.errors.as_deref());
    if args.dry_run {
        let config = Config::load(global)?;
        telemetry::start(&config.log, global, true)?;
        return dry_run(global, args, &config, &name, format, bad).await;
    }
    let (client, tally) = if global.server.is_some() {
        let client = Client::open(global).await?;
        let tally = upload::upload(&client, args, &name, format, &mut bad).await?;
        (client, tally)
    } else {
        let context = Context::open(global).await?;
        telemetry::start(&context.config.log, global, true)?;
        let read = lines::read(open(&args.file)?, format);
        let tally = submit_to(&context, &name, &args.wishes, read, &mut bad).await?;
        (Client::here(&context)?, tally)
    };
    bad.finish()?;
    if !global.json {
        say(&name, &tally, &bad)?;
    }
    if !args.wait && !global.json {
        // What keeps them waiting is told now: whoever submits may be the one who can put it right. They are submitted
        // whether or not that can be found out.
        let look = client.value::<BatchView>(Ask::batch(Method::GET, &name, ""));
        if let Ok(Ok(batch)) = tokio::time::timeout(LOOK, look).await {
            waits::note(&batch.waits);
        }
    }
    let ended = if args.wait { Some(progress::watch(&client, &name, global.json).await?) } else { None };
    if global.json {
        let errors = bad.path_if_any();
        let (by_vendor, changes) = (BTreeMap::new(), Vec::new());
        let ended = ended.as_ref();
        output::json(&Summary {
            batch: &name.name,
            tally,
            errors,
            ended,
            by_vendor,
            changes,
            dry_run: false,
        })?;
    }
    if let Some(ended) = &ended
        && !global.json
    {
        batch::print_results(&client, Ask::batch(Method::GET, &name, "/results")).await?;
        output::line(format_args!("{name}: {}", progress::counts(ended)))?;
    }
    let well = ended.as_ref().is_none_or(batch::ended_well);
    Ok(if bad.count > 0 || !well { Exit::Some } else { Exit::Ok })
}

/// How long a submission looks for what keeps it waiting.
const LOOK: std::time::Duration = std::time::Duration::from_secs(2);

/// Tells uploads apart.
pub(crate) fn upload_id() -> Result<String> {
    Ok(format!("{:x}", getrandom::u64().context("no random bytes from the system")?))
}

/// Submits lines to a batch; bad ones are written down and passed over.
pub(crate) async fn submit(
    context: &Context,
    name: &BatchRef,
    lines: tokio::sync::mpsc::Receiver<Result<Line, ReadError>>,
    bad: &mut BadLines,
) -> Result<Tally> {
    submit_to(context, name, &Wishes::default(), lines, bad).await
}

async fn submit_to(
    context: &Context,
    name: &BatchRef,
    wishes: &Wishes,
    lines: tokio::sync::mpsc::Receiver<Result<Line, ReadError>>,
    bad: &mut BadLines,
) -> Result<Tally> {
    let notify = wishes.notify.clone();
    for endpoint in &notify {
        if context.store.endpoint(&name.tenant, endpoint).await?.is_none() {
            return Err(usage(format!(
                "--notify: {endpoint} is no endpoint of {}; see `songmill endpoint list`",
                name.tenant
            )));
        }
    }
    let (id, label) = (upload_id()?, String::new());
    let (budget, weight) = (wishes.budget.map(micros), wishes.weight);
    let upload = Upload { batch: name.clone(), id, label, notify, trace: None, budget, weight };
    let producer = context.producer();
    let each = |refused: &Refused| {
        let invalid = Invalid { problems: refused.problems.clone() };
        bad.refuse(refused.line, refused.custom_id.clone(), invalid);
    };
    let uploaded = producer.submit_lines(&upload, lines, each).await?;
    match uploaded.broke {
        Some(error) => Err(error.into()),
        None => Ok(uploaded.tally),
    }
}

async fn dry_run(
    global: &Global,
    args: &SubmitArgs,
    config: &Config,
    name: &BatchRef,
    format: lines::Format,
    mut bad: BadLines,
) -> Result<Exit> {
    let vendors = vendors(config);
    let planner = songmill_producer::Planner {
        vendors: &vendors,
        default_vendor: config.default_vendor.as_ref(),
        addresses: config.deliver.address_policy(),
    };
    let mut lines = lines::read(open(&args.file)?, format);
    let (mut by_vendor, mut good, mut changes) = (BTreeMap::<String, u64>::new(), 0, Vec::new());
    while let Some(line) = lines.recv().await {
        let line = line?;
        let planned = line.read.and_then(|(song, _)| {
            songmill_producer::plan(&song, &planner, &songmill_producer::Outlook::default())
        });
        match planned {
            Ok(routes) => {
                good += 1;
                *by_vendor.entry(routes[0].vendor.to_string()).or_default() += 1;
                PlannedChange::collect(&mut changes, &routes[0].vendor, &routes[0].changes);
            }
            Err(invalid) => bad.refuse(line.number, line.custom_id, invalid),
        }
    }
    bad.finish()?;
    let tally = Tally { created: 0, known: 0, refused: bad.count };
    if global.json {
        let errors = bad.path_if_any();
        output::json(&Summary {
            batch: &name.name,
            tally,
            errors,
            ended: None,
            by_vendor,
            changes,
            dry_run: true,
        })?;
    } else {
        let split: Vec<_> = by_vendor.iter().map(|(vendor, count)| format!("{count} to {vendor}")).collect();
        let split = if split.is_empty() { String::new() } else { format!(" ({})", split.join(", ")) };
        output::line(format_args!(
            "dry run of {name}: {good} good{split}, {} refused; nothing was submitted",
            bad.count
        ))?;
        for change in &changes {
            output::line(format_args!("changed: {change}"))?;
        }
        bad.say()?;
    }
    Ok(if bad.count > 0 { Exit::Some } else { Exit::Ok })
}

fn say(name: &BatchRef, tally: &Tally, bad: &BadLines) -> Result<()> {
    let Tally { created, known, refused } = tally;
    let known =
        if *known > 0 { format!(", {known} submitted before: nothing new for them") } else { String::new() };
    output::line(format_args!("batch {name}: {created} new jobs{known}, {refused} refused"))?;
    bad.say()
}

fn named_after(file: &Path) -> Result<BatchName> {
    let stem = if file == Path::new("-") {
        "stdin".into()
    } else {
        file.file_stem().unwrap_or_default().to_string_lossy()
    };
    let slug: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .take(64)
        .collect();
    BatchName::new(&slug).map_err(|_| usage("--batch: the file's name makes no batch name; give one"))
}
