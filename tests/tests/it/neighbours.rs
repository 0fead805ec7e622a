//! What one tenant does over and over costs only itself.

use anyhow::{Context as _, Result};
use songmill_tests::World;
use songmill_tests::noise::{Noise, beside};

/// Each operation so often; `just bench neighbours` does it a thousand times.
const TIMES: usize = 40;
/// What one tenant may make us keep, in bytes.
const QUOTA: u64 = 3_000_000;

fn used(world: &World) -> Result<u64> {
    let info = world.redis.cli(&["info", "memory"])?;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).context("used_memory")?;
    Ok(line.trim().parse()?)
}

#[test]
fn every_operation_over_and_over_fills_no_more_than_the_tenants_quota() -> Result<()> {
    let world = World::start(&[])?
        .with("api.requests_per_minute=0")
        .with(format!("quota.bytes={QUOTA}"))
        .with("deliver.notices.allow_http=true")
        .with("deliver.notices.allow_private=true");
    let (_process, api) = world.serve_api(&[], &[])?;
    let noisy = api.with_key(&world.key("noisy", &["submit", "read"])?);
    let quiet = api.with_key(&world.key("quiet", &["submit", "read"])?);
    let operator = api.with_key(&world.key("default", &["admin"])?);
    let noise = Noise::of(noisy)?;
    assert!(noise.operations.len() > 25, "only {} operations", noise.operations.len());
    let before = used(&world)?;
    let (others, refused) = beside(&quiet, "quiet", || {
        let mut refused = 0;
        for operation in &noise.operations {
            let statuses = noise.repeat(operation, TIMES)?;
            refused +=
                statuses.iter().filter(|(status, _)| **status == 429).map(|(_, count)| count).sum::<usize>();
        }
        Ok(refused)
    })?;
    assert!(others.refused.is_empty(), "the quiet tenant was refused: {:?}", others.refused);
    assert!(refused > 0, "the noisy tenant never came to its quota");
    let noisy = operator.get("/v1/tenants/noisy")?.json();
    let kept = noisy["bytes"].as_u64().context("bytes")?;
    assert!(kept <= QUOTA, "{noisy}");
    // What the quiet tenant made us keep, and Redis' own: scripts, and buffers of connections.
    let quiet = operator.get("/v1/tenants/quiet")?.json()["bytes"].as_u64().context("bytes")?;
    let grown = used(&world)?.saturating_sub(before).saturating_sub(quiet);
    assert!(grown < QUOTA + 2_000_000, "redis grew by {grown} bytes; {noisy}");
    world.audit()
}
