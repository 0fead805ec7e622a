//! The machine: transitions by value, a simulated world with an adversary, and any events in any order.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stand outside test functions")]

mod fuzz;
mod tools;
mod transitions;
mod world;
