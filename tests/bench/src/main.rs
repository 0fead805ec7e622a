//! How fast Songmill is, beside the physical limit: each figure with the rate that redis-benchmark reaches with the
//! same scripts on the same machine in the same run. `just bench` builds and runs it.

mod api;
mod callbacks;
mod doors;
mod fetches;
mod in_flight;
mod journeys;
mod limit;
mod limits;
mod machine;
mod neighbours;
mod queues;
mod recovery;
mod report;
mod tables;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::report::Report;

/// Measures Songmill on this machine.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure; all of it when nothing is named
    sections: Vec<Section>,
    /// A tenth of the work: rough figures in a minute or two
    #[arg(long)]
    quick: bool,
    /// Write the figures as JSON into this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Taking jobs in, from JSON lines
    Enqueue,
    /// Reading tables, JSON lines and workbooks
    Tables,
    /// Claiming and committing jobs on which nothing is done
    Queues,
    /// From enqueue to start
    Start,
    /// Receiving signed callbacks
    Callbacks,
    /// Whole journeys against the simulator
    Journeys,
    /// The API: uploads, single songs, looks, notices
    Api,
    /// Memory and latency beside thousands of silent and slow connections
    Doors,
    /// How much of a vendor's limits a fleet uses
    Limits,
    /// How soon submissions are as fast as before after bursts of 429
    Recovery,
    /// Memory and idle CPU with many tasks in flight
    InFlight,
    /// Memory and speed of many fetches at once
    Fetches,
    /// What one tenant that repeats every operation costs another
    Neighbours,
    /// How soon the ends of many tasks in flight are found within the read budget, without callbacks
    Discovery,
}

/// Sizes of the work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    quick: bool,
}

impl Scale {
    pub(crate) const fn of(self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let scale = Scale { quick: args.quick };
    let sections = if args.sections.is_empty() { Section::value_variants().to_vec() } else { args.sections };
    let mut report = Report::default();
    println!("{}", report::head());
    report.add("this machine: plain SETs by redis-benchmark", machine::yardstick()?, "/s");
    report.print_from(0);
    for section in sections {
        let from = report.figures.len();
        match section {
            Section::Enqueue => journeys::enqueue(&mut report, scale).await?,
            Section::Tables => tables::run(&mut report, scale)?,
            Section::Queues => queues::claim_and_commit(&mut report, scale).await?,
            Section::Start => queues::start(&mut report, scale).await?,
            Section::Callbacks => callbacks::run(&mut report, scale).await?,
            Section::Journeys => journeys::run(&mut report, scale).await?,
            Section::Api => api::run(&mut report, scale).await?,
            Section::Doors => doors::run(&mut report, scale).await?,
            Section::Limits => limits::run(&mut report, scale).await?,
            Section::Recovery => recovery::run(&mut report, scale)?,
            Section::InFlight => in_flight::run(&mut report, scale).await?,
            Section::Fetches => fetches::run(&mut report, scale).await?,
            Section::Neighbours => neighbours::run(&mut report, scale)?,
            Section::Discovery => in_flight::found(&mut report, scale).await?,
        }
        report.print_from(from);
    }
    if let Some(file) = args.json {
        report.write(&file)?;
    }
    Ok(())
}
