//! The client. HTTP/1.1 on hyper itself: hundreds of transfers at once need a bound on what each reads ahead, and
//! clients above it have none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Builder};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service as _, ServiceExt as _, service_fn};

use crate::failure::{Failure, ProxyFault};
use crate::proxy::{Proxy, Settings};
use crate::resolver::Resolver;

/// Sends requests to addresses that the policy let through, over connections to what it let through. It follows no
/// redirects, keeps no cookies and tells nobody where it comes from.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    timeouts: Timeouts,
}

/// How long a request may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection: name and handshake included.
    pub connect: Duration,
    /// For the head of a response, and for each part of its body.
    pub silence: Duration,
}

type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// What a connection may read ahead; no head may be longer.
const AHEAD: usize = 64 << 10;
/// How long a connection is kept for the next request to the same place.
const IDLE: Duration = Duration::from_secs(30);
/// How many are kept to one place.
const IDLE_MOST: usize = 16;
/// Who asks, to those who are asked.
const USER_AGENT: &str = concat!("songmill/", env!("CARGO_PKG_VERSION"));

impl Client {
    /// A client that connects to what `resolver` lets through, by the proxy in the settings where there is one.
    pub fn new(resolver: Resolver, settings: &Settings, mut tls: ClientConfig, timeouts: Timeouts) -> Self {
        let mut direct = HttpConnector::new_with_resolver(resolver.clone());
        direct.enforce_http(false);
        direct.set_connect_timeout(Some(timeouts.connect));
        direct.set_nodelay(true);
        let way = Way { direct, resolver, proxy: settings.proxy().map(Arc::new), limit: timeouts.connect };
        let tcp = service_fn(move |uri: Uri| way.clone().connect(uri));
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        // What is begun for one request goes on when another connection was free sooner, and nobody waits for it then.
        let connector = HttpsConnector::from((tcp, tls)).map_future(move |connecting| async move {
            timeout(timeouts.connect, connecting).await.map_err(|_| Failure::TimedOut)?
        });
        let http = Builder::new(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MOST)
            .http1_max_buf_size(AHEAD)
            .build(BoxCloneSyncService::new(connector));
        Self { http, timeouts }
    }

    /// Sends a request whose address the policy let through; the head of the response.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response, Failure> {
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let Timeouts { connect, silence } = self.timeouts;
        let sent = timeout(connect + silence, self.http.request(request)).await;
        let response = sent.map_err(|_| Failure::TimedOut)?.map_err(|error| Failure::of(&error))?;
        let (head, body) = response.into_parts();
        Ok(Response { head, body, silence })
    }
}

/// How a connection is made.
#[derive(Clone)]
struct Way {
    direct: HttpConnector<Resolver>,
    resolver: Resolver,
    proxy: Option<Arc<Proxy>>,
    limit: Duration,
}

impl Way {
    async fn connect(mut self, to: Uri) -> Result<TokioIo<TcpStream>, BoxError> {
        let host = to.host().unwrap_or_default();
        let Some(proxy) = self.proxy.filter(|proxy| proxy.is_for(host)) else {
            return Ok(self.direct.call(to).await?);
        };
        let https = to.scheme_str() == Some("https");
        let port = to.port_u16().unwrap_or(if https { 443 } else { 80 });
        let ips = match host.trim_matches(['[', ']']).parse() {
            // It was checked as it stands.
            Ok(ip) => vec![ip],
            Err(_) => self.resolver.resolve(host).await?,
        };
        let stream = timeout(self.limit, proxy.connect(&ips, port)).await;
        Ok(TokioIo::new(stream.map_err(|_| Failure::Proxy(ProxyFault::TimedOut))??))
    }
}

/// What an address answers.
#[derive(Debug)]
pub struct Response {
    /// Its head.
    pub head: http::response::Parts,
    body: Incoming,
    silence: Duration,
}

impl Response {
    /// How many bytes are to come, where the server said.
    pub fn content_length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// What comes next; none at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let came = timeout(self.silence, self.body.frame()).await;
            match came.map_err(|_| Failure::TimedOut)? {
                // Trailers are of no interest.
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        return Ok(Some(chunk));
                    }
                }
                Some(Err(error)) => return Err(Failure::of(&error)),
                None => return Ok(None),
            }
        }
    }
}
