//! The API as commands use it: of a server, or in this process straight on Redis. Both are asked the same.

use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use songmill_api::{Caller, ProblemBody};
use songmill_core::BatchRef;
use songmill_vendors::Secret;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::remote::{Remote, SILENCE, Sent, host, location};
use crate::args::Global;
use crate::config::Config;
use crate::context::Context;
use crate::exit::usage;
use crate::telemetry;

mod answer;
mod connect;
mod error;
mod remote;
mod steady;

pub(crate) use answer::Answer;
pub(crate) use error::{Changes, ServerError, What, refused_code};

/// Who is asked.
#[derive(Clone)]
pub(crate) struct Client(Way);

#[derive(Clone)]
enum Way {
    Here(Router),
    There(Box<Remote>),
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

/// What the answer led to does not give it.
#[derive(Debug, thiserror::Error)]
#[error("the bucket answers {0}")]
pub(crate) struct Elsewhere(StatusCode);

fn said(problem: &ProblemBody) -> String {
    let fixes: Vec<_> = problem.errors.iter().map(|error| error.fix.as_str()).collect();
    let known = fixes.iter().all(|fix| problem.detail.contains(fix));
    if known { problem.detail.clone() } else { format!("{}; {}", problem.detail, fixes.join("; ")) }
}

/// Lines of JSON are told from other text by their name.
const ACCEPTED: &str = "application/jsonl, */*";
/// How often somebody who asks too often waits a second.
const PATIENCE: u32 = 90;
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
        let name: String = batch.name.as_str().bytes().map(escaped).collect();
        Self::new(method, format!("/v1/batches/{name}{more}")).with("tenant", tenant)
    }

    /// What it changes.
    fn changes(&self) -> Changes {
        match (&self.method, self.path.as_str()) {
            (&Method::GET, _) | (_, "/v1/plan") => Changes::Nothing,
            (_, "/v1/batches") => Changes::Lines,
            _ => Changes::Something,
        }
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
        Self::there(server)
    }

    /// The server at this address.
    pub(crate) fn there(server: &str) -> Result<Self> {
        let base = server.trim_end_matches('/').to_owned();
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            return Err(usage(format!("--server {server}: write http://host:port or https://host")));
        }
        if base.parse::<axum::http::Uri>().is_err() {
            return Err(usage(format!("--server {server}: is not an address")));
        }
        let key = std::env::var("SONGMILL_KEY").ok().filter(|key| !key.trim().is_empty());
        let remote = Remote::new(base, key.map(|key| Secret::new(key.trim())))?;
        Ok(Self(Way::There(Box::new(remote))))
    }

    /// Redis itself, as an operator.
    pub(crate) fn here(context: &Context) -> Result<Self> {
        let api = context.api(CancellationToken::new())?;
        Ok(Self(Way::Here(api.router().layer(axum::Extension(Caller::operator())))))
    }

    /// The server that is asked, for messages.
    pub(crate) fn server(&self) -> &str {
        match &self.0 {
            Way::Here(_) => "this process",
            Way::There(remote) => remote.base(),
        }
    }

    /// Between two looks at what changes.
    pub(crate) fn look(&self) -> Duration {
        Duration::from_millis(if matches!(self.0, Way::Here(_)) { 200 } else { 1000 })
    }

    /// Asks; an answer that says what went wrong is an error.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Answer> {
        let (path, changes) = (ask.uri(), ask.changes());
        let Ask { method, body, .. } = ask;
        let (answer, leads_to) = match &self.0 {
            Way::Here(router) => {
                let request = Request::builder().method(method).uri(path);
                let mut request = request.header(header::ACCEPT, ACCEPTED);
                let body = match body {
                    Some((media, body)) => {
                        request = request.header(header::CONTENT_TYPE, media);
                        body
                    }
                    None => Body::empty(),
                };
                let answer =
                    router.clone().oneshot(request.body(body)?).await.expect("a router always answers");
                let to = answer.headers().get(header::LOCATION).filter(|_| answer.status().is_redirection());
                let to = to.and_then(|to| Some(to.to_str().ok()?.to_owned()));
                (Answer::here(answer, changes), to)
            }
            Way::There(remote) => {
                // What is sent as it is read takes as long as it takes, and what acts on a whole batch some minutes.
                let patience = match (&method, &body) {
                    (_, Some(("application/jsonl" | "text/csv", _))) => None,
                    (_, Some(_)) if path.starts_with("/v1/batches?") || path.starts_with("/v1/plan") => None,
                    (&Method::GET, _) => Some(SILENCE),
                    _ => Some(15 * SILENCE),
                };
                let asked = format!("{}{path}", remote.base());
                let answer = remote.send(Sent { method, path, body, changes, patience }).await?;
                let to = location(&answer);
                let answer = Answer::there(answer, remote.base(), changes);
                if let Some(to) = &to
                    && (changes != Changes::Nothing || is_moved(&asked, to))
                {
                    return Err(answer.wrong(What::Moved(host(to))).into());
                }
                (answer, to)
            }
        };
        if answer.status.is_success() {
            return Ok(answer);
        }
        match leads_to {
            Some(address) => self.elsewhere(&address).await,
            None => Err(no(answer).await),
        }
    }

    /// Fetches what lies in a bucket, by the signed address that was given.
    async fn elsewhere(&self, address: &str) -> Result<Answer> {
        let here;
        let remote = match &self.0 {
            Way::There(remote) => remote,
            Way::Here(_) => {
                here = Remote::new(String::new(), None)?;
                &here
            }
        };
        let answer = remote.fetch(address).await?;
        if answer.status().is_success() {
            return Ok(Answer::there(answer, &host(address), Changes::Nothing));
        }
        Err(Elsewhere(answer.status()).into())
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
        self.ask(ask).await?.value().await
    }
}

/// Whether an address leads to the same place at another server, as where http leads to https.
fn is_moved(asked: &str, to: &str) -> bool {
    let path = |address: &str| {
        address.split_once("://").and_then(|(_, rest)| Some(rest.split_once('/')?.1.to_owned()))
    };
    to.starts_with('/') || path(asked) == path(to)
}

/// What an answer says that says no. How it ends is not waited for in vain: the status alone is an answer too.
async fn no(answer: Answer) -> anyhow::Error {
    let status = answer.status;
    let otherwise = answer.wrong(What::Refusal(status, None));
    let Ok(body) = answer.whole().await else { return otherwise.into() };
    #[derive(serde::Deserialize)]
    struct Said {
        detail: String,
    }
    match serde_json::from_slice::<ProblemBody>(&body) {
        Ok(problem) => Refused(ProblemBody { status: status.as_u16(), ..problem }).into(),
        // Somebody else's, but in the same form.
        Err(_) => match serde_json::from_slice::<Said>(&body) {
            Ok(Said { detail }) => otherwise.because(detail).into(),
            Err(_) => otherwise.into(),
        },
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
        let client = Client(Way::Here(Router::new()));
        for (status, is_gone) in [("404 Not Found", true), ("403 Forbidden", false)] {
            let bucket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://{}/song.mp3", bucket.local_addr().unwrap());
            let answers = std::thread::spawn(move || {
                let (mut asked, _) = bucket.accept().unwrap();
                let _ = asked.read(&mut [0; 4096]).unwrap();
                write!(asked, "HTTP/1.1 {status}\r\ncontent-length: 6\r\n\r\n<Code>").unwrap();
            });
            let error = client.elsewhere(&address).await.err().unwrap();
            answers.join().unwrap();
            assert_eq!(gone(&error).is_some(), is_gone, "{error}");
        }
    }
}
