//! Several jobs in one task: equal requests, where the caller asked for that and the vendor can make many songs of one.
//!
//! Before anything is sent it is durable in each job whose submission it shares and which of the songs will be its own:
//! a worker that dies leaves jobs that are looked up by the mark of the one that was submitted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use songmill_core::job::{Packed, State};
use songmill_core::{Event, SongRequest};
use songmill_store::{Applied, Lease, Store};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// Gathers submissions that may share a task.
#[derive(Clone)]
pub(crate) struct Packer(Arc<Inner>);

struct Inner {
    asks: mpsc::UnboundedSender<Ask>,
    _gatherer: AbortOnDropHandle<()>,
}

/// A submission that may share a task.
struct Ask {
    lease: Arc<Lease>,
    song: SongRequest,
    key: String,
    most: usize,
    answer: oneshot::Sender<Event>,
}

/// Submits one order for several jobs and says what came of it, as of the attempt of the first of them.
pub(crate) trait Submits: Send + Sync + 'static {
    /// Submits `song` for the job of this lease.
    fn submit(&self, lease: Arc<Lease>, song: SongRequest)
    -> impl std::future::Future<Output = Event> + Send;
}

/// How long others are waited for.
const GATHER: Duration = Duration::from_millis(50);
/// The most that are gathered at once.
const MOST: usize = 512;

impl Packer {
    pub(crate) fn start(store: Store, submits: Arc<impl Submits>) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let gatherer = AbortOnDropHandle::new(tokio::spawn(gather(store, submits, asked)));
        Self(Arc::new(Inner { asks, _gatherer: gatherer }))
    }

    /// Submits a job, together with others of the same key if there are any. None when it is not known what came of it.
    pub(crate) async fn submit(
        &self,
        lease: Arc<Lease>,
        song: SongRequest,
        (key, most): (String, usize),
    ) -> Option<Event> {
        let (answer, answered) = oneshot::channel();
        let _ = self.0.asks.send(Ask { lease, song, key, most, answer });
        answered.await.ok()
    }
}

async fn gather(store: Store, submits: Arc<impl Submits>, mut asked: mpsc::UnboundedReceiver<Ask>) {
    while let Some(first) = asked.recv().await {
        tokio::time::sleep(GATHER).await;
        let mut groups: HashMap<String, Vec<Ask>> = HashMap::new();
        let mut count = 1;
        groups.entry(first.key.clone()).or_default().push(first);
        while count < MOST
            && let Ok(ask) = asked.try_recv()
        {
            groups.entry(ask.key.clone()).or_default().push(ask);
            count += 1;
        }
        for mut group in groups.into_values() {
            while !group.is_empty() {
                let most = group[0].most.max(1);
                let rest = if group.len() > most { group.split_off(most) } else { Vec::new() };
                tokio::spawn(pack(store.clone(), submits.clone(), std::mem::replace(&mut group, rest)));
            }
        }
    }
}

/// Submits a group as one task.
async fn pack(store: Store, submits: Arc<impl Submits>, mut group: Vec<Ask>) {
    // One that drops out changes the places of those behind it: all are written anew.
    while group.len() > 1 {
        let before = group.len();
        group = shared(&store, group).await;
        if group.len() == before {
            break;
        }
    }
    let Some(first) = group.first() else { return };
    let mut song = first.song.clone();
    if group.len() > 1 {
        song.count = u32::try_from(group.len()).ok();
    }
    let event = submits.submit(first.lease.clone(), song).await;
    for ask in group {
        let attempt = ask.lease.job.submissions;
        let _ = ask.answer.send(of_attempt(&event, attempt));
    }
}

/// Writes down who shares the submission of the first; those of whom that cannot be written are given back.
async fn shared(store: &Store, group: Vec<Ask>) -> Vec<Ask> {
    let leader = &group[0].lease.job;
    let (job, attempt) = (leader.id, leader.submissions);
    let written = group.iter().enumerate().map(|(place, ask)| {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let (id, own) = (ask.lease.job.id, ask.lease.job.submissions);
        let into = Packed { job, attempt, own, place };
        let event = Event::Packed { attempt: own, into };
        async move {
            match store.apply(id, &event).await {
                Ok(Applied::Changed(job) | Applied::Unchanged(job)) => is_ready(&job, into),
                Ok(Applied::NoSuchJob) | Err(_) => false,
            }
        }
    });
    let written = futures_util::future::join_all(written).await;
    let leads = written[0];
    let mut stay = Vec::new();
    for (ask, written) in group.into_iter().zip(written) {
        // Without the one whose submission it would be, all of them come again.
        if leads && written { stay.push(ask) } else { hand_back(ask) }
    }
    stay
}

fn is_ready(job: &songmill_core::Job, into: Packed) -> bool {
    matches!(job.state, State::Submitting(_)) && !job.cancel_asked && job.packed == Some(into)
}

fn hand_back(ask: Ask) {
    let attempt = ask.lease.job.submissions;
    let _ = ask.answer.send(Event::HandedBack { attempt });
}

/// What came of a submission, as of another attempt that shares it.
fn of_attempt(event: &Event, attempt: u32) -> Event {
    match event.clone() {
        Event::Accepted { accepted, .. } => Event::Accepted { attempt, accepted },
        Event::SubmitFailed { fault, .. } => Event::SubmitFailed { attempt, fault },
        Event::ProbeFailed { fault, .. } => Event::ProbeFailed { attempt, fault },
        _ => Event::HandedBack { attempt },
    }
}
