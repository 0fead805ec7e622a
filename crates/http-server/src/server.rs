//! The loop that accepts connections, and its end in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::Shared;
use crate::counted::Counted;
use crate::limits::Limits;
use crate::refusal::{Refusals, refuse};
use crate::registry::{Registry, Room};
use crate::service::Handler;

/// A server whose port is open but which does not answer yet.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    listener: TcpListener,
    addr: SocketAddr,
    limits: Limits,
}

/// Connections that the system completes before we accept them; it has a limit of its own.
const BACKLOG: u32 = 4096;
/// After an accept that failed for want of files or memory.
const PAUSE: Duration = Duration::from_millis(50);
/// Connections that are told at the same time that there is no room.
const REFUSALS: usize = 64;

/// What happens too often to log each time.
#[derive(Debug, Default)]
struct Logged {
    closed: Counted,
    failed: Counted,
}

impl Server {
    /// Opens a port; `name` is whose it is, in logs.
    pub fn bind(name: &'static str, addr: SocketAddr, limits: Limits) -> io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let listener = socket.listen(BACKLOG)?;
        let addr = listener.local_addr()?;
        Ok(Self { name, listener, addr, limits })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `shutdown`, then finishes the requests under way, for at most `drain`.
    pub async fn run<H: Handler>(self, handler: H, shutdown: CancellationToken, drain: Duration) {
        let Self { name, listener, limits, .. } = self;
        let registry = Registry::new(&limits);
        let abort = CancellationToken::new();
        let connections = TaskTracker::new();
        let capacity = Arc::new(Semaphore::new(REFUSALS));
        let shared = Arc::new(Shared {
            limits,
            registry,
            refusals: Refusals::new(name),
            shutdown: shutdown.clone(),
            abort: abort.clone(),
        });
        let logged = Logged::default();
        loop {
            // Cancel-safe: a connection that was not accepted waits.
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    logged.failed(name, &error);
                    if is_want_of_resources(&error) {
                        shared.registry.make_room();
                        tokio::time::sleep(PAUSE).await;
                    }
                    continue;
                }
            };
            // Without it small answers wait for the other side's acknowledgement.
            let _ = stream.set_nodelay(true);
            match shared.registry.enter(peer.ip(), shared.limits.of_peer(peer.ip())) {
                Ok((slot, room)) => {
                    if room == Room::Made {
                        logged.closed(name, peer);
                    }
                    connections.spawn(shared.clone().serve(stream, peer, slot, handler.clone()));
                }
                Err(full) => {
                    shared.refusals.log(full, peer);
                    if let Ok(permit) = capacity.clone().try_acquire_owned() {
                        connections.spawn(async move {
                            refuse(stream).await;
                            drop(permit);
                        });
                    }
                }
            }
        }
        drop(listener);
        connections.close();
        if tokio::time::timeout(drain, connections.wait()).await.is_err() {
            tracing::warn!("{name}: not all requests ended in time");
            abort.cancel();
            connections.wait().await;
        }
        tracing::info!("{name}: stopped");
    }
}

/// Whether it would fail again at once.
fn is_want_of_resources(error: &io::Error) -> bool {
    let of_the_connection = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::Interrupted,
    ];
    !of_the_connection.contains(&error.kind())
}

impl Logged {
    fn closed(&self, name: &'static str, peer: SocketAddr) {
        self.closed.add(peer.ip().to_string(), move |count, last| {
            tracing::warn!(
                count,
                "{name}: full: {count} idle connections closed in the last second for new ones, the last of {last}"
            );
        });
    }

    fn failed(&self, name: &'static str, error: &io::Error) {
        self.failed.add(error.to_string(), move |count, last| {
            tracing::warn!(
                count,
                "{name}: {count} connections could not be accepted in the last second: {last}"
            );
        });
    }
}
