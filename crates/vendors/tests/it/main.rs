//! Vendors by bytes: what they send is compared with what was reviewed, what they are sent is sorted.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stand outside test functions")]

mod bytes;
mod conformance;
mod failures;
mod foreign;
mod inference_sh;
mod registry;
mod replicate;
mod senseaudio;
mod sizes;
mod tencent;
