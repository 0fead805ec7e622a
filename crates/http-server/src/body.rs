//! Bodies as handlers and the parser see them; each tells when it is over.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::exchange::Answering;

/// The body of a request. One that a handler drops unread is not lost: the server reads what little is left, or closes
/// the connection once the answer has been sent.
#[derive(Debug)]
pub struct RequestBody {
    /// Always there until it is dropped.
    incoming: Option<Incoming>,
    ended: bool,
    rest: Rest,
}

/// What a handler has left of a body.
#[derive(Clone, Debug)]
pub(crate) struct Rest(Arc<Mutex<Left>>);

#[derive(Debug)]
enum Left {
    /// Still in a handler's hands.
    Held,
    Nothing,
    Unread(Incoming),
}

/// How much of an unread body is read so that the connection can be used again.
const SKIPPED: usize = 64 << 10;

impl RequestBody {
    pub(crate) fn new(incoming: Incoming) -> (Self, Rest) {
        let ended = incoming.is_end_stream();
        let rest = Rest(Arc::new(Mutex::new(if ended { Left::Nothing } else { Left::Held })));
        (Self { incoming: Some(incoming), ended, rest: rest.clone() }, rest)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(incoming).poll_frame(cx));
        if frame.is_none() || self.incoming.as_ref().is_some_and(Body::is_end_stream) {
            self.ended = true;
            self.rest.set(Left::Nothing);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take().filter(|_| !self.ended) {
            self.rest.set(Left::Unread(incoming));
        }
    }
}

impl Rest {
    fn set(&self, left: Left) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }

    /// Whether the body has been read.
    pub(crate) fn is_read(&self) -> bool {
        matches!(*self.0.lock().unwrap_or_else(PoisonError::into_inner), Left::Nothing)
    }

    /// Whether the body has been read, or the rest of it has arrived already and is little.
    pub(crate) async fn is_over(&self) -> bool {
        let left = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), Left::Held);
        let mut incoming = match left {
            Left::Nothing => return true,
            Left::Held => return false,
            Left::Unread(incoming) => incoming,
        };
        let mut skipped = 0;
        std::future::poll_fn(|cx| {
            loop {
                match Pin::new(&mut incoming).poll_frame(cx) {
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Ready(Some(Ok(frame))) => {
                        skipped += frame.data_ref().map_or(0, Bytes::len);
                        if skipped > SKIPPED {
                            return Poll::Ready(false);
                        }
                    }
                    Poll::Ready(Some(Err(_))) | Poll::Pending => {
                        return Poll::Ready(incoming.is_end_stream());
                    }
                }
            }
        })
        .await
    }
}

/// The body of an answer; the connection knows that the answer is over when this is dropped.
#[derive(Debug)]
pub struct ResponseBody<B>(Answer<B>);

#[derive(Debug)]
enum Answer<B> {
    OfHandler(B, #[expect(dead_code, reason = "it acts when it is dropped")] Answering),
    /// Nobody was asked.
    Refusal(Full<Bytes>),
}

impl<B> ResponseBody<B> {
    pub(crate) fn new(body: B, answering: Answering) -> Self {
        Self(Answer::OfHandler(body, answering))
    }

    pub(crate) fn refusal(body: &'static str) -> Self {
        Self(Answer::Refusal(Full::new(Bytes::from_static(body.as_bytes()))))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.0 {
            Answer::OfHandler(body, _) => Pin::new(body).poll_frame(cx),
            Answer::Refusal(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Answer::OfHandler(body, _) => body.is_end_stream(),
            Answer::Refusal(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Answer::OfHandler(body, _) => body.size_hint(),
            Answer::Refusal(body) => body.size_hint(),
        }
    }
}
