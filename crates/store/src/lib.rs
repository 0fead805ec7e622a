//! Redis: keys, scripts, stage queues, batches, events. The only user of `redis`.
//!
//! The job record and its queue place change together, in one script: *a live job is a member of exactly one
//! stage queue*, and [`Store::audit`] proves it on a live Redis. Every script takes bounded work, and all keys
//! of a shard share a hash tag.

mod apply;
mod audit;
mod batch;
mod claim;
mod commit;
mod connection;
mod enqueue;
mod facts;
mod keys;
mod lease;
mod outcomes;
mod queue;
mod record;
mod scripts;
mod store;
mod wake;

pub use apply::Applied;
pub use audit::{Audit, Breach};
pub use batch::{Batch, Counts, Member};
pub use connection::{Settings, StoreError, without_password};
pub use enqueue::{Enqueued, NewJob};
pub use facts::{Facts, Told};
pub use lease::Lease;
pub use queue::{Outcome, QueueSettings, StageQueue};
pub use store::{Logged, Retention, Store, Stored};
