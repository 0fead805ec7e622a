//! Between the parser and the handlers.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower::{Service, ServiceExt as _};

use crate::body::{RequestBody, ResponseBody};
use crate::exchange::Exchange;
use crate::peer::Peer;
use crate::refusal::{Refusals, busy};
use crate::registry::NotBegun;

/// What answers requests, such as a router.
pub trait Handler:
    Service<Request<RequestBody>, Response = Response<Self::Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Unpin
    + 'static
{
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;
}

impl<S, B> Handler for S
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Unpin
        + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    type Body = B;
}

/// A handler, for the requests of one connection.
#[derive(Debug)]
pub(crate) struct Requests<H> {
    pub(crate) handler: H,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) peer: Peer,
    pub(crate) refusals: Refusals,
}

impl<H: Handler> hyper::service::Service<Request<Incoming>> for Requests<H> {
    type Response = Response<ResponseBody<H::Body>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let begun = self.exchange.begin();
        let (handler, peer) = (self.handler.clone(), self.peer);
        if let Err(NotBegun::Refused(full)) = begun {
            self.refusals.log(full, peer.0);
            return Box::pin(std::future::ready(Ok(busy().map(ResponseBody::refusal))));
        }
        Box::pin(async move {
            let answering = begun.map_err(|_| io::ErrorKind::ConnectionAborted)?;
            let (mut parts, incoming) = request.into_parts();
            parts.extensions.insert(peer);
            let waits_for_100 = parts.headers.contains_key(EXPECT);
            let (body, rest) = RequestBody::new(incoming);
            let Ok(mut response) = handler.oneshot(Request::from_parts(parts, body)).await;
            // Looking at the rest of a body would ask the peer to send it.
            if waits_for_100 && !rest.is_read() || !rest.is_over().await {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| ResponseBody::new(body, answering)))
        })
    }
}
