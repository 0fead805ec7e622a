//! Reading all audio in storage, and comparing it with what its sidecars say.
//!
//! Files are listed in the order of their paths, so that audio and sidecar come close together; what seems alone is asked
//! for before it is reported.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use songmill_core::BatchRef;
use songmill_worker_deliver::{Library, Sidecar, StorageError, is_audio};

use crate::args::Global;
use crate::config::Config;
use crate::exit::{Exit, usage};
use crate::{output, progress, telemetry};

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Only of this batch (TENANT/NAME for another tenant's)
    #[arg(long)]
    batch: Option<BatchRef>,
    /// Only what lies below this path in storage
    #[arg(long, conflicts_with = "batch", value_name = "PATH")]
    prefix: Option<String>,
    /// Files read at the same time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Wrong {
    /// There is a sidecar, and no audio.
    Missing,
    /// It is not what the sidecar says.
    Changed,
    /// There is audio, and no sidecar.
    Orphaned,
}

#[derive(Debug, Serialize)]
struct Finding {
    wrong: Wrong,
    path: String,
    words: String,
}

#[derive(Debug, Default, Serialize)]
struct Sum {
    verified: u64,
    bytes: u64,
    missing: u64,
    changed: u64,
    orphaned: u64,
}

/// A file that was looked at: how much was read, and what is wrong with it.
struct Looked {
    bytes: u64,
    finding: Option<Finding>,
}

/// No sidecar is longer: it holds a request.
const SIDECAR: usize = 4 << 20;
/// Between two lines that say how far it is.
const SAY: Duration = Duration::from_secs(5);

/// `songmill asset verify`.
pub(crate) async fn run(global: &Global, args: &VerifyArgs) -> Result<Exit> {
    if global.server.is_some() {
        return Err(usage(
            "verify reads the storage of the settings itself; run it where that can be reached",
        ));
    }
    let config = Config::load(global)?;
    telemetry::start(&config.log, global, true)?;
    let library = Library::open(&config.deliver)?;
    let below = args.prefix.as_deref().unwrap_or_default().trim_matches('/');
    let verifier = Verifier { library, batch: args.batch.clone() };
    let (mut sum, mut said) = (Sum::default(), Instant::now());
    let bar = progress::spinner(global.json);
    let mut note = |looked: Looked| -> Result<()> {
        sum.verified += 1;
        sum.bytes += looked.bytes;
        let words = format!("{} files, {} MB", sum.verified, sum.bytes >> 20);
        if bar.is_hidden() && !global.json && said.elapsed() > SAY {
            output::note(format_args!("{words} so far"));
            said = Instant::now();
        }
        bar.set_message(words);
        bar.tick();
        let Some(finding) = looked.finding else { return Ok(()) };
        match finding.wrong {
            Wrong::Missing => sum.missing += 1,
            Wrong::Changed => sum.changed += 1,
            Wrong::Orphaned => sum.orphaned += 1,
        }
        bar.suspend(|| match global.json {
            true => output::json_line(&finding),
            false => output::line(format_args!(
                "{:8}  {}  {}",
                format!("{:?}", finding.wrong).to_lowercase(),
                finding.path,
                finding.words
            )),
        })
    };
    verifier.each(below, usize::from(args.concurrency), &mut note).await?;
    bar.finish_and_clear();
    if global.json {
        output::json_line(&sum)?;
    } else {
        output::line(format_args!(
            "{} files with {} bytes were read: {} missing, {} changed, {} orphaned",
            sum.verified, sum.bytes, sum.missing, sum.changed, sum.orphaned
        ))?;
    }
    Ok(if sum.missing + sum.changed + sum.orphaned == 0 { Exit::Ok } else { Exit::Wrong })
}

/// Reads what is wanted of storage.
struct Verifier {
    library: Library,
    /// Only this batch's, as the sidecars say.
    batch: Option<BatchRef>,
}

impl Verifier {
    async fn each(
        &self,
        below: &str,
        abreast: usize,
        note: &mut impl FnMut(Looked) -> Result<()>,
    ) -> Result<()> {
        let mut entries = self.library.list(below);
        // Audio whose sidecar has not come yet.
        let mut alone: BTreeSet<String> = BTreeSet::new();
        let mut looks: FuturesUnordered<BoxFuture<'_, Result<Option<Looked>>>> = FuturesUnordered::new();
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            while alone.first().is_some_and(|first| format!("{first}.json") < entry.path) {
                looks.extend(alone.pop_first().map(|path| self.orphaned(path).boxed()));
            }
            match entry.path.strip_suffix(".json") {
                Some(audio) if is_audio(audio) => {
                    alone.remove(audio);
                    looks.push(self.pair(audio.to_owned(), entry.stat.bytes).boxed());
                }
                _ if is_audio(&entry.path) => drop(alone.insert(entry.path)),
                _ => {}
            }
            while looks.len() >= abreast
                && let Some(looked) = looks.next().await
            {
                looked?.map_or(Ok(()), &mut *note)?;
            }
        }
        looks.extend(alone.into_iter().map(|path| self.orphaned(path).boxed()));
        while let Some(looked) = looks.next().await {
            looked?.map_or(Ok(()), &mut *note)?;
        }
        Ok(())
    }

    /// Audio whose sidecar did not come beside it: unless it is there all the same, nobody knows what it should be.
    async fn orphaned(&self, path: String) -> Result<Option<Looked>> {
        let theirs = self.batch.as_ref().is_none_or(|batch| path.starts_with(&format!("{}/", folder(batch))));
        let sidecar = format!("{path}.json");
        if !theirs
            || self.library.stat(&sidecar).await?.is_some()
            || self.library.stat(&path).await?.is_none()
        {
            return Ok(None);
        }
        Ok(Some(Looked::found(0, Wrong::Orphaned, path, "has no sidecar")))
    }

    /// Audio and its sidecar.
    async fn pair(&self, path: String, sidecar_bytes: u64) -> Result<Option<Looked>> {
        let changed =
            |bytes, words: String| Ok(Some(Looked::found(bytes, Wrong::Changed, path.clone(), words)));
        if sidecar_bytes > SIDECAR as u64 {
            return changed(0, format!("its sidecar has {sidecar_bytes} bytes"));
        }
        // One that was removed meanwhile has no audio any more.
        let Some(said) = read(&self.library, &format!("{path}.json")).await? else { return Ok(None) };
        let said = match serde_json::from_slice::<Sidecar>(&said) {
            Ok(said) => said,
            Err(error) => return changed(0, format!("its sidecar cannot be read: {error}")),
        };
        let of = |batch: &BatchRef| said.tenant == batch.tenant && said.batch.as_ref() == Some(&batch.name);
        if !self.batch.as_ref().is_none_or(of) {
            return Ok(None);
        }
        if said.asset.path != path {
            return changed(0, format!("its sidecar is that of {}", said.asset.path));
        }
        let mut chunks = match self.library.get(&path).await {
            Ok(chunks) => chunks,
            Err(StorageError::Missing { .. }) => {
                let words = format!("job {} stored it", said.job);
                return Ok(Some(Looked::found(0, Wrong::Missing, path, words)));
            }
            Err(error) => return Err(error.into()),
        };
        let (mut hash, mut bytes) = (Sha256::new(), 0);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            bytes += chunk.len() as u64;
            hash.update(&chunk);
        }
        if bytes != said.asset.bytes {
            return changed(bytes, format!("has {bytes} bytes, not {}", said.asset.bytes));
        }
        if output::hex(&hash.finalize()) != said.asset.sha256 {
            return changed(bytes, "has other bytes than were stored".into());
        }
        Ok(Some(Looked { bytes, finding: None }))
    }
}

impl Looked {
    fn found(bytes: u64, wrong: Wrong, path: String, words: impl Into<String>) -> Self {
        Self { bytes, finding: Some(Finding { wrong, path, words: words.into() }) }
    }
}

/// Where a batch's audio lies if nothing else is said: what has no sidecar can be told by that alone.
fn folder(batch: &BatchRef) -> String {
    let name = match batch.name.as_str().trim_start_matches('.') {
        "" => "single",
        name => name,
    };
    if batch.tenant.is_default() { name.to_owned() } else { format!("@{}/{name}", batch.tenant) }
}

async fn read(library: &Library, path: &str) -> Result<Option<Vec<u8>>> {
    let mut chunks = match library.get(path).await {
        Ok(chunks) => chunks,
        Err(StorageError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut all = Vec::new();
    while let Some(chunk) = chunks.next().await {
        all.extend_from_slice(&chunk?);
        ensure!(all.len() <= SIDECAR, "{path} is too long for a sidecar");
    }
    Ok(Some(all))
}
