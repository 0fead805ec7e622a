//! What is said, and logged, where there is no room.

use std::net::SocketAddr;

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, Response, StatusCode};
use tokio::net::TcpStream;

use crate::counted::Counted;
use crate::registry::Full;

/// The form is that of the API's problems.
const BUSY: &str = concat!(
    r#"{"type":"urn:songmill:problem:busy","title":"Service Unavailable","status":503,"code":"busy","#,
    r#""detail":"the server has as many connections or requests as it can serve; try again in a moment","#,
    r#""request_id":""}"#
);

const HEADERS: [(HeaderName, &str); 4] = [
    (CONNECTION, "close"),
    (RETRY_AFTER, "2"),
    (CACHE_CONTROL, "no-store"),
    (CONTENT_TYPE, "application/problem+json"),
];

/// What a peer is told that cannot be served now.
pub(crate) fn busy() -> Response<&'static str> {
    let mut response = Response::new(BUSY);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    response
}

/// Answers a connection for which there is no room.
pub(crate) async fn refuse(stream: TcpStream) {
    let headers: String = HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let answer =
        format!("HTTP/1.1 503 Service Unavailable\r\n{headers}content-length: {}\r\n\r\n{BUSY}", BUSY.len());
    // It fits into the socket's buffer, or nobody reads it.
    if stream.writable().await.is_ok() && stream.try_write(answer.as_bytes()).is_ok() {
        crate::stream::close(stream).await;
    }
}

/// Refusals, one line in the log a second.
#[derive(Clone, Debug)]
pub(crate) struct Refusals {
    name: &'static str,
    counted: Counted,
}

impl Refusals {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, counted: Counted::default() }
    }

    pub(crate) fn log(&self, full: Full, peer: SocketAddr) {
        let name = self.name;
        self.counted.add(format!("{}, since {}", peer.ip(), full.as_str()), move |count, last| {
            tracing::warn!(
                count,
                "{name}: full: {count} connections refused in the last second, the last of {last}"
            );
        });
    }
}
