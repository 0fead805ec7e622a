//! The client that fetches. HTTP/1.1 on hyper itself: hundreds of transfers at once need a bound on what each reads
//! ahead, and clients above it have none.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::header::{self, HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Builder};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use songmill_core::Fault;
use tokio::net::TcpStream;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceExt as _};

use super::transfer::Rest;
use super::{causes, refuse, refused_by_guard, unreachable};
use crate::guard::{GuardedResolver, Refused, USER_AGENT};

/// Asks addresses that the guard let through, over connections to what it let through.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: legacy::Client<Connector, Empty<Bytes>>,
    /// How long a connection may take, name and handshake included.
    connect: Duration,
    /// How long nothing may come.
    window: Duration,
}

type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// What a connection may read ahead; no head may be longer.
const AHEAD: usize = 64 << 10;
/// How long a connection is kept for the next file from there.
const IDLE: Duration = Duration::from_secs(30);
/// How many are kept to one place.
const IDLE_MOST: usize = 16;

impl Client {
    pub(crate) fn new(
        resolver: GuardedResolver,
        mut tls: ClientConfig,
        connect: Duration,
        window: Duration,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(connect));
        tcp.set_nodelay(true);
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        // What is begun for one request goes on when another connection was free sooner, and nobody waits for it then.
        let connector = HttpsConnector::from((tcp, tls)).map_future(move |connecting| async move {
            tokio::time::timeout(connect, connecting).await.map_err(io::Error::from)?
        });
        let http = Builder::new(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MOST)
            .http1_max_buf_size(AHEAD)
            .build(BoxCloneSyncService::new(connector));
        Self { http, connect, window }
    }

    /// Asks for a file, or for the rest of it: from this byte, if it still is what has this mark.
    pub(crate) async fn get(&self, uri: Uri, own: HeaderMap, rest: Option<Rest<'_>>) -> Result<Reply, Fault> {
        let mut request = http::Request::new(Empty::new());
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        *headers = own;
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some((had, mark)) = rest {
            let range =
                HeaderValue::try_from(format!("bytes={had}-")).map_err(|_| refuse(&Refused::Invalid))?;
            headers.insert(header::RANGE, range);
            headers.insert(header::IF_RANGE, mark.clone());
        }
        let asked = tokio::time::timeout(self.connect + self.window, self.http.request(request)).await;
        let (head, body) = asked.map_err(|_| timed_out())?.map_err(|error| lost(&error))?.into_parts();
        Ok(Reply { head, body, window: self.window })
    }
}

/// Whom this machine trusts.
pub(crate) fn tls() -> Result<ClientConfig, rustls::Error> {
    Ok(ClientConfig::builder().try_with_platform_verifier()?.with_no_client_auth())
}

/// What an address answers.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: http::response::Parts,
    body: Incoming,
    window: Duration,
}

impl Reply {
    /// How many bytes are to come, where the server said.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// What comes next; none at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let came = tokio::time::timeout(self.window, self.body.frame()).await;
            match came.map_err(|_| timed_out())? {
                // Trailers are of no interest.
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        return Ok(Some(chunk));
                    }
                }
                Some(Err(_)) => return Err(unreachable("the transfer was cut".into())),
                None => return Ok(None),
            }
        }
    }
}

/// What went wrong, without the address: it may carry a signature.
fn lost(error: &legacy::Error) -> Fault {
    if let Some(refused) = refused_by_guard(error) {
        return refuse(refused);
    }
    let late = causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|io| io.kind() == io::ErrorKind::TimedOut);
    if late {
        timed_out()
    } else if error.is_connect() {
        unreachable("cannot connect".into())
    } else {
        unreachable("the transfer was cut".into())
    }
}

fn timed_out() -> Fault {
    unreachable("timed out".into())
}
