//! The machine from outside: each transition by value, and what must hold whatever happens.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stand outside test functions")]

mod callbacks;
mod canceling;
mod collecting;
mod explaining;
mod fuzz;
mod generating;
mod holding;
mod moving;
mod outputs;
mod permutations;
mod quality;
mod records;
mod resolving;
mod story;
mod submitting;
mod vendor;
mod world;

/// A look-up that was asked just now, whenever that is.
const JUST_NOW: songmill_core::Timestamp = songmill_core::Timestamp::from_millis(u64::MAX);
