//! Replies.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// A JSON reply.
pub(crate) fn json(status: u16, body: &Value) -> Response {
    typed(status, "application/json", body.to_string())
}

/// An RFC 9457 problem.
pub(crate) fn problem(status: u16, body: &Value) -> Response {
    typed(status, "application/problem+json", format!("{body}\n"))
}

/// A reply of any type.
pub(crate) fn typed(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body.into()).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    with(response, header::CONTENT_TYPE.as_str(), content_type)
}

/// The same with one more header.
pub(crate) fn with(mut response: Response, name: &str, value: impl std::fmt::Display) -> Response {
    if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value.to_string())) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// A connection that breaks in the middle of the reply.
pub(crate) fn broken() -> Response {
    let parts: [Result<Bytes, std::io::Error>; 2] =
        [Ok(Bytes::from_static(b"{")), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
    typed(200, "application/json", Body::from_stream(futures_util::stream::iter(parts)))
}

/// What a gateway says when it has lost its backend.
pub(crate) fn gateway(status: u16) -> Response {
    typed(status, "text/html", format!("<html><body><h1>{status} Gateway Time-out</h1></body></html>"))
}
