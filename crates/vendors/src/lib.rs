//! The four vendors as translators: bytes out, bytes in.
//!
//! A vendor turns a song request into HTTP requests and replies into reports and faults. It has no socket, no
//! clock and no log: it is tested by handing it bytes. One folder is one vendor, and no vendor names another.

mod address;
mod base_url;
pub mod contract;
mod data_url;
mod draft;
mod failure;
pub mod inference_sh;
mod lyrics;
mod outputs;
mod pages;
mod registry;
pub mod replicate;
pub mod secret;
pub mod senseaudio;
pub mod tencent;
pub mod tolerant;

pub use base_url::{BaseUrl, InvalidBaseUrl};
pub use contract::{
    Accepted, Address, Callback, Card, Delivery, Exchange, Listed, Next, Order, Plan, Reading, Refusal, Seen,
    Slack, TaskRef, Vendor, Watched, Within,
};
pub use registry::{Settings, Vendors};
pub use secret::Secret;
