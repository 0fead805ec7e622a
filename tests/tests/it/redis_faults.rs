//! Redis refuses for a while, or was away: whoever asks is told what it is and when to come back, and nobody twice.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use songmill_tests::api::Api;
use songmill_tests::{World, until};

/// A fault, how Redis gets into it and out of it, and what is said of it.
struct Fault {
    name: &'static str,
    enter: &'static [&'static [&'static str]],
    leave: &'static [&'static [&'static str]],
    said: &'static str,
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "NOREPLICAS",
        enter: &[&["config", "set", "min-replicas-to-write", "1"]],
        leave: &[&["config", "set", "min-replicas-to-write", "0"]],
        said: "too few replicas",
    },
    Fault {
        name: "OOM",
        // Less than it has, and enough for a share of it to hold a job.
        enter: &[&["config", "set", "maxmemory", "1000000"]],
        leave: &[&["config", "set", "maxmemory", "0"]],
        said: "more memory",
    },
    Fault {
        name: "MISCONF",
        // A folder stands where the snapshot should go.
        enter: &[&["config", "set", "save", "3600 1"], &["bgsave"]],
        leave: &[&["config", "set", "save", ""]],
        said: "free disk space",
    },
    Fault {
        name: "READONLY",
        enter: &[&["replicaof", "127.0.0.1", "1"]],
        leave: &[&["replicaof", "no", "one"]],
        said: "read-only replica",
    },
    Fault {
        name: "MASTERDOWN",
        enter: &[&["config", "set", "replica-serve-stale-data", "no"], &["replicaof", "127.0.0.1", "1"]],
        leave: &[&["replicaof", "no", "one"], &["config", "set", "replica-serve-stale-data", "yes"]],
        said: "lost its primary",
    },
];

fn song(n: usize) -> serde_json::Value {
    json!({"vendor": "replicate", "prompt": format!("a calm piano {n}"), "duration_s": 4})
}

fn refused(world: &World, api: &Api, fault: &str, said: &str) -> Result<()> {
    until(&format!("{fault}: health says so"), || Ok(api.get("/health")?.status == 503))?;
    let health = api.get("/health")?;
    assert!(health.header("retry-after").is_some(), "{fault}");
    let submitted = api.post("/v1/jobs", &song(0))?;
    assert_eq!(submitted.status, 503, "{fault}: {} {}", submitted.json(), world.log("api"));
    assert!(submitted.header("retry-after").is_some(), "{fault}");
    let detail = submitted.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains(said), "{fault}: {detail}");
    world.file("b.jsonl", &[song(0)])?;
    let output = world.run(&["submit", "b.jsonl", "--batch", fault])?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{fault}: {message}");
    assert!(message.contains(said) || message.contains("memory"), "{fault}: {message}");
    for raw in ["An error was signalled", "RedisError", "@user_script", "code: "] {
        assert!(!message.contains(raw) && !detail.contains(raw), "{fault}: {message} {detail}");
    }
    Ok(())
}

fn well(world: &World, api: &Api, fault: &str) -> Result<()> {
    until(&format!("{fault}: it is over"), || Ok(api.get("/health")?.status == 200))?;
    assert_eq!(api.post("/v1/jobs", &song(1))?.status, 202, "{fault}");
    let output = world.run(&["submit", "b.jsonl", "--batch", fault])?;
    assert!(output.status.success(), "{fault}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn a_passing_fault_of_redis_is_503_with_retry_after_and_exit_code_4() -> Result<()> {
    let world = World::start(&[])?;
    std::fs::create_dir(world.folder.path().join("redis/dump.rdb"))?;
    let (_process, api) = world.serve_api(&[], &[])?;
    for Fault { name, enter, leave, said } in FAULTS {
        for command in *enter {
            world.redis.cli(command)?;
        }
        refused(&world, &api, name, said)?;
        for command in *leave {
            world.redis.cli(command)?;
        }
        well(&world, &api, name)?;
    }
    Ok(())
}

#[test]
fn a_redis_that_is_busy_with_a_script_is_waited_for() -> Result<()> {
    let world = World::start(&[])?;
    let (_process, api) = world.serve_api(&[], &[])?;
    world.redis.cli(&["config", "set", "busy-reply-threshold", "1"])?;
    let mut endless = std::process::Command::new("redis-cli");
    endless.arg("-s").arg(world.redis.socket()).args(["eval", "while true do end", "0"]);
    let mut endless = endless.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    refused(&world, &api, "BUSY", "busy with a script")?;
    world.redis.cli(&["script", "kill"])?;
    endless.wait()?;
    well(&world, &api, "BUSY")
}

#[test]
fn roles_wait_until_redis_has_read_its_file_and_others_are_told() -> Result<()> {
    let mut world = World::start(&[])?;
    world.redis.cli(&["debug", "populate", "3000"])?;
    world.redis.cli(&["eval", "for n = 1, 3000 do redis.call('SET', 'x' .. n, n) end", "0"])?;
    world.redis.cli(&["bgrewriteaof"])?;
    until("the file is in the form of a snapshot", || {
        Ok(world.redis.cli(&["info", "persistence"])?.contains("aof_rewrite_in_progress:0"))
    })?;
    world.redis.stop()?;
    // A millisecond for each key.
    world.redis.resume_with(&[
        "--key-load-delay",
        "1000",
        "--loading-process-events-interval-bytes",
        "1024",
    ])?;
    world.file("b.jsonl", &[song(0)])?;
    let output = world.run(&["submit", "b.jsonl"])?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.contains("still reading its file"), "{message}");
    let (_process, api) = world.serve_api(&[], &[])?;
    well(&world, &api, "LOADING")
}

#[test]
fn the_first_request_after_redis_was_away_is_served() -> Result<()> {
    let mut world = World::start(&[])?;
    let (_process, api) = world.serve_api(&[], &[])?;
    for round in 0..6 {
        assert_eq!(api.post("/v1/jobs", &song(round))?.status, 202);
        match round % 2 {
            0 => world.redis.stop()?,
            _ => world.redis.crash(),
        }
        // With somebody who asked meanwhile, and without.
        if round >= 2 {
            let reply = api.get("/v1/jobs")?;
            assert_eq!(reply.status, 503, "round {round}");
            assert!(reply.header("retry-after").is_some());
        } else {
            std::thread::sleep(Duration::from_millis(150));
        }
        world.redis.resume()?;
        // A write, for which nothing may be sent twice, or a read.
        let reply = match round < 4 {
            true => api.post("/v1/jobs", &song(100 + round))?,
            false => api.get("/v1/jobs")?,
        };
        assert!(matches!(reply.status, 200 | 202), "round {round}: {} {}", reply.status, reply.json());
        assert_eq!(api.get("/health")?.status, 200);
    }
    Ok(())
}
