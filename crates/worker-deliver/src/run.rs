//! One worker for each vendor, until told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;

use apalis::layers::WorkerBuilderExt as _;
use apalis::prelude::{Data, WorkerBuilder};
use apalis_core::error::BoxDynError;
use futures_util::future::BoxFuture;
use songmill_core::{Event, Stage, VendorName};
use songmill_store::{Lease, StageQueue, Store, UnderWay};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::collect::Collector;
use crate::fetch::Fetcher;
use crate::kept::Kept;
use crate::library::Library;
use crate::listeners::Listeners;
use crate::notices;
use crate::objects::Objects;
use crate::probe::Ffmpeg;
use crate::provenance::Provenance;
use crate::retention;
use crate::settings::Settings;
use crate::storage::{Storage, StorageError};

/// Why this role cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Audio cannot be converted.
    #[error(
        "deliver.convert: {program} does not run; install ffmpeg, or set format to \"\" and loudness to 0"
    )]
    Convert {
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// No thread can be started.
    #[error("threads that decode audio cannot be started")]
    Threads(#[source] std::io::Error),
    /// Nobody's certificates can be checked.
    #[error("certificates that this machine trusts cannot be read")]
    Tls(#[source] rustls::Error),
    /// A worker ended before its time.
    #[error("worker ended: {0}")]
    Worker(String),
}

/// How long giving back may take.
const GIVE_BACK: std::time::Duration = std::time::Duration::from_secs(2);

/// Collects audio for these vendors, of which the models are named, until `shutdown`; then stops claiming, finishes
/// what is under way within the drain time, gives back the rest and returns.
pub async fn run(
    settings: Settings,
    store: Store,
    vendors: BTreeMap<VendorName, String>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let program = || settings.convert.program.clone();
    settings.convert.check().await.map_err(|source| Error::Convert { program: program(), source })?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let names: Vec<VendorName> = vendors.keys().cloned().collect();
    let (storage, library) = (Storage::open(&settings)?, Library::open(&settings)?);
    let listeners = Listeners::start().map_err(Error::Threads)?;
    let fetcher = Fetcher::new(&settings).map_err(Error::Tls)?;
    let objects = Objects::new(&settings).map_err(Error::Tls)?;
    // Nobody waits for the fifth of a second that ffmpeg takes to say its version.
    let mut sending = tokio::spawn(notices::run(
        settings.notices.clone(),
        settings.egress.clone(),
        store.clone(),
        shutdown.clone(),
    ));
    let ffmpeg = Ffmpeg::find(&settings.convert.program, settings.convert.timeout.get()).await;
    if ffmpeg.is_none() {
        tracing::info!("deliver: {} is not installed: rare formats are stored unchecked", program());
    }
    let collector = Arc::new(Collector {
        store: store.clone(),
        layout: settings.layout.clone(),
        checks: settings.checks,
        convert: settings.convert.clone(),
        ffmpeg,
        tags: settings.tags,
        provenance: Provenance { models: vendors },
        kept: Kept::default(),
        listeners,
        converting: Semaphore::new(processors),
        fetcher,
        objects,
        storage: storage.clone(),
    });
    let mut workers = JoinSet::new();
    let (mut stops, mut under_way) = (Vec::new(), Vec::new());
    for vendor in names {
        let name = format!("collect-{vendor}-{}", std::process::id());
        let queue = StageQueue::start(store.clone(), Stage::Collect, vendor, settings.queue);
        stops.push(queue.stop_token());
        under_way.push(queue.under_way());
        let worker =
            WorkerBuilder::new(name).backend(queue).data(collector.clone()).catch_panic().build(handle);
        let run: BoxFuture<'static, _> = Box::pin(worker.run());
        workers.spawn(run);
    }
    let stop_sweeping = shutdown.child_token();
    let sweeping = tokio::spawn(retention::run(settings.retention, library, stop_sweeping.clone()));
    tracing::info!("deliver: brings audio to {}", settings.storage);
    let (mut ended, mut sent) = (Ok(()), None);
    // Cancel-safe. A worker ends before its time only when something is badly wrong.
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        Some(result) = workers.join_next() => ended = Err(Error::Worker(format!("{result:?}"))),
        result = &mut sending => sent = Some(result),
    }
    stops.iter().for_each(CancellationToken::cancel);
    stop_sweeping.cancel();
    let drained = tokio::time::timeout(settings.drain.get(), async {
        while workers.join_next().await.is_some() {}
        storage.settle().await;
    });
    let sent = async {
        match sent {
            Some(result) => Ok(result),
            None => tokio::time::timeout(settings.drain.get(), sending).await,
        }
    };
    let (drained, sent) = futures_util::future::join(drained, sent).await;
    match sent {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => ended = ended.and(Err(Error::Tls(error))),
        Ok(Err(error)) => ended = ended.and(Err(Error::Worker(format!("notices: {error}")))),
        Err(_) => tracing::warn!("deliver: not all notices were posted in time; they are posted again"),
    }
    if let Err(error) = sweeping.await {
        ended = ended.and(Err(Error::Worker(format!("retention: {error}"))));
    }
    if drained.is_err() {
        tracing::warn!(left = workers.len(), "deliver: not all work ended in time; it is given back");
        workers.shutdown().await;
        let all = futures_util::future::join_all(under_way.into_iter().map(UnderWay::give_back));
        if tokio::time::timeout(GIVE_BACK, all).await.is_err() {
            tracing::warn!("deliver: redis is away; claimed jobs come back when their leases run out");
        }
    }
    tracing::info!("deliver: stopped");
    ended
}

async fn handle(lease: Arc<Lease>, collector: Data<Arc<Collector>>) -> Result<Event, BoxDynError> {
    Ok(collector.collect(&lease).await?)
}
