//! Redis: keys, scripts, stage queues, batches, events. The only user of `redis`.
//!
//! The job record and its queue place change together, in one script: *a live job is a member of exactly one
//! stage queue*, and [`Store::audit`] proves it on a live Redis. Every script takes bounded work, and all keys
//! of a shard share a hash tag.

mod access;
mod account;
mod apply;
mod audit;
mod batch;
mod claim;
mod commit;
mod connection;
mod corrupt;
mod endpoint;
mod enqueue;
mod erase;
mod events;
mod facts;
mod fetcher;
mod fleet;
mod flow;
mod held;
mod idempotent;
mod index;
mod isolation;
mod keys;
mod lease;
mod link;
mod notice;
mod notice_type;
mod outcomes;
mod pace;
mod passing;
mod permissions;
mod queue;
mod record;
mod scripts;
mod spend;
mod standing;
mod store;
mod tenant;
mod untrusted;
mod upload;
mod waiting;
mod waits;
mod wake;
mod workers;

pub use access::{AccessKey, Scope};
pub use account::{Capacity, Kept};
pub use apply::Applied;
pub use audit::{Audit, Breach};
pub use batch::{Batch, Counts, Member};
pub use connection::{Settings, StoreError, is_redis_url, without_password};
pub use corrupt::Corrupt;
pub use endpoint::{DeliveryFailure, Disabled, Endpoint, EndpointSecret};
pub use enqueue::{Enqueued, NewJob};
pub use erase::{Erasable, Erasing, KeptAnswer, Made};
pub use events::{EventId, Listed};
pub use facts::{Facts, News, Told};
pub use fleet::{BudgetOf, Budgets, Fleet, PriceEntry, Source};
pub use flow::{Bucket, Flow, Gate, Grant, Heeded, ShutBy, Signal};
pub use idempotent::{Begun, Doing};
pub use index::{Cursor, Filter, Page};
pub use lease::{Lease, Watch};
pub use notice::{Claimed, Held, NewNotice, Notice, NoticeState, Places, Taken, Try, Untold};
pub use notice_type::NoticeType;
pub use passing::Passing;
pub use queue::{Outcome, QueueSettings, StageQueue, UnderWay};
pub use spend::{Purse as DayPurse, Spent};
pub use standing::{Purse, PurseOf, Standing};
pub use store::{Logged, Retention, Store, Stored};
pub use tenant::{Bound, DefaultQuota, Quota, TenantQuota, Usage};
pub use untrusted::Untrusted;
pub use upload::{Refused, Upload};
pub use waits::{Because, Wait, WaitsOf};
pub use workers::{Missing, Registered, Role, Worker, Workers};
