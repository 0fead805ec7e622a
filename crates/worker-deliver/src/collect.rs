//! Collecting a job: fetch, find to be audio, store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use songmill_core::{Asset, Event, Fault, FaultKind, JobId, Output, Source, State};
use songmill_store::Lease;

use crate::fetch::{Fetcher, no_room};
use crate::objects::Objects;
use crate::probe::{Probed, probe};
use crate::storage::{Mode, Storage, Taken, path};

/// What collecting needs.
pub(crate) struct Collector {
    pub(crate) fetcher: Fetcher,
    pub(crate) objects: Objects,
    pub(crate) storage: Storage,
}

/// Outputs of one job that are brought in at the same time.
const ABREAST: usize = 4;

impl Collector {
    /// Brings all outputs of a job in and says what came of it.
    pub(crate) async fn collect(&self, lease: &Arc<Lease>) -> Result<Event, LeaseLost> {
        let State::Collecting { outputs, .. } = &lease.job.state else {
            let fault =
                Fault::new(FaultKind::Unavailable, "not_collecting", "the job has nothing to collect");
            return Ok(Event::CollectFailed { fault });
        };
        let title = lease.song().ok().and_then(|song| song.title);
        let bring = |(n, output)| self.bring(lease, title.as_deref(), output, n, outputs.len()).boxed();
        let brought: Vec<BoxFuture<'_, _>> = outputs.iter().enumerate().map(bring).collect();
        match stream::iter(brought).buffered(ABREAST).try_collect().await {
            Ok(assets) => Ok(Event::Stored { assets }),
            Err(Stopped::Fault(fault)) => Ok(Event::CollectFailed { fault }),
            Err(Stopped::LeaseLost(lost)) => Err(lost),
        }
    }

    async fn bring(
        &self,
        lease: &Arc<Lease>,
        title: Option<&str>,
        output: &Output,
        n: usize,
        of: usize,
    ) -> Result<Asset, Stopped> {
        let mut file = self.storage.incoming().map_err(|error| no_room(&error))?;
        match &output.source {
            Source::Url(url) => self.fetcher.fetch(url, &mut file).await?,
            Source::Object { store, key } => self.objects.fetch(store, key, &mut file).await?,
        }
        let held = lease.clone();
        let (storage, stem) = (self.storage.clone(), path(&lease.job, output, n, of));
        let looked = tokio::task::spawn_blocking(move || {
            let temp = file.finish().map_err(|error| no_room(&error))?;
            let looked = look(&temp)?;
            let to = format!("{stem}.{}", looked.probed.format);
            still_ours(&held)?;
            let taken = storage.take(temp, &to, Mode::Own)?;
            Ok::<_, Stopped>((looked, to, taken))
        });
        let (Looked { probed, sha256, bytes }, to, taken) = looked.await.map_err(|error| broke(&error))??;
        let stored = match taken {
            Taken::Stored(stored) => stored,
            Taken::Left(file) => {
                still_ours(lease)?;
                self.storage.put(file, &to, Mode::Own).await?
            }
        };
        tracing::debug!(job.id = %lease.job.id, path = to, ?stored, "deliver: an output is in storage");
        Ok(Asset {
            path: to,
            bytes,
            sha256,
            format: probed.format.to_owned(),
            duration_ms: probed.duration_ms,
            part: output.part.clone(),
            title: output.title.clone().or_else(|| title.map(str::to_owned)),
            flags: vec![],
        })
    }
}

/// The lease ran out before the audio was stored: somebody else has the job.
#[derive(Debug, thiserror::Error)]
#[error("the lease of job {0} ran out before its audio was stored")]
pub(crate) struct LeaseLost(JobId);

/// Why an output is not brought in.
enum Stopped {
    Fault(Fault),
    LeaseLost(LeaseLost),
}

/// Whoever has the job by now may have stored it: what they wrote down must stay what is there.
fn still_ours(lease: &Lease) -> Result<(), Stopped> {
    if lease.is_held_for(Duration::ZERO) { Ok(()) } else { Err(Stopped::LeaseLost(LeaseLost(lease.job.id))) }
}

/// Only a panic is the file's own fault.
fn broke(error: &tokio::task::JoinError) -> Fault {
    if error.is_panic() {
        return Fault::new(FaultKind::Garbled, "not_audio", error.to_string());
    }
    Fault::new(FaultKind::Unavailable, "output_unreachable", error.to_string())
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

struct Looked {
    probed: Probed,
    sha256: String,
    bytes: u64,
}

/// Reads the whole file. Blocks.
fn look(file: &Path) -> Result<Looked, Fault> {
    let probed = probe(file).map_err(|not| Fault::new(FaultKind::Garbled, "not_audio", not.to_string()))?;
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
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Looked { probed, sha256, bytes })
}
