//! What the machine says: CPU and memory of processes, and what redis-benchmark reaches.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use songmill_tests::Redis;

/// CPU seconds that a process has used, as far as it still runs.
pub(crate) fn cpu(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    // Linux counts in hundredths on every machine that this runs on.
    Some((user + system) / 100.0)
}

fn status(pid: u32, name: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}

/// Resident memory of a process in MiB.
pub(crate) fn resident(pid: u32) -> Option<f64> {
    status(pid, "VmRSS:")
}

/// The most a process had resident, in MiB.
pub(crate) fn most_resident(pid: u32) -> Option<f64> {
    status(pid, "VmHWM:")
}

/// Bytes that Redis has in use.
pub(crate) fn used_memory(redis: &Redis) -> Result<f64> {
    let info = redis.cli(&["info", "memory"])?;
    let line = info.lines().find_map(|line| line.trim().strip_prefix("used_memory:"));
    Ok(line.context("used_memory is in INFO")?.parse()?)
}

/// How often a command was called by clients or by scripts since Redis started.
pub(crate) fn calls(redis: &Redis, command: &str) -> Result<f64> {
    let info = redis.cli(&["info", "commandstats"])?;
    let line = info.lines().find_map(|line| line.trim().strip_prefix(&format!("cmdstat_{command}:calls=")));
    Ok(line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0.0))
}

/// Plain SETs a second over 50 connections: how fast this machine is today.
pub(crate) fn yardstick() -> Result<f64> {
    let folder = tempfile::TempDir::new()?;
    let redis = Redis::start(folder.path())?;
    redis_benchmark(&redis, 50, 200_000, &["SET", "key:__rand_int__", "value"].map(str::to_owned))
}

/// Loads a script; its hash.
pub(crate) fn load(redis: &Redis, script: &str) -> Result<String> {
    redis.cli(&["script", "load", script])
}

/// Calls per second that redis-benchmark makes of one command, over so many connections.
pub(crate) fn redis_benchmark(
    redis: &Redis,
    connections: u32,
    calls: usize,
    command: &[String],
) -> Result<f64> {
    redis.cli(&["config", "resetstat"])?;
    let output = Command::new("redis-benchmark")
        .arg("-s")
        .arg(redis.socket())
        .args(["--csv", "-r", "2000000000", "-c", &connections.to_string(), "-n", &calls.to_string()])
        .args(command)
        .output()
        .context("redis-benchmark comes with redis")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(line) = text.lines().last().filter(|line| line.starts_with('"')) else {
        bail!("redis-benchmark said {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    // A call that is refused early is quick, and no limit.
    let errors = redis.cli(&["info", "errorstats"])?;
    if errors.contains("errorstat_") {
        bail!("redis-benchmark's calls were refused: {errors}");
    }
    // The command itself, which may hold anything, then seven numbers.
    let numbers: Vec<&str> = line.rsplitn(8, ',').collect();
    numbers
        .get(6)
        .and_then(|rate| rate.trim_matches('"').parse().ok())
        .context("a rate in redis-benchmark's line")
}

/// Waits for a process to end; the most it had resident in MiB, and its CPU seconds.
pub(crate) fn watch_to_end(process: songmill_tests::Process) -> Result<(f64, f64)> {
    let (mut memory, mut seconds) = (0.0f64, 0.0f64);
    // A process that has ended but was not waited for has no memory any more.
    while let Some(now) = most_resident(process.id()) {
        memory = memory.max(now);
        seconds = cpu(process.id()).unwrap_or(seconds);
        std::thread::sleep(Duration::from_millis(5));
    }
    seconds = cpu(process.id()).unwrap_or(seconds);
    match process.wait()? {
        Some(0) => Ok((memory, seconds)),
        code => bail!("the process ended with {code:?}"),
    }
}
