//! A request ends when its key no longer allows it, however long it lasts: uploads, streams, downloads alike.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::{Body as _, Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::caller::{Caller, unauthorized};

/// Between two looks at a key. What was read of it is believed for as long again.
const RECHECK: Duration = Duration::from_secs(1);
/// Longer answers than this may take their time.
const SHORT: u64 = 64 << 10;

/// Answers a request of somebody who was let in, as long as it is allowed.
pub(crate) async fn watched(app: &Arc<App>, caller: Caller, request: Request, next: Next) -> Response {
    let revoked = CancellationToken::new();
    let request = match request.body().is_end_stream() {
        true => request,
        false => request.map(|body| Body::new(Watched::new(body, revoked.clone().cancelled_owned()))),
    };
    // Cancel-safe: a handler that has to end is as one whose caller has gone.
    let response = tokio::select! {
        biased;
        response = next.run(request) => response,
        () = refused(app.clone(), caller.clone()) => {
            // What a handler has left to go on by itself ends with the body.
            revoked.cancel();
            return unauthorized("the key was revoked, or has expired, while the request was under way").into_response();
        }
    };
    if response.body().size_hint().exact().is_some_and(|bytes| bytes <= SHORT) {
        return response;
    }
    let refused = refused(app.clone(), caller);
    response.map(|body| Body::new(Watched::new(body, refused)))
}

/// Resolves when the caller would not be let in any more. A store that cannot be asked says nothing of a key.
async fn refused(app: Arc<App>, caller: Caller) {
    loop {
        tokio::time::sleep(RECHECK).await;
        if matches!(app.keyring.still(&app.store, &caller).await, Ok(false)) {
            return;
        }
    }
}

/// A body that is cut when something happens.
struct Watched<F> {
    body: Body,
    cut: Pin<Box<F>>,
}

impl<F> Watched<F> {
    fn new(body: Body, cut: F) -> Self {
        Self { body, cut: Box::pin(cut) }
    }
}

impl<F: Future<Output = ()>> http_body::Body for Watched<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(axum::Error::new("the key was revoked, or has expired"))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
