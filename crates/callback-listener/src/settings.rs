//! Settings of this role.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use songmill_core::time::Span;
use songmill_http_server::Limits;

/// How deliveries are received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The largest body that is read.
    pub body_bytes: usize,
    /// How long a body may take to come.
    pub body_timeout: Span,
    /// How long deliveries under way may go on after the role is told to stop.
    pub drain: Span,
    /// Time-outs and limits of connections.
    pub http: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8180)),
            body_bytes: 1 << 20,
            body_timeout: Span::secs(10),
            drain: Span::secs(10),
            http: Limits::default(),
        }
    }
}
