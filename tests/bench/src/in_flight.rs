//! Many tasks under way upstream: what they weigh, what they cost while nothing happens, and how soon their ends are
//! found when nobody calls back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use songmill_core::job::StateName;
use songmill_core::{JobId, Tenant};
use songmill_store::{EventId, Store, Told};
use songmill_tests::{Process, World};

use crate::journeys::{OURS, cpu, payload, requests};
use crate::report::{Mark, Report, percentile};
use crate::{Scale, machine, queues};

/// For how long the processes are watched while nothing happens.
const IDLE: Duration = Duration::from_secs(10);
/// How long a task takes while lags are measured: longer than it takes to submit them all.
const TASK: Duration = Duration::from_secs(150);
/// How fast they are submitted while lags are measured: a hundred times what Replicate allows, so that it does not take
/// hours, but not as fast as we can: a list shows what was made in a span of time.
const CREATES_A_MINUTE: u32 = 60_000;
/// What Replicate allows, and how many of its tasks a page shows.
const READS_A_MINUTE: f64 = 3000.0;
const PAGE: f64 = 100.0;

pub(crate) async fn run(report: &mut Report, scale: Scale) -> Result<()> {
    idle(report, scale.of(100_000)).await
}

pub(crate) async fn found(report: &mut Report, scale: Scale) -> Result<()> {
    discovery(report, scale.of(100_000)).await
}

/// Submits them all and waits until their tasks are known.
async fn in_flight(world: &World, count: usize) -> Result<Store> {
    world.file("bench.jsonl", &requests(count))?;
    let store = queues::store(&world.redis).await?;
    world.json(&["submit", "bench.jsonl", "--batch", "bench"])?;
    let begun = Instant::now();
    loop {
        let batch = store.batch(&queues::batch()?).await?.context("the batch is there")?;
        if batch.counts.of(StateName::Generating) == count as u64 {
            return Ok(store);
        }
        if begun.elapsed() > TASK {
            bail!("submitting takes too long: {batch:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Callbacks are on and the next looks are far away.
async fn idle(report: &mut Report, count: usize) -> Result<()> {
    let world = World::start_plain(&["generation_ms=[3600000, 3600000]"])?
        .with_callbacks()
        .with_policy("poll_first=\"10m\"");
    let before = machine::used_memory(&world.redis)?;
    let roles = OURS.iter().map(|role| world.serve(&[role])).collect::<Result<Vec<Process>>>()?;
    in_flight(&world, count).await?;
    world.redis.cli(&["del", "{sm:0}:events"])?;
    let each = (machine::used_memory(&world.redis)? - before) / count as f64;
    report.add("redis: a running job beyond its payload", each - payload(&world)?, "bytes");
    // The clients' connections rest too.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = cpu(&world, &roles)?;
    tokio::time::sleep(IDLE).await;
    let after = cpu(&world, &roles)?;
    let share = |n: usize| 100.0 * (after[n] - before[n]) / IDLE.as_secs_f64();
    report.add(format!("idle CPU with {count} in flight: our three roles"), share(0), "% of a core");
    report.add(format!("idle CPU with {count} in flight: redis"), share(1), "% of a core");
    for (process, role) in roles.iter().zip(OURS) {
        let memory = machine::resident(process.id()).context("the role runs")?;
        report
            .add(format!("{role}: resident memory with {count} in flight"), memory, "MiB")
            .mark(Mark::Most(30.0));
    }
    Ok(())
}

/// Nobody calls back: the time from the end of a task to our knowing of it.
async fn discovery(report: &mut Report, count: usize) -> Result<()> {
    let millis = TASK.as_millis();
    // As Replicate has it: 3,000 requests a minute, a hundred tasks on a page of its list.
    let world = World::start_plain(&[
        &format!("generation_ms=[{millis}, {millis}]"),
        &format!("faults.reads_most={READS_A_MINUTE}"),
    ])?
    .with("retention.events=10000000")
    .with(format!("policy.vendors.replicate.limits.creates_per_minute={CREATES_A_MINUTE}"))
    .with(format!("policy.vendors.replicate.limits.reads_per_minute={READS_A_MINUTE}"));
    let roles = OURS[..1].iter().map(|role| world.serve(&[role])).collect::<Result<Vec<Process>>>()?;
    let store = in_flight(&world, count).await?;
    let begun = Instant::now();
    let before = cpu(&world, &roles)?;
    while store.batch(&queues::batch()?).await?.context("the batch")?.counts.of(StateName::Collecting)
        < count as u64
    {
        if begun.elapsed() > 5 * TASK {
            bail!("ends are not found");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let after = cpu(&world, &roles)?;
    let mut lags = lags(&store).await?;
    let books = &world.stats()?["vendors"]["replicate"];
    let number = |name: &str| books[name].as_f64().unwrap_or(f64::NAN);
    let requests = number("polls") + number("look_ups");
    // To look at each of them once takes so long with the requests that are allowed.
    let sweep = count as f64 / PAGE / (READS_A_MINUTE / 60.0);
    report.add("one look at each of them, as the read budget allows it", sweep, "s");
    report.add(
        format!("discovery lag without callbacks, {count} in flight, p50"),
        percentile(&mut lags, 50.0),
        "s",
    );
    report
        .add(
            format!("discovery lag without callbacks, {count} in flight, p99"),
            percentile(&mut lags, 99.0),
            "s",
        )
        .mark(Mark::Most(2.0 * sweep));
    report.add("discovery: requests per song", requests / count as f64, "");
    report
        .add(
            "discovery: requests beyond the limit",
            books["over_limit"]["reads"].as_f64().unwrap_or(f64::NAN),
            "",
        )
        .mark(Mark::Most(0.0));
    report.add(
        "discovery: generate's CPU per 1,000 songs",
        (after[0] - before[0]) * 1000.0 / count as f64,
        "CPU s",
    );
    Ok(())
}

/// Seconds from when each task ended to when the job was known to be collecting, by Redis's clock.
async fn lags(store: &Store) -> Result<Vec<f64>> {
    let (mut began, mut lags, mut after): (HashMap<JobId, u64>, _, _) =
        (HashMap::new(), Vec::new(), EventId::default());
    loop {
        let page = store.events(&Tenant::default(), after, 10_000).await?;
        let Some((last, _)) = page.last() else { return Ok(lags) };
        after = *last;
        for (at, told) in page {
            let Some(Told::Job(change)) = told else { continue };
            let at = at.ms();
            match change.to {
                StateName::Generating => drop(began.insert(change.job, at)),
                StateName::Collecting => {
                    let begun = began.get(&change.job).context("what collects was generating")?;
                    lags.push((at - begun) as f64 / 1000.0 - TASK.as_secs_f64());
                }
                _ => {}
            }
        }
    }
}
