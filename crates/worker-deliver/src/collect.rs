//! Collecting a job: fetch all of its audio, find it to be what was asked for, store it with what is known of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use songmill_core::job::Origin;
use songmill_core::{Asset, Event, Fault, FaultKind, Flag, JobId, Output, Source, State};
use songmill_store::{Lease, Store};
use tempfile::TempPath;
use tokio::sync::Semaphore;

use crate::convert::Convert;
use crate::fetch::{Fetcher, no_room};
use crate::kept::Kept;
use crate::listeners::Listeners;
use crate::naming::{Layout, Named};
use crate::objects::Objects;
use crate::probe::{Ffmpeg, NotAudio, Probed, probe};
use crate::provenance::{Made, Provenance, hex};
use crate::storage::{Mode, Storage};
use crate::tags::{Tags, second_name};
use crate::verdict::{Asked, Checks, Finding};

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
    pub(crate) kept: Kept<Vec<Fetched>>,
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
        let State::Collecting { origin, outputs, partly, .. } = &lease.job.state else {
            let fault =
                Fault::new(FaultKind::Unavailable, "not_collecting", "the job has nothing to collect");
            return Ok(Event::CollectFailed { fault });
        };
        match self.brought(lease, origin, outputs, *partly).await {
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
        partly: bool,
    ) -> Result<Vec<Asset>, Stopped> {
        let title = lease.song().ok().and_then(|song| song.title);
        let fetch = |(place, output)| self.fetched(lease, title.as_deref(), output, place).boxed();
        let fetching: Vec<BoxFuture<'_, _>> = outputs.iter().enumerate().map(fetch).collect();
        let kept = self.kept.take(lease.job.id, origin.attempt.number);
        let fetched: Vec<Fetched> = match kept {
            Some(fetched) => fetched,
            None => {
                let fetching = stream::iter(fetching).buffered(ABREAST);
                let (job, policy, now) = (&lease.job, self.store.policy(), self.store.now());
                let may_come = |kind| job.may_ask_anew(origin, kind, &policy, now);
                if partly { good_ones(fetching, may_come).await? } else { fetching.try_collect().await? }
            }
        };
        let mut assets = Vec::with_capacity(fetched.len());
        for (n, piece) in (1..).zip(&fetched) {
            let placed = Placed { origin, n, of: outputs.len(), title: title.as_deref() };
            match self.stored(lease, placed, piece).await {
                Ok(asset) => assets.push(asset),
                // It may have expired at the vendor's by the time that our storage is back.
                Err(Stopped::Fault(fault)) => {
                    self.kept.keep(lease.job.id, origin.attempt.number, fetched);
                    return Err(fault.into());
                }
                Err(stopped) => return Err(stopped),
            }
        }
        Ok(assets)
    }

    /// Fetches an output, and finds it to be what was asked for.
    async fn fetched(
        &self,
        lease: &Arc<Lease>,
        title: Option<&str>,
        output: &Output,
        place: usize,
    ) -> Result<Fetched, Stopped> {
        let mut file = self.storage.incoming().map_err(|error| no_room(&error))?;
        match &output.source {
            Source::Url(url) => self.fetcher.fetch(url, &mut file).await?,
            Source::Object { store, key } => self.objects.fetch(store, key, &mut file).await?,
        }
        let ffmpeg = self.ffmpeg.clone();
        let looked = self.listeners.hear(move || {
            let file = file.finish().map_err(|error| no_room(&error))?;
            let probed = probe(&file, ffmpeg.as_ref()).map_err(|not| not_audio(&not))?;
            let (sha256, bytes) = hashed(&file)?;
            Ok((file, probed, sha256, bytes))
        });
        let (mut file, probed, original, mut bytes) = looked.await?;
        let asked = Asked {
            part: output.part.as_deref(),
            seconds: lease.job.asked_seconds,
            vendor_ms: output.duration_ms,
        };
        let judged = self.checks.judge(&probed, asked);
        let may_be_made_anew = lease.job.may_be_made_anew(&self.store.policy(), self.store.now());
        if let Some(finding) = judged.unusable.or(judged.remake.filter(|_| may_be_made_anew)) {
            return Err(Stopped::Unfit(unfit(&finding)));
        }
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
        Ok(Fetched { file, place, output: output.clone(), probed, flags, original, format, bytes, sha256 })
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

/// What is good of a job's audio, where there is a song among it and not only parts of one. What cannot be had for a
/// fault of which more `may_come` is waited for.
async fn good_ones(
    mut fetching: impl Stream<Item = Result<Fetched, Stopped>> + Unpin,
    may_come: impl Fn(FaultKind) -> bool,
) -> Result<Vec<Fetched>, Stopped> {
    let (mut good, mut bad) = (Vec::new(), None);
    while let Some(fetched) = fetching.next().await {
        match fetched {
            Ok(fetched) => good.push(fetched),
            Err(stopped) if stopped.is_for_good(&may_come) => bad = bad.or(Some(stopped)),
            Err(stopped) => return Err(stopped),
        }
    }
    match bad {
        Some(stopped) if good.iter().all(|fetched| fetched.output.part.is_some()) => Err(stopped),
        Some(_) => {
            good.iter_mut().for_each(|fetched| fetched.flags.push(Flag::Incomplete));
            Ok(good)
        }
        None => Ok(good),
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

impl Stopped {
    /// Whether the audio is no good or gone, whatever is tried.
    fn is_for_good(&self, may_come: impl Fn(FaultKind) -> bool) -> bool {
        match self {
            Self::Unfit(_) => true,
            Self::Fault(fault) => match fault.kind {
                FaultKind::Garbled => true,
                FaultKind::Locked => false,
                kind => !may_come(kind),
            },
            Self::LeaseLost(_) => false,
        }
    }
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

fn unfit(finding: &Finding) -> Fault {
    let words = format!("{}: {}", finding.flag.as_str(), finding.words);
    Fault::new(FaultKind::Unknown, "audio_unfit", words)
}

/// Our own disk is no fault of the file's.
fn not_audio(not: &NotAudio) -> Fault {
    match not {
        NotAudio::Unread(error) => Fault::new(FaultKind::Locked, "storage_refused", error.clone()),
        not => Fault::new(FaultKind::Garbled, "not_audio", not.to_string()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::End;
    use crate::sidecar::Sound;

    fn fetched(part: Option<&str>) -> Fetched {
        let output = Output { part: part.map(str::to_owned), ..Output::at("https://a.example") };
        Fetched {
            file: tempfile::NamedTempFile::new().unwrap().into_temp_path(),
            place: 0,
            output,
            probed: Probed {
                format: "mp3",
                duration_ms: 1,
                checked: true,
                end: End::Whole,
                sound: Sound::default(),
            },
            flags: vec![],
            original: String::new(),
            format: "mp3",
            bytes: 1,
            sha256: String::new(),
        }
    }

    fn fault(kind: FaultKind) -> Stopped {
        Stopped::Fault(Fault::new(kind, "test", ""))
    }

    /// The parts that are taken of these, none for a song, where more may or may not come.
    async fn taken(outputs: Vec<Result<Fetched, Stopped>>, may_come: bool) -> Option<Vec<Option<String>>> {
        let good = good_ones(stream::iter(outputs), |_| may_come).await.ok()?;
        assert!(good.iter().all(|fetched| fetched.flags == [Flag::Incomplete]));
        Some(good.into_iter().map(|fetched| fetched.output.part).collect())
    }

    #[tokio::test]
    async fn what_is_good_is_taken_without_what_is_not_and_waits_for_what_may_come() {
        use FaultKind::{Garbled, Locked, Rejected, Throttled, Unavailable, Unknown};
        let unfit = || Stopped::Unfit(Fault::new(Unknown, "audio_unfit", ""));
        let vocal = || Ok(fetched(Some("vocal")));
        for may_come in [true, false] {
            let with = |stopped| taken(vec![Ok(fetched(None)), Err(stopped), vocal()], may_come);
            let (all_good, waits) = (Some(vec![None, Some("vocal".to_owned())]), None);
            assert_eq!(with(unfit()).await, all_good);
            assert_eq!(with(fault(Garbled)).await, all_good);
            assert_eq!(with(fault(Locked)).await, waits, "ours to mend");
            for kind in [Rejected, Unavailable, Throttled, Unknown] {
                assert_eq!(with(fault(kind)).await.is_some(), !may_come, "{kind:?}");
            }
            assert_eq!(with(Stopped::LeaseLost(LeaseLost(JobId::derive("a", "b")))).await, waits);
            assert_eq!(taken(vec![Err(unfit()), vocal()], may_come).await, None, "a voice is no song");
            assert_eq!(taken(vec![Err(unfit()), Err(unfit())], may_come).await, None);
        }
        let whole = good_ones(stream::iter(vec![Ok(fetched(None)), vocal()]), |_| false).await;
        assert!(whole.is_ok_and(|all| all.len() == 2 && all.iter().all(|one| one.flags.is_empty())));
    }
}
