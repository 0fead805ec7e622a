//! Fire, in short; `just chaos` is the long form.

use std::time::Duration;

use anyhow::Result;
use songmill_tests::chaos::{Plan, run};

#[test]
fn nothing_is_lost_or_paid_twice_under_fire() -> Result<()> {
    let outcome = run(Plan { rounds: 40, kills: 12, seed: 7, most: Duration::from_secs(150) })?;
    assert!(outcome.is_well(), "{outcome}");
    // The longest lease there, and a second.
    assert!(outcome.longest_still < Duration::from_secs(9), "{outcome}");
    let completed = outcome.books.states.get("completed").copied().unwrap_or(0);
    assert!(completed >= 120, "the fire is to be survived, not to be waited out: {outcome}");
    Ok(())
}
