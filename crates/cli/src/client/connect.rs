//! Connections to a server: plain or TLS, straight or through the proxy that the environment names.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::util::{BoxCloneSyncService, MapResponse};
use tower::{BoxError, ServiceExt as _};

use super::steady::Steady;

/// How long a connection may take, name and handshake included.
pub(super) const CONNECT: Duration = Duration::from_secs(10);

pub(super) type Connector = BoxCloneSyncService<Uri, Line, BoxError>;
type Tcp = MapResponse<HttpConnector, fn(TokioIo<TcpStream>) -> TokioIo<Steady<TcpStream>>>;

/// A connection, whatever leads there.
pub(super) struct Line {
    io: Box<dyn Io>,
    /// Whether a proxy is asked, and must be told the whole address.
    proxied: bool,
}

trait Io: Read + Write + Connection + Send + Unpin {}
impl<T: Read + Write + Connection + Send + Unpin> Io for T {}

/// What makes connections.
pub(super) fn connector(proxies: Arc<Matcher>) -> Result<Connector, rustls::Error> {
    let mut tls = ClientConfig::builder().try_with_platform_verifier()?.with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let steady: fn(_) -> _ = |io: TokioIo<TcpStream>| TokioIo::new(Steady::new(io.into_inner()));
    let https = HttpsConnector::from((tcp.map_response(steady), tls.clone()));
    Ok(BoxCloneSyncService::new(tower::service_fn(move |to: Uri| {
        let connecting = connect(to, https.clone(), tls.clone(), proxies.clone());
        async { tokio::time::timeout(CONNECT, connecting).await.map_err(io::Error::from)? }
    })))
}

async fn connect(
    to: Uri,
    https: HttpsConnector<Tcp>,
    tls: ClientConfig,
    proxies: Arc<Matcher>,
) -> Result<Line, BoxError> {
    let Some(proxy) = proxies.intercept(&to) else {
        return Ok(Line { io: Box::new(https.oneshot(to).await?), proxied: false });
    };
    if to.scheme() != Some(&Scheme::HTTPS) {
        return Ok(Line { io: Box::new(https.oneshot(proxy.uri().clone()).await?), proxied: true });
    }
    let mut tunnel = Tunnel::new(proxy.uri().clone(), https);
    if let Some(key) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(key.clone());
    }
    Ok(Line { io: Box::new(HttpsConnector::from((tunnel, tls)).oneshot(to).await?), proxied: false })
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(cx, buf)
    }
}

impl Write for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write_vectored(cx, parts)
    }
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.proxied)
    }
}
