//! The port of the API.

use std::net::{IpAddr, SocketAddr};

use songmill_store::Store;
use tokio_util::sync::CancellationToken;

use crate::app::Api;
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
#[derive(Debug)]
pub struct Server(songmill_http_server::Server);

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
        let server = songmill_http_server::Server::bind("api", listen, settings.http.clone());
        server.map(Self).map_err(|source| Error::Bind { addr: listen, source })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }

    /// Serves until `shutdown`, then finishes what is under way.
    pub async fn run(self, api: Api, shutdown: CancellationToken) {
        let (addr, drain) = (self.addr(), api.settings().drain.get());
        tracing::info!(%addr, "api: serves http://{addr} (read http://{addr}/docs)");
        self.0.run(api.router(), shutdown, drain).await;
    }
}
