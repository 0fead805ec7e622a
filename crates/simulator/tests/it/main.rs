//! The simulator over real HTTP.

mod addresses;
mod connections;
mod downloads;
mod expiry;
mod failures;
mod outputs;
mod quoting;
mod settings;
mod sim;
mod tasks;
mod vendors;
