//! What every vendor can do, and the shapes it is asked in.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use songmill_core::flow::Size;
use songmill_core::job::{StepKind, VendorPolicy};
use songmill_core::song::{Change, Field, Invalid};
use songmill_core::{
    Estimate, Fault, JobId, Lyrics, Price, Report, SongRequest, TaskId, Timestamp, VendorName,
};

pub use songmill_core::job::Accepted;

/// An upstream vendor: translates orders into requests, and replies into what they mean.
pub trait Vendor: Send + Sync {
    /// What the vendor is and can do.
    fn card(&self) -> &Card;

    /// Checks everything about a request that can be checked here and says what it takes to fulfil it.
    fn plan(&self, song: &SongRequest) -> Result<Plan, Invalid>;

    /// Creates the task of one step: the only exchange that may cost money.
    ///
    /// `order.song` has passed [`Vendor::plan`]; a request that has not (the vendor's settings changed since) is
    /// answered with a `rejected` fault, and nothing is sent.
    fn submit(&self, order: &Order<'_>) -> Result<Exchange<Accepted>, Fault>;

    /// What makes requests equal that may be made as one task of up to so many songs; `None` where the caller did not
    /// ask for that, or the vendor cannot. A request that is packed makes one song.
    fn pack(&self, song: &SongRequest) -> Option<(String, usize)> {
        let _ = song;
        None
    }

    /// Asks how a task is.
    fn poll(&self, task: &TaskRef<'_>) -> Exchange<Report>;

    /// Asks how many tasks are at once, those of one step; `None` where the vendor has no list. What it answers may
    /// leave some of them out: they are asked for one by one. And it may tell of others that are ours.
    fn poll_many(&self, tasks: &[Watched], within: Within) -> Option<Exchange<Listed>> {
        let _ = (tasks, within);
        None
    }

    /// Looks for the task that an unanswered submission may have created; `None` where no look-up exists.
    ///
    /// `since` is when the submission began. `Ok(None)` says: the vendor does not know it (yet).
    fn find(&self, order: &Order<'_>, since: Timestamp) -> Option<Exchange<Option<TaskId>>>;

    /// Stops a task; `None` where the vendor cannot. A task that has ended already is no fault.
    fn cancel(&self, task: &TaskRef<'_>) -> Option<Exchange<()>>;

    /// Refuses a callback that its headers alone can refuse, before its body is read.
    fn read_delivery_headers(&self, headers: &HeaderMap, now: Timestamp) -> Result<(), Refusal> {
        let _ = (headers, now);
        Ok(())
    }

    /// Reads a callback as it was received; checks again whatever the headers can refuse.
    fn read_delivery(&self, delivery: &Delivery<'_>, now: Timestamp) -> Result<Reading, Refusal>;
}

/// What a vendor is and can do.
#[derive(Clone, Debug)]
pub struct Card {
    /// Its name in requests, settings and addresses.
    pub name: VendorName,
    /// Its name for people.
    pub title: &'static str,
    /// The fields of a song request that it can honour.
    pub honours: &'static [Field],
    /// The languages that it is known to sing or understand, as ISO 639 has them, where it honours `language`.
    pub languages: &'static [&'static str],
    /// How many songs one task can make.
    pub most_songs: u32,
    /// Whether it calls back when a task ends.
    pub calls_back: bool,
    /// How it is waited for and retried, before settings change it. `look_up` and `cancel` say what it can,
    /// `limits` what its page allows.
    pub policy: VendorPolicy,
    /// The model that it is asked for, as the settings name it; empty where the vendor chooses.
    pub model: String,
    /// JSON Schema of `options.<name>`.
    pub options: schemars::Schema,
    /// What it charges as far as anybody can know, until an operator says.
    pub estimate: Estimate,
    /// Where its account is looked after.
    pub links: Links,
}

/// Pages on which an operator puts a vendor's account right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Links {
    /// Where credit is bought.
    pub billing: &'static str,
    /// Where keys are made.
    pub keys: &'static str,
}

impl Links {
    /// The page for what a code says is wrong with the account; none where there is no such page.
    pub fn of_code(&self, code: &str) -> Option<&'static str> {
        match code {
            "balance_empty" | "plan_limit" => Some(self.billing),
            "key_refused" | "requirements_not_met" => Some(self.keys),
            _ => None,
        }
    }
}

/// An estimate: a price, where it is from, and when that was looked up.
pub(crate) fn estimate(price: Price, source: &str) -> Estimate {
    Estimate { price, source: source.to_owned(), date: "2026-11-30".to_owned() }
}

/// What it takes to fulfil a request with a vendor.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The paid steps in order; at least one, the last gives the audio.
    pub steps: Vec<StepKind>,
    /// Preferred fields that this vendor cannot honour and leaves out.
    pub dropped: Vec<Field>,
    /// What is changed in the request before it is sent; empty when it is sent as it is.
    pub changes: Vec<Change>,
    /// What the song's task is asked to make, by the request that will be sent.
    pub size: Size,
    /// Addresses in the request that the vendor is to fetch from.
    pub addresses: Vec<Address>,
}

/// An address that a caller gives a vendor to fetch from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The path of its field.
    pub field: String,
    /// It, as it is sent.
    pub url: String,
}

/// One paid submission to make, or to look for.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The job it is for.
    pub job: JobId,
    /// The attempt's number within the job, from 1; new for every submission.
    pub attempt: u32,
    /// Which step of the plan.
    pub step: StepKind,
    /// The request.
    pub song: &'a SongRequest,
    /// Lyrics that an earlier step of this job gave.
    pub lyrics: Option<&'a Lyrics>,
    /// The address that names this attempt.
    pub callback: Callback<'a>,
}

/// The address that names an attempt at the vendor's: `{base}/callbacks/{vendor}/{job}/{attempt}/{token}`.
#[derive(Clone, Copy, Debug)]
pub struct Callback<'a> {
    /// The whole address.
    pub url: &'a str,
    /// False when nobody listens there (no public address is set): then it only marks the task, for vendors
    /// that are looked up by it, and a vendor with another mark of its own leaves it out.
    pub live: bool,
}

impl Order<'_> {
    /// The part of the callback address that names the attempt whatever key signed it and whatever the base:
    /// `/callbacks/{vendor}/{job}/{attempt}/`.
    pub fn mark(&self, vendor: &VendorName) -> String {
        format!("/callbacks/{vendor}/{}/{}/", self.job, self.attempt)
    }
}

/// A task at the vendor's.
#[derive(Clone, Debug)]
pub struct TaskRef<'a> {
    /// The step it belongs to.
    pub step: StepKind,
    /// The vendor's id of it.
    pub id: &'a TaskId,
}

/// A task that is asked for together with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The vendor's id of it.
    pub id: TaskId,
    /// When its submission began.
    pub since: Timestamp,
}

/// How much earlier and later than its submission began the vendor may say that a task was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slack {
    /// Earlier: the vendor's clock is behind ours.
    pub before: Duration,
    /// Later: the submission took so long, or the vendor's clock is ahead.
    pub after: Duration,
}

impl Default for Slack {
    fn default() -> Self {
        Self { before: Duration::from_secs(3), after: Duration::from_secs(3) }
    }
}

/// Which part of a list is looked through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// Around the moments of submission.
    pub slack: Slack,
    /// Only what was made before: where an earlier search ended.
    pub before: Option<Timestamp>,
}

/// What a list shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// Tasks that were asked for, and others that show a callback address.
    pub seen: Vec<Seen>,
    /// Whether all of it was looked through: what was asked for and is not there is not in the list.
    pub whole: bool,
    /// Otherwise, where a search for the rest goes on, if the vendor can be asked for that.
    pub before: Option<Timestamp>,
}

/// What a list shows of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The vendor's id of it.
    pub task: TaskId,
    /// How it is.
    pub report: Report,
    /// Which submission created it, where the list shows a callback address: ours only if its token is.
    pub mark: Option<Mark>,
    /// When it was made, by the vendor's clock.
    pub made: Option<Timestamp>,
}

/// The submission that a callback address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The job.
    pub job: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// What says that we wrote it; not checked yet.
    pub token: String,
}

/// Reads a callback address, whatever its base: `…/callbacks/{vendor}/{job}/{attempt}/{token}`.
pub(crate) fn marked(vendor: &VendorName, address: &str) -> Option<Mark> {
    let (_, rest) = address.split_once(&format!("/callbacks/{vendor}/"))?;
    let mut parts = rest.split('/');
    let (job, attempt) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(Mark { job, attempt, token: parts.next()?.to_owned() })
}

/// Whether an exchange may cost money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// It may create a paid task: when its outcome is not known it must be looked up, never repeated.
    Creates,
    /// It can be repeated.
    Free,
}

/// A request, and the function that reads its reply.
pub struct Exchange<T> {
    /// What to send.
    pub request: Request<Bytes>,
    /// Whether sending it may cost money.
    pub cost: Cost,
    read: Reader<T>,
}

/// Reads the reply to one request.
pub type Reader<T> = Box<dyn FnOnce(Response<Bytes>) -> Next<T> + Send>;

/// What a reply leads to.
pub enum Next<T> {
    /// The end of the exchange.
    Done(Result<T, Fault>),
    /// One more request, such as the submission after an upload.
    Then(Exchange<T>),
}

impl<T> Exchange<T> {
    /// An exchange that can be repeated: a read, an upload, a cancel.
    pub fn free(
        request: Request<Bytes>,
        read: impl FnOnce(Response<Bytes>) -> Next<T> + Send + 'static,
    ) -> Self {
        Self { request, cost: Cost::Free, read: Box::new(read) }
    }

    /// An exchange that may create a paid task.
    pub fn creating(
        request: Request<Bytes>,
        read: impl FnOnce(Response<Bytes>) -> Next<T> + Send + 'static,
    ) -> Self {
        Self { request, cost: Cost::Creates, read: Box::new(read) }
    }

    /// Reads the reply.
    pub fn read(self, reply: Response<Bytes>) -> Next<T> {
        (self.read)(reply)
    }

    /// Splits the exchange into what to send, its cost and the function that reads the reply.
    pub fn into_parts(self) -> (Request<Bytes>, Cost, Reader<T>) {
        (self.request, self.cost, self.read)
    }
}

impl<T> Next<T> {
    /// The end, well.
    pub fn ok(value: T) -> Self {
        Self::Done(Ok(value))
    }

    /// The end, badly.
    pub fn fault(fault: Fault) -> Self {
        Self::Done(Err(fault))
    }
}

/// A callback as it was received; its address has been checked already.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body's bytes, before any parsing: signatures are over these.
    pub body: &'a [u8],
}

/// What a callback says.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The task it speaks of, where it says.
    pub task: Option<TaskId>,
    /// What it says of it.
    pub report: Report,
    /// Whether the report may be believed as it is. When false the task is asked for at once instead.
    pub believed: bool,
    /// The callback address that the body shows for the task, where it shows one.
    pub callback: Option<String>,
}

impl Reading {
    /// Whether the body shows that the task belongs to another submission than the one whose address it came to.
    pub fn is_of_another(&self, vendor: &VendorName, job: JobId, attempt: u32) -> bool {
        let is_other = |address: &str| {
            marked(vendor, address).is_none_or(|mark| (mark.job, mark.attempt) != (job, attempt))
        };
        self.callback.as_deref().is_some_and(is_other)
    }
}

/// Why a callback is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its signature is missing, wrong or out of date.
    #[error("callback is not signed by the vendor: {0}")]
    Forged(String),
    /// It is not understood.
    #[error("callback is not understood: {0}")]
    Garbled(String),
}

/// How far a signed callback's time may be from ours (Standard Webhooks; Replicate's page names 5 minutes).
pub const DELIVERY_TOLERANCE: Duration = Duration::from_secs(300);
