//! The API as commands use it: of a server, or in this process straight on Redis. Both are asked the same.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use futures_util::stream::{Stream, StreamExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use songmill_api::{Caller, ProblemBody};
use songmill_core::BatchRef;
use songmill_vendors::Secret;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::args::Global;
use crate::config::Config;
use crate::context::Context;
use crate::exit::usage;
use crate::telemetry;

/// Who is asked.
#[derive(Clone)]
pub(crate) struct Client(Way);

#[derive(Clone)]
enum Way {
    Here(Router),
    There { http: reqwest::Client, base: String, key: Option<Secret> },
}

/// A request.
pub(crate) struct Ask {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<(&'static str, Body)>,
}

/// An answer that says what went wrong.
#[derive(Debug, thiserror::Error)]
#[error("{}", said(.0))]
pub(crate) struct Refused(pub(crate) ProblemBody);

/// The server cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {0}: is it running (`songmill serve api`), and is --server right?")]
pub(crate) struct Unreachable(String, #[source] reqwest::Error);

/// The server took the request and says nothing.
#[derive(Debug, thiserror::Error)]
#[error("the server has not answered for {} s", .0.as_secs())]
pub(crate) struct Silent(Duration);

/// What the answer led to does not give it.
#[derive(Debug, thiserror::Error)]
#[error("the bucket answers {0}")]
pub(crate) struct Elsewhere(StatusCode);

fn said(problem: &ProblemBody) -> String {
    let fixes: Vec<_> = problem.errors.iter().map(|error| error.fix.as_str()).collect();
    let known = fixes.iter().all(|fix| problem.detail.contains(fix));
    if known { problem.detail.clone() } else { format!("{}; {}", problem.detail, fixes.join("; ")) }
}

type Chunks = Pin<Box<dyn Stream<Item = Result<bytes::Bytes>> + Send>>;

/// An answer whose body is still to come.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Where it leads, when it leads elsewhere.
    leads_to: Option<String>,
    /// Whether it comes from where another led.
    led: bool,
    body: Chunks,
}

/// How often somebody who asks too often waits a second.
const PATIENCE: u32 = 90;
/// The longest line of an answer.
const LINE: usize = 4 << 20;

impl Ask {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: None }
    }

    /// Adds a field of the query, where there is one.
    pub(crate) fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    pub(crate) fn json(self, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(body)?;
        Ok(self.body("application/json", Body::from(body)))
    }

    pub(crate) fn body(mut self, media: &'static str, body: Body) -> Self {
        self.body = Some((media, body));
        self
    }

    /// The path of a batch, whose tenant stands in the query.
    pub(crate) fn batch(method: Method, batch: &BatchRef, more: &str) -> Self {
        let tenant = Some(&batch.tenant).filter(|tenant| !tenant.is_default());
        Self::new(method, format!("/v1/batches/{}{more}", batch.name)).with("tenant", tenant)
    }

    fn uri(&self) -> String {
        let mut uri = self.path.clone();
        for (n, (name, value)) in self.query.iter().enumerate() {
            let value: String = value.bytes().map(escaped).collect();
            uri += &format!("{}{name}={value}", if n == 0 { '?' } else { '&' });
        }
        uri
    }
}

fn escaped(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

impl Client {
    /// The server that is named (`--server`), else Redis itself.
    pub(crate) async fn open(global: &Global) -> Result<Self> {
        let Some(server) = &global.server else {
            let context = Context::open(global).await?;
            telemetry::start(&context.config.log, global, true)?;
            return Self::here(&context);
        };
        let config = Config::load(global)?;
        telemetry::start(&config.log, global, true)?;
        let base = server.trim_end_matches('/').to_owned();
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            return Err(usage(format!("--server {server}: write http://host:port or https://host")));
        }
        let key = std::env::var("SONGMILL_KEY").ok().filter(|key| !key.trim().is_empty());
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .user_agent(concat!("songmill/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self(Way::There { http, base, key: key.map(|key| Secret::new(key.trim())) }))
    }

    /// Redis itself, as an operator.
    pub(crate) fn here(context: &Context) -> Result<Self> {
        let api = context.api(CancellationToken::new())?;
        Ok(Self(Way::Here(api.router().layer(axum::Extension(Caller::operator())))))
    }

    /// Between two looks at what changes.
    pub(crate) fn look(&self) -> Duration {
        Duration::from_millis(if matches!(self.0, Way::Here(_)) { 200 } else { 1000 })
    }

    /// Asks; an answer that says what went wrong is an error.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Answer> {
        let (uri, Ask { method, body, .. }) = (ask.uri(), ask);
        // What is sent as it is read takes as long as it takes, and what acts on a whole batch some minutes.
        let patience = match (&method, &body) {
            (_, Some(("application/jsonl" | "text/csv", _))) => None,
            (_, Some(_)) if uri.starts_with("/v1/batches?") || uri.starts_with("/v1/plan") => None,
            (&Method::GET, _) => Some(SILENCE),
            _ => Some(15 * SILENCE),
        };
        let mut answer = match &self.0 {
            Way::Here(router) => {
                let mut request = Request::builder().method(method).uri(uri);
                let body = match body {
                    Some((media, body)) => {
                        request = request.header(header::CONTENT_TYPE, media);
                        body
                    }
                    None => Body::empty(),
                };
                let response =
                    router.clone().oneshot(request.body(body)?).await.expect("a router always answers");
                let status = response.status();
                let to = response.headers().get(header::LOCATION).filter(|_| status.is_redirection());
                let leads_to = to.and_then(|to| Some(to.to_str().ok()?.to_owned()));
                let body = response.into_body().into_data_stream().map(|chunk| Ok(chunk?));
                Answer { status, leads_to, led: false, body: Box::pin(body) }
            }
            Way::There { http, base, key } => {
                let mut request = http.request(method, format!("{base}{uri}"));
                let asked = reqwest::Url::parse(base)?.origin();
                if let Some(key) = key {
                    request = request.bearer_auth(key.expose());
                }
                if let Some((media, body)) = body {
                    let body = reqwest::Body::wrap_stream(body.into_data_stream());
                    request = request.header(header::CONTENT_TYPE, media).body(body);
                }
                let sent = async { request.send().await.map_err(|error| Unreachable(base.clone(), error)) };
                let response = match patience {
                    Some(patience) => {
                        tokio::time::timeout(patience, sent).await.map_err(|_| Silent(patience))??
                    }
                    None => sent.await?,
                };
                let status = response.status();
                let led = response.url().origin() != asked;
                let body = timely(response.bytes_stream());
                Answer { status, leads_to: None, led, body }
            }
        };
        if answer.status.is_success() {
            return Ok(answer);
        }
        if let Some(address) = answer.leads_to.take() {
            return elsewhere(&address).await;
        }
        let (status, led) = (answer.status, answer.led);
        let body = answer.whole().await?;
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(Refused(problem).into()),
            Err(_) if led => Err(Elsewhere(status).into()),
            Err(_) => {
                anyhow::bail!("the server answers {status} without saying why; is --server right?")
            }
        }
    }

    /// Asks, and waits when it was asked too often.
    pub(crate) async fn ask_patiently(&self, ask: impl Fn() -> Ask) -> Result<Answer> {
        for _ in 0..PATIENCE {
            match self.ask(ask()).await {
                Err(error) if refused(&error).is_some_and(|problem| problem.status == 429) => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                other => return other,
            }
        }
        self.ask(ask()).await
    }

    /// Asks for one value.
    pub(crate) async fn value<T: DeserializeOwned>(&self, ask: Ask) -> Result<T> {
        let body = self.ask(ask).await?.whole().await?;
        serde_json::from_slice(&body).context("the answer is not understood; are both sides of one version?")
    }
}

const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer that has begun may bring nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// A body, or an error when it is cut or falls silent.
fn timely(chunks: impl Stream<Item = reqwest::Result<bytes::Bytes>> + Send + 'static) -> Chunks {
    let next = |mut chunks: Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>| async {
        let chunk = match tokio::time::timeout(SILENCE, chunks.next()).await {
            Ok(chunk) => chunk?.context("the answer was cut"),
            Err(_) => Err(anyhow::anyhow!("the answer brought nothing for {} s", SILENCE.as_secs())),
        };
        Some((chunk, chunks))
    };
    Box::pin(futures_util::stream::unfold(Box::pin(chunks) as Pin<Box<_>>, next))
}

/// Fetches what lies in a bucket, by the signed address that was given.
async fn elsewhere(address: &str) -> Result<Answer> {
    let http = reqwest::Client::builder().connect_timeout(CONNECT).build()?;
    let sent = tokio::time::timeout(SILENCE, http.get(address).send()).await;
    let response = sent.map_err(|_| Silent(SILENCE))?.map_err(|error| error.without_url())?;
    let status = response.status();
    if !status.is_success() {
        return Err(Elsewhere(status).into());
    }
    Ok(Answer { status, leads_to: None, led: true, body: timely(response.bytes_stream()) })
}

impl Answer {
    /// The body, read whole.
    pub(crate) async fn whole(mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.body.next().await {
            body.extend_from_slice(&chunk?);
        }
        Ok(body)
    }

    /// Writes the body as it comes.
    pub(crate) async fn copy(&mut self, to: &mut dyn std::io::Write) -> Result<()> {
        while let Some(chunk) = self.body.next().await {
            to.write_all(&chunk?)?;
        }
        Ok(())
    }

    /// Passes each line on.
    pub(crate) async fn lines(mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut rest = Vec::new();
        while let Some(chunk) = self.body.next().await {
            let chunk = chunk?;
            let mut parts = chunk.split(|byte| *byte == b'\n').peekable();
            while let Some(part) = parts.next() {
                rest.extend_from_slice(part);
                anyhow::ensure!(rest.len() <= LINE, "a line of the answer is too long");
                if parts.peek().is_some() {
                    each(&rest)?;
                    rest.clear();
                }
            }
        }
        if rest.is_empty() { Ok(()) } else { each(&rest) }
    }
}

/// What went wrong, where an answer said so.
pub(crate) fn refused(error: &anyhow::Error) -> Option<&ProblemBody> {
    error.chain().find_map(|cause| cause.downcast_ref::<Refused>()).map(|refused| &refused.0)
}

/// Why what was asked for is not there any more, where that is what went wrong.
pub(crate) fn gone(error: &anyhow::Error) -> Option<String> {
    if let Some(problem) = refused(error) {
        return matches!(problem.status, 404 | 410).then(|| problem.detail.clone());
    }
    let Elsewhere(status) = error.chain().find_map(|cause| cause.downcast_ref())?;
    matches!(*status, StatusCode::NOT_FOUND | StatusCode::GONE).then(|| "the bucket does not have it".into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[tokio::test]
    async fn what_a_bucket_does_not_have_is_gone_and_what_it_refuses_is_not() {
        // Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        for (status, is_gone) in [("404 Not Found", true), ("403 Forbidden", false)] {
            let bucket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://{}/song.mp3", bucket.local_addr().unwrap());
            let answers = std::thread::spawn(move || {
                let (mut asked, _) = bucket.accept().unwrap();
                let _ = asked.read(&mut [0; 4096]).unwrap();
                write!(asked, "HTTP/1.1 {status}\r\ncontent-length: 6\r\n\r\n<Code>").unwrap();
            });
            let error = elsewhere(&address).await.err().unwrap();
            answers.join().unwrap();
            assert_eq!(gone(&error).is_some(), is_gone, "{error}");
        }
    }
}
