//! Whole journeys with real processes: producer, roles, Redis, and the simulator as the vendors.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use songmill_core::job::StateName;
use songmill_tests::{Process, World};

use crate::report::{Mark, Report};
use crate::{Scale, limit, machine, queues};

/// The names of a world's own processes, and of the two that it works with.
pub(crate) const OURS: [&str; 3] = ["generate", "listener", "deliver"];

/// Requests for Replicate, whose callbacks are signed and believed as they are. All sound the same, so that the
/// simulator makes its audio once.
pub(crate) fn requests(count: usize) -> Vec<Value> {
    let line = |n: usize| {
        json!({
            "custom_id": format!("song-{n:06}"), "vendor": "replicate", "prompt": "a tune for a bench",
            "duration_s": 1, "format": "mp3",
        })
    };
    (0..count).map(line).collect()
}

fn submit(world: &World) -> Result<Process> {
    let mut command = world.command(&["submit", "bench.jsonl", "--batch", "bench", "--json"])?;
    Process::spawn(command.stdout(Stdio::null()), &world.folder.path().join("submit.log"))
}

/// The producer alone: lines of JSON to queued jobs.
pub(crate) async fn enqueue(report: &mut Report, scale: Scale) -> Result<()> {
    let count = scale.of(400_000);
    let world = World::start_plain(&[])?;
    let limit = limit::enqueue(&world.redis, 128, scale.of(400_000))?;
    world.redis.cli(&["flushall"])?;
    world.file("bench.jsonl", &requests(count))?;
    let before = machine::used_memory(&world.redis)?;
    let begun = Instant::now();
    let (memory, cpu) = machine::watch_to_end(submit(&world)?)?;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    report.add("enqueue from JSON lines", rate, "jobs/s").limit(limit).mark(Mark::Least(80_000.0));
    report.add("enqueue: the producer's resident memory at most", memory, "MiB").mark(Mark::Most(100.0));
    report.add("enqueue: the producer's CPU per 1,000 jobs", cpu * 1000.0 / count as f64, "CPU s");
    let each = (machine::used_memory(&world.redis)? - before) / count as f64;
    let payload = payload(&world)?;
    report.add("redis: a waiting job beyond its payload", each - payload, "bytes").mark(Mark::Most(1200.0));
    report.add("redis: the payload of that job (its request as JSON)", payload, "bytes");
    Ok(())
}

/// Bytes of one job's request.
pub(crate) fn payload(world: &World) -> Result<f64> {
    let key = world.redis.cli(&["eval", "return redis.call('KEYS', '*:j:*')[1]", "0"])?;
    Ok(world.redis.cli(&["hstrlen", &key, "r"])?.parse()?)
}

/// CPU seconds of the roles, of Redis and of the simulator.
pub(crate) fn cpu(world: &World, roles: &[Process]) -> Result<[f64; 3]> {
    let of = |pid| machine::cpu(pid).context("the process runs");
    let ours = roles.iter().map(|role| of(role.id())).sum::<Result<f64>>()?;
    Ok([ours, of(world.redis.id().context("redis runs")?)?, of(world.simulator())?])
}

/// Submitting, the signed callback and the end; then the same with the audio collected.
pub(crate) async fn run(report: &mut Report, scale: Scale) -> Result<()> {
    journeys(report, scale.of(30_000), &OURS[..2], ("without audio", StateName::Collecting, 5000.0, 0.2))
        .await?;
    journeys(report, scale.of(20_000), &OURS, ("audio stored", StateName::Completed, 2000.0, 0.5)).await
}

async fn journeys(
    report: &mut Report,
    count: usize,
    roles: &[&str],
    (what, end, least, most): (&str, StateName, f64, f64),
) -> Result<()> {
    let world = World::start_plain(&["generation_ms=[0, 0]"])?.with_callbacks();
    world.file("bench.jsonl", &requests(count))?;
    let store = queues::store(&world.redis).await?;
    let roles = roles.iter().map(|role| world.serve(&[role])).collect::<Result<Vec<_>>>()?;
    for (process, role) in roles.iter().zip(OURS) {
        std::thread::sleep(Duration::from_millis(300));
        if end == StateName::Completed {
            let memory = machine::resident(process.id()).context("the role runs")?;
            report.add(format!("{role}: resident memory at rest"), memory, "MiB").mark(Mark::Most(30.0));
        }
    }
    let scripts = machine::calls(&world.redis, "evalsha")?;
    let before = cpu(&world, &roles)?;
    let begun = Instant::now();
    let submit = submit(&world)?;
    let mut enqueue_cpu = 0.0;
    let batch = queues::batch()?;
    let mut last = (0, Instant::now());
    loop {
        enqueue_cpu = machine::cpu(submit.id()).unwrap_or(enqueue_cpu);
        let counts = store.batch(&batch).await?.map(|batch| batch.counts).unwrap_or_default();
        let ended = counts.of(end);
        if ended >= count as u64 {
            break;
        }
        if ended > last.0 {
            last = (ended, Instant::now());
        }
        if last.1.elapsed() > Duration::from_secs(60) {
            bail!("journeys do not end: {counts:?}; {}", world.log("generate"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    submit.wait()?;
    let after = cpu(&world, &roles)?;
    let per_thousand = |n: usize| (after[n] - before[n]) * 1000.0 / count as f64;
    report.add(format!("journeys, {what}"), count as f64 / seconds, "songs/s").mark(Mark::Least(least));
    report
        .add(
            format!("journeys, {what}: our CPU per 1,000"),
            per_thousand(0) + enqueue_cpu * 1000.0 / count as f64,
            "CPU s",
        )
        .mark(Mark::Most(most));
    report.add(format!("journeys, {what}: redis's CPU per 1,000"), per_thousand(1), "CPU s");
    report.add(format!("journeys, {what}: the simulator's CPU per 1,000"), per_thousand(2), "CPU s");
    let scripts = (machine::calls(&world.redis, "evalsha")? - scripts) / count as f64;
    report.add(format!("journeys, {what}: script calls per song"), scripts, "");
    if end == StateName::Completed {
        for (process, role) in roles.iter().zip(OURS) {
            let memory = machine::most_resident(process.id()).context("the role runs")?;
            report.add(format!("{role}: most resident memory under load"), memory, "MiB");
        }
        finished(report, &world, count)?;
    }
    world.audit()
}

/// What a finished job weighs: with everything else emptied, the records, their place among the ended, and the
/// batch's list.
fn finished(report: &mut Report, world: &World, count: usize) -> Result<()> {
    world.redis.cli(&["del", "{sm:0}:events"])?;
    let before = machine::used_memory(&world.redis)?;
    let payload = payload(world)?;
    world.redis.cli(&["flushall"])?;
    let each = (before - machine::used_memory(&world.redis)?) / count as f64;
    report.add("redis: a finished job beyond its payload", each - payload, "bytes").mark(Mark::Most(600.0));
    Ok(())
}
