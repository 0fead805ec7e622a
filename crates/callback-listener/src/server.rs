//! The HTTP server around it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use songmill_core::callback::CallbackKeys;
use songmill_core::time::Span;
use songmill_store::Store;
use songmill_vendors::Vendors;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::receive::{Address, Receiver};

/// How deliveries are received.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The largest body that is read.
    pub body_bytes: usize,
    /// How long a body may take to come.
    pub body_timeout: Span,
    /// How long deliveries under way may go on after the role is told to stop.
    pub drain: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8180)),
            body_bytes: 1 << 20,
            body_timeout: Span::secs(10),
            drain: Span::secs(10),
        }
    }
}

/// Why this role cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}; is another listener running there? (listener.listen)")]
    Bind {
        /// Which address.
        addr: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The server ended.
    #[error("server ended")]
    Serve(#[source] std::io::Error),
}

/// A listener whose port is open but which does not answer yet.
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
    settings: Settings,
}

impl Listener {
    /// Opens the port.
    pub async fn bind(settings: Settings) -> Result<Self, Error> {
        let fail = |source| Error::Bind { addr: settings.listen, source };
        let socket = TcpListener::bind(settings.listen).await.map_err(fail)?;
        let addr = socket.local_addr().map_err(fail)?;
        Ok(Self { socket, addr, settings })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Receives deliveries until `shutdown`, then finishes those under way.
    pub async fn run(
        self,
        store: Store,
        vendors: Vendors,
        keys: CallbackKeys,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let _pace = store.keep_pace(vendors.names().cloned().collect(), Vec::new(), BTreeMap::new());
        let front =
            Arc::new(Front { receiver: Receiver { store, vendors, keys }, settings: self.settings.clone() });
        let router = Router::new()
            .route("/callbacks/{vendor}/{job}/{attempt}/{token}", post(receive))
            .route("/health", get(health))
            .fallback(|| async { Answer::Unknown })
            .with_state(front);
        tracing::info!(addr = %self.addr, "listener: receives callbacks on {}", self.addr);
        let stop = shutdown.clone();
        let serving = axum::serve(self.socket, router).with_graceful_shutdown(stop.cancelled_owned());
        let drained = async {
            shutdown.cancelled().await;
            tokio::time::sleep(self.settings.drain.get()).await;
        };
        // Cancel-safe: whichever ends first ends the role; a delivery that is cut is sent again by its vendor.
        tokio::select! {
            served = async { serving.await } => served.map_err(Error::Serve)?,
            () = drained => tracing::warn!("listener: not all deliveries ended in time"),
        }
        tracing::info!("listener: stopped");
        Ok(())
    }
}

struct Front {
    receiver: Receiver,
    settings: Settings,
}

async fn receive(
    State(front): State<Arc<Front>>,
    Path((vendor, job, attempt, token)): Path<(String, String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let read = axum::body::to_bytes(body, front.settings.body_bytes);
    let body = match tokio::time::timeout(front.settings.body_timeout.get(), read).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Answer::TooLarge,
        Err(_) => return Answer::TooSlow,
    };
    front.receiver.receive(&Address { vendor, job, attempt, token }, &headers, &body).await
}

async fn health(State(front): State<Arc<Front>>) -> Result<&'static str, Answer> {
    match front.receiver.store.ping().await {
        Ok(()) => Ok("ok\n"),
        Err(_) => Err(Answer::Later),
    }
}
