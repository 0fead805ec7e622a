//! The bytes of a connection, with a time-out for each wait.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::exchange::Exchange;
use crate::limits::Limits;

/// A connection whose first request's line and headers were read already.
#[derive(Debug)]
pub(crate) struct Stream {
    inner: TcpStream,
    /// What was read already, and how much of it has been read again.
    head: (Vec<u8>, usize),
    exchange: Arc<Exchange>,
    timeouts: Timeouts,
    reading: Timer,
    /// What the timer of reading is for.
    waits: Option<Wait>,
    writing: Timer,
    /// What the peer has taken since it was last waited for.
    taken: usize,
    /// Whether the peer can be told nothing more, or says nothing more.
    is_over: bool,
}

#[derive(Clone, Copy, Debug)]
struct Timeouts {
    header: Duration,
    idle: Duration,
    write: Duration,
}

/// After how many requests the peer is waited for, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Request(u32),
    RestOfHeaders(u32),
}

/// How many bytes of its answer a peer takes within the time for writing. Some 4 KB a second is less than any music needs,
/// and several times what the system makes room for at once.
const TAKEN: usize = 128 << 10;
/// How much, and how long, a peer may go on sending what nobody reads, so that it comes to read the answer.
const DISCARDED: usize = 64 << 10;
const LINGER: Duration = Duration::from_secs(1);

impl Stream {
    pub(crate) fn new(inner: TcpStream, head: Vec<u8>, exchange: Arc<Exchange>, limits: &Limits) -> Self {
        let timeouts = Timeouts {
            header: limits.header_timeout,
            idle: limits.idle_timeout,
            write: limits.write_timeout,
        };
        let mut reading = Timer::default();
        reading.start(timeouts.header);
        Self {
            inner,
            head: (head, 0),
            exchange,
            timeouts,
            reading,
            waits: Some(Wait::RestOfHeaders(0)),
            writing: Timer::default(),
            taken: 0,
            is_over: false,
        }
    }

    /// Closes it so that the peer can read its answer.
    pub(crate) async fn close(self) {
        if !self.is_over {
            close(self.inner).await;
        }
    }

    /// Reads the next request's headers, or what a handler wants of a body, which has time-outs of its own.
    fn poll_read_timed(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if self.exchange.served().is_some() {
            self.waits = None;
            return read;
        }
        let requests = self.exchange.requests();
        match read {
            Poll::Ready(read) => {
                if buf.filled().len() > before && self.waits != Some(Wait::RestOfHeaders(requests)) {
                    self.waits = Some(Wait::RestOfHeaders(requests));
                    self.reading.start(self.timeouts.header);
                }
                Poll::Ready(read)
            }
            Poll::Pending => {
                let waits_already = [Wait::Request(requests), Wait::RestOfHeaders(requests)].map(Some);
                if !waits_already.contains(&self.waits) {
                    self.waits = Some(Wait::Request(requests));
                    self.reading.start(self.timeouts.idle);
                }
                ready!(self.reading.poll(cx));
                // To the parser it is as if the peer had closed.
                self.is_over = true;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// A peer that takes a byte now and then gets no more time for it.
    fn timed(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.taken += bytes;
            if self.taken >= TAKEN {
                self.writing.stop();
            }
        }
        if written.is_ready() {
            return written;
        }
        if !self.writing.is_running {
            self.taken = 0;
            self.writing.start(self.timeouts.write);
        }
        ready!(self.writing.poll(cx));
        self.is_over = true;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read its answer")))
    }
}

/// Says that nothing more comes, and discards a little of what the peer is still sending: a socket that is closed with
/// bytes unread takes back the answer.
pub(crate) async fn close(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let discard = async {
        let (mut left, mut some) = (DISCARDED, vec![0; 4096]);
        while let Ok(read @ 1..) = stream.read(&mut some).await {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    };
    // Whoever still sends then has had its chance.
    let _ = tokio::time::timeout(LINGER, discard).await;
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (head, from) = &mut self.head;
        if *from < head.len() {
            let some = buf.remaining().min(head.len() - *from);
            buf.put_slice(&head[*from..*from + some]);
            *from += some;
            if *from == head.len() {
                (*head, *from) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = ready!(self.poll_read_timed(cx, buf));
        self.is_over |= read.is_err() || buf.filled().len() == before;
        Poll::Ready(read)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.timed(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.timed(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        // All of it is on its way.
        self.writing.stop();
        if self.exchange.flushed() {
            let requests = self.exchange.requests();
            self.waits = Some(Wait::Request(requests));
            let idle = self.timeouts.idle;
            self.reading.start(idle);
            // The parser may have asked for bytes before, and then does so again only when it is woken.
            let _ = self.reading.poll(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A timer that is made when it is first needed.
#[derive(Debug, Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    is_running: bool,
}

impl Timer {
    fn start(&mut self, after: Duration) {
        let until = Instant::now() + after;
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(until),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(until))),
        }
        self.is_running = true;
    }

    fn stop(&mut self) {
        self.is_running = false;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().map_or(Poll::Ready(()), |sleep| sleep.as_mut().poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    async fn stream() -> (Stream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let limits = Limits::default();
        let (slot, _) = Registry::new(&limits).enter([127, 0, 0, 1].into(), None).unwrap();
        let exchange = Exchange::new(slot);
        (Stream::new(listener.accept().await.unwrap().0, Vec::new(), exchange, &limits), peer)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_little_now_and_then_is_cut() {
        let (write_timeout, mut cx) =
            (Limits::default().write_timeout, Context::from_waker(std::task::Waker::noop()));
        for (bytes, is_cut) in [(TAKEN / 8, true), (TAKEN, false)] {
            let (mut stream, _peer) = stream().await;
            assert!(stream.timed(&mut cx, Poll::Pending).is_pending());
            for _ in 0..3 {
                tokio::time::advance(write_timeout / 4).await;
                assert!(stream.timed(&mut cx, Poll::Ready(Ok(bytes))).is_ready());
                assert!(stream.timed(&mut cx, Poll::Pending).is_pending());
            }
            tokio::time::advance(write_timeout / 2).await;
            let ended = stream.timed(&mut cx, Poll::Pending);
            assert_eq!(matches!(ended, Poll::Ready(Err(_))), is_cut, "{bytes}");
        }
    }
}
