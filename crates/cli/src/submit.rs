//! Submitting a file.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use futures_util::stream;
use serde::Serialize;
use songmill_core::BatchName;
use songmill_core::song::{Invalid, Problem};
use songmill_producer::{Submission, SubmitError, Tally, plan};
use songmill_store::Batch;

use crate::args::Global;
use crate::config::Config;
use crate::context::{Context, vendors};
use crate::exit::{Exit, usage};
use crate::input::{self, Format, Line};
use crate::{batch, output, progress, telemetry};

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The file, or - for standard input
    file: PathBuf,
    /// The batch to submit to [default: the file's name without its ending]
    #[arg(long)]
    batch: Option<BatchName>,
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
    ended: Option<&'a Batch>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    by_vendor: BTreeMap<String, u64>,
    dry_run: bool,
}

/// `songmill submit`.
pub(crate) async fn run(global: &Global, args: &SubmitArgs) -> Result<Exit> {
    let name = match &args.batch {
        Some(name) => name.clone(),
        None => named_after(&args.file)?,
    };
    let format = args.format.unwrap_or_else(|| Format::of(&args.file));
    let mut bad = BadLines::new(args);
    if args.dry_run {
        let config = Config::load(global)?;
        telemetry::start(&config.log, global, true)?;
        return dry_run(global, args, &config, &name, format, bad).await;
    }
    let context = Context::open(global).await?;
    telemetry::start(&context.config.log, global, true)?;
    let lines = input::read(&args.file, format)?;
    let tally = submit(&context, &name, lines, &mut bad).await?;
    bad.finish()?;
    if !global.json {
        say(&name, &tally, &bad)?;
    }
    let ended =
        if args.wait { Some(progress::watch(&context.store, &name, global.json).await?) } else { None };
    if global.json {
        let errors = bad.path_if_any();
        let by_vendor = BTreeMap::new();
        let ended = ended.as_ref();
        output::json(&Summary { batch: &name, tally, errors, ended, by_vendor, dry_run: false })?;
    }
    if let Some(ended) = &ended
        && !global.json
    {
        batch::print_results(&context.store, &name, None).await?;
        output::line(format_args!("{name}: {}", progress::counts(ended)))?;
    }
    let well = ended.as_ref().is_none_or(batch::ended_well);
    Ok(if bad.count > 0 || !well { Exit::Some } else { Exit::Ok })
}

/// Submits lines to a batch; bad ones are written down and passed over.
pub(crate) async fn submit(
    context: &Context,
    name: &BatchName,
    lines: tokio::sync::mpsc::Receiver<Result<Line>>,
    bad: &mut BadLines,
) -> Result<Tally> {
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
                    return Some((Submission { song, batch: None, key: Some(key) }, lines));
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
    let mut tally = producer.submit_stream(Some(name), submissions, answered).await?;
    if let Some(error) = broken.into_inner() {
        return Err(error);
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
        error @ (SubmitError::Store(_) | SubmitError::Random) => {
            Invalid::one("(line)", format!("{error:#}"), "try again")
        }
    }
}

async fn dry_run(
    global: &Global,
    args: &SubmitArgs,
    config: &Config,
    name: &BatchName,
    format: Format,
    mut bad: BadLines,
) -> Result<Exit> {
    let vendors = vendors(config);
    let mut lines = input::read(&args.file, format)?;
    let (mut by_vendor, mut good) = (BTreeMap::<String, u64>::new(), 0);
    while let Some(line) = lines.recv().await {
        let line = line?;
        let planned = line.read.and_then(|(song, _)| plan(&song, &vendors, config.default_vendor.as_ref()));
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
        output::json(&Summary { batch: name, tally, errors, ended: None, by_vendor, dry_run: true })?;
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

fn say(name: &BatchName, tally: &Tally, bad: &BadLines) -> Result<()> {
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
