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
use crate::registry::{Registry, Slot};
use crate::service::{Handler, Requests};
use crate::stream::Stream;

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) registry: Arc<Registry>,
    /// No more requests are taken.
    pub(crate) shutdown: CancellationToken,
    /// Whatever is under way ends.
    pub(crate) abort: CancellationToken,
}

/// What a peer is told that cannot be served now.
const BUSY: &str = concat!(
    r#"{"type":"urn:songmill:problem:busy","title":"Service Unavailable","status":503,"code":"busy","#,
    r#""detail":"the server has as many connections as it can serve; try again in a moment"}"#
);

impl Shared {
    /// Serves a connection; its memory is small until the first request's headers have arrived whole.
    pub(crate) async fn serve<H: Handler>(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        slot: Slot,
        handler: H,
    ) {
        let read = timeout(self.limits.header_timeout, head::read(&stream, self.limits.max_header_bytes));
        // Cancel-safe: a connection that ends here is closed without an answer.
        let head = tokio::select! {
            read = read => match read {
                Ok(Ok(head)) => head,
                Ok(Err(_)) | Err(_) => return,
            },
            () = slot.evicted() => return,
            () = self.shutdown.cancelled() => return,
        };
        if slot.parse().is_err() {
            // Only now: what is no request yet has no right to an answer.
            return Box::pin(refuse(stream)).await;
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
        let requests = Requests { handler, exchange: exchange.clone(), peer: Peer(peer) };
        let mut http = http1::Builder::new();
        // Hyper refuses more than a hundred headers, and less than 8 KiB of them. The stream has the time-outs.
        http.max_buf_size(self.limits.max_header_bytes.max(8 << 10)).header_read_timeout(None);
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

/// Answers a connection for which there is no room.
pub(crate) async fn refuse(stream: TcpStream) {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 2\r\ncache-control: no-store\r\n\
         content-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{BUSY}",
        BUSY.len()
    );
    // It fits into the socket's buffer, or nobody reads it.
    if stream.writable().await.is_ok() && stream.try_write(answer.as_bytes()).is_ok() {
        crate::stream::close(stream).await;
    }
}
