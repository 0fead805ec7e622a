//! Collecting a job: fetch all of its audio, find it to be what was asked for, store it with what is known of it.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use sha2::{Digest as _, Sha256};
use songmill_core::job::{Accept, Defect, Origin};
use songmill_core::{Asset, Event, Extra, Fault, FaultKind, Flag, Output, Source, State};
use songmill_store::{Lease, Store};
use tempfile::TempPath;
use tokio::sync::Semaphore;

use crate::convert::Convert;
use crate::fetch::{Fetcher, no_room};
use crate::kept::Kept;
use crate::listeners::Listeners;
use crate::naming::{Layout, Named};
use crate::objects::Objects;
use crate::probe::{End, Ffmpeg, NotAudio, Probed, probe};
use crate::provenance::{Made, Provenance, hex};
use crate::storage::{Mode, Storage};
use crate::tags::{Tags, second_name};
use crate::verdict::{Asked, Assessment, Checks};

mod pick;

use pick::{LeaseLost, Picked, Piece, Stopped, pick, still_ours};

/// What collecting needs.
pub(crate) struct Collector {
    pub(crate) store: Store,
    pub(crate) fetcher: Fetcher,
    pub(crate) objects: Objects,
    pub(crate) storage: Storage,
    pub(crate) layout: Layout,
    pub(crate) checks: Checks,
    pub(crate) convert: Convert,
    /// Decodes what no decoder here knows, where it is there.
    pub(crate) ffmpeg: Option<Ffmpeg>,
    pub(crate) tags: bool,
    pub(crate) provenance: Provenance,
    pub(crate) kept: Kept<Picked>,
    pub(crate) listeners: Listeners,
    /// Files that are converted at the same time: as many as there are processors.
    pub(crate) converting: Semaphore,
}

/// Outputs of one job that are fetched at the same time.
const ABREAST: usize = 4;

/// A piece of audio that is good to be stored.
pub(crate) struct Fetched {
    file: TempPath,
    /// Which of the task's outputs it is, from 0, and what the vendor says of it.
    place: usize,
    output: Output,
    probed: Probed,
    flags: Vec<Flag>,
    /// What the vendor gave.
    original: String,
    format: &'static str,
    bytes: u64,
    sha256: String,
}

/// What is to be brought in.
struct Wanted<'a> {
    origin: &'a Origin,
    outputs: &'a [Output],
    /// Whether the task lacks audio that it should have given.
    lacks_audio: bool,
    accept: Accept,
}

/// What a piece of audio is one of.
struct Placed<'a> {
    origin: &'a Origin,
    /// Its number among the job's audio, from 1.
    n: usize,
    /// How many outputs the task has.
    of: usize,
    title: Option<&'a str>,
}

impl Collector {
    /// Brings all outputs of a job in and says what came of it. Nothing is stored before all are known to be good, or it is
    /// known which are.
    pub(crate) async fn collect(&self, lease: &Arc<Lease>) -> Result<Event, LeaseLost> {
        let State::Collecting { origin, outputs, extra, accept, .. } = &lease.job.state else {
            let fault =
                Fault::new(FaultKind::Unavailable, "not_collecting", "the job has nothing to collect");
            return Ok(Event::CollectFailed { fault });
        };
        let wanted = Wanted { origin, outputs, lacks_audio: extra.lacks_audio(), accept: *accept };
        match self.brought(lease, wanted).await {
            Ok((assets, extra)) => Ok(Event::Stored { assets, extra }),
            Err(Stopped::Fault(fault)) => Ok(Event::CollectFailed { fault }),
            Err(Stopped::Rejected(fault, defect)) => Ok(Event::QualityRejected { fault, defect }),
            Err(Stopped::LeaseLost(lost)) => Err(lost),
        }
    }

    async fn brought(
        &self,
        lease: &Arc<Lease>,
        wanted: Wanted<'_>,
    ) -> Result<(Vec<Asset>, Vec<Extra>), Stopped> {
        let Wanted { origin, outputs, lacks_audio, accept } = wanted;
        let title = lease.song().ok().and_then(|song| song.title);
        let fetch = |(place, output)| self.fetched(lease, title.as_deref(), (output, place), accept).boxed();
        let fetching: Vec<BoxFuture<'_, _>> = outputs.iter().enumerate().map(fetch).collect();
        let picked = match self.kept.take(lease.job.id, origin.attempt.number) {
            Some(picked) => picked,
            None => {
                let fetching = stream::iter(fetching).buffered(ABREAST);
                let (job, policy, now) = (&lease.job, self.store.policy(), self.store.now());
                let may_come = |kind| job.may_ask_anew(origin, kind, &policy, now);
                let mut picked = pick(fetching, outputs, accept, may_come).await?;
                if lacks_audio || picked.is_incomplete {
                    picked.good.iter_mut().for_each(|piece| piece.flags.push(Flag::Incomplete));
                }
                picked
            }
        };
        let mut assets = Vec::with_capacity(picked.good.len());
        for (n, piece) in (1..).zip(&picked.good) {
            let placed = Placed { origin, n, of: outputs.len(), title: title.as_deref() };
            match self.stored(lease, placed, piece).await {
                Ok(asset) => assets.push(asset),
                // It may have expired at the vendor's by the time that our storage is back.
                Err(Stopped::Fault(fault)) => {
                    self.kept.keep(lease.job.id, origin.attempt.number, picked);
                    return Err(fault.into());
                }
                Err(stopped) => return Err(stopped),
            }
        }
        Ok((assets, picked.extra))
    }

    /// Fetches an output, and finds it to be what was asked for.
    async fn fetched(
        &self,
        lease: &Arc<Lease>,
        title: Option<&str>,
        (output, place): (&Output, usize),
        accept: Accept,
    ) -> Result<Piece, Stopped> {
        let mut file = self.storage.incoming().map_err(|error| no_room(&error))?;
        match &output.source {
            Source::Url(url) => self.fetcher.fetch(url, &mut file).await?,
            Source::Object { store, key } => self.objects.fetch(store, key, &mut file).await?,
            Source::Unusable(_) => return Ok(Piece::Other("nothing that can be downloaded".into())),
        }
        let ffmpeg = self.ffmpeg.clone();
        let looked = self.listeners.hear(move || {
            let file = file.finish().map_err(|error| no_room(&error))?;
            let probed = match probe(&file, ffmpeg.as_ref()) {
                Ok(probed) => probed,
                Err(not) => return Ok(Err(not)),
            };
            let (sha256, bytes) = hashed(&file)?;
            Ok(Ok((file, probed, sha256, bytes)))
        });
        let (mut file, probed, original, mut bytes) = match looked.await? {
            Ok(heard) => heard,
            Err(NotAudio::Other(what)) => return Ok(Piece::Other(what.into())),
            Err(not) => return Err(not.into()),
        };
        let asked = Asked {
            part: output.part.as_deref(),
            seconds: lease.job.size().seconds,
            vendor_ms: output.duration_ms,
        };
        let judged = self.checks.judge(&probed, asked);
        let may_be_made_anew = lease.job.may_be_made_anew(&self.store.policy(), self.store.now());
        let is_settled = lease.job.retrieval.accept_open_end;
        objection(&judged, probed.end, accept, is_settled, may_be_made_anew)?;
        let mut flags = judged.flags;
        let (mut format, mut sha256) = (probed.format, original.clone());
        if self.convert.is_on() {
            let _place = self.converting.acquire().await;
            match self.convert.convert(&file, &probed).await {
                Ok(converted) => (file, format) = converted,
                // The song is safe first of all.
                Err(error) => {
                    tracing::error!(job.id = %lease.job.id, %error, "audio is stored as it came: it cannot be converted");
                    flags.push(Flag::NotConverted);
                }
            }
        }
        // Equal audio would not be equal any more.
        let tags = self.tags && !self.layout.is_shared();
        if tags || self.convert.is_on() {
            let title = output.title.as_deref().or(title).map(str::to_owned);
            let comment = self.provenance.comment(lease);
            let tagged = self.listeners.hear(move || {
                let tags = tags.then_some(Tags { title: title.as_deref(), comment });
                let file = tags.and_then(|tags| tags.on(&file, format)).unwrap_or(file);
                let (sha256, bytes) = hashed(&file)?;
                Ok((file, sha256, bytes))
            });
            (file, sha256, bytes) = tagged.await?;
        }
        let output = output.clone();
        Ok(Piece::Audio(Box::new(Fetched {
            file,
            place,
            output,
            probed,
            flags,
            original,
            format,
            bytes,
            sha256,
        })))
    }

    /// Stores a piece of audio, and beside it what is known of it.
    async fn stored(
        &self,
        lease: &Arc<Lease>,
        placed: Placed<'_>,
        fetched: &Fetched,
    ) -> Result<Asset, Stopped> {
        let Placed { origin, n, of, title } = placed;
        let Fetched { file, place, output, probed, flags, original, format, bytes, sha256 } = fetched;
        let title = output.title.as_deref().or(title);
        // The path does not depend on what else could be had.
        let named = Named { output, n: place + 1, of, title, sha256, ext: format };
        let to = self.layout.path(&lease.job, named);
        let mode = if self.layout.is_shared() { Mode::Shared } else { Mode::Own };
        still_ours(lease)?;
        let copy = linked(file).await?;
        self.storage.put(copy, &to, mode).await.map_err(ours)?;
        still_ours(lease)?;
        let asset = Asset {
            path: to,
            bytes: *bytes,
            sha256: sha256.clone(),
            format: (*format).to_owned(),
            duration_ms: probed.duration_ms,
            part: output.part.clone(),
            title: title.map(str::to_owned),
            flags: flags.clone(),
        };
        let made = Made { origin, asset: &asset, n, original, sound: &probed.sound };
        let sidecar = self.provenance.sidecar(lease, &self.store, made);
        let json = serde_json::to_vec_pretty(&sidecar)
            .map_err(|error| Fault::new(FaultKind::Unavailable, "storage_unreachable", error.to_string()))?;
        let beside = format!("{}.json", asset.path);
        self.storage.put_bytes(&beside, json.into(), "application/json").await.map_err(ours)?;
        Ok(asset)
    }
}

/// Why audio is not stored now, where that is so.
fn objection(
    judged: &Assessment,
    end: End,
    accept: Accept,
    is_settled: bool,
    may_be_made_anew: bool,
) -> Result<(), Stopped> {
    if accept == Accept::Any {
        return Ok(());
    }
    let maybe_cut = judged.maybe_cut.as_ref().filter(|_| accept.is_whole() && !is_settled);
    let remake = judged.remake.as_ref().filter(|_| accept.is_whole() && may_be_made_anew);
    let (finding, defect) = match (&judged.unusable, maybe_cut, remake) {
        // All but silence may be another file in a moment: half of one is short, or broken.
        (Some(finding), ..) if end != End::Whole || finding.flag != Flag::Silent => {
            (finding, Defect::NotReady)
        }
        (Some(finding), ..) => (finding, Defect::Unusable),
        (None, Some(finding), _) => (finding, Defect::Doubtful),
        (None, None, Some(finding)) => (finding, Defect::Unusable),
        (None, None, None) => return Ok(()),
    };
    let words = format!("{}: {}", finding.flag.as_str(), finding.words);
    Err(Stopped::Rejected(Fault::new(FaultKind::Unknown, "audio_unfit", words), defect))
}

/// What our own storage says is for the operator, however often: the vendor has done its part.
fn ours(mut fault: Fault) -> Fault {
    fault.kind = FaultKind::Locked;
    fault
}

/// A second name of a file, to be given away.
async fn linked(file: &Path) -> Result<TempPath, Fault> {
    let file = file.to_owned();
    let linked = tokio::task::spawn_blocking(move || second_name(&file)).await;
    linked.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(|error| no_room(&error))
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
    Ok((hex(&hash.finalize()), bytes))
}
