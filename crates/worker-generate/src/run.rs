//! One worker for each vendor and stage, until told to stop.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use apalis::layers::WorkerBuilderExt as _;
use apalis::prelude::{Data, WorkerBuilder};
use apalis_core::error::BoxDynError;
use songmill_core::time::Span;
use songmill_core::{Event, Stage, VendorName};
use songmill_egress::AddressPolicy;
use songmill_store::{Lease, QueueSettings, StageQueue, Store, UnderWay};
use songmill_vendors::{Vendor, Vendors, Within};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::address::CallbackAddress;
use crate::driver::{Driver, DriverSettings};
use crate::looks::Looks;
use crate::meter::Meter;
use crate::pack::Packer;
use crate::references::References;
use crate::tend::tend;
use crate::work::{Bench, To};

/// How this role works.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Submissions, per vendor.
    pub submit: QueueSettings,
    /// Look-ups of unanswered submissions, per vendor.
    pub resolve: QueueSettings,
    /// Looks at tasks, per vendor.
    pub poll: QueueSettings,
    /// Cancels, per vendor.
    pub cancel: QueueSettings,
    /// How vendors are talked to.
    pub http: DriverSettings,
    /// How long work under way may go on after the role is told to stop.
    pub drain: Span,
}

impl Default for Settings {
    fn default() -> Self {
        let of = |concurrency| QueueSettings { concurrency, ..QueueSettings::default() };
        Self {
            submit: of(32),
            resolve: of(8),
            poll: of(2048),
            cancel: of(8),
            http: DriverSettings::default(),
            drain: Span::secs(30),
        }
    }
}

/// Why this role cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A lease could run out while a request is under way, and the job be submitted twice.
    #[error(
        "generate.submit.lease is {lease} but a request may take {timeout} (generate.http): make the lease at least 5 s longer"
    )]
    LeaseTooShort {
        /// The lease set.
        lease: Span,
        /// The time limit of a request.
        timeout: Span,
    },
    /// A slow submission could be taken for one that was never made.
    #[error(
        "policy of {vendor}: settle is {settle}, which is shorter than a submission's lease and its time limit together ({least})"
    )]
    SettleTooShort {
        /// Whose.
        vendor: VendorName,
        /// What is set.
        settle: Span,
        /// What it must be at least.
        least: Span,
    },
    /// No HTTP client can be made.
    #[error("http client cannot be made")]
    Client(#[source] reqwest::Error),
    /// A worker ended with an error.
    #[error("worker ended: {0}")]
    Worker(String),
}

impl Settings {
    /// Checks what must hold for nothing to be paid twice.
    pub fn check(&self, store: &Store, vendors: &Vendors) -> Result<(), Error> {
        let (lease, timeout) = (self.submit.lease, self.http.request_timeout);
        if lease.get() < timeout.get() + std::time::Duration::from_secs(5) {
            return Err(Error::LeaseTooShort { lease, timeout });
        }
        let least = lease.get() + timeout.get();
        for name in vendors.names() {
            let policy = store.policy();
            let policy = policy.vendor(name);
            if policy.look_up && policy.settle.get() < least {
                let least = Span::millis(u64::try_from(least.as_millis()).unwrap_or(u64::MAX));
                return Err(Error::SettleTooShort { vendor: name.clone(), settle: policy.settle, least });
            }
        }
        Ok(())
    }
}

/// What is outside, as far as vendors are told of it.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Where vendors call back.
    pub address: CallbackAddress,
    /// Which addresses they may be given to fetch from.
    pub references: AddressPolicy,
    /// How they are reached.
    pub egress: songmill_egress::Settings,
}

/// Tasks of which a page of a list tells something new, of the hundred that stand on it.
const LISTED: u32 = 90;

/// How long giving back may take.
const GIVE_BACK: std::time::Duration = std::time::Duration::from_secs(2);

/// Submits, resolves, polls and cancels for all vendors until `shutdown`; then stops claiming, finishes what
/// is under way within the drain time, gives back the rest and returns.
pub async fn run(
    settings: Settings,
    store: Store,
    vendors: Vendors,
    outside: Outside,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    settings.check(&store, &vendors)?;
    let driver = Driver::new(settings.http.clone(), &outside.egress).map_err(Error::Client)?;
    let references = References::new(outside.references);
    let address = Arc::new(outside.address);
    let mut workers = JoinSet::new();
    let (mut stops, mut under_way) = (Vec::new(), Vec::new());
    for vendor in vendors.iter() {
        let name = &vendor.card().name;
        let to = Arc::new(To {
            store: store.clone(),
            vendor: vendor.clone(),
            driver: driver.clone(),
            meter: Meter::start(store.clone(), name.clone()),
            address: address.clone(),
            uneasy: AtomicBool::new(false),
        });
        let bench = Arc::new(Bench {
            looks: Looks::start(&to),
            packer: Packer::start(store.clone(), to.clone()),
            references: references.clone(),
            to,
        });
        for (stage, queue) in [
            (Stage::Submit, settings.submit),
            (Stage::Resolve, settings.resolve),
            (Stage::Poll, settings.poll),
            (Stage::Cancel, settings.cancel),
        ] {
            let queue = StageQueue::start(store.clone(), stage, name.clone(), queue);
            stops.push(queue.stop_token());
            under_way.push(queue.under_way());
            let worker = WorkerBuilder::new(format!("{stage}-{name}-{}", std::process::id()))
                .backend(queue)
                .data(bench.clone())
                .catch_panic()
                .build(handle);
            let run: futures_util::future::BoxFuture<'static, _> = Box::pin(worker.run());
            workers.spawn(run);
        }
    }
    let names = vendors.names().cloned().collect();
    let calling = vendors.cards().filter(|card| card.calls_back && address.is_live());
    let lists = |vendor: &&Arc<dyn Vendor>| vendor.poll_many(&[], Within::default()).is_some();
    let at_once = vendors.iter().filter(lists).map(|vendor| (vendor.card().name.clone(), LISTED));
    let at_once = at_once.collect();
    let _pace = store.keep_pace(names, calling.map(|card| card.name.clone()).collect(), at_once);
    let tending = AbortOnDropHandle::new(tokio::spawn(tend(store.clone(), vendors.clone())));
    tracing::info!(vendors = %listed(&vendors), "generate: at work for {}", listed(&vendors));
    let mut ended = Ok(());
    tokio::select! {
        () = shutdown.cancelled() => {}
        // Cancel-safe. A worker ends before its time only when something is badly wrong.
        Some(result) = workers.join_next() => {
            ended = Err(Error::Worker(format!("{result:?}")));
        }
    }
    tending.abort();
    stops.iter().for_each(CancellationToken::cancel);
    let drained =
        tokio::time::timeout(settings.drain.get(), async { while workers.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(left = workers.len(), "generate: not all work ended in time; it is given back");
        workers.shutdown().await;
        give_back(under_way).await;
    }
    tracing::info!("generate: stopped");
    ended
}

/// Gives back what was under way, within reason: what is not given back counts against its jobs.
async fn give_back(under_way: Vec<UnderWay>) {
    let all = futures_util::future::join_all(under_way.into_iter().map(UnderWay::give_back));
    if tokio::time::timeout(GIVE_BACK, all).await.is_err() {
        tracing::warn!("generate: redis is away; claimed jobs come back when their leases run out");
    }
}

async fn handle(lease: Arc<Lease>, bench: Data<Arc<Bench>>) -> Result<Event, BoxDynError> {
    Ok(bench.work(&lease).await?)
}

fn listed(vendors: &Vendors) -> String {
    let names: Vec<_> = vendors.names().map(VendorName::as_str).collect();
    if names.is_empty() { "no vendor (no key is set)".into() } else { names.join(", ") }
}
