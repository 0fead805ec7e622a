//! One port for all.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::settings::Config;
use crate::world::World;
use crate::{control, files, inference_sh, replicate, reply, senseaudio, tencent};

mod connection;
mod request;

use connection::Port;

/// The largest body that is read.
const BODY_MOST: usize = 16 << 20;

/// Why the simulator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}; is another simulator running there?")]
    Bind(SocketAddr, #[source] std::io::Error),
    /// No HTTP client can be made for callbacks.
    #[error("http client cannot be made")]
    Client(#[source] reqwest::Error),
    /// The server ended.
    #[error("server ended")]
    Serve(#[source] std::io::Error),
}

/// A simulator whose port is open but which does not answer yet.
pub struct Simulator {
    socket: TcpListener,
    world: Arc<World>,
}

impl Simulator {
    /// Opens the port.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let listen = config.listen;
        let socket = TcpListener::bind(listen).await.map_err(|error| Error::Bind(listen, error))?;
        let addr = socket.local_addr().map_err(|error| Error::Bind(listen, error))?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(Error::Client)?;
        Ok(Self { socket, world: Arc::new(World::new(config, addr, client)) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.world.addr
    }

    /// Answers until `shutdown`; requests under way are not waited for.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), Error> {
        let router = Router::new()
            .merge(control::routes())
            .merge(files::routes())
            .merge(tencent::routes())
            .merge(inference_sh::routes())
            .merge(replicate::routes())
            .merge(senseaudio::routes())
            .fallback(|| async { reply::json(404, &serde_json::json!({ "detail": "no such path" })) })
            .layer(DefaultBodyLimit::max(BODY_MOST))
            .with_state(self.world.clone());
        let port = Port { socket: self.socket, world: self.world };
        tracing::info!("simulator: listens");
        // Cancel-safe: nothing here outlives the process, and a request that is cut is a fault like any other.
        tokio::select! {
            served = async { axum::serve(port, router).await } => served.map_err(Error::Serve),
            () = shutdown.cancelled() => Ok(()),
        }
    }
}
