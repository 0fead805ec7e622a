//! Control API over HTTP: jobs, batches, events, endpoints, keys.
//!
//! Every endpoint stands in a table of operations (`operation`): the router, the scopes and the OpenAPI document
//! are made from it. Whatever a caller may not see is not there for it.

mod app;
mod assets;
mod batches;
mod caller;
mod checked;
mod conditions;
mod docs;
mod endpoints;
mod erase;
mod events;
mod extract;
mod front;
mod jobs;
mod keys;
mod live;
mod notices;
mod once;
mod openapi;
mod operation;
mod plan;
mod prices;
mod problem;
mod rate;
mod secret;
mod server;
mod settings;
mod share;
mod spend;
mod upload;
mod vendors;
pub mod views;
mod waits;
mod watch;
mod workers;

pub use app::{Api, Parts, document};
pub use caller::Caller;
pub use problem::{Problem, ProblemBody, ProblemError};
pub use secret::new_access_key;
pub use server::{Error, Server};
pub use settings::Settings;
