//! Submitting requests, one or a stream of them.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use futures_util::stream::{FuturesOrdered, Stream, StreamExt as _};
use songmill_core::job::Trace;
use songmill_core::song::{IgnoredField, Invalid, Moment, VendorChoice};
use songmill_core::{BatchName, BatchRef, EndpointId, Job, JobId, Policy, SongRequest, Tenant};
use songmill_egress::AddressPolicy;
use songmill_store::{Bound, Enqueued, NewJob, Retention, Settings, Store, StoreError, Upload};
use songmill_vendors::Vendors;

use crate::outlook::Outlook;
use crate::plan::{Planner, plan};

/// One request to submit.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What is wanted.
    pub song: SongRequest,
    /// Whose it is.
    pub tenant: Tenant,
    /// The batch it belongs to.
    pub batch: Option<BatchName>,
    /// What makes the request the same when it is sent again; by default the song's `custom_id`. A request
    /// with neither is new every time.
    pub key: Option<String>,
    /// Endpoints that are to be told of it, beside those that are told of all.
    pub notify: Vec<EndpointId>,
    /// The request it comes with.
    pub trace: Option<Trace>,
}

impl Submission {
    /// A song by itself, of the default tenant.
    pub fn of(song: SongRequest) -> Self {
        Self { song, tenant: Tenant::default(), batch: None, key: None, notify: Vec::new(), trace: None }
    }
}

/// What became of a submission that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The job.
    pub job: JobId,
    /// Whether it is new; false when the same request was submitted before.
    pub new: bool,
}

/// Why a submission was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The request cannot be fulfilled as it is.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Its key names a job with another request.
    #[error("custom_id: {key:?} was used for another request; give this one another custom_id")]
    Conflict {
        /// The key.
        key: String,
        /// The job that has it.
        job: JobId,
    },
    /// Its tenant has as much as it may have.
    #[error("quota: {0}")]
    Over(Bound),
    /// The store could not take it.
    #[error("request cannot be stored")]
    Store(#[from] StoreError),
    /// Another job of its tenant has the same content.
    #[error("content_key: job {0} makes the same song; leave content_key out to have it made again")]
    Same(JobId),
    /// No randomness for a new id.
    #[error("no random bytes from the system")]
    Random,
}

/// How many of a stream's submissions became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// New jobs.
    pub created: u64,
    /// Requests that were known already.
    pub known: u64,
    /// Requests that were refused.
    pub refused: u64,
}

/// Validates, plans and enqueues song requests. Cheap to clone.
#[derive(Clone)]
pub struct Producer {
    store: Store,
    vendors: Vendors,
    default_vendor: Option<VendorChoice>,
    addresses: AddressPolicy,
    outlook: Arc<RwLock<(Option<Instant>, Arc<Outlook>)>>,
}

/// For how long an outlook holds.
const HOLDS: std::time::Duration = std::time::Duration::from_secs(5);
/// Script calls of a stream under way at the same time.
const CALLS_AHEAD: usize = 4;
/// Between two signs of life of an upload.
const ALIVE: std::time::Duration = std::time::Duration::from_secs(20);

impl Producer {
    /// Connects to Redis; `policy` should be the one the workers run with.
    pub async fn connect(redis: &Settings, vendors: Vendors, policy: Policy) -> Result<Self, StoreError> {
        Ok(Self::new(Store::connect(redis, Retention::default(), policy).await?, vendors))
    }

    /// A producer on a store that is open already.
    pub fn new(store: Store, vendors: Vendors) -> Self {
        Self {
            store,
            vendors,
            default_vendor: None,
            addresses: AddressPolicy::default(),
            outlook: Arc::default(),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Has requests that name no vendor go to this one.
    #[must_use]
    pub fn with_default_vendor(mut self, vendor: Option<VendorChoice>) -> Self {
        self.default_vendor = vendor;
        self
    }

    /// Has requests give vendors only addresses that this policy lets through; without it the strictest one holds.
    #[must_use]
    pub fn with_address_policy(mut self, addresses: AddressPolicy) -> Self {
        self.addresses = addresses;
        self
    }

    /// What requests are planned with.
    pub fn planner(&self) -> Planner<'_> {
        Planner {
            vendors: &self.vendors,
            default_vendor: self.default_vendor.as_ref(),
            addresses: self.addresses,
        }
    }

    /// How vendors are doing, looked up anew when that was long ago and one of these leaves the choice to us.
    pub async fn outlook(
        &self,
        songs: impl Iterator<Item = &SongRequest>,
    ) -> Result<Arc<Outlook>, StoreError> {
        let choice = |song: &SongRequest| {
            let names = song.vendor.as_ref().or(self.default_vendor.as_ref()).map(VendorChoice::names);
            names.is_some_and(|names| names.iter().any(VendorChoice::is_auto))
        };
        let mut songs = songs;
        let (found, outlook) = self.outlook.read().unwrap_or_else(PoisonError::into_inner).clone();
        if found.is_some_and(|at| at.elapsed() < HOLDS) || !songs.any(choice) {
            return Ok(outlook);
        }
        let outlook = Arc::new(Outlook::read(&self.store, &self.vendors).await?);
        *self.outlook.write().unwrap_or_else(PoisonError::into_inner) =
            (Some(Instant::now()), outlook.clone());
        Ok(outlook)
    }

    /// Checks and plans a request without submitting it.
    pub fn check(&self, submission: &Submission) -> Result<JobId, SubmitError> {
        Ok(self.prepare(submission, &Outlook::default())?.job.id)
    }

    /// Submits one request. When this returns, the job is durable in Redis.
    pub async fn submit(&self, submission: Submission) -> Result<Placed, SubmitError> {
        let outlook = self.outlook(std::iter::once(&submission.song)).await?;
        let job = self.prepare(&submission, &outlook)?;
        let batch = job.job.batch_ref();
        let outcome = self.store.enqueue(batch.as_ref(), std::slice::from_ref(&job)).await?;
        placed(&submission, job.job.id, outcome[0])
    }

    /// Submits a stream of requests to a batch, pipelined and in bounded memory. Until [`Store::end_upload`] is called
    /// (or a minute after the last sign of life) the batch is not closed, even if all its jobs have ended.
    ///
    /// Returns as well what vendors will ignore in new jobs. `each` is told of every request in the order of the stream:
    /// its place there, from 0, and what became of it. A store error ends the stream; submitting the whole stream again is safe where requests have keys.
    pub async fn submit_stream<S>(
        &self,
        upload: &Upload,
        submissions: S,
        mut each: impl FnMut(u64, Result<Placed, SubmitError>),
    ) -> Result<(Tally, Vec<IgnoredField>), StoreError>
    where
        S: Stream<Item = Submission>,
    {
        if !self.store.begin_upload(upload).await? {
            return Err(StoreError::Over(Bound::Bytes));
        }
        let batch = &upload.batch;
        let mut alive = tokio::time::interval(ALIVE);
        let mut chunks = std::pin::pin!(submissions.enumerate().ready_chunks(Store::ENQUEUE_CHUNK));
        let (mut tally, mut calls, mut more) = (Tally::default(), FuturesOrdered::new(), true);
        // Jobs are taken in in the order of the stream. The first call is waited for: where Redis does not know the script
        // yet it is sent again, and others must not pass it by.
        let (mut ignored, mut ahead) = (Vec::new(), 1);
        while more || !calls.is_empty() {
            // Cancel-safe: both are streams, and nothing is taken from one that is not polled to an item.
            tokio::select! {
                biased;
                _ = alive.tick() => self.store.go_on_uploading(upload).await?,
                chunk = chunks.next(), if more && calls.len() < ahead => match chunk {
                    Some(chunk) => calls.push_back(self.enqueue_chunk(batch, self.prepare_chunk(batch, chunk).await?)),
                    None => more = false,
                },
                Some(results) = calls.next() => {
                    let (results, of_new) = results?;
                    ahead = CALLS_AHEAD;
                    for (place, result) in results {
                        match &result {
                            Ok(Placed { new: true, .. }) => tally.created += 1,
                            Ok(Placed { new: false, .. }) => tally.known += 1,
                            Err(_) => tally.refused += 1,
                        }
                        each(place, result);
                    }
                    of_new.into_iter().for_each(|one| IgnoredField::add(&mut ignored, one));
                },
            }
        }
        Ok((tally, ignored))
    }

    async fn prepare_chunk(
        &self,
        batch: &BatchRef,
        chunk: Vec<(usize, Submission)>,
    ) -> Result<Chunk, StoreError> {
        let mut jobs = Vec::with_capacity(chunk.len());
        let mut results = Vec::with_capacity(chunk.len());
        let outlook = self.outlook(chunk.iter().map(|(_, submission)| &submission.song)).await?;
        for (place, mut submission) in chunk {
            submission.tenant = batch.tenant.clone();
            submission.batch = Some(batch.name.clone());
            match self.prepare(&submission, &outlook) {
                Ok(job) => {
                    results.push((place as u64, Ok((submission, job.job.id))));
                    jobs.push(job);
                }
                Err(error) => results.push((place as u64, Err(error))),
            }
        }
        Ok(Chunk { jobs, results })
    }

    async fn enqueue_chunk(
        &self,
        batch: &BatchRef,
        chunk: Chunk,
    ) -> Result<(Results, Vec<IgnoredField>), StoreError> {
        let Chunk { jobs, results } = chunk;
        let outcomes = self.store.enqueue(Some(batch), &jobs).await?;
        let mut ignored = Vec::new();
        for (job, _) in jobs.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Enqueued::Created) {
            let route = job.job.here();
            IgnoredField::collect(&mut ignored, &route.vendor, &route.dropped);
        }
        let mut outcomes = outcomes.into_iter();
        let mut settle = |result: Prepared| {
            let (submission, job) = result?;
            placed(&submission, job, outcomes.next().expect("one answer for each job"))
        };
        Ok((results.into_iter().map(|(place, result)| (place, settle(result))).collect(), ignored))
    }

    fn prepare(&self, submission: &Submission, outlook: &Outlook) -> Result<NewJob, SubmitError> {
        let routes = plan(&submission.song, &self.planner(), outlook)?;
        let id = match key(submission) {
            // The batch is part of the key: a custom_id is unique within its batch.
            Some(key) => {
                let batch = submission.batch.as_ref().map_or("", BatchName::as_str);
                JobId::of_key(&submission.tenant, batch, key)
            }
            None => {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).map_err(|_| SubmitError::Random)?;
                JobId::from_bytes(bytes)
            }
        };
        let (song, now) = (&submission.song, self.store.now());
        let mut until = now + self.store.policy().jobs.deadline.get();
        if let Some(Moment(deadline)) = song.deadline {
            if deadline <= now {
                return Err(Invalid::one("deadline", "has passed", "set a later one, or leave it out").into());
            }
            until = until.min(deadline);
        }
        let mut job = Job::new(id, routes, now, until);
        if let Some(Moment(not_before)) = song.not_before {
            if not_before > job.until {
                let words = format!("is later than a job may wait ({})", self.store.policy().jobs.deadline);
                return Err(Invalid::one("not_before", words, "set policy.jobs.deadline higher").into());
            }
            job.due = not_before.max(now);
        }
        job.priority = song.priority.unwrap_or_default();
        job.tenant = submission.tenant.clone();
        job.batch = submission.batch.clone();
        job.notify = submission.notify.clone();
        job.trace = submission.trace.clone().map(Box::new);
        job.custom_id = submission.song.custom_id.clone();
        let request = submission.song.without_leave();
        let request = serde_json::to_string(&*request).expect("a song request is always JSON");
        Ok(NewJob {
            job,
            request: Arc::from(request),
            content: submission.song.content().map(|key| hashed(&key)),
        })
    }
}

/// A request with its job's id, or why it is refused.
type Prepared = Result<(Submission, JobId), SubmitError>;

/// Requests that are checked and planned.
struct Chunk {
    jobs: Vec<NewJob>,
    /// All of them, in the order of the stream.
    results: Vec<(u64, Prepared)>,
}

/// Places in a stream, and what became of them.
type Results = Vec<(u64, Result<Placed, SubmitError>)>;

/// A content key as it stands in the store: no blanks, and no longer than it must be.
fn hashed(key: &str) -> String {
    JobId::derive("content key", key).to_string()
}

fn key(submission: &Submission) -> Option<&str> {
    submission.key.as_deref().or(submission.song.custom_id.as_deref())
}

fn placed(submission: &Submission, job: JobId, outcome: Enqueued) -> Result<Placed, SubmitError> {
    match outcome {
        Enqueued::Created => Ok(Placed { job, new: true }),
        Enqueued::Known => Ok(Placed { job, new: false }),
        Enqueued::Conflict => {
            Err(SubmitError::Conflict { key: key(submission).unwrap_or_default().to_owned(), job })
        }
        Enqueued::Over(bound) => Err(SubmitError::Over(bound)),
        Enqueued::Same(other) => Err(SubmitError::Same(other)),
    }
}
