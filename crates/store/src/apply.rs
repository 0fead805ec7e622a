//! Telling jobs what happened: many events at once are read and written together.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use songmill_core::job::step;
use songmill_core::{Event, Job, JobId, Step};
use tokio::sync::{mpsc, oneshot};

use crate::commit::{COMMIT_CHUNK, Commit, Committed};
use crate::connection::StoreError;
use crate::corrupt::Fields;
use crate::record::decode;
use crate::store::{Store, WeakStore, announce};

/// What an event did to a job.
#[derive(Clone, Debug)]
pub enum Applied {
    /// It changed the job to this.
    Changed(Box<Job>),
    /// It changed nothing.
    Unchanged(Box<Job>),
    /// There is no such job.
    NoSuchJob,
}

/// Takes events one by one and applies those that come at the same time in two round trips.
pub(crate) struct Applier([mpsc::UnboundedSender<Ask>; LANES]);

/// Batches under way at the same time: while Redis works on one, we work on another. A job keeps to its lane.
const LANES: usize = 2;

/// An event for a job, and who waits for what it does.
struct Ask {
    id: JobId,
    event: Event,
    tries: u32,
    answer: oneshot::Sender<Result<Applied, StoreError>>,
}

/// How often an event is tried on a job that others change at the same time.
const TRIES: u32 = 32;

impl Store {
    /// Has the machine decide what an event makes of a job, and writes that down.
    pub async fn apply(&self, id: JobId, event: &Event) -> Result<Applied, StoreError> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask { id, event: event.clone(), tries: 0, answer };
        let lane = id.lane(LANES);
        self.applier().0[lane].send(ask).map_err(|_| StoreError::Closing)?;
        answered.await.map_err(|_| StoreError::Closing)?
    }

    /// Records with their versions, in the order of the ids, in one round trip.
    async fn read(&self, ids: impl Iterator<Item = JobId>) -> Result<Vec<Read>, StoreError> {
        let ids: Vec<_> = ids.collect();
        let read = |(id, fields): (&JobId, Result<Option<Fields>, StoreError>)| {
            let Some(found) = fields? else { return Ok(None) };
            let job = decode(*id, &found.record)?;
            Ok(Some((found.version, self.begun(job, found.began, found.price.as_deref()))))
        };
        Ok(ids.iter().zip(self.fields(&ids, false).await?).map(read).collect())
    }
}

/// A version and the job as it is then, if there is one that can be read.
type Read = Result<Option<(u64, Job)>, StoreError>;

/// A step that is ready to be written, and who waits for it.
struct Ready {
    ask: Ask,
    version: u64,
    before: Job,
    step: Step,
}

impl Applier {
    /// Works as long as the store is there.
    pub(crate) fn start(store: &WeakStore) -> Self {
        Self(std::array::from_fn(|_| {
            let (asks, taken) = mpsc::unbounded_channel();
            tokio::spawn(apply_all(store.clone(), taken));
            asks
        }))
    }
}

/// Events that are looked over for ones that can go together.
const AHEAD: usize = 8 * COMMIT_CHUNK;

async fn apply_all(store: WeakStore, mut asks: mpsc::UnboundedReceiver<Ask>) {
    let mut waiting = Vec::new();
    while !waiting.is_empty() || asks.recv_many(&mut waiting, AHEAD).await > 0 {
        while waiting.len() < AHEAD
            && let Ok(ask) = asks.try_recv()
        {
            waiting.push(ask);
        }
        let Some(store) = store.upgrade() else { return };
        let now = next_batch(&mut waiting);
        // Should one event ever break the work on it, those beside it are told to come again, and later ones go on.
        match AssertUnwindSafe(apply(&store, now)).catch_unwind().await {
            // Those that were overtaken come first.
            Ok(Ok(again)) => drop(waiting.splice(0..0, again)),
            // Nobody is to wait out the same silence one after the other.
            Ok(Err(error)) => {
                waiting.drain(..).for_each(|ask| ask.answer(Err(error.clone())));
                while let Ok(ask) = asks.try_recv() {
                    ask.answer(Err(error.clone()));
                }
            }
            Err(_) => {}
        }
    }
}

/// Takes out the first event of each of the first jobs.
fn next_batch(waiting: &mut Vec<Ask>) -> Vec<Ask> {
    let mut met = HashSet::with_capacity(COMMIT_CHUNK);
    let mut now = Vec::with_capacity(COMMIT_CHUNK.min(waiting.len()));
    for ask in std::mem::take(waiting) {
        if now.len() < COMMIT_CHUNK && met.insert(ask.id) { now.push(ask) } else { waiting.push(ask) }
    }
    now
}

/// Applies events, one for each job; gives back those that are to be tried again. When Redis is away all of them
/// are told.
async fn apply(store: &Store, now: Vec<Ask>) -> Result<Vec<Ask>, StoreError> {
    if now.is_empty() {
        return Ok(now);
    }
    let records = match store.read(now.iter().map(|ask| ask.id)).await {
        Ok(records) => records,
        Err(error) => {
            now.into_iter().for_each(|ask| ask.answer(Err(error.clone())));
            return Err(error);
        }
    };
    let mut ready = Vec::with_capacity(now.len());
    let policy = store.policy();
    for (ask, record) in now.into_iter().zip(records) {
        let (version, before) = match record {
            Ok(Some(record)) => record,
            Ok(None) => {
                ask.answer(Ok(Applied::NoSuchJob));
                continue;
            }
            Err(error) => {
                ask.answer(Err(error));
                continue;
            }
        };
        match step(&before, &ask.event, store.now(), &policy) {
            Some(step) => ready.push(Ready { ask, version, before, step }),
            None => ask.answer(Ok(Applied::Unchanged(Box::new(before)))),
        }
    }
    let mut again = Vec::new();
    if ready.is_empty() {
        return Ok(again);
    }
    let commits: Vec<_> = ready
        .iter()
        .map(|ready| Commit { version: ready.version, before: &ready.before, after: &ready.step.job })
        .collect();
    let results = match store.commit(&commits).await {
        Ok(results) => results,
        Err(error) => {
            ready.into_iter().for_each(|ready| ready.ask.answer(Err(error.clone())));
            return Err(error);
        }
    };
    for (Ready { mut ask, before, step, .. }, result) in ready.into_iter().zip(results) {
        match result {
            Committed::Done => {
                store.counted().observe(&policy.pace, &before, &ask.event, &step.job);
                announce(&step.job, &step.effects);
                ask.answer(Ok(Applied::Changed(Box::new(step.job))));
            }
            Committed::NoSuchJob => ask.answer(Ok(Applied::NoSuchJob)),
            Committed::Stale if ask.tries >= TRIES => {
                let id = ask.id.to_string();
                ask.answer(Err(StoreError::Contended(id)));
            }
            Committed::Stale => {
                ask.tries += 1;
                again.push(ask);
            }
        }
    }
    Ok(again)
}

impl Ask {
    /// Answers whoever still waits.
    fn answer(self, answer: Result<Applied, StoreError>) {
        let _ = self.answer.send(answer);
    }
}
