//! What a connection's stream and its service tell each other: whether a request is served now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crate::registry::{NotBegun, Slot};

/// The state of a connection's requests.
#[derive(Debug)]
pub(crate) struct Exchange {
    phase: AtomicU8,
    requests: AtomicU32,
    slot: Slot,
}

/// No request has arrived whole since the last answer.
const WAITING: u8 = 0;
/// A request is served.
const SERVING: u8 = 1;
/// Its answer is complete and on its way out.
const ANSWERED: u8 = 2;

impl Exchange {
    pub(crate) fn new(slot: Slot) -> Arc<Self> {
        Arc::new(Self { phase: AtomicU8::new(WAITING), requests: AtomicU32::new(0), slot })
    }

    /// A request begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<Answering, NotBegun> {
        self.slot.busy()?;
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.phase.store(SERVING, Ordering::Relaxed);
        Ok(Answering(self.clone()))
    }

    /// Everything written so far has left; whether an answer has been sent with that.
    pub(crate) fn flushed(&self) -> bool {
        let answered = self.phase.compare_exchange(ANSWERED, WAITING, Ordering::Relaxed, Ordering::Relaxed);
        if answered.is_ok() {
            self.slot.idle();
        }
        answered.is_ok()
    }

    /// Which request is served now, from 1.
    pub(crate) fn served(&self) -> Option<u32> {
        (self.phase.load(Ordering::Relaxed) == SERVING).then(|| self.requests())
    }

    /// How many requests there have been.
    pub(crate) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Nothing more is asked: the connection may be closed at any time.
    pub(crate) fn close(&self) {
        self.slot.idle();
    }

    /// Resolves when the connection has to make room.
    pub(crate) async fn evicted(&self) {
        self.slot.evicted().await;
    }
}

/// A request is answered as long as there is this.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Exchange>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.phase.store(ANSWERED, Ordering::Relaxed);
    }
}
