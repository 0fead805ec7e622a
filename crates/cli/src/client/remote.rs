//! Requests to a server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::uri::Scheme;
use axum::http::{Method, Request, Response, StatusCode, Uri};
use futures_util::stream::{self, StreamExt as _};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use songmill_vendors::Secret;

use super::connect::{Connector, connector};
use super::error::{Changes, ServerError, What, lost};

/// A server.
#[derive(Clone)]
pub(super) struct Remote {
    http: legacy::Client<Connector, Body>,
    proxies: Arc<Matcher>,
    base: String,
    key: Option<Secret>,
}

/// What a server is sent.
pub(super) struct Sent {
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    pub(super) body: Option<(&'static str, Body)>,
    pub(super) changes: Changes,
    /// How long the answer may take; none where the body takes as long as it takes.
    pub(super) patience: Option<Duration>,
}

/// How long an answer may take, and how long it may bring nothing.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// How long a server may take none of a body that is ready.
const STALLED: Duration = Duration::from_secs(15 * 60);
/// Redirects that are followed, one after the other.
const HOPS: usize = 5;

impl Remote {
    pub(super) fn new(base: String, key: Option<Secret>) -> Result<Self> {
        let proxies = Arc::new(Matcher::from_env());
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(5))
            .build(connector(proxies.clone())?);
        Ok(Self { http, proxies, base, key })
    }

    /// Its address.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Asks it.
    pub(super) async fn send(&self, sent: Sent) -> Result<Response<Incoming>> {
        let Sent { method, path, body, changes, patience } = sent;
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let mut request = request.header(header::ACCEPT, super::ACCEPTED);
        if let Some(key) = &self.key {
            let mut key = HeaderValue::try_from(format!("Bearer {}", key.expose()))?;
            key.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, key);
        }
        let progress = Arc::new(Progress::new());
        let body = match body {
            None => Body::empty(),
            Some((media, body)) => {
                request = request.header(header::CONTENT_TYPE, media);
                if patience.is_some() { body } else { progress.clone().watch(body) }
            }
        };
        let request = request.body(body)?;
        let late = async {
            match patience {
                Some(patience) => {
                    tokio::time::sleep(patience).await;
                    patience
                }
                None => progress.stalled().await,
            }
        };
        // The request is given up when it is too late.
        tokio::select! {
            answer = self.ask(request, changes) => Ok(answer?),
            late = late => Err(What::Silent(late).at(&self.base, changes).into()),
        }
    }

    /// Fetches what a signed address leads to; the key is not shown there.
    pub(super) async fn fetch(&self, address: &str) -> Result<Response<Incoming>> {
        let mut to = address.to_owned();
        for _ in 0..HOPS {
            let request = Request::get(&to).body(Body::empty())?;
            let asked = tokio::time::timeout(SILENCE, self.ask(request, Changes::Nothing)).await;
            let answer = asked.map_err(|_| What::Silent(SILENCE).at(&host(&to), Changes::Nothing))??;
            match location(&answer) {
                Some(next) => to = next,
                None => return Ok(answer),
            }
        }
        Err(What::Unexpected("too many redirects").at(&host(address), Changes::Nothing).into())
    }

    async fn ask(
        &self,
        mut request: Request<Body>,
        changes: Changes,
    ) -> Result<Response<Incoming>, ServerError> {
        let agent = HeaderValue::from_static(concat!("songmill/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        let to = request.uri().clone();
        if to.scheme() != Some(&Scheme::HTTPS)
            && let Some(proxy) = self.proxies.intercept(&to)
            && let Some(key) = proxy.basic_auth()
        {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, key.clone());
        }
        let answer = self.http.request(request).await;
        answer.map_err(|error| lost(&error).at(&host(&to.to_string()), changes))
    }
}

/// Where an answer leads to.
pub(super) fn location(answer: &Response<Incoming>) -> Option<String> {
    let is_redirect = answer.status().is_redirection() && answer.status() != StatusCode::NOT_MODIFIED;
    let to = answer.headers().get(header::LOCATION).filter(|_| is_redirect)?;
    Some(to.to_str().ok()?.to_owned())
}

/// An address without what may be a secret: its path, query and user.
pub(super) fn host(address: &str) -> String {
    let Ok(uri) = address.parse::<Uri>() else { return "its address".into() };
    let scheme = uri.scheme_str().unwrap_or("http");
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{}", authority.rsplit('@').next().unwrap_or_default())
}

/// How far a body is that is sent as it is read.
struct Progress(Mutex<(bool, Instant)>);

impl Progress {
    fn new() -> Self {
        Self(Mutex::new((false, Instant::now())))
    }

    fn set(&self, waits: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (waits, Instant::now());
    }

    /// The body, watched: whether it waits for its source, and since when it does not.
    fn watch(self: Arc<Self>, body: Body) -> Body {
        let chunks = stream::unfold((body.into_data_stream(), self), |(mut chunks, progress)| async {
            progress.set(true);
            let next = chunks.next().await;
            progress.set(false);
            Some((next?, (chunks, progress)))
        });
        Body::from_stream(chunks)
    }

    /// Ends when the server takes nothing and says nothing.
    async fn stalled(&self) -> Duration {
        loop {
            let (waits, since) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let left = STALLED.saturating_sub(since.elapsed());
            if left.is_zero() && !waits {
                return STALLED;
            }
            tokio::time::sleep(left.max(Duration::from_secs(1))).await;
        }
    }
}
