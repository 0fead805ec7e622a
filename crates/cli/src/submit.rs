//! Submitting a file.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::http::Method;
use clap::Args;
use futures_util::stream;
use serde::Serialize;
use songmill_api::ProblemError;
use songmill_api::views::{BatchView, PlanView, Uploaded};
use songmill_core::song::{Invalid, Problem};
use songmill_core::{BatchName, BatchRef, Tenant};
use songmill_producer::lines::{self, Line, ReadError};
use songmill_producer::{Submission, SubmitError, Tally};
use songmill_store::Upload;

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::config::Config;
use crate::context::{Context, vendors};
use crate::exit::{Exit, usage};
use crate::{batch, output, progress, telemetry};

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
    /// Tell these endpoints of the batch and its jobs, beside those that are told of all
    #[arg(long, value_name = "ENDPOINT", value_delimiter = ',')]
    notify: Vec<songmill_core::EndpointId>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The file, or - for standard input
    file: PathBuf,
    /// The batch it would be submitted to: what is there already is counted as known
    #[arg(long)]
    batch: Option<BatchRef>,
    /// How the file is written [default: by its ending, else jsonl]
    #[arg(long)]
    format: Option<Format>,
    /// Whose
    #[arg(long)]
    tenant: Option<Tenant>,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
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
const fn media(format: lines::Format) -> &'static str {
    match format {
        lines::Format::Jsonl => "application/jsonl",
        lines::Format::Json => "application/json",
        lines::Format::Csv => "text/csv",
    }
}

/// Opens a file, or standard input.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(Box::new(BufReader::with_capacity(1 << 18, file)))
}

/// The same as a body of a request.
async fn body(path: &Path) -> Result<Body> {
    let reader: Box<dyn tokio::io::AsyncRead + Send + Unpin> = if path == Path::new("-") {
        Box::new(tokio::io::stdin())
    } else {
        let file = tokio::fs::File::open(path).await;
        Box::new(file.with_context(|| format!("cannot open {}", path.display()))?)
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
    dry_run: bool,
}

/// `songmill submit`.
pub(crate) async fn run(global: &Global, args: &SubmitArgs) -> Result<Exit> {
    let name = match &args.batch {
        Some(name) => name.clone(),
        None => named_after(&args.file)?.into(),
    };
    let format = args.format.map_or_else(|| lines::Format::of(&args.file), Into::into);
    let mut bad = BadLines::new(args);
    if args.dry_run {
        let config = Config::load(global)?;
        telemetry::start(&config.log, global, true)?;
        return dry_run(global, args, &config, &name, format, bad).await;
    }
    let (client, tally) = if global.server.is_some() {
        let client = Client::open(global).await?;
        let tally = upload(&client, args, &name, format, &mut bad).await?;
        (client, tally)
    } else {
        let context = Context::open(global).await?;
        telemetry::start(&context.config.log, global, true)?;
        let read = lines::read(open(&args.file)?, format);
        let tally = submit_to(&context, &name, args.notify.clone(), read, &mut bad).await?;
        (Client::here(&context)?, tally)
    };
    bad.finish()?;
    if !global.json {
        say(&name, &tally, &bad)?;
    }
    let ended = if args.wait { Some(progress::watch(&client, &name, global.json).await?) } else { None };
    if global.json {
        let errors = bad.path_if_any();
        let by_vendor = BTreeMap::new();
        let ended = ended.as_ref();
        output::json(&Summary { batch: &name.name, tally, errors, ended, by_vendor, dry_run: false })?;
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

/// Sends a file to a server.
async fn upload(
    client: &Client,
    args: &SubmitArgs,
    name: &BatchRef,
    format: lines::Format,
    bad: &mut BadLines,
) -> Result<Tally> {
    let notify: Vec<_> = args.notify.iter().map(ToString::to_string).collect();
    let tenant = Some(&name.tenant).filter(|tenant| !tenant.is_default());
    let ask = Ask::post("/v1/batches")
        .with("name", Some(&name.name))
        .with("tenant", tenant)
        .with("notify", (!notify.is_empty()).then(|| notify.join(",")))
        .body(media(format), body(&args.file).await?);
    let (uploaded, errors) = match client.value::<Uploaded>(ask).await {
        Ok(uploaded) => {
            let errors = uploaded.errors.clone();
            (Tally { created: uploaded.created, known: uploaded.known, refused: uploaded.refused }, errors)
        }
        // Not one line was good.
        Err(error) => match crate::client::refused(&error) {
            Some(problem) if problem.errors.iter().any(|error| error.line.is_some()) => {
                (Tally::default(), problem.errors.clone())
            }
            _ => return Err(error),
        },
    };
    for ProblemError { pointer, line, custom_id, detail, fix } in errors {
        let field = pointer.trim_start_matches('/').replace('/', ".");
        let field = if field.is_empty() { "(line)".to_owned() } else { field };
        bad.refuse(line.unwrap_or(0), custom_id, Invalid::one(field, detail, fix));
    }
    // The answer names the first of them only; `batch errors` has more.
    bad.count = bad.count.max(uploaded.refused);
    Ok(Tally { refused: bad.count, ..uploaded })
}

/// `songmill plan`.
pub(crate) async fn plan(global: &Global, args: &PlanArgs) -> Result<Exit> {
    let client = Client::open(global).await?;
    let format = args.format.map_or_else(|| lines::Format::of(&args.file), Into::into);
    let of_batch = args.batch.as_ref().map(|batch| &batch.tenant).filter(|tenant| !tenant.is_default());
    let ask = Ask::post("/v1/plan")
        .with("name", args.batch.as_ref().map(|batch| &batch.name))
        .with("tenant", args.tenant.as_ref().or(of_batch))
        .body(media(format), body(&args.file).await?);
    let plan: PlanView = client.value(ask).await?;
    let exit = if plan.refused > 0 { Exit::Some } else { Exit::Ok };
    if global.json {
        output::json(&plan)?;
        return Ok(exit);
    }
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
    if !plan.unpriced.is_empty() {
        let names: Vec<_> = plan.unpriced.iter().map(ToString::to_string).collect();
        output::line(format_args!("no price is set for {} (api.prices)", names.join(", ")))?;
    }
    let span = |seconds: f64| output::span((seconds * 1000.0) as u64);
    output::line(format_args!("time: {} to {}", span(plan.seconds.low), span(plan.seconds.high)))?;
    for ProblemError { pointer, line, detail, fix, .. } in plan.errors.iter().take(SHOWN) {
        output::line(format_args!("  line {}: {pointer} {detail}; {fix}", line.unwrap_or(0)))?;
    }
    Ok(exit)
}

/// Submits lines to a batch; bad ones are written down and passed over.
pub(crate) async fn submit(
    context: &Context,
    name: &BatchRef,
    lines: tokio::sync::mpsc::Receiver<Result<Line, ReadError>>,
    bad: &mut BadLines,
) -> Result<Tally> {
    submit_to(context, name, Vec::new(), lines, bad).await
}

async fn submit_to(
    context: &Context,
    name: &BatchRef,
    notify: Vec<songmill_core::EndpointId>,
    lines: tokio::sync::mpsc::Receiver<Result<Line, ReadError>>,
    bad: &mut BadLines,
) -> Result<Tally> {
    let id = format!("{:x}", getrandom::u64().context("no random bytes from the system")?);
    let upload = Upload { batch: name.clone(), id, notify, trace: None };
    let bad = RefCell::new(bad);
    let broken = RefCell::new(None);
    // The places of lines on their way: answers come in the order of the lines.
    let ahead = RefCell::new(VecDeque::new());
    let submissions = stream::unfold(lines, |mut lines| async {
        loop {
            let line = match lines.recv().await? {
                Ok(line) => line,
                Err(error) => {
                    *broken.borrow_mut() = Some(error);
                    return None;
                }
            };
            match line.read {
                Ok((song, key)) => {
                    ahead.borrow_mut().push_back((line.number, line.custom_id));
                    return Some((Submission { key: Some(key), ..Submission::of(song) }, lines));
                }
                Err(invalid) => bad.borrow_mut().refuse(line.number, line.custom_id, invalid),
            }
        }
    });
    let answered = |_, result: Result<_, SubmitError>| {
        let (number, custom_id) = ahead.borrow_mut().pop_front().expect("one answer for each line");
        if let Err(error) = result {
            bad.borrow_mut().refuse(number, custom_id, as_invalid(error));
        }
    };
    let producer = context.producer();
    let mut tally = producer.submit_stream(&upload, submissions, answered).await?;
    if let Some(error) = broken.into_inner() {
        return Err(error.into());
    }
    tally.refused = bad.borrow().count;
    Ok(tally)
}

fn as_invalid(error: SubmitError) -> Invalid {
    match error {
        SubmitError::Invalid(invalid) => invalid,
        SubmitError::Conflict { key, job } => Invalid::one(
            "custom_id",
            format!("{key:?} was submitted before with another request (job {job})"),
            "give this line another custom_id, or submit it to another --batch",
        ),
        error @ (SubmitError::Over(_) | SubmitError::Store(_) | SubmitError::Random) => {
            Invalid::one("(line)", format!("{error:#}"), "try again")
        }
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
    let mut lines = lines::read(open(&args.file)?, format);
    let (mut by_vendor, mut good) = (BTreeMap::<String, u64>::new(), 0);
    while let Some(line) = lines.recv().await {
        let line = line?;
        let planned = line
            .read
            .and_then(|(song, _)| songmill_producer::plan(&song, &vendors, config.default_vendor.as_ref()));
        match planned {
            Ok(routes) => {
                good += 1;
                *by_vendor.entry(routes[0].vendor.to_string()).or_default() += 1;
            }
            Err(invalid) => bad.refuse(line.number, line.custom_id, invalid),
        }
    }
    bad.finish()?;
    let tally = Tally { created: 0, known: 0, refused: bad.count };
    if global.json {
        let errors = bad.path_if_any();
        output::json(&Summary { batch: &name.name, tally, errors, ended: None, by_vendor, dry_run: true })?;
    } else {
        let split: Vec<_> = by_vendor.iter().map(|(vendor, count)| format!("{count} to {vendor}")).collect();
        let split = if split.is_empty() { String::new() } else { format!(" ({})", split.join(", ")) };
        output::line(format_args!(
            "dry run of {name}: {good} good{split}, {} refused; nothing was submitted",
            bad.count
        ))?;
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

/// Bad lines, written to a file as they are found.
pub(crate) struct BadLines {
    path: PathBuf,
    file: Option<std::io::BufWriter<std::fs::File>>,
    failed: Option<std::io::Error>,
    first: Vec<String>,
    /// How many.
    pub(crate) count: u64,
}

/// One fault of a bad line, as it is written down.
#[derive(Serialize)]
struct BadLine<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_id: Option<&'a str>,
    #[serde(flatten)]
    problem: &'a Problem,
}

/// How many bad lines are shown at once.
const SHOWN: usize = 10;

impl BadLines {
    fn new(args: &SubmitArgs) -> Self {
        let path = args.errors.clone().unwrap_or_else(|| {
            let name =
                if args.file == Path::new("-") { "stdin".into() } else { args.file.clone().into_os_string() };
            let mut name: std::ffi::OsString = name;
            name.push(".errors.jsonl");
            name.into()
        });
        Self::at(path)
    }

    /// Writes bad lines to this file.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, file: None, failed: None, first: Vec::new(), count: 0 }
    }

    fn refuse(&mut self, line: u64, custom_id: Option<String>, invalid: Invalid) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(format!("  line {line}: {invalid}"));
        }
        if let Err(error) = self.write(line, custom_id.as_deref(), &invalid) {
            self.failed.get_or_insert(error);
        }
    }

    fn write(&mut self, line: u64, custom_id: Option<&str>, invalid: &Invalid) -> std::io::Result<()> {
        if self.file.is_none() {
            self.file = Some(std::io::BufWriter::new(std::fs::File::create(&self.path)?));
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        for problem in &invalid.problems {
            serde_json::to_writer(&mut *file, &BadLine { line, custom_id, problem })?;
            file.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Closes the file; one of an earlier run that says nothing any more is removed.
    fn finish(&mut self) -> Result<()> {
        let flushed = match self.file.take() {
            Some(mut file) => file.flush(),
            None if self.path.is_file() => std::fs::remove_file(&self.path),
            None => Ok(()),
        };
        let written = self.failed.take().map_or(flushed, Err);
        written.with_context(|| format!("bad lines cannot be written to {}", self.path.display()))
    }

    fn path_if_any(&self) -> Option<&Path> {
        (self.count > 0).then_some(self.path.as_path())
    }

    pub(crate) fn say(&self) -> Result<()> {
        for line in &self.first {
            output::line(line)?;
        }
        if self.count > 0 {
            output::line(format_args!(
                "every refused line is in {} with its field and reason",
                self.path.display()
            ))?;
        }
        Ok(())
    }
}
