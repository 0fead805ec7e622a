//! Which addresses may be connected to, by which way, and what is said where that fails.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stand outside test functions")]

mod failures;
mod hostile;
mod policy;
mod proxy;
mod servers;
