//! Jobs: the record, its states, and [`step()`], which holds every decision.
//!
//! ```text
//! queued ─claim→ submitting ─accepted→ generating ─report→ collecting ─stored→ completed
//!    ↑               │ unknown → uncertain ─look-up→ generating | queued | held
//!    └─ retry, failover ─┘            any live state → failed | canceled        held: an operator must choose
//! ```

mod booking;
mod erase;
mod event;
mod explain;
mod policy;
mod record;
mod retrieval;
mod state;
mod step;

pub use booking::Booking;
pub use event::{Accepted, Choice, Defect, Event, Via};
pub use explain::{Explanation, explain};
pub use policy::{JobPolicy, OnUnknown, OnUnusable, Policy, VendorPolicy};
pub use record::{Entry, Job, Packed, Route, StepKind, Trace};
pub use retrieval::Retrieval;
pub use state::{Accept, Attempt, Doubt, Ended, HeldFor, Origin, Place, Stage, State, StateName};
pub use step::{Effect, Step, step};
