//! Connections that are closed just as a request arrives on them, as vendors close idle ones.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::request::Beginning;
use crate::world::{Books, World, count};

/// A port whose connections may be closed.
pub(super) struct Port {
    pub(super) socket: TcpListener,
    pub(super) world: Arc<World>,
}

impl Listener for Port {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, from) = Listener::accept(&mut self.socket).await;
        let (world, idle_since) = (self.world.clone(), Some(Instant::now()));
        (Connection { stream, world, idle_since, was_used: false }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    world: Arc<World>,
    /// Since when it waits for a request; none while one is being read.
    idle_since: Option<Instant>,
    /// Whether it carried an answer before.
    was_used: bool,
}

impl Connection {
    /// Whether a request that begins with these bytes is left unread, after so long a wait.
    fn is_over(&self, bytes: &[u8], idle: Duration) -> bool {
        let Some(Beginning { vendor, creates }) = Beginning::of(bytes) else { return false };
        let faults = self.world.faults(vendor);
        let cause: fn(&Books) -> &AtomicU64 = match () {
            () if faults.close_idle_ms > 0 && idle >= Duration::from_millis(faults.close_idle_ms) => {
                |books| &books.closed_idle
            }
            () if faults.cut_reused && creates && self.was_used => |books| &books.cut_reused,
            () => return false,
        };
        count(cause(&self.world.books(vendor)));
        true
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() == before {
            return Poll::Ready(Ok(()));
        }
        let Some(since) = self.idle_since.take() else { return Poll::Ready(Ok(())) };
        if !self.is_over(&buf.filled()[before..], since.elapsed()) {
            return Poll::Ready(Ok(()));
        }
        buf.set_filled(before);
        // Half of them end with a reset, half as if the peer had closed: then ours is closed in order.
        if self.world.dice.chance(0.5) {
            self.stream.set_zero_linger()?;
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.answered();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, parts))?;
        self.answered();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Connection {
    fn answered(&mut self) {
        self.was_used = true;
        self.idle_since = Some(Instant::now());
    }
}
