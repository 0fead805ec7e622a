//! How much, and how long, a server lets whoever connects have.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration;
use crate::peer::Network;

/// Time-outs and limits of one server; its fields stand in the settings of whoever serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How long a request's line and headers may take to arrive.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// How long a connection may stay open between two requests.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// How long a peer may take for 128 KiB of its answer, or for what is left of it.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// The most bytes of a request's line and headers; at least 8 KiB.
    pub max_header_bytes: usize,
    /// Connections open at the same time.
    pub max_connections: usize,
    /// Connections of one peer address open at the same time; 0 for any number. It also has at most a quarter of the
    /// requests served at the same time.
    pub max_connections_per_peer: usize,
    /// Peers whose connections are not counted by address, such as reverse proxies; loopback never is.
    pub unlimited_peers: Vec<Network>,
    /// Requests served at the same time.
    pub max_requests: usize,
    /// Bytes of request bodies held in memory at the same time.
    pub max_buffered_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            max_header_bytes: 32 << 10,
            max_connections: 10_000,
            max_connections_per_peer: 1024,
            unlimited_peers: Vec::new(),
            max_requests: 1024,
            max_buffered_bytes: 32 << 20,
        }
    }
}

impl Limits {
    /// The same with no more connections than there are file handles for them.
    #[must_use]
    pub fn within(mut self, connections: usize) -> Self {
        self.max_connections = self.max_connections.min(connections).max(1);
        self
    }

    /// How many bytes of a line and headers are read; the parser has a least size of its own.
    pub(crate) fn header_bytes(&self) -> usize {
        self.max_header_bytes.max(LEAST_HEADER_BYTES)
    }

    /// How many connections of this peer are allowed; `None` for any number.
    pub(crate) fn of_peer(&self, address: IpAddr) -> Option<usize> {
        let is_unlimited = self.max_connections_per_peer == 0
            || address.to_canonical().is_loopback()
            || self.unlimited_peers.iter().any(|network| network.contains(address));
        (!is_unlimited).then_some(self.max_connections_per_peer)
    }
}

/// Less than this the parser does not refuse.
const LEAST_HEADER_BYTES: usize = 8 << 10;
