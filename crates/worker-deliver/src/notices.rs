//! Notices: chosen from what happened, signed, posted, and tried again until they are taken or given up.
//!
//! What is to be told is written by the commit that made it so; nothing here can lose it. A notice is written once
//! and posted at least once: whoever receives it tells repetitions by `webhook-id`.

mod choose;
mod post;
mod posting;
mod sign;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use songmill_core::Timestamp;
use songmill_core::time::Span;
use songmill_egress::AddressPolicy;
use songmill_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use post::Sender;
use posting::Posting;

/// How notices are sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoticeSettings {
    /// The waits between tries, spread by a tenth either way; after the last one a notice is given up.
    pub schedule: Vec<Span>,
    /// How long an endpoint may take to answer.
    pub timeout: Span,
    /// An endpoint that has only failed for so long is switched off.
    pub patience: Span,
    /// Endpoints posted to at the same time, per process: no tenant gets more places than are left free, and endpoints
    /// whose last delivery failed get at most half of them.
    pub endpoints: usize,
    /// Notices posted to one endpoint at the same time, by the whole fleet.
    pub each: usize,
    /// Whether endpoints may be `http:`.
    pub allow_http: bool,
    /// Whether endpoints may be in private networks.
    pub allow_private: bool,
}

impl Default for NoticeSettings {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 3600;
        // The example schedule of the Standard Webhooks specification.
        let schedule =
            [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
        Self {
            schedule: schedule.map(Span::secs).to_vec(),
            timeout: Span::secs(15),
            patience: Span::secs(5 * 24 * HOUR),
            endpoints: 64,
            each: 16,
            allow_http: false,
            allow_private: false,
        }
    }
}

impl NoticeSettings {
    /// Which addresses may be endpoints.
    pub fn address_policy(&self) -> AddressPolicy {
        AddressPolicy { allow_http: self.allow_http, allow_private: self.allow_private }
    }
}

/// A moment as RFC 3339 has it, UTC.
pub fn moment(at: Timestamp) -> String {
    let moment = i64::try_from(at.as_millis()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.unwrap_or_default().to_string()
}

/// Things chosen for at once.
const CHUNK: usize = 64;
/// Beyond the time limit of a post, for Redis.
const SPARE: Duration = Duration::from_secs(45);
/// Between two looks for uploads whose uploaders are gone.
const SWEEP: Duration = Duration::from_secs(10);
/// Between two looks whether this process can read what another could not, and set aside; the first comes soon.
const MEND: Duration = Duration::from_secs(3600);
/// After Redis could not be asked.
const AWAY: Duration = Duration::from_secs(1);

/// Sends notices until `shutdown`; then finishes those that are being posted.
pub(crate) async fn run(
    settings: NoticeSettings,
    egress: songmill_egress::Settings,
    store: Store,
    shutdown: CancellationToken,
) -> Result<(), rustls::Error> {
    let sender = Arc::new(Sender::new(settings.clone(), &egress, store.clone())?);
    let mut posting = Posting::new(settings.endpoints);
    let (mut swept, mut mended) = (Instant::now(), None::<Instant>);
    while !shutdown.is_cancelled() {
        if swept.elapsed() >= SWEEP {
            swept = Instant::now();
            if let Err(error) = store.end_silent_uploads().await {
                tracing::warn!(%error, "uploads whose uploaders are gone stay open until redis can be asked");
            }
            if let Err(error) = store.sweep_accounts().await {
                tracing::warn!(%error, "what has expired is counted until redis can be asked");
            }
            if mended.is_none_or(|at| at.elapsed() >= MEND) {
                mended = Some(Instant::now());
                match store.mend().await {
                    Ok(0) => {}
                    Ok(put) => tracing::info!(put, "{put} jobs that were set aside can be read, and go on"),
                    Err(error) => {
                        tracing::warn!(%error, "what was set aside stays so until redis can be asked")
                    }
                }
            }
        }
        let next_due = match turn(&settings, &store, &sender, &mut posting).await {
            Ok(Turn::Again) => continue,
            Ok(Turn::Wait(next_due)) => next_due,
            Err(error) => {
                tracing::warn!(%error, "notices wait");
                tokio::time::sleep(AWAY).await;
                continue;
            }
        };
        // Cancel-safe: the bell keeps one ring, and what has ended is found at the next turn.
        tokio::select! {
            () = store.wait_for_notices(next_due) => {}
            Some(()) = posting.ended() => {}
            () = shutdown.cancelled() => {}
        }
    }
    while posting.ended().await.is_some() {}
    Ok(())
}

enum Turn {
    Again,
    Wait(Option<Timestamp>),
}

/// Chooses for what happened and takes what is due.
async fn turn(
    settings: &NoticeSettings,
    store: &Store,
    sender: &Arc<Sender>,
    posting: &mut Posting,
) -> Result<Turn, StoreError> {
    posting.sweep();
    // Whatever keeps from choosing keeps nobody from being told what was chosen before.
    let chosen = choose::choose(store, CHUNK).await.inspect_err(|error| {
        tracing::warn!(%error, "what happened waits in the outbox: no notices can be written");
    });
    let places = posting.places();
    if places.free == 0 {
        // One that ends makes room.
        return Ok(if chosen? > 0 { Turn::Again } else { Turn::Wait(None) });
    }
    let lease = settings.timeout.get() + SPARE;
    let taken = store.take_notices(&places, settings.each.max(1), lease).await?;
    let mut work: VecDeque<_> = taken.claimed.into();
    let any = !work.is_empty();
    while let Some(claimed) = work.pop_front() {
        let (sender, tenant, slow) = (sender.clone(), claimed.tenant.clone(), claimed.slow);
        posting.spawn(tenant, slow, async move { sender.post_all(claimed).await });
    }
    Ok(if chosen? > 0 || any { Turn::Again } else { Turn::Wait(taken.next_due) })
}
