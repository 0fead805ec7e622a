//! One tenant repeats every operation of the API a thousand times; what others notice of it.

use anyhow::{Context as _, Result};
use songmill_tests::World;
use songmill_tests::noise::{Noise, Quiet, Statuses, beside};

use crate::report::{Mark, Report, percentile};
use crate::{Scale, machine};

/// What Redis may take.
const MAXMEMORY: f64 = 512.0 * 1024.0 * 1024.0;
/// How long the quiet tenant is measured alone.
const ALONE: std::time::Duration = std::time::Duration::from_secs(5);

pub(crate) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    // It blocks, and nothing else is to be done meanwhile.
    tokio::task::block_in_place(|| measure(report, scale.of(1000)))
}

fn measure(report: &mut Report, times: usize) -> Result<()> {
    let world = World::start_plain(&[])?
        .with("api.requests_per_minute=0")
        .with("deliver.notices.allow_http=true")
        .with("deliver.notices.allow_private=true");
    world.redis.cli(&["config", "set", "maxmemory", &format!("{MAXMEMORY:.0}")])?;
    let (_process, api) = world.serve_api(&[], &[])?;
    let quiet = api.with_key(&world.key("quiet", &["submit", "read"])?);
    let operator = api.with_key(&world.key("default", &["admin"])?);
    let noise = Noise::of(api.with_key(&world.key("noisy", &["submit", "read"])?))?;

    let (alone, ()) = beside(&quiet, "alone", || {
        std::thread::sleep(ALONE);
        Ok(())
    })?;
    let before = machine::used_memory(&world.redis)?;
    let (others, statuses) = beside(&quiet, "beside", || {
        let mut all = Statuses::new();
        for operation in &noise.operations {
            let statuses = noise.repeat(operation, times)?;
            println!("neighbours: {times} times {}: {statuses:?}", operation.id);
            for (status, count) in statuses {
                *all.entry(status).or_default() += count;
            }
        }
        Ok(all)
    })?;
    let grown = machine::used_memory(&world.redis)? - before;

    let mut submits = |what: &str, quiet: &Quiet| {
        let mut times = quiet.times.clone();
        report.add(
            format!("neighbours: a quiet tenant's submit, {what}: p50"),
            percentile(&mut times, 50.0),
            "ms",
        );
        let p99 = percentile(&mut times, 99.0);
        report
            .add(format!("neighbours: a quiet tenant's submit, {what}: p99"), p99, "ms")
            .mark(Mark::Most(250.0));
        let refused = quiet.refused.values().sum::<usize>();
        report
            .add(format!("neighbours: a quiet tenant's songs refused, {what}"), refused as f64, "")
            .mark(Mark::Most(0.0));
    };
    submits("alone", &alone);
    submits("beside the noise", &others);
    let count = |is: fn(u16) -> bool| -> f64 {
        statuses.iter().filter(|(status, _)| is(**status)).map(|(_, count)| *count as f64).sum()
    };
    report.add("neighbours: requests of the noisy tenant", count(|_| true), "");
    report.add("neighbours: of these refused by its own limits (429)", count(|status| status == 429), "");
    report
        .add("neighbours: of these refused because all is full (507)", count(|status| status == 507), "")
        .mark(Mark::Most(0.0));
    let tenant = operator.get("/v1/tenants/noisy")?.json();
    let megabytes = |bytes: f64| bytes / (1024.0 * 1024.0);
    let bytes = |name: &str| tenant[name].as_f64().context("bytes");
    report.add(
        "neighbours: what the noisy tenant makes us keep, as counted",
        megabytes(bytes("bytes")?),
        "MiB",
    );
    let quota = megabytes(bytes("most_bytes")?);
    report.add("neighbours: its quota", quota, "MiB");
    report.add("neighbours: Redis grew by", megabytes(grown), "MiB").mark(Mark::Most(quota * 1.1 + 8.0));
    report
        .add("neighbours: of Redis' memory are free", 100.0 * (1.0 - (before + grown) / MAXMEMORY), "%")
        .mark(Mark::Least(50.0));
    Ok(())
}
