//! Requests that may be sent again: each is done once, and its answer is given again.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use songmill_core::{BatchRef, Tenant};
use songmill_store::{Begun, Bound, Doing, KeptAnswer, Made, StoreError};
use tracing::Instrument as _;

use crate::app::App;
use crate::caller::Caller;
use crate::extract::{Held, idempotency_key, read_whole};
use crate::problem::Problem;
use crate::secret::{hashed, hex};

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Of the request: method, path and body.
    pub(crate) print: String,
    pub(crate) status: u16,
    pub(crate) media: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
    pub(crate) body: String,
}

/// A request that is being done; when it is dropped before its answer is kept it may be sent again at once.
pub(crate) struct Once {
    doing: Option<Doing>,
    alive: tokio::task::AbortHandle,
}

/// Between two signs of life.
const ALIVE: Duration = Duration::from_secs(20);
/// Longer answers are not kept.
const ANSWER_MOST: usize = 256 << 10;
/// The status of an answer that was erased; no other answer with it is kept.
const ERASED: u16 = 410;

impl Once {
    /// Begins it, unless it is under way; gives the answer it had, where it was done.
    pub(crate) async fn begin(
        app: &App,
        tenant: &Tenant,
        key: &str,
    ) -> Result<Result<Self, Answer>, Problem> {
        let (begun, doing) = app.store.begin_once(tenant, &hashed(key)).await?;
        match begun {
            Begun::New => {}
            Begun::UnderWay => {
                let detail =
                    "a request with this Idempotency-Key is under way; send it again when it has ended";
                return Err(
                    Problem::new(StatusCode::CONFLICT, "under_way", detail).after(Duration::from_secs(2))
                );
            }
            Begun::Full => return Err(StoreError::Over(Bound::Bytes).into()),
            Begun::Answered(answer) => {
                return serde_json::from_slice(&answer).map(Err).map_err(|_| Problem::internal());
            }
        }
        let signs = doing.clone();
        let alive = tokio::spawn(async move {
            loop {
                tokio::time::sleep(ALIVE).await;
                if let Err(error) = signs.go_on().await {
                    tracing::warn!(%error, "a request under way could not say that it is");
                }
            }
        });
        Ok(Ok(Self { doing: Some(doing), alive: alive.abort_handle() }))
    }

    /// Keeps the answer, if it is one to be kept.
    pub(crate) async fn end(mut self, app: &App, print: String, response: Response) -> Response {
        let status = response.status();
        // A problem did nothing, and is found again.
        if !status.is_success() {
            return self.forget(response).await;
        }
        let Some(doing) = self.doing.take() else { return response };
        let (parts, body) = response.into_parts();
        let Ok(body) = axum::body::to_bytes(body, ANSWER_MOST).await else {
            return forgotten(doing, Problem::internal().into_response()).await;
        };
        let text = |name| {
            parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned)
        };
        let answer = Answer {
            print,
            status: status.as_u16(),
            media: text(header::CONTENT_TYPE).unwrap_or_default(),
            location: text(header::LOCATION),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let json = serde_json::to_vec(&answer).expect("texts and numbers are always JSON");
        if let Err(error) = doing.answer(&json, app.settings.idempotency.get()).await {
            tracing::warn!(%error, "an answer could not be kept: the request is done again when it is sent again");
        }
        Response::from_parts(parts, Body::from(body))
    }

    /// Forgets that it was begun: the answer may be another one next time.
    pub(crate) async fn forget(mut self, response: Response) -> Response {
        match self.doing.take() {
            Some(doing) => forgotten(doing, response).await,
            None => response,
        }
    }
}

async fn forgotten(doing: Doing, response: Response) -> Response {
    if let Err(error) = doing.forget().await {
        tracing::warn!(%error, "a request that failed can be sent again only after a minute");
    }
    response
}

impl Drop for Once {
    fn drop(&mut self) {
        self.alive.abort();
        if let Some(doing) = self.doing.take() {
            // The caller has gone: whoever sends the request again need not wait.
            tokio::spawn(async move { doing.forget().await });
        }
    }
}

impl Answer {
    /// What is to be kept of an answer whose words are erased: its key stays used. None where it has none any more.
    pub(crate) fn erased(tenant: &Tenant, kept: &[u8]) -> Option<KeptAnswer> {
        let none = || Self {
            print: String::new(),
            status: 200,
            media: String::new(),
            location: None,
            body: String::new(),
        };
        let answer = serde_json::from_slice(kept).unwrap_or_else(|_| none());
        if answer.status == ERASED {
            return None;
        }
        let made = answer.location.as_deref().and_then(|location| made(tenant, location));
        let left = Self { status: ERASED, media: String::new(), body: String::new(), ..answer };
        Some(KeptAnswer { made, left: serde_json::to_vec(&left).expect("texts and numbers are always JSON") })
    }

    /// Given again, if the request is the same.
    pub(crate) fn again(self, print: &str) -> Response {
        if self.status == ERASED {
            let detail = "what this Idempotency-Key was answered was erased; the request is not done again";
            return Problem::new(StatusCode::GONE, "erased", detail).into_response();
        }
        if self.print != print {
            let detail = "this Idempotency-Key was used for another request; use a new one for each";
            return Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", detail).into_response();
        }
        let mut response = Body::from(self.body).into_response();
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        let said = [(header::CONTENT_TYPE, Some(self.media)), (header::LOCATION, self.location)];
        for (name, value) in said {
            if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
                headers.insert(name, value);
            }
        }
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
        response
    }
}

/// What a request made, by where it was said to be.
fn made(tenant: &Tenant, location: &str) -> Option<Made> {
    let path = location.split_once('?').map_or(location, |(path, _)| path);
    if let Some(id) = path.strip_prefix("/v1/jobs/") {
        return id.parse().ok().map(Made::Job);
    }
    let name = path.strip_prefix("/v1/batches/")?.parse().ok()?;
    Some(Made::Batch(BatchRef { tenant: tenant.clone(), name }))
}

/// What makes two requests the same.
pub(crate) fn print(method: &str, path: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(method);
    hash.update([0]);
    hash.update(path);
    hash.update([0]);
    hash.update(body);
    hex(&hash.finalize())
}

/// Around operations that heed an `Idempotency-Key`.
pub(crate) async fn once(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match done_once(app, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn done_once(app: Arc<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let Some(key) = idempotency_key(request.headers())?.map(str::to_owned) else {
        return Ok(next.run(request).await);
    };
    let Some(caller) = request.extensions().get::<Caller>().cloned() else { return Err(Problem::internal()) };
    // What another tenant was answered is not given here.
    let Query(named) = Query::<Named>::try_from_uri(request.uri()).unwrap_or_default();
    let tenant = caller.meant(named.tenant.as_ref())?;
    let (mut parts, body) = request.into_parts();
    let held = read_whole(&app, &parts, body).await?;
    let body = held.bytes().clone();
    parts.extensions.insert(Held);
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let print = print(parts.method.as_str(), path, &body);
    let doing = match Once::begin(&app, &tenant, &key).await? {
        Ok(doing) => doing,
        Err(answer) => return Ok(answer.again(&print)),
    };
    let done = async move {
        let _held = held;
        let response = next.run(Request::from_parts(parts, Body::from(body))).await;
        doing.end(&app, print, response).await
    };
    whole(done).await
}

/// Goes on to the end although the caller may go: a thing that is half done cannot be done once.
pub(crate) async fn whole(
    done: impl Future<Output = Response> + Send + 'static,
) -> Result<Response, Problem> {
    tokio::spawn(done.in_current_span()).await.map_err(|error| {
        tracing::error!(%error, "a request's handler panicked");
        Problem::internal()
    })
}

/// The tenant that the query names.
#[derive(Default, Deserialize)]
struct Named {
    tenant: Option<Tenant>,
}
