//! One HTTP server loop with time-outs and limits, for every port that we open: API, callbacks, admin.
//!
//! Whoever connects is not trusted. A connection costs about a kilobyte until its first request's headers have arrived
//! whole; each wait has a time-out; when the server is full, the oldest connection on which nothing happens makes room
//! for a new one. What a handler refuses without reading the body ends with `Connection: close`, and what the peer is
//! still sending is discarded for a moment, so that it can read why. HTTP/1.1 only: TLS ends at the proxy.

// What the others stand on.
mod counted;
mod duration;
mod handles;
mod head;
mod peer;
// How much there may be.
mod budget;
mod limits;
mod registry;
// What happens on a connection.
mod body;
mod connection;
mod exchange;
mod refusal;
mod service;
mod stream;
// The loop.
mod server;

pub use body::{RequestBody, ResponseBody};
pub use budget::{BodyBudget, BodyLimits, HeldBody, ReadError};
pub use counted::Counted;
pub use handles::{connections_within, raise_open_files};
pub use limits::Limits;
pub use peer::{Network, Peer};
pub use server::Server;
pub use service::Handler;
