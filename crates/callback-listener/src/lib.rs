//! Receives the vendors' completion POSTs and updates job state.
//!
//! A delivery is answered with 2xx only when what it says is durable. Whoever posts here is not trusted: the
//! address carries a mac, which is checked before the body is read; signatures are checked over the raw bytes, and
//! what an unsigned vendor says only makes us ask that vendor at once.

mod answer;
mod receive;
mod server;
mod settings;

pub use server::{Error, Listener};
pub use settings::Settings;
