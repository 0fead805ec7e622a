//! The store on a real Redis; each test has a server of its own, on a socket in a folder of its own.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stand outside test functions")]

mod corrupt;
mod customers;
mod erase;
mod flow;
mod jobs;
mod limits;
mod money;
mod neighbours;
mod permissions;
mod places;
mod queues;
mod secrets;
mod shapes;
mod suspects;
mod tools;
