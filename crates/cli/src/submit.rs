//! Submitting a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use axum::http::Method;
use clap::Args;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use songmill_api::views::BatchView;
use songmill_core::money::micros;
use songmill_core::song::{IgnoredField, PlannedChange};
use songmill_core::{BatchName, BatchRef};
use songmill_producer::Tally;
use songmill_producer::parse::{self, Options, ReadError, Reading, Row};
use songmill_store::Upload;
use unicode_normalization::UnicodeNormalization as _;

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::config::Config;
use crate::context::{Context, vendors};
use crate::exit::{self, Exit, usage};
use crate::input::InputArgs;
use crate::progress::Made;
use crate::rejected::Rejected;
use crate::{batch, input, outcome, output, progress, telemetry, waits};

mod upload;

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    input: InputArgs,
    /// The batch to submit to, TENANT/NAME for another tenant's [default: the file's name without its ending]
    #[arg(long)]
    batch: Option<BatchRef>,
    /// Write rejected rows to this file [default: NAME.rejected.csv beside a table, NAME.rejected.jsonl beside JSON]
    #[arg(long, value_name = "FILE", alias = "errors")]
    rejected: Option<PathBuf>,
    /// Wait until all jobs of the batch have ended or are held
    #[arg(long)]
    wait: bool,
    /// Check and plan every row but submit nothing; needs no Redis
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

/// What a submission came to.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    batch: &'a BatchName,
    #[serde(flatten)]
    tally: Tally,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_file: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<&'a BatchView>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    by_vendor: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<PlannedChange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<IgnoredField>,
    dry_run: bool,
}

/// `songmill submit`.
pub(crate) async fn run(global: &Global, args: &SubmitArgs) -> Result<Exit> {
    let name = match &args.batch {
        Some(name) => name.clone(),
        None => named_after(&args.input.file)?.into(),
    };
    let (file, options) = (&args.input.file, args.input.options()?);
    if args.dry_run {
        let config = Config::load(global)?;
        telemetry::start(&config.log, global, true)?;
        return dry_run(global, args, &config, &name, options).await;
    }
    let (client, submitted, mut rejected, known) = if global.server.is_some() {
        let client = Client::open(global).await?;
        let (submitted, rejected, known) = upload::upload(&client, args, &name, &options).await?;
        (client, submitted, rejected, known)
    } else {
        let context = Context::open(global).await?;
        telemetry::start(&context.config.log, global, true)?;
        let Reading { rows, about } = parse::read(input::open(file)?, options.clone());
        let mut rejected = Rejected::of(file, args.rejected.as_deref(), &options, about.clone())?;
        let submitted = submit_to(&context, &name, &args.wishes, rows, &mut rejected, file).await?;
        (Client::here(&context)?, submitted, rejected, about)
    };
    let Submitted { tally, ignored, broke } = submitted;
    let is_whole = broke.is_none();
    let written = rejected.finish();
    let notes = known.get().notes;
    if !global.json {
        input::notes(file, &notes);
        say(&name, &tally, &rejected)?;
        say_ignored(&ignored)?;
    }
    // What was submitted is said before what went wrong.
    written?;
    if let Some(error) = broke {
        output::note(format_args!("error: {}; the rows behind it are not submitted", exit::message(&error)));
    }
    if !args.wait && !global.json {
        // What keeps them waiting is told now: whoever submits may be the one who can put it right. They are submitted
        // whether or not that can be found out.
        let look = client.value::<BatchView>(Ask::batch(Method::GET, &name, ""));
        if let Ok(Ok(batch)) = tokio::time::timeout(LOOK, look).await {
            waits::note(&batch.waits);
        }
    }
    let ended = match args.wait {
        true => Some(progress::watch(&client, &name, global.json, Made::Elsewhere).await?),
        false => None,
    };
    if global.json {
        output::json(&Summary {
            batch: &name.name,
            tally,
            rejected_file: rejected.path_if_any(),
            ended: ended.as_ref(),
            by_vendor: BTreeMap::new(),
            changes: Vec::new(),
            notes,
            ignored,
            dry_run: false,
        })?;
    }
    if let Some(ended) = &ended
        && !global.json
    {
        if ended.total <= ROWS {
            batch::print_results(&client, Ask::batch(Method::GET, &name, "/results")).await?;
        }
        outcome::say(&client, &name, ended).await?;
    }
    let well = ended.as_ref().is_none_or(batch::ended_well);
    Ok(if rejected.count > 0 || !well || !is_whole { Exit::Some } else { Exit::Ok })
}

/// What a submission came to.
pub(crate) struct Submitted {
    pub(crate) tally: Tally,
    /// What vendors will ignore in the new jobs.
    pub(crate) ignored: Vec<IgnoredField>,
    /// What ended the input, of which a part was submitted before.
    pub(crate) broke: Option<anyhow::Error>,
}

/// Says what vendors will ignore.
pub(crate) fn say_ignored(ignored: &[IgnoredField]) -> Result<()> {
    IgnoredField::lines(ignored).iter().try_for_each(output::line)
}

/// How long a submission looks for what keeps it waiting.
const LOOK: std::time::Duration = std::time::Duration::from_secs(2);

/// How many songs are listed when all of them have ended.
const ROWS: u64 = 50;

/// Tells uploads apart.
pub(crate) fn upload_id() -> Result<String> {
    Ok(format!("{:x}", getrandom::u64().context("no random bytes from the system")?))
}

/// Submits rows to a batch; what is wrong with some is written down.
pub(crate) async fn submit(
    context: &Context,
    name: &BatchRef,
    rows: Rows,
    rejected: &mut Rejected,
    file: &Path,
) -> Result<Submitted> {
    submit_to(context, name, &Wishes::default(), rows, rejected, file).await
}

/// The rows of a file.
type Rows = tokio::sync::mpsc::Receiver<Result<Row, ReadError>>;

async fn submit_to(
    context: &Context,
    name: &BatchRef,
    wishes: &Wishes,
    rows: Rows,
    rejected: &mut Rejected,
    file: &Path,
) -> Result<Submitted> {
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
    let uploaded = producer.submit_lines(&upload, rows, |row| rejected.reject(row)).await?;
    let broke = uploaded.broke.map(|error| input::refused(file, error));
    let Tally { created, known, refused } = uploaded.tally;
    match broke {
        Some(error) if created + known + refused == 0 => Err(error),
        broke => Ok(Submitted { tally: uploaded.tally, ignored: uploaded.ignored, broke }),
    }
}

async fn dry_run(
    global: &Global,
    args: &SubmitArgs,
    config: &Config,
    name: &BatchRef,
    options: Options,
) -> Result<Exit> {
    let vendors = vendors(config);
    let planner = songmill_producer::Planner {
        vendors: &vendors,
        default_vendor: config.default_vendor.as_ref(),
        addresses: config.deliver.address_policy(),
    };
    let file = &args.input.file;
    let Reading { mut rows, about } = parse::read(input::open(file)?, options.clone());
    let mut rejected = Rejected::of(file, args.rejected.as_deref(), &options, about.clone())?;
    let (mut by_vendor, mut good, mut changes) = (BTreeMap::<String, u64>::new(), 0, Vec::new());
    let mut ignored = Vec::new();
    while let Some(row) = rows.recv().await {
        let row = row.map_err(|error| input::refused(file, error))?;
        let planned = row.read.and_then(|(song, _)| {
            songmill_producer::plan(&song, &planner, &songmill_producer::Outlook::default())
        });
        match planned {
            Ok(routes) => {
                good += 1;
                *by_vendor.entry(routes[0].vendor.to_string()).or_default() += 1;
                PlannedChange::collect(&mut changes, &routes[0].vendor, &routes[0].changes);
                IgnoredField::collect(&mut ignored, &routes[0].vendor, &routes[0].dropped);
            }
            Err(invalid) => {
                rejected.reject(&crate::rejected::refused(row.number, row.custom_id, row.title, invalid));
            }
        }
    }
    rejected.finish()?;
    let tally = Tally { created: 0, known: 0, refused: rejected.count };
    let notes = about.get().notes;
    if global.json {
        output::json(&Summary {
            batch: &name.name,
            tally,
            rejected_file: rejected.path_if_any(),
            ended: None,
            by_vendor,
            changes,
            notes,
            ignored,
            dry_run: true,
        })?;
    } else {
        input::notes(file, &notes);
        let split: Vec<_> = by_vendor.iter().map(|(vendor, count)| format!("{count} to {vendor}")).collect();
        let split = if split.is_empty() { String::new() } else { format!(" ({})", split.join(", ")) };
        output::line(format_args!(
            "dry run of {name}: {good} good{split}, {} refused; nothing was submitted",
            rejected.count
        ))?;
        for change in &changes {
            output::line(format_args!("changed: {change}"))?;
        }
        say_ignored(&ignored)?;
        rejected.say()?;
    }
    Ok(if rejected.count > 0 { Exit::Some } else { Exit::Ok })
}

fn say(name: &BatchRef, tally: &Tally, rejected: &Rejected) -> Result<()> {
    let Tally { created, known, refused } = tally;
    let known =
        if *known > 0 { format!(", {known} submitted before: nothing new for them") } else { String::new() };
    output::line(format_args!("batch {name}: {created} new jobs{known}, {refused} refused"))?;
    rejected.say()
}

/// How much of a file's name is a batch's; what is longer ends in a hash of all of it.
const NAME_CHARS: usize = 50;
/// How many digits that hash has.
const HASH_CHARS: usize = 8;

fn named_after(file: &Path) -> Result<BatchName> {
    if file.is_dir() {
        return Err(usage(format!("{} is a folder; name a file in it", file.display())));
    }
    let stem = if file == Path::new("-") {
        "stdin".into()
    } else {
        file.file_stem().unwrap_or_default().to_string_lossy()
    };
    // The same songs, packed or not, are one batch.
    let packed = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    let stem = match packed {
        true => Path::new(&*stem).file_stem().unwrap_or_default().to_string_lossy().into_owned().into(),
        false => stem,
    };
    // What was rejected goes where the others went.
    let again = stem.rfind(".rejected").filter(|at| {
        let number = &stem[at + ".rejected".len()..];
        number.is_empty() || number.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok())
    });
    let stem = again.map_or(&*stem, |at| &stem[..at]);
    // Several are one: a blank beside a bracket, or a character that is written as two.
    let mut name = String::new();
    for c in stem.nfc() {
        if BatchName::new(c.encode_utf8(&mut [0; 4])).is_ok() {
            name.push(c);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    let whole = name.trim_matches('-');
    let mut name: String = whole.chars().take(NAME_CHARS).collect();
    if name.len() < whole.len() {
        let hash = output::hex(&Sha256::digest(whole));
        name = format!("{name}-{}", &hash[..HASH_CHARS]);
    }
    BatchName::new(&name).map_err(|_| usage("--batch: the file's name makes no batch name; give one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_named_after_its_file_in_any_script() {
        for (file, name) in [
            ("春天歌单.csv", "春天歌单"),
            ("冬天歌单.xlsx", "冬天歌单"),
            ("/a/b/My songs (2).csv", "My-songs-2"),
            ("Fru\u{308}hling.csv", "Frühling"),
            ("album.v2.jsonl", "album.v2"),
            ("songs.csv.gz", "songs"),
            ("春天歌单.rejected-2.csv", "春天歌单"),
            ("春天歌单.rejected.csv", "春天歌单"),
            ("-", "stdin"),
        ] {
            assert_eq!(named_after(Path::new(file)).unwrap().as_str(), name);
        }
        let long = |end: &str| named_after(&PathBuf::from(format!("{}{end}.csv", "很".repeat(60)))).unwrap();
        assert_ne!(long("A"), long("B"), "two files are two batches");
        assert!(named_after(Path::new("???.csv")).is_err());
    }
}
