//! The binary beside servers that misbehave, and readers that go away.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stand outside test functions")]

mod commands;
mod messages;
mod output;
mod raw;
mod servers;
mod uploads;
