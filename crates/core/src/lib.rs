//! The machine: jobs, song requests, faults and the one function that decides.
//!
//! Everything here is pure. Time, settings and randomness are arguments; nothing reads a clock, an
//! environment, a socket or a source of randomness. What a job's fate is, [`job::step()`] says and nobody else.

pub mod callback;
pub mod fault;
pub mod flow;
pub mod id;
pub mod job;
pub mod json;
pub mod money;
pub mod pace;
pub mod report;
pub mod song;
pub mod time;
pub mod view;

pub use fault::{Fault, FaultKind, VendorMessage};
pub use flow::{Limits, Priority};
pub use id::{BatchName, BatchRef, EndpointId, JobId, TaskId, Tenant, VendorName};
pub use job::{Event, Job, Policy, Stage, State, Step, step};
pub use money::{Currency, Estimate, Money, Price, Terms};
pub use report::{
    Asset, Extra, ExtraReason, Extras, Flag, Lyrics, Output, Outputs, Product, RawAnswer, Report, Source,
};
pub use song::SongRequest;
pub use time::Timestamp;
