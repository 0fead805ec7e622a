//! Which addresses may be connected to.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stand outside test functions")]

mod hostile;
mod policy;
