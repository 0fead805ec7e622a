//! The job record: one document in Redis, read and written whole.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::booking::Booking;
use super::policy::{OnUnusable, Policy};
use super::retrieval::Retrieval;
use super::state::{Origin, Place, Stage, State};
use crate::fault::FaultKind;
use crate::flow::{Priority, Size};
use crate::id::{BatchName, BatchRef, EndpointId, JobId, Tenant, VendorName};
use crate::money::Terms;
use crate::report::Lyrics;
use crate::song::{Change, Field};
use crate::time::Timestamp;

/// One paid step of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Words are written from `lyrics_prompt`.
    Lyrics,
    /// The song itself; always the last step.
    Song,
}

/// A vendor and the steps it takes there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Whose.
    #[serde(rename = "v")]
    pub vendor: VendorName,
    /// What, in order; at least one.
    #[serde(rename = "s")]
    pub steps: Vec<StepKind>,
    /// Preferred fields that this vendor leaves out.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Field>,
    /// What is changed in the request before this vendor is sent it.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// What the song's task is asked to make, by the request that this vendor is sent: prices go by it.
    #[serde(rename = "z", default, skip_serializing_if = "Size::is_usual")]
    pub size: Size,
}

impl Route {
    /// A route on which the request is sent as it is, for one song of no particular length.
    pub fn new(vendor: VendorName, steps: Vec<StepKind>) -> Self {
        Self { vendor, steps, dropped: Vec::new(), changes: Vec::new(), size: Size::default() }
    }
}

/// One line of a job's history: when, what, and in what words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry(pub Timestamp, pub Cow<'static, str>, pub String);

/// The request that something came with: for logs, events and notices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The request's id: the caller's `X-Request-Id`, or ours.
    #[serde(rename = "r")]
    pub request_id: String,
    /// The caller's W3C `traceparent`.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// A submission that several jobs share: one of them is submitted, for all of their songs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// The job that is submitted.
    #[serde(rename = "j")]
    pub job: JobId,
    /// Which submission of that job.
    #[serde(rename = "n")]
    pub attempt: u32,
    /// Which submission of the job that shares it.
    #[serde(rename = "o")]
    pub own: u32,
    /// Which of the songs is this job's, from 0.
    #[serde(rename = "k")]
    pub place: u32,
}

/// A job's record without its id and request, which are kept beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Ours.
    #[serde(skip, default = "no_id")]
    pub id: JobId,
    /// Whose it is.
    #[serde(rename = "w", default, skip_serializing_if = "Tenant::is_default")]
    pub tenant: Tenant,
    /// The batch it belongs to.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchName>,
    /// The caller's id of it.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub custom_id: Option<String>,
    /// Endpoints that are told of it, beside those that are told of all.
    #[serde(rename = "nt", default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<EndpointId>,
    /// The request it came with, where it came alone; a batch's stands with the batch.
    #[serde(rename = "tr", default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<Trace>>,
    /// When it was taken in.
    #[serde(rename = "t")]
    pub created: Timestamp,
    /// Until when it may wait for a submission.
    #[serde(rename = "u")]
    pub until: Timestamp,
    /// The vendors it may go to, in order; at least one.
    #[serde(rename = "r")]
    pub routes: Vec<Route>,
    /// Which of them it is with.
    #[serde(rename = "ri", default, skip_serializing_if = "is_zero")]
    pub route: u32,
    /// Which of that route's steps it is at.
    #[serde(rename = "si", default, skip_serializing_if = "is_zero")]
    pub at_step: u32,
    /// The number of the last submission; 0 before the first.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub submissions: u32,
    /// The number of the first submission of this route and step.
    #[serde(rename = "f", default, skip_serializing_if = "is_zero")]
    pub first: u32,
    /// The latest submissions whose task is known to have ended without a product of use, bounded.
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<u32>,
    /// Submissions of this step that created, or may have created, a paid task.
    #[serde(rename = "p", default, skip_serializing_if = "is_zero")]
    pub paid: u32,
    /// Submissions that were or may have been paid for beside the one that counts.
    #[serde(rename = "dp", default, skip_serializing_if = "is_zero")]
    pub maybe_paid_twice: u32,
    /// Failures in a row that were known to have done nothing.
    #[serde(rename = "k", default, skip_serializing_if = "is_zero")]
    pub strikes: u32,
    /// How getting at the output of its task has gone so far.
    #[serde(rename = "rt", default, skip_serializing_if = "Retrieval::is_new")]
    pub retrieval: Retrieval,
    /// When the vendor was last polled, or is next, because of a callback; zero before the first.
    #[serde(rename = "cp", default, skip_serializing_if = "is_never")]
    pub callback_poll: Timestamp,
    /// How often this step was made again by this vendor because its audio was unusable.
    #[serde(rename = "rm", default, skip_serializing_if = "is_zero")]
    pub remakes: u32,
    /// Whether the caller asked for it to stop.
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_asked: bool,
    /// Lyrics that a finished step gave: kept, never paid for again.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub lyrics: Option<Lyrics>,
    /// The task that its latest submission shares with other jobs.
    #[serde(rename = "pk", default, skip_serializing_if = "Option::is_none")]
    pub packed: Option<Packed>,
    /// Why it left each route that it is not with any more, in their order.
    #[serde(rename = "fo", default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// How urgent it is beside its tenant's others.
    #[serde(rename = "pr", default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// What was reserved for its latest submission when it was claimed, in millionths.
    #[serde(rename = "pc", default, skip_serializing_if = "is_nothing")]
    pub price: u64,
    /// What its latest submission is charged by: as the prices were when it was claimed.
    #[serde(rename = "pt", default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// What its latest submission is booked with, in millionths, once that is not what was reserved.
    #[serde(rename = "pb", default, skip_serializing_if = "Option::is_none")]
    pub charged: Option<u64>,
    /// The same of its earlier submissions, the latest eight.
    #[serde(rename = "pe", default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Booking>,
    /// What of all that was reserved is settled, in millionths, since the record was read: the ledger is told the
    /// difference.
    #[serde(skip)]
    pub settled: u64,
    /// What its tasks have cost, or will when they are done, in millionths.
    #[serde(rename = "sp", default, skip_serializing_if = "is_nothing")]
    pub spent: u64,
    /// The day since 1970, UTC, on which the latest submission was booked.
    #[serde(rename = "dy", default, skip_serializing_if = "is_zero")]
    pub booked: u32,
    /// Submissions that are known to have created a task.
    #[serde(rename = "cf", default, skip_serializing_if = "is_zero")]
    pub confirmed: u32,
    /// Submissions that are known not to have been done, or not charged for.
    #[serde(rename = "nd", default, skip_serializing_if = "is_zero")]
    pub undone: u32,
    /// Submissions of this route and step that were made again though nobody could tell what had become of them, and
    /// whether their task is known.
    #[serde(rename = "db", default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<(u32, bool)>,
    /// When what its owner and the vendors said was erased.
    #[serde(rename = "er", default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Timestamp>,
    /// What it is doing.
    #[serde(rename = "s")]
    pub state: State,
    /// When a live job is to be looked at; means nothing otherwise.
    #[serde(rename = "d")]
    pub due: Timestamp,
    /// What happened so far: the latest entries, bounded.
    #[serde(rename = "h", default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Entry>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_nothing(amount: &u64) -> bool {
    *amount == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(super) fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_never(moment: &Timestamp) -> bool {
    *moment == Timestamp::default()
}

const fn no_id() -> JobId {
    JobId::from_bytes([0; 16])
}

/// How many entries of its history a job keeps; the first is kept too.
const HISTORY: usize = 24;
/// How many ended submissions a job remembers.
const ENDED: usize = 16;

impl Job {
    /// A new job, due at once, that gives up waiting for a submission at `until`.
    ///
    /// # Panics
    /// When there is no route, or a route without steps: a plan always has both.
    pub fn new(id: JobId, routes: Vec<Route>, created: Timestamp, until: Timestamp) -> Self {
        assert!(routes.iter().all(|route| !route.steps.is_empty()) && !routes.is_empty(), "a plan has steps");
        Self {
            id,
            tenant: Tenant::default(),
            batch: None,
            custom_id: None,
            notify: Vec::new(),
            trace: None,
            created,
            until,
            routes,
            route: 0,
            at_step: 0,
            submissions: 0,
            first: 1,
            ended: Vec::new(),
            paid: 0,
            maybe_paid_twice: 0,
            strikes: 0,
            retrieval: Retrieval::default(),
            callback_poll: Timestamp::default(),
            remakes: 0,
            cancel_asked: false,
            lyrics: None,
            packed: None,
            left: Vec::new(),
            priority: Priority::Normal,
            price: 0,
            terms: None,
            charged: None,
            earlier: Vec::new(),
            settled: 0,
            spent: 0,
            booked: 0,
            confirmed: 0,
            undone: 0,
            doubts: Vec::new(),
            erased: None,
            state: State::Queued,
            due: created,
            history: Vec::new(),
        }
    }

    /// The vendor the job is with.
    pub fn vendor(&self) -> &VendorName {
        &self.here().vendor
    }

    /// The batch it belongs to, with its tenant.
    pub fn batch_ref(&self) -> Option<BatchRef> {
        let name = self.batch.clone()?;
        Some(BatchRef { tenant: self.tenant.clone(), name })
    }

    /// The route the job is on.
    pub fn here(&self) -> &Route {
        &self.routes[self.route as usize]
    }

    /// The step the job is at.
    pub fn step_kind(&self) -> StepKind {
        // A song is always the last step.
        self.here().steps.get(self.at_step as usize).copied().unwrap_or(StepKind::Song)
    }

    /// The one queue a live job stands in; `None` for the others.
    pub fn place(&self) -> Option<Place<'_>> {
        let stage = self.state.stage()?;
        let vendor = match &self.state {
            State::Collecting { origin, .. } => &origin.vendor,
            _ => self.vendor(),
        };
        Some(Place { stage, vendor, due: self.due })
    }

    /// What its song's task is asked to make by the vendor that it is with.
    pub fn size(&self) -> Size {
        self.here().size
    }

    /// The lane of its vendor's queue in which it waits to be submitted, `tenant:class:batch`, with a `+` behind where
    /// another vendor is left: who shares a lane is served in the order of coming.
    pub fn lane(&self) -> String {
        let batch = self.batch.as_ref().map_or("", BatchName::as_str);
        let more = if self.has_next_route() { "+" } else { "" };
        format!("{}:{}:{batch}{more}", self.tenant, self.priority.letter())
    }

    /// Whether there is another vendor that it may go to after this one.
    pub fn has_next_route(&self) -> bool {
        (self.route as usize) + 1 < self.routes.len()
    }

    /// Whether it may go on to the next vendor it names: never from doubt.
    pub fn may_fail_over(&self) -> bool {
        self.has_next_route() && self.doubts.is_empty() && !self.cancel_asked
    }

    /// Whether its song may be made anew by the same vendor, if what was made is not good enough.
    pub fn may_be_made_anew(&self, policy: &Policy, now: Timestamp) -> bool {
        policy.jobs.on_unusable == OnUnusable::Remake
            && self.remakes < policy.jobs.max_remakes
            && !self.cancel_asked
            && now < self.until
            && self.paid < policy.vendor(self.vendor()).attempts
    }

    /// Whether the vendor may be asked for another address of audio that could not be had for a fault of this kind.
    pub fn may_ask_anew(&self, origin: &Origin, kind: FaultKind, policy: &Policy, now: Timestamp) -> bool {
        origin.task.is_some()
            && origin.vendor == *self.vendor()
            && (origin.is_waited_for(kind, policy, now)
                || self.retrieval.refreshes < policy.jobs.collect_rounds)
    }

    /// Submissions of which it is not known whether they created a paid task.
    pub fn possibly_paid(&self) -> u32 {
        self.submissions.saturating_sub(self.confirmed).saturating_sub(self.undone)
    }

    /// Whether the job stands in this queue.
    pub fn is_at(&self, stage: Stage) -> bool {
        self.state.stage() == Some(stage)
    }

    /// Writes down that nothing more is to come of a submission.
    pub(super) fn end(&mut self, attempt: u32) {
        if self.ended.len() >= ENDED {
            self.ended.remove(0);
        }
        self.ended.push(attempt);
    }

    /// Writes down what happened.
    pub(super) fn note(&mut self, at: Timestamp, what: &'static str, words: impl Into<String>) {
        if self.history.len() >= HISTORY {
            self.history.remove(1);
        }
        self.history.push(Entry(at, Cow::Borrowed(what), words.into()));
    }
}
