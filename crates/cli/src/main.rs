//! The one binary: configuration, telemetry, subcommands, wiring.
fn main() {}
