//! One connection, from its first byte to its last.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::exchange::Exchange;
use crate::head;
use crate::limits::Limits;
use crate::peer::Peer;
use crate::refusal::{Refusals, refuse};
use crate::registry::{Registry, Slot};
use crate::service::{Handler, Requests};
use crate::stream::Stream;

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) registry: Arc<Registry>,
    pub(crate) refusals: Refusals,
    /// No more requests are taken.
    pub(crate) shutdown: CancellationToken,
    /// Whatever is under way ends.
    pub(crate) abort: CancellationToken,
}

impl Shared {
    /// Serves a connection; its memory is small until the first request's headers have arrived whole.
    pub(crate) async fn serve<H: Handler>(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        slot: Slot,
        handler: H,
    ) {
        let read = timeout(self.limits.header_timeout, head::read(&stream, self.limits.header_bytes()));
        // Cancel-safe: a connection that ends here is closed without an answer.
        let head = tokio::select! {
            read = read => match read {
                Ok(Ok(head)) => head,
                Ok(Err(_)) | Err(_) => return,
            },
            () = slot.evicted() => return,
            () = self.shutdown.cancelled() => return,
        };
        if let Err(full) = slot.parse() {
            // Only now: what is no request yet has no right to an answer.
            self.refusals.log(full, peer);
            let refusal = Box::pin(refuse(stream));
            // Cancel-safe: whoever gets the place gets the file handle, too.
            tokio::select! {
                () = refusal => {}
                () = slot.evicted() => {}
            }
            return;
        }
        Box::pin(self.exchange(stream, peer, slot, head, handler)).await;
    }

    async fn exchange<H: Handler>(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        slot: Slot,
        head: Vec<u8>,
        handler: H,
    ) {
        let exchange = Exchange::new(slot);
        let stream = Stream::new(stream, head, exchange.clone(), &self.limits);
        let requests = Requests {
            handler,
            exchange: exchange.clone(),
            peer: Peer(peer),
            refusals: self.refusals.clone(),
        };
        let mut http = http1::Builder::new();
        // Hyper refuses more than a hundred headers. The stream has the time-outs.
        http.max_buf_size(self.limits.header_bytes()).header_read_timeout(None);
        let mut connection = http.serve_connection(TokioIo::new(stream), requests);
        let mut is_last = false;
        loop {
            // Cancel-safe: the connection keeps where it is between two polls.
            let ended = tokio::select! {
                ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
                () = exchange.evicted() => return,
                () = self.abort.cancelled() => return,
                () = self.shutdown.cancelled(), if !is_last => {
                    is_last = true;
                    Pin::new(&mut connection).graceful_shutdown();
                    continue;
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, %peer, "a connection ended early");
            }
            break;
        }
        let stream = connection.into_parts().io.into_inner();
        exchange.close();
        // Cancel-safe: it is closed either way.
        tokio::select! {
            () = stream.close() => {}
            () = exchange.evicted() => {}
            () = self.abort.cancelled() => {}
        }
    }
}
