//! How much of a vendor's limits four processes use together, and that they pass none.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use songmill_tests::{Process, World};

use crate::Scale;
use crate::journeys::requests;
use crate::report::{Mark, Report};

/// As Replicate has it, times five.
const CREATES_A_MINUTE: f64 = 3000.0;
/// Tasks under way, and how long each takes.
const IN_FLIGHT: f64 = 300.0;
const TASK: Duration = Duration::from_secs(3);

pub(crate) async fn run(report: &mut Report, scale: Scale) -> Result<()> {
    room(report, Duration::from_secs(scale.of(30) as u64))?;
    rate(report, Duration::from_secs(scale.of(60) as u64))
}

pub(crate) fn fleet(world: &World) -> Result<Vec<Process>> {
    (0..4).map(|n| world.serve_as(&format!("generate-{n}"), &["generate"], &[])).collect()
}

/// What the simulator's books say of a vendor.
fn number(world: &World, of: &[&str]) -> Result<f64> {
    let stats = world.stats()?;
    let found = of.iter().fold(&stats["vendors"]["replicate"], |value, name| &value[*name]);
    Ok(found.as_f64().unwrap_or(f64::NAN))
}

/// Waits until so many tasks were made.
fn made(world: &World, count: f64) -> Result<()> {
    let begun = Instant::now();
    while number(world, &["tasks_created"])? < count {
        if begun.elapsed() > Duration::from_secs(60) {
            bail!("tasks are not made");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn rate(report: &mut Report, watched: Duration) -> Result<()> {
    let world = World::start_plain(&[
        &format!("faults.creates_most={CREATES_A_MINUTE}"),
        "generation_ms=[3600000, 3600000]",
    ])?
    .with_callbacks()
    .with(format!("policy.vendors.replicate.limits.creates_per_minute={CREATES_A_MINUTE}"));
    let jobs = CREATES_A_MINUTE / 60.0 * (watched.as_secs_f64() + 20.0);
    world.file("bench.jsonl", &requests(jobs as usize))?;
    world.json(&["submit", "bench.jsonl", "--batch", "bench"])?;
    let _fleet = fleet(&world)?;
    made(&world, 100.0)?;
    let (begun, before) = (Instant::now(), number(&world, &["tasks_created"])?);
    std::thread::sleep(watched);
    let used = (number(&world, &["tasks_created"])? - before) / begun.elapsed().as_secs_f64();
    report
        .add(
            "four processes at 3,000 submissions a minute: of it used",
            6000.0 * used / CREATES_A_MINUTE,
            "%",
        )
        .mark(Mark::Least(95.0));
    report
        .add("  refused by the vendor", number(&world, &["over_limit", "creates"])?, "")
        .mark(Mark::Most(0.0));
    Ok(())
}

fn room(report: &mut Report, watched: Duration) -> Result<()> {
    // Not all equally long, or they would come in waves.
    let millis = [TASK.as_millis() * 2 / 3, TASK.as_millis() * 4 / 3];
    let world = World::start_plain(&[
        &format!("faults.in_flight_most={IN_FLIGHT}"),
        &format!("generation_ms=[{}, {}]", millis[0], millis[1]),
    ])?
    .with_callbacks()
    .with(format!("policy.vendors.replicate.limits.in_flight={IN_FLIGHT}"));
    let rate = IN_FLIGHT / TASK.as_secs_f64();
    world.file("bench.jsonl", &requests((rate * (watched.as_secs_f64() + 20.0)) as usize))?;
    world.json(&["submit", "bench.jsonl", "--batch", "bench"])?;
    let _listener = world.serve(&["listener"])?;
    let _fleet = fleet(&world)?;
    made(&world, 2.0 * IN_FLIGHT)?;
    let (begun, before) = (Instant::now(), number(&world, &["tasks_created"])?);
    std::thread::sleep(watched);
    let used = (number(&world, &["tasks_created"])? - before) / begun.elapsed().as_secs_f64();
    report
        .add("four processes at 300 tasks of 3 s under way: of it used", 100.0 * used / rate, "%")
        .mark(Mark::Least(95.0));
    report
        .add("  refused by the vendor", number(&world, &["over_limit", "in_flight"])?, "")
        .mark(Mark::Most(0.0));
    Ok(())
}
