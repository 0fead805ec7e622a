//! What a vendor's limit of requests allows, shared with the whole fleet: nothing but submissions is sent without it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use songmill_core::VendorName;
use songmill_store::Store;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// Lets requests that are no submissions go when the vendor's limit allows them, in the order of asking.
#[derive(Clone)]
pub(crate) struct Meter(Arc<Inner>);

struct Inner {
    asks: mpsc::UnboundedSender<oneshot::Sender<()>>,
    counts: Arc<Counts>,
    _keeper: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Counts {
    /// Until when nobody need be asked: there is no limit.
    free: Mutex<Option<Instant>>,
    /// Requests made without asking.
    made: AtomicUsize,
}

/// For how long it is believed that there is no limit.
const BELIEVED: Duration = Duration::from_secs(1);
/// Between two tries when Redis is away.
const RETRY: Duration = Duration::from_secs(1);
/// Between two calls for those who wait.
const BETWEEN: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];

impl Meter {
    pub(crate) fn start(store: Store, vendor: VendorName) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let counts = Arc::new(Counts::default());
        let keeper = tokio::spawn(keep(store, vendor, asked, counts.clone()));
        Self(Arc::new(Inner { asks, counts, _keeper: AbortOnDropHandle::new(keeper) }))
    }

    /// Waits until one more request may be made.
    pub(crate) async fn take(&self) {
        if self.0.counts.is_free() {
            self.0.counts.made.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let (go, told) = oneshot::channel();
        if self.0.asks.send(go).is_ok() {
            // The keeper ends only with the meter.
            let _ = told.await;
        }
    }
}

impl Counts {
    fn is_free(&self) -> bool {
        let until = *self.free.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn set_free(&self, until: Option<Instant>) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

async fn keep(
    store: Store,
    vendor: VendorName,
    mut asked: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    counts: Arc<Counts>,
) {
    let mut waiting = std::collections::VecDeque::new();
    loop {
        if waiting.is_empty() {
            match asked.recv().await {
                Some(go) => waiting.push_back(go),
                None => return,
            }
        }
        while let Ok(go) = asked.try_recv() {
            waiting.push_back(go);
        }
        waiting.retain(|go: &oneshot::Sender<()>| !go.is_closed());
        let made = counts.made.swap(0, Ordering::Relaxed);
        let grant = match store.take_reads(&vendor, waiting.len(), made).await {
            Ok(grant) => grant,
            Err(error) => {
                tracing::warn!(%vendor, %error, "requests to {vendor} wait for redis");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        counts.set_free(grant.free.then(|| Instant::now() + BELIEVED));
        for go in waiting.drain(..grant.granted.min(waiting.len())) {
            let _ = go.send(());
        }
        if !waiting.is_empty() {
            tokio::time::sleep(grant.wait.clamp(BETWEEN[0], BETWEEN[1])).await;
        }
    }
}
