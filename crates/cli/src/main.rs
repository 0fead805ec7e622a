//! The one binary: configuration, telemetry, subcommands, wiring.

// These panic where nobody reads any more: see `output`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod asset;
mod batch;
mod budget;
mod client;
mod config;
mod context;
mod data_lock;
mod deadletter;
mod demo;
mod doctor;
mod event;
mod exit;
mod export;
mod grants;
mod host;
mod input;
mod job;
mod key;
mod load;
mod notice;
mod outcome;
mod output;
mod plan;
mod price;
mod printable;
mod progress;
mod redis_server;
mod rejected;
mod report;
mod roles;
mod schedule;
mod show;
mod sim;
mod submit;
mod telemetry;
mod vendor;
mod verify;
mod waits;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return exit::called_wrongly(&error),
    };
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing else installs a TLS provider before this");
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::failed(&anyhow::Error::new(error).context("cannot start")),
    };
    let ended = runtime.block_on(args.run());
    // Whatever still runs is not waited for: what must be waited for was.
    runtime.shutdown_background();
    exit::ended(ended)
}
