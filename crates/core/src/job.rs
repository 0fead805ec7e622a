//! Jobs: the record, its states, and [`step()`], which holds every decision.
//!
//! ```text
//! queued ─claim→ submitting ─accepted→ generating ─report→ collecting ─stored→ completed
//!    ↑               │ unknown → uncertain ─look-up→ generating | queued | held
//!    └─ retry, failover ─┘            any live state → failed | canceled        held: an operator must choose
//! ```

mod erase;
mod event;
mod explain;
mod policy;
mod record;
mod state;
mod step;

pub use event::{Accepted, Choice, Event, Via};
pub use explain::{Explanation, explain};
pub use policy::{JobPolicy, OnUnknown, Policy, VendorPolicy};
pub use record::{Entry, Job, Packed, Route, StepKind, Trace};
pub use state::{Attempt, Doubt, Ended, HeldFor, Origin, Place, Stage, State, StateName};
pub use step::{Effect, Step, step};
