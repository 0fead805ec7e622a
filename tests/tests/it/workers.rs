//! Processes that run roles are registered, and work that waits for one that does not run says so.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use songmill_tests::{Process, World, until};

fn songs(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| json!({"vendor": "replicate", "prompt": format!("a calm piano {n}"), "duration_s": 4}))
        .collect()
}

fn text(world: &World, args: &[&str]) -> Result<(String, Option<i32>)> {
    let output = world.run(args)?;
    let said = [output.stdout, output.stderr].concat();
    Ok((String::from_utf8(said)?, output.status.code()))
}

const NO_GENERATE: &str =
    "no generate worker is running; 3 songs wait: start one with `songmill serve generate`";

#[test]
fn whoever_waits_for_a_worker_that_does_not_run_is_told_everywhere() -> Result<()> {
    let world = World::start(&["generation_ms=[100, 200]"])?;
    world.file("b.jsonl", &songs(3))?;
    let begun = Instant::now();
    let log = world.folder.path().join("submit.log");
    let _waiting = Process::spawn(
        world.command(&["submit", "b.jsonl", "--wait"])?.stdout(std::process::Stdio::null()),
        &log,
    )?;
    until("it is told that nobody works", || Ok(std::fs::read_to_string(&log)?.contains(NO_GENERATE)))?;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let (shown, code) = text(&world, &["batch", "show", "b"])?;
    assert!(shown.contains(NO_GENERATE), "{shown}");
    assert_eq!(code, Some(3));
    let (listed, _) = text(&world, &["vendor", "list"])?;
    assert!(listed.contains(NO_GENERATE), "{listed}");
    let (checked, code) = text(&world, &["doctor"])?;
    assert!(checked.contains(NO_GENERATE), "{checked}");
    assert_eq!(code, Some(3));
    let listed = world.json_lines(&["job", "list", "--batch", "b"])?;
    let id = listed[0]["id"].as_str().context("a job")?.to_owned();
    let (explained, _) = text(&world, &["job", "explain", &id])?;
    assert!(explained.contains("no generate worker is running"), "{explained}");

    // Generated, and nobody there to bring the audio in.
    let generate = world.serve(&["generate"])?;
    let waits = "no deliver worker is running; 3 songs wait: start one with `songmill serve deliver`";
    until("audio waits for somebody", || Ok(text(&world, &["batch", "show", "b"])?.0.contains(waits)))?;
    let (checked, code) = text(&world, &["doctor"])?;
    assert!(checked.contains(waits) && !checked.contains("no generate worker"), "{checked}");
    assert_eq!(code, Some(3));
    let (explained, _) = text(&world, &["job", "explain", &id])?;
    assert!(explained.contains("no deliver worker is running"), "{explained}");

    let _deliver = world.serve(&["deliver"])?;
    assert_eq!(world.settled("b")?, json!({ "completed": 3 }));
    let checked = world.json(&["doctor"])?;
    assert_eq!(checked["ok"], true, "{checked}");
    // One that ends in order is off the list at once.
    generate.stop()?;
    let listed = world.json(&["worker", "list"])?;
    let roles: Vec<_> =
        listed["data"].as_array().into_iter().flatten().map(|worker| &worker["roles"]).collect();
    assert_eq!(roles, [&json!(["deliver"])]);
    Ok(())
}

#[test]
fn workers_are_listed_with_what_they_do_and_one_that_died_is_lost() -> Result<()> {
    let world = World::start(&["generation_ms=[60000, 60000]", "faults.latency_ms=[4000, 4000]"])?;
    let (_api, api) = world.serve_api(&[], &[])?;
    let mut generate = world.serve(&["generate"])?;
    let all = || -> Result<Vec<Value>> {
        Ok(api.get("/v1/workers")?.json()["data"].as_array().cloned().unwrap_or_default())
    };
    let found = |role: &str| -> Result<Value> {
        Ok(all()?.into_iter().find(|worker| worker["roles"] == json!([role])).unwrap_or_default())
    };
    until("both are listed", || Ok(all()?.len() == 2))?;
    let worker = found("generate")?;
    assert_eq!(worker["pid"], generate.id());
    assert_eq!(worker["state"], "running");
    assert_eq!(worker["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(worker["vendors"], json!(["inference_sh", "replicate", "senseaudio", "tencent"]));
    assert!(worker["started_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{worker}");
    world.submit("b", &songs(3))?;
    until("it has jobs in hand", || Ok(found("generate")?["jobs_by_stage"]["submit"] == 3))?;
    let (listed, _) = text(&world, &["worker", "list"])?;
    assert!(listed.contains("generate") && listed.contains("running"), "{listed}");

    // Nobody but an operator sees machines.
    let reader = world.key("a", &["read"])?;
    assert_eq!(api.with_key(&reader).get("/v1/workers")?.status, 403);

    generate.kill();
    let lost = || -> Result<bool> {
        let workers = world.json(&["worker", "list"])?;
        Ok(workers["data"].as_array().into_iter().flatten().any(|worker| worker["state"] == "lost"))
    };
    until("it is lost", lost)?;
    let (checked, code) = text(&world, &["doctor"])?;
    assert!(
        checked.contains("gives no sign of life") && checked.contains("no generate worker is running"),
        "{checked}"
    );
    assert_eq!(code, Some(3));
    // Whatever nobody renews ends by itself.
    for key in ["{sm:0}:workers", "{sm:0}:workers:seen"] {
        assert!(world.redis.cli(&["PTTL", key])?.parse::<i64>()? > 0, "{key}");
    }
    Ok(())
}
