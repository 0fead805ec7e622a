//! Live: Server-Sent Events for a job, a batch, or everything, that can be taken up where they were cut.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::{BatchName, JobId, Tenant};
use songmill_store::{Scope, Store, Told};
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio_util::sync::CancellationToken;

use crate::app::{App, is_over};
use crate::batches::TenantQuery;
use crate::caller::Caller;
use crate::events::{Position, Wanted};
use crate::extract::{Id, Query};
use crate::operation::Operation;
use crate::problem::Problem;
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
        Operation::new(Method::GET, "/v1/stream", "stream", everything)
            .says("Streams everything that happens", about)
            .for_scope(Scope::Read)
            .query::<StreamQuery>()
            .header("Last-Event-ID", RESUME)
            .reply_text(200, "Server-Sent Events", STREAM),
        Operation::new(Method::GET, "/v1/jobs/{id}/stream", "job_stream", of_job)
            .says("Streams what happens to a job", about)
            .for_scope(Scope::Read)
            .path::<JobId>("id", "The job's id")
            .header("Last-Event-ID", RESUME)
            .reply_text(200, "Server-Sent Events; the stream ends with the job", STREAM),
        Operation::new(Method::GET, "/v1/batches/{batch}/stream", "batch_stream", of_batch)
            .says("Streams what happens to a batch", about)
            .for_scope(Scope::Read)
            .path::<BatchName>("batch", "The batch's name")
            .query::<TenantQuery>()
            .header("Last-Event-ID", RESUME)
            .reply_text(200, "Server-Sent Events; the stream ends with the batch", STREAM),
    ]
}

/// Reads the events once for all streams, as long as there are any.
pub(crate) struct Hub {
    store: Store,
    shutdown: CancellationToken,
    reader: Mutex<Weak<broadcast::Sender<Happened>>>,
}

type Happened = (Position, Told);

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
    fn subscribe(&self) -> (Arc<broadcast::Sender<Happened>>, broadcast::Receiver<Happened>) {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = reader.upgrade() {
            let receiver = sender.subscribe();
            return (sender, receiver);
        }
        let (sender, receiver) = broadcast::channel(BEHIND);
        let sender = Arc::new(sender);
        *reader = Arc::downgrade(&sender);
        tokio::spawn(read(self.store.clone(), Arc::downgrade(&sender), self.shutdown.clone()));
        (sender, receiver)
    }

    /// Behind the last event.
    pub(crate) async fn now(&self) -> Position {
        match self.store.event_bounds().await {
            Ok(Some((_, last))) => Position::read(&last).unwrap_or_default(),
            _ => Position::default(),
        }
    }
}

async fn read(store: Store, to: Weak<broadcast::Sender<Happened>>, shutdown: CancellationToken) {
    let mut after = None;
    while !shutdown.is_cancelled() {
        let Some(sender) = to.upgrade() else { return };
        let from = match after {
            Some(position) => position,
            None => match store.event_bounds().await {
                Ok(bounds) => bounds.and_then(|(_, last)| Position::read(&last)).unwrap_or_default(),
                Err(_) => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
            },
        };
        after = Some(from);
        let mut more = false;
        match store.events(&from.to_string(), PAGE).await {
            Ok(page) => {
                more = page.len() == PAGE;
                for (id, told) in page {
                    if let Some(position) = Position::read(&id) {
                        after = Some(position);
                        // Nobody listening is found out by the other half being gone.
                        let _ = sender.send((position, told));
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "live events wait: redis cannot be asked"),
        }
        drop(sender);
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
    let wanted = Wanted { tenant, job: None, batch: None };
    open(app, About::Everything, wanted, from(&headers, query.after.as_deref())?).await
}

async fn of_job(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<JobId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stored = app.job(&caller, id).await?;
    let wanted = Wanted { tenant: stored.job.tenant.clone(), job: Some(id), batch: None };
    open(app, About::Job(id), wanted, from(&headers, None)?).await
}

async fn of_batch(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(name): Id<BatchName>,
    Query(query): Query<TenantQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (batch, _) = app.batch(&caller, query.tenant.as_ref(), name).await?;
    let wanted = Wanted { tenant: batch.tenant.clone(), job: None, batch: Some(batch.name.clone()) };
    open(app, About::Batch(batch), wanted, from(&headers, None)?).await
}

fn from(headers: &HeaderMap, after: Option<&str>) -> Result<Option<Position>, Problem> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let wrong =
        || Problem::bad_request("bad_event_id", "Last-Event-ID: is no event's id; leave it out to begin now");
    last.or(after).map(|text| Position::read(text).ok_or_else(wrong)).transpose()
}

/// A stream under way.
struct Following {
    app: Arc<App>,
    about: About,
    wanted: Wanted,
    at: Position,
    ready: std::collections::VecDeque<Sent>,
    receiver: broadcast::Receiver<Happened>,
    /// Whether what happened up to now has been read.
    caught_up: bool,
    over: bool,
    _reader: Arc<broadcast::Sender<Happened>>,
    _permit: OwnedSemaphorePermit,
}

async fn open(
    app: Arc<App>,
    about: About,
    wanted: Wanted,
    after: Option<Position>,
) -> Result<Response, Problem> {
    let busy = |_| {
        let detail = "too many streams are open; try again in a moment, or pull /v1/events";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).after(Duration::from_secs(5))
    };
    let permit = app.streams.clone().try_acquire_owned().map_err(busy)?;
    // First to listen, then to read what was before: nothing falls between.
    let (reader, receiver) = app.hub.subscribe();
    let mut ready = std::collections::VecDeque::new();
    let (at, caught_up) = match after {
        Some(at) => {
            if !app.is_kept(at).await? {
                ready.push_back(Sent::default().event("gap").data("{}"));
            }
            (at, false)
        }
        None => (app.hub.now().await, true),
    };
    let mut following = Following {
        app,
        about,
        wanted,
        at,
        ready,
        receiver,
        caught_up,
        over: false,
        _reader: reader,
        _permit: permit,
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

fn sent(kind: &str, id: Option<Position>, data: &impl Serialize) -> Sent {
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
                self.over = is_over(stored.job.state.name());
                self.ready.push_back(sent("job", None, &self.app.view(&stored)));
            }
            About::Batch(batch) => {
                let Some(found) = self.app.store.batch(batch).await? else { return Ok(()) };
                self.over = found.closed_ms.is_some();
                self.ready.push_back(sent("batch", None, &found.view(self.app.store.now())));
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
                Ok((position, told)) => self.take(position, told).await,
                Err(broadcast::error::RecvError::Lagged(_)) => self.caught_up = false,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    async fn catch_up(&mut self) {
        match self.app.store.events(&self.at.to_string(), PAGE).await {
            Ok(page) => {
                self.caught_up = page.len() < PAGE;
                for (id, told) in page {
                    if let Some(position) = Position::read(&id) {
                        self.take(position, told).await;
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a live stream waits: redis cannot be asked");
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    async fn take(&mut self, position: Position, told: Told) {
        if position <= self.at {
            return;
        }
        self.at = position;
        if !self.wanted.takes(&told) {
            return;
        }
        let ends = match (&self.about, &told) {
            (About::Job(_), Told::Job(logged)) => is_over(logged.to),
            (About::Batch(_), Told::Closed(_)) => true,
            _ => false,
        };
        let view = EventView::of(position.to_string(), told);
        self.ready.push_back(sent(&view.kind, Some(position), &view));
        if ends && let Err(problem) = self.snapshot().await {
            tracing::warn!(status = %problem.status(), "a live stream ends without its last snapshot");
            self.over = true;
        }
    }
}
