//! Fire over real processes: `chaos [KILLS] [SEED]`. Prints a table; exits with 1 when a promise was broken.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use songmill_tests::chaos::{Plan, run};

fn main() -> Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let mut number = |name: &str, default: u64| match args.next() {
        Some(text) => text.parse().with_context(|| format!("{name}: {text:?} is no number")),
        None => Ok(default),
    };
    let kills = u32::try_from(number("KILLS", 300)?)?;
    let seed = number("SEED", 1)?;
    let most = Duration::from_secs(120 + 5 * u64::from(kills));
    let outcome = run(Plan { rounds: kills as usize * 5, kills, seed, most })?;
    println!("{outcome}");
    Ok(if outcome.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
