//! The HTTP server around it: limits on headers and time, and an end in order.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use songmill_store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::Api;
use crate::caller::Peer;
use crate::settings::Settings;

/// Why this role cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}; is another API running there? (api.listen)")]
    Bind {
        /// Which address.
        addr: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The store cannot be asked whether there are keys.
    #[error("cannot ask whether there are keys")]
    Store(#[from] songmill_store::StoreError),
}

/// A server whose port is open but which does not answer yet.
pub struct Server {
    socket: TcpListener,
    addr: SocketAddr,
}

/// After an accept that failed, for want of file handles.
const PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Opens the port; as long as there is no key, one of this machine's own address alone.
    pub async fn bind(settings: &Settings, store: &Store) -> Result<Self, Error> {
        let mut listen = settings.listen;
        let (_, any) = store.access_key("").await?;
        if !any && !listen.ip().is_loopback() {
            let own = if listen.is_ipv4() {
                IpAddr::from([127, 0, 0, 1])
            } else {
                IpAddr::from(std::net::Ipv6Addr::LOCALHOST)
            };
            tracing::warn!(
                "api: there is no key yet, so it listens on {own} alone and asks for none, not on {}; make one with \
                 `songmill key create` and start it again",
                listen.ip()
            );
            listen.set_ip(own);
        } else if !any {
            tracing::warn!(
                "api: there is no key yet: whoever is on this machine may do everything (`songmill key create`)"
            );
        }
        let fail = |source| Error::Bind { addr: listen, source };
        let socket = TcpListener::bind(listen).await.map_err(fail)?;
        let addr = socket.local_addr().map_err(fail)?;
        Ok(Self { socket, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `shutdown`, then finishes what is under way.
    pub async fn run(self, api: Api, shutdown: CancellationToken) {
        let settings = api.settings();
        let router = api.router();
        let mut http = http1::Builder::new();
        // Hyper refuses more than a hundred headers, and less than 8 KiB of them.
        http.timer(TokioTimer::new())
            .header_read_timeout(settings.header_timeout.get())
            .max_buf_size(settings.header_bytes.max(8 << 10));
        let graceful = GracefulShutdown::new();
        tracing::info!(addr = %self.addr, "api: serves http://{} (read http://{}/docs)", self.addr, self.addr);
        loop {
            // Cancel-safe: a connection that was not accepted waits.
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok((stream, peer)) => (stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "api: a connection cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // Without it small answers wait for the other side's acknowledgement.
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(router.clone().layer(Extension(Peer(peer))));
            let serving = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
            tokio::spawn(async move {
                if let Err(error) = serving.await {
                    tracing::debug!(%error, "api: a connection ended early");
                }
            });
        }
        drop(self.socket);
        // Cancel-safe: whichever ends first ends the role.
        tokio::select! {
            () = graceful.shutdown() => {}
            () = tokio::time::sleep(settings.drain.get()) => tracing::warn!("api: not all requests ended in time"),
        }
        tracing::info!("api: stopped");
    }
}
