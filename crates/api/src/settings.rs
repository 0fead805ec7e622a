//! Settings of this role.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use songmill_core::time::Span;
use songmill_http_server::Limits;

/// How the API is served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to listen; as long as there is no key, only this machine's own address is used.
    pub listen: SocketAddr,
    /// The largest body that is read whole, in bytes; uploads of batches have no limit.
    pub body_bytes: usize,
    /// How long a body may take to come.
    pub body_timeout: Span,
    /// How long an upload may bring nothing.
    pub upload_silence: Span,
    /// How long an upload may take in all.
    pub upload_time: Span,
    /// Uploads and plans under way at the same time, per process; a tenant gets a quarter of them.
    pub uploads: usize,
    /// Downloads of audio under way at the same time, per process; a tenant gets a quarter of them.
    pub downloads: usize,
    /// A batch's results or errors being read at the same time, per process; a tenant gets a quarter of them.
    pub exports: usize,
    /// Live streams open at the same time, per process; a tenant gets a quarter of them.
    pub streams: usize,
    /// Requests a key may make in a minute, per process; 0 for any number.
    pub requests_per_minute: u32,
    /// How long the answer to a request with an `Idempotency-Key` is kept.
    pub idempotency: Span,
    /// Web pages that may use the API, such as `https://studio.example.com`; none by default.
    pub cors_origins: Vec<String>,
    /// How long requests under way may go on after the role is told to stop.
    pub drain: Span,
    /// Time-outs and limits of connections.
    pub http: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8181)),
            body_bytes: 2 << 20,
            body_timeout: Span::secs(15),
            upload_silence: Span::secs(30),
            upload_time: Span::secs(6 * 3600),
            uploads: 16,
            downloads: 128,
            exports: 16,
            streams: 256,
            requests_per_minute: 6000,
            idempotency: Span::secs(24 * 3600),
            cors_origins: Vec::new(),
            drain: Span::secs(15),
            http: Limits::default(),
        }
    }
}
