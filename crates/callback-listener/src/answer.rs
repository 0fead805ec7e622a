//! Answers to deliveries, as RFC 9457 problems where there is one.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use songmill_http_server::ReadError;

/// What a delivery is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Written down, or known already.
    Taken,
    /// Not from the vendor.
    Forged,
    /// No such job, vendor or address.
    Unknown,
    /// Not understood.
    Garbled(String),
    /// Longer than is read.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// The body was cut off.
    CutOff,
    /// Redis cannot be written to now, or too much is being received.
    Later,
    /// Our own fault.
    Broken,
}

impl From<ReadError> for Answer {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge(_) => Self::TooLarge,
            ReadError::TooSlow => Self::TooSlow,
            ReadError::CutOff => Self::CutOff,
            ReadError::Busy => Self::Later,
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let (status, detail) = match self {
            Self::Taken => return StatusCode::NO_CONTENT.into_response(),
            Self::Forged => {
                (StatusCode::UNAUTHORIZED, "this delivery is not signed for this address".to_owned())
            }
            Self::Unknown => (StatusCode::NOT_FOUND, "no job is known here".to_owned()),
            Self::Garbled(why) => (StatusCode::BAD_REQUEST, why),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large".to_owned()),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned()),
            Self::CutOff => (StatusCode::BAD_REQUEST, "the body was cut off".to_owned()),
            Self::Later => (StatusCode::SERVICE_UNAVAILABLE, "try again later".to_owned()),
            Self::Broken => {
                (StatusCode::INTERNAL_SERVER_ERROR, "the server failed at this; its log says why".to_owned())
            }
        };
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail,
        });
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
