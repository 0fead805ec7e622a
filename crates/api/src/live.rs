//! Live: Server-Sent Events for a job, a batch, or everything, that can be taken up where they were cut.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::{BatchName, JobId, Tenant};
use songmill_store::{EventId, Listed, Scope, Store, Told};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::batches::TenantQuery;
use crate::caller::Caller;
use crate::events::Wanted;
use crate::extract::{Id, Query};
use crate::operation::Operation;
use crate::problem::{Problem, busy};
use crate::share::Place;
use crate::views::EventView;

/// Which events are streamed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StreamQuery {
    /// Whose; the key's own tenant where nothing is said.
    tenant: Option<Tenant>,
    /// Those behind this one, where there is no `Last-Event-ID`; from now on where nothing is said.
    #[schemars(regex(pattern = "^[0-9]{1,15}(-[0-9]{1,15})?$"))]
    after: Option<String>,
}

const RESUME: &str = "The id of the last event that was seen: the stream goes on behind it";
const STREAM: &str = "text/event-stream";

pub(crate) fn operations() -> Vec<Operation> {
    let about = "Events as they happen (`event: job.completed` and so on, `data:` an `Event`). A snapshot (`event: job` or \
        `event: batch`) comes first; an `event: gap` says that events were missed because they are kept no more.";
    vec![
        Operation::new(Method::GET, "/v1/stream", "events.stream", everything)
            .says("Streams everything that happens", about)
            .for_scope(Scope::Read)
            .query::<StreamQuery>()
            .header("Last-Event-ID", RESUME)
            .reply_text(200, "Server-Sent Events", STREAM),
        Operation::new(Method::GET, "/v1/jobs/{id}/stream", "jobs.stream", of_job)
            .says("Streams what happens to a job", about)
            .for_scope(Scope::Read)
            .header("Last-Event-ID", RESUME)
            .reply_text(200, "Server-Sent Events; the stream ends with the job", STREAM),
        Operation::new(Method::GET, "/v1/batches/{batch}/stream", "batches.stream", of_batch)
            .says("Streams what happens to a batch", about)
            .for_scope(Scope::Read)
            .query::<TenantQuery>()
            .header("Last-Event-ID", RESUME)
            .reply_text(200, "Server-Sent Events; the stream ends with the batch", STREAM),
    ]
}

/// Reads the events once for all streams, as long as there are any.
pub(crate) struct Hub {
    store: Store,
    shutdown: CancellationToken,
    reader: Mutex<Weak<Reader>>,
}

/// What happens from some place on.
struct Reader {
    sender: broadcast::Sender<Happened>,
    /// Whether that place is known: what happens behind it will be told.
    begun: watch::Sender<bool>,
}

/// What happened; nothing where some of it was missed, and everybody is to look for it.
type Happened = Option<Listed>;

/// Between two looks for events.
const LOOK: Duration = Duration::from_millis(200);
/// Events that a slow stream may be behind; then it reads for itself.
const BEHIND: usize = 4096;
/// Events read at once.
const PAGE: usize = 1000;

impl Hub {
    pub(crate) fn new(store: Store, shutdown: CancellationToken) -> Self {
        Self { store, shutdown, reader: Mutex::default() }
    }

    /// What happens from now on. The reader goes on as long as somebody holds the other half.
    async fn subscribe(&self) -> (Arc<Reader>, broadcast::Receiver<Happened>) {
        let (reader, receiver) = {
            let mut known = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            let reader = known.upgrade().unwrap_or_else(|| {
                let (sender, begun) = (broadcast::Sender::new(BEHIND), watch::Sender::new(false));
                let reader = Arc::new(Reader { sender, begun });
                *known = Arc::downgrade(&reader);
                tokio::spawn(read(self.store.clone(), Arc::downgrade(&reader), self.shutdown.clone()));
                reader
            });
            let receiver = reader.sender.subscribe();
            (reader, receiver)
        };
        // Its sender lives as long as we hold the reader.
        let mut begun = reader.begun.subscribe();
        // Cancel-safe: a stream that is to end needs nothing any more.
        tokio::select! {
            _ = begun.wait_for(|begun| *begun) => {}
            () = self.shutdown.cancelled() => {}
        }
        (reader, receiver)
    }
}

async fn read(store: Store, to: Weak<Reader>, shutdown: CancellationToken) {
    let mut after = None;
    while !shutdown.is_cancelled() {
        let Some(reader) = to.upgrade() else { return };
        let mut more = false;
        match after {
            None => match store.last_event().await {
                Ok(position) => {
                    after = Some(position);
                    reader.begun.send_replace(true);
                }
                Err(error) => tracing::warn!(%error, "live events wait: redis cannot be asked"),
            },
            Some(from) => match store.follow_events(from, PAGE).await {
                Ok((first, page)) => {
                    more = page.len() == PAGE;
                    // Nobody listening is found out by the other half being gone.
                    if from != EventId::default() && first.is_some_and(|first| first > from) {
                        let _ = reader.sender.send(None);
                    }
                    for (id, told) in page {
                        after = Some(id);
                        let _ = reader.sender.send(Some((id, told)));
                    }
                }
                Err(error) => tracing::warn!(%error, "live events wait: redis cannot be asked"),
            },
        }
        drop(reader);
        if !more {
            // Cancel-safe: neither holds anything.
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }
}

/// What a stream is about, and when it ends.
enum About {
    Everything,
    Job(JobId),
    Batch(songmill_core::BatchRef),
}

async fn everything(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = caller.meant(query.tenant.as_ref())?;
    let for_operator = caller.may(Scope::Admin);
    let wanted = Wanted { tenant, job: None, batch: None, for_operator };
    open(app, caller, About::Everything, wanted, from(&headers, query.after.as_deref())).await
}

async fn of_job(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<JobId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stored = app.job(&caller, id).await?;
    let for_operator = caller.may(Scope::Admin);
    let wanted = Wanted { tenant: stored.job.tenant.clone(), job: Some(id), batch: None, for_operator };
    open(app, caller, About::Job(id), wanted, from(&headers, None)).await
}

async fn of_batch(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(name): Id<BatchName>,
    Query(query): Query<TenantQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (batch, _) = app.batch(&caller, query.tenant.as_ref(), name).await?;
    let for_operator = caller.may(Scope::Admin);
    let wanted =
        Wanted { tenant: batch.tenant.clone(), job: None, batch: Some(batch.name.clone()), for_operator };
    open(app, caller, About::Batch(batch), wanted, from(&headers, None)).await
}

/// Where the stream goes on; what is no event's id is not heeded, as the standard of these streams has it.
fn from(headers: &HeaderMap, after: Option<&str>) -> Option<EventId> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    last.or_else(|| after.and_then(|id| id.parse().ok()))
}

/// A stream under way.
struct Following {
    app: Arc<App>,
    about: About,
    wanted: Wanted,
    at: EventId,
    ready: VecDeque<Sent>,
    receiver: broadcast::Receiver<Happened>,
    /// Whether what happened up to now has been read.
    caught_up: bool,
    over: bool,
    _reader: Arc<Reader>,
    _place: Place,
}

async fn open(
    app: Arc<App>,
    caller: Caller,
    about: About,
    wanted: Wanted,
    after: Option<EventId>,
) -> Result<Response, Problem> {
    let place = app.streams.take(caller.tenant.as_str());
    let place =
        place.ok_or_else(|| busy("too many streams are open; try again in a moment, or pull /v1/events"))?;
    let at = match after {
        Some(at) => at,
        None => app.store.last_event().await?,
    };
    // First to listen, then to read what was before: nothing falls between.
    let (reader, receiver) = app.hub.subscribe().await;
    let mut following = Following {
        app,
        about,
        wanted,
        at,
        ready: VecDeque::new(),
        receiver,
        caught_up: false,
        over: false,
        _reader: reader,
        _place: place,
    };
    following.snapshot().await?;
    let shutdown = following.app.hub.shutdown.clone();
    let events = futures_util::stream::unfold(following, |mut following| async move {
        let sent = following.next().await?;
        Some((Ok::<_, Infallible>(sent), following))
    });
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(until(events, shutdown)).keep_alive(alive).into_response())
}

fn until<S: Stream>(events: S, shutdown: CancellationToken) -> impl Stream<Item = S::Item> {
    use futures_util::StreamExt as _;
    events.take_until(async move { shutdown.cancelled().await })
}

fn sent(kind: &str, id: Option<EventId>, data: &impl Serialize) -> Sent {
    let json = serde_json::to_string(data).expect("views are always JSON");
    let event = Sent::default().event(kind).data(json);
    match id {
        Some(id) => event.id(id.to_string()),
        None => event,
    }
}

impl Following {
    /// How what it is about stands now; the stream is over when that has ended.
    async fn snapshot(&mut self) -> Result<(), Problem> {
        match &self.about {
            About::Everything => {}
            About::Job(id) => {
                let Some(stored) = self.app.store.load(*id).await? else { return Ok(()) };
                self.over = stored.job.state.name().is_final();
                self.ready.push_back(sent("job", None, &self.app.view(&stored)));
            }
            About::Batch(batch) => {
                let Some(found) = self.app.store.batch(batch).await? else { return Ok(()) };
                self.over = found.closed_ms.is_some();
                let view = self.app.batch_view(&found, self.wanted.for_operator).await?;
                self.ready.push_back(sent("batch", None, &view));
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(sent) = self.ready.pop_front() {
                return Some(sent);
            }
            if !self.caught_up {
                self.catch_up().await;
                continue;
            }
            if self.over {
                return None;
            }
            match self.receiver.recv().await {
                Ok(Some((id, told))) => self.take(id, told).await,
                Ok(None) | Err(broadcast::error::RecvError::Lagged(_)) => self.caught_up = false,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    async fn catch_up(&mut self) {
        match self.missed().await {
            Ok((kept, page)) => {
                if !kept {
                    self.ready.push_back(Sent::default().event("gap").data("{}"));
                    self.at = EventId::default();
                }
                self.caught_up = kept && page.len() < PAGE;
                for (id, told) in page {
                    self.take(id, told).await;
                }
            }
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }

    /// What happened meanwhile, if all of it is kept.
    async fn missed(&self) -> Result<(bool, Vec<Listed>), Problem> {
        if !self.app.store.has_events_since(&self.wanted.tenant, self.at).await? {
            return Ok((false, Vec::new()));
        }
        Ok((true, self.app.store.events(&self.wanted.tenant, self.at, PAGE).await?))
    }

    async fn take(&mut self, id: EventId, told: Option<Told>) {
        if id <= self.at {
            return;
        }
        self.at = id;
        let Some(told) = told.filter(|told| self.wanted.takes(told)) else { return };
        let ends = match (&self.about, &told) {
            (About::Job(_), Told::Job(logged)) => logged.to.is_final(),
            (About::Batch(_), Told::Closed(_)) => true,
            _ => false,
        };
        let view =
            EventView::of(id.to_string(), told, self.app.policy().money.currency, self.wanted.for_operator);
        self.ready.push_back(sent(&view.kind, Some(id), &view));
        if ends && let Err(problem) = self.snapshot().await {
            tracing::warn!(status = %problem.status(), "a live stream ends without its last snapshot");
            self.over = true;
        }
    }
}
