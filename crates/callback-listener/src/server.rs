//! The port that vendors call.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use songmill_core::callback::CallbackKeys;
use songmill_http_server::{BodyBudget, BodyLimits, Peer};
use songmill_store::Store;
use songmill_vendors::Vendors;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::receive::{Address, Receiver};
use crate::settings::Settings;

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
}

/// A listener whose port is open but which does not answer yet.
#[derive(Debug)]
pub struct Listener {
    server: songmill_http_server::Server,
    settings: Settings,
}

impl Listener {
    /// Opens the port.
    pub fn bind(settings: Settings) -> Result<Self, Error> {
        let server = songmill_http_server::Server::bind("listener", settings.listen, settings.http.clone());
        let server = server.map_err(|source| Error::Bind { addr: settings.listen, source })?;
        Ok(Self { server, settings })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Receives deliveries until `shutdown`, then finishes those under way; one that is cut is sent again by its vendor.
    pub async fn run(self, store: Store, vendors: Vendors, keys: CallbackKeys, shutdown: CancellationToken) {
        let _pace = store.keep_pace(vendors.names().cloned().collect(), Vec::new(), BTreeMap::new());
        let (addr, drain) = (self.addr(), self.settings.drain.get());
        let bodies = BodyBudget::new(self.settings.http.max_buffered_bytes, self.settings.body_bytes);
        let receiver = Receiver::new(store, vendors, keys);
        let front = Arc::new(Front { receiver, bodies, settings: self.settings });
        let router = Router::new()
            .route("/callbacks/{vendor}/{job}/{attempt}/{token}", post(receive))
            .route("/health", get(health))
            .fallback(|| async { Answer::Unknown })
            .with_state(front);
        tracing::info!(%addr, "listener: receives callbacks on {addr}");
        self.server.run(router, shutdown, drain).await;
    }
}

struct Front {
    receiver: Receiver,
    bodies: BodyBudget,
    settings: Settings,
}

async fn receive(
    State(front): State<Arc<Front>>,
    Path((vendor, job, attempt, token)): Path<(String, String, String, String)>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let address = Address { vendor, job, attempt, token, peer };
    let expected = match front.receiver.expected(&address, &headers) {
        Ok(expected) => expected,
        Err(answer) => return answer,
    };
    let Settings { body_bytes: max_bytes, body_timeout, .. } = front.settings;
    let limits = BodyLimits { max_bytes, timeout: body_timeout.get() };
    match front.bodies.read(&address.vendor, body, limits).await {
        Ok(body) => front.receiver.receive(&expected, &headers, body.bytes()).await,
        Err(error) => Answer::from(error),
    }
}

async fn health(State(front): State<Arc<Front>>) -> Result<&'static str, Answer> {
    front.receiver.ping().await.map(|()| "ok\n")
}
