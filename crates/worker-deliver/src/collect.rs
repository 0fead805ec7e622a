//! Collecting a job: fetch all of its audio, find it to be what was asked for, store it with what is known of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use songmill_core::job::Origin;
use songmill_core::{Asset, Event, Fault, FaultKind, Flag, JobId, Output, Source, State};
use songmill_store::{Lease, Store};
use tempfile::TempPath;
use tokio::sync::Semaphore;

use crate::convert::Convert;
use crate::fetch::{Fetcher, no_room};
use crate::naming::{Layout, Named};
use crate::objects::Objects;
use crate::probe::{Probed, probe};
use crate::provenance::{Made, Provenance};
use crate::storage::{Mode, Storage};
use crate::tags::Tags;
use crate::verdict::Checks;

/// What collecting needs.
pub(crate) struct Collector {
    pub(crate) store: Store,
    pub(crate) fetcher: Fetcher,
    pub(crate) objects: Objects,
    pub(crate) storage: Storage,
    pub(crate) layout: Layout,
    pub(crate) checks: Checks,
    pub(crate) convert: Convert,
    pub(crate) tags: bool,
    pub(crate) provenance: Provenance,
    /// Files that are decoded at the same time: as many as there are processors.
    pub(crate) looking: Semaphore,
}

/// Outputs of one job that are fetched at the same time.
const ABREAST: usize = 4;

/// A piece of audio that is good to be stored.
struct Fetched {
    file: TempPath,
    n: usize,
    probed: Probed,
    flags: Vec<Flag>,
    /// What the vendor gave.
    original: String,
    format: &'static str,
    bytes: u64,
    sha256: String,
}

/// What a piece of audio is one of.
struct Placed<'a> {
    origin: &'a Origin,
    outputs: &'a [Output],
    title: Option<&'a str>,
}

impl Collector {
    /// Brings all outputs of a job in and says what came of it. Nothing is stored before all are known to be good.
    pub(crate) async fn collect(&self, lease: &Arc<Lease>) -> Result<Event, LeaseLost> {
        let State::Collecting { origin, outputs, .. } = &lease.job.state else {
            let fault =
                Fault::new(FaultKind::Unavailable, "not_collecting", "the job has nothing to collect");
            return Ok(Event::CollectFailed { fault });
        };
        match self.brought(lease, origin, outputs).await {
            Ok(assets) => Ok(Event::Stored { assets }),
            Err(Stopped::Fault(fault)) => Ok(Event::CollectFailed { fault }),
            Err(Stopped::Unfit(fault)) => Ok(Event::Unfit { fault }),
            Err(Stopped::LeaseLost(lost)) => Err(lost),
        }
    }

    async fn brought(
        &self,
        lease: &Arc<Lease>,
        origin: &Origin,
        outputs: &[Output],
    ) -> Result<Vec<Asset>, Stopped> {
        let title = lease.song().ok().and_then(|song| song.title);
        let fetch = |(n, output)| self.fetched(lease, title.as_deref(), output, n).boxed();
        let fetching: Vec<BoxFuture<'_, _>> = outputs.iter().enumerate().map(fetch).collect();
        let fetched: Vec<Fetched> = stream::iter(fetching).buffered(ABREAST).try_collect().await?;
        let mut assets = Vec::with_capacity(fetched.len());
        for piece in fetched {
            let placed = Placed { origin, outputs, title: title.as_deref() };
            assets.push(self.stored(lease, placed, piece).await?);
        }
        Ok(assets)
    }

    /// Fetches an output, and finds it to be what was asked for.
    async fn fetched(
        &self,
        lease: &Arc<Lease>,
        title: Option<&str>,
        output: &Output,
        n: usize,
    ) -> Result<Fetched, Stopped> {
        let mut file = self.storage.incoming().map_err(|error| no_room(&error))?;
        match &output.source {
            Source::Url(url) => self.fetcher.fetch(url, &mut file).await?,
            Source::Object { store, key } => self.objects.fetch(store, key, &mut file).await?,
        }
        let _place = self.looking.acquire().await;
        let looked = blocking(move || {
            let file = file.finish().map_err(|error| no_room(&error))?;
            let probed =
                probe(&file).map_err(|not| Fault::new(FaultKind::Garbled, "not_audio", not.to_string()))?;
            let (sha256, bytes) = hashed(&file)?;
            Ok((file, probed, sha256, bytes))
        });
        let (mut file, probed, original, mut bytes) = looked.await?;
        let policy = self.store.policy();
        let flags = self
            .checks
            .judge(&probed, output.part.as_deref(), &lease.job, &policy)
            .map_err(Stopped::Unfit)?;
        let (mut format, mut sha256) = (probed.format, original.clone());
        if self.convert.is_on() {
            (file, format) = self.convert.convert(&file, format, probed.sound.rate).await?;
        }
        // Equal audio would not be equal any more.
        let tags = self.tags && !self.layout.is_shared();
        if tags || self.convert.is_on() {
            let title = output.title.as_deref().or(title).map(str::to_owned);
            let comment = self.provenance.comment(lease);
            (file, sha256, bytes) = blocking(move || {
                let tags = tags.then_some(Tags { title: title.as_deref(), comment });
                let file = tags.and_then(|tags| tags.on(&file, format)).unwrap_or(file);
                let (sha256, bytes) = hashed(&file)?;
                Ok((file, sha256, bytes))
            })
            .await?;
        }
        Ok(Fetched { file, n, probed, flags, original, format, bytes, sha256 })
    }

    /// Stores a piece of audio, and beside it what is known of it.
    async fn stored(
        &self,
        lease: &Arc<Lease>,
        placed: Placed<'_>,
        fetched: Fetched,
    ) -> Result<Asset, Stopped> {
        let Placed { origin, outputs, title } = placed;
        let Fetched { file, n, probed, flags, original, format, bytes, sha256 } = fetched;
        let output = &outputs[n];
        let title = output.title.as_deref().or(title);
        let named = Named { output, n: n + 1, of: outputs.len(), title, sha256: &sha256, ext: format };
        let to = self.layout.path(&lease.job, named);
        let mode = if self.layout.is_shared() { Mode::Shared } else { Mode::Own };
        still_ours(lease)?;
        self.storage.put(file, &to, mode).await?;
        let asset = Asset {
            path: to,
            bytes,
            sha256,
            format: format.to_owned(),
            duration_ms: probed.duration_ms,
            part: output.part.clone(),
            title: title.map(str::to_owned),
            flags,
        };
        let made = Made { origin, asset: &asset, n: n + 1, original, sound: probed.sound };
        let sidecar = self.provenance.sidecar(lease, &self.store, made);
        let json = serde_json::to_vec_pretty(&sidecar)
            .map_err(|error| Fault::new(FaultKind::Unavailable, "storage_unreachable", error.to_string()))?;
        self.storage.put_bytes(&format!("{}.json", asset.path), json.into(), "application/json").await?;
        Ok(asset)
    }
}

/// The lease ran out before the audio was stored: somebody else has the job.
#[derive(Debug, thiserror::Error)]
#[error("the lease of job {0} ran out before its audio was stored")]
pub(crate) struct LeaseLost(JobId);

/// Why an output is not brought in.
enum Stopped {
    Fault(Fault),
    /// It is there, and not what was asked for.
    Unfit(Fault),
    LeaseLost(LeaseLost),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Whoever has the job by now may have stored it: what they wrote down must stay what is there.
fn still_ours(lease: &Lease) -> Result<(), Stopped> {
    if lease.is_held_for(Duration::ZERO) { Ok(()) } else { Err(Stopped::LeaseLost(LeaseLost(lease.job.id))) }
}

/// What blocks, on a thread of its own. Only a panic is the file's own fault.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => Err(Fault::new(FaultKind::Garbled, "not_audio", error.to_string())),
        Err(error) => Err(Fault::new(FaultKind::Unavailable, "output_unreachable", error.to_string())),
    }
}

/// Hash and size of a file. Blocks.
fn hashed(file: &Path) -> Result<(String, u64), Fault> {
    let mut reader = std::fs::File::open(file).map_err(|error| no_room(&error))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = std::io::Read::read(&mut reader, &mut buffer).map_err(|error| no_room(&error))?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
    Ok((hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), bytes))
}
