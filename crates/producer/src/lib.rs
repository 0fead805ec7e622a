//! Library that validates, plans and enqueues song requests.
//!
//! ```no_run
//! # async fn run(store: songmill_store::Store, vendors: songmill_vendors::Vendors) -> Result<(), Box<dyn std::error::Error>> {
//! use songmill_producer::{Producer, Submission};
//!
//! let producer = Producer::new(store, vendors);
//! let song = serde_json::from_str(r#"{"vendor": "replicate", "prompt": "a calm piano"}"#)?;
//! let placed = producer.submit(Submission::of(song)).await?;
//! println!("job {}", placed.job);
//! # Ok(()) }
//! ```

mod outlook;
pub mod parse;
mod plan;
mod producer;
mod upload;

pub use outlook::Outlook;
pub use plan::{Planner, plan};
pub use producer::{Placed, Producer, Submission, SubmitError, Tally};
pub use upload::Uploaded;
