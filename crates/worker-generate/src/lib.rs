//! Workers that submit, resolve, poll and cancel upstream.
//!
//! A worker asks a vendor what to send, sends it, and tells the machine what came of it. It decides nothing.

mod address;
mod driver;
mod looks;
mod meter;
mod pack;
mod references;
mod run;
mod tend;
mod watch;
mod work;

pub use address::CallbackAddress;
pub use driver::DriverSettings;
pub use run::{Error, Outside, Settings, run};
