//! Processes that die, and a Redis that goes away.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use songmill_tests::{World, many, one_each, until};

/// A simulator that takes submissions but whose replies never come.
const DEAF: &[&str] = &["faults.reply_lost_rate=1.0"];

#[test]
fn a_worker_killed_in_the_middle_of_a_submission_leaves_nothing_paid_twice() -> Result<()> {
    // Replies come only after almost two seconds: the worker is killed while it waits for them. One vendor is asked
    // something else first, so its submission begins before the others.
    let world = World::start(&["faults.latency_ms=[1500, 1900]"])?;
    let generate = world.serve(&["generate"])?;
    let under_way = |vendor: &str| -> Result<bool> {
        Ok(world.stats()?["vendors"][vendor]["tasks_created"].as_u64() >= Some(1))
    };
    let (first, others): (Vec<_>, _) = one_each().into_iter().partition(|song| song["vendor"] == "replicate");
    world.submit("b", &first)?;
    until("the first submission is under way", || under_way("replicate"))?;
    world.submit("b", &others)?;
    until("every submission is under way", || {
        songmill_tests::VENDORS.iter().try_fold(true, |all, vendor| Ok(all && under_way(vendor)?))
    })?;
    generate.crash();
    world.faults(&json!({ "latency_ms": [0, 0] }))?;
    let _roles = world.serve(&["generate", "deliver"])?;
    assert_eq!(world.settled("b")?, json!({ "completed": 3, "held": 1 }), "{:?}", world.results("b")?);
    let held = world.job("b", "s")?;
    assert_eq!(held["state"], "held", "where there is no look-up an operator must choose");
    let stats = world.stats()?;
    for vendor in songmill_tests::VENDORS {
        assert_eq!(stats["vendors"][vendor]["tasks_created"], 1, "{vendor}");
    }
    // The operator chooses; then it goes on.
    let id = held["id"].as_str().unwrap_or_default();
    world.json(&["job", "resolve", id, "--resubmit"])?;
    assert_eq!(world.settled("b")?, json!({ "completed": 4 }));
    assert_eq!(world.job("b", "s")?["maybe_paid_twice"], 1);
    let doctor = world.json(&["doctor", "--audit"])?;
    assert_eq!(doctor["ok"], true, "{doctor}");
    Ok(())
}

#[test]
fn a_submission_whose_reply_is_lost_is_found_again() -> Result<()> {
    let world = World::start(DEAF)?;
    let _roles = world.serve(&["generate", "deliver"])?;
    world.submit("b", &one_each())?;
    assert_eq!(world.settled("b")?, json!({ "completed": 3, "held": 1 }));
    let stats = world.stats()?;
    for vendor in songmill_tests::VENDORS {
        assert_eq!(stats["vendors"][vendor]["tasks_created"], 1, "{vendor}");
    }
    world.audit()
}

#[test]
fn redis_gone_for_five_seconds_loses_nothing() -> Result<()> {
    let mut world = World::start(&["generation_ms=[500, 3000]"])?.with_callbacks();
    let roles = [world.serve(&["generate"])?, world.serve(&["deliver"])?, world.serve(&["listener"])?];
    world.submit("b", &many(10, &one_each()))?;
    until("work is under way", || {
        Ok(world.json(&["batch", "show", "b"])?["counts"]["generating"].as_u64() >= Some(5))
    })?;
    world.redis.stop()?;
    std::thread::sleep(Duration::from_secs(5));
    world.redis.resume()?;
    let counts = world.settled("b")?;
    let sum = |state: &str| counts[state].as_u64().unwrap_or(0);
    // A SenseAudio submission whose reply came while Redis was away is written down when it is back.
    assert_eq!(sum("completed") + sum("held"), 40, "{counts}");
    assert!(sum("held") <= 10, "{counts}");
    world.audit()?;
    for process in roles {
        let (took, code) = process.stop()?;
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    Ok(())
}

#[test]
fn a_role_told_to_stop_ends_in_time_and_the_next_one_goes_on() -> Result<()> {
    let world = World::start(&["faults.latency_ms=[300, 600]"])?;
    let lines: Vec<Value> = (0..60)
        .map(|n| json!({ "custom_id": format!("r-{n}"), "vendor": "replicate", "prompt": format!("tune {n}"), "duration_s": 2 }))
        .collect();
    let generate = world.serve(&["generate", "deliver"])?;
    world.submit("b", &lines)?;
    until("work is under way", || {
        Ok(world.stats()?["vendors"]["replicate"]["tasks_created"].as_u64() >= Some(10))
    })?;
    let (took, code) = generate.stop()?;
    assert_eq!(code, Some(0), "{}", world.log("generate-deliver"));
    assert!(took < Duration::from_secs(8), "{took:?}");
    let counts = world.json(&["batch", "show", "b"])?["counts"].clone();
    assert_eq!(counts["submitting"], Value::Null, "what was begun was finished or handed back: {counts}");
    let _again = world.serve(&["generate", "deliver"])?;
    assert_eq!(world.settled("b")?, json!({ "completed": 60 }));
    assert_eq!(world.stats()?["vendors"]["replicate"]["tasks_created"], 60);
    world.audit()
}

#[test]
fn a_redis_that_may_drop_jobs_is_complained_of_and_refused_when_asked() -> Result<()> {
    let world = World::start(&[])?;
    world.redis.cli(&["config", "set", "maxmemory-policy", "allkeys-lru"])?;
    let refused = world.run(&["serve", "generate", "--strict"])?;
    assert_eq!(refused.status.code(), Some(2));
    let words = String::from_utf8(refused.stderr)?;
    assert!(words.contains("maxmemory-policy is allkeys-lru") && words.contains("noeviction"), "{words}");
    let role = world.serve(&["generate"])?;
    until("it is at work and has complained", || {
        let log = world.log("generate");
        Ok(log.contains("at work") && log.contains("redis is not safe: maxmemory-policy is allkeys-lru"))
    })?;
    assert_eq!(role.stop()?.1, Some(0));
    Ok(())
}
