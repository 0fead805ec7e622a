//! Prices and budgets of the whole fleet, and why work waits, over real processes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use songmill_tests::{World, many, until};

fn songs(count: usize) -> Vec<Value> {
    many(
        count,
        &[json!({ "custom_id": "s", "vendor": "replicate", "prompt": "a calm piano", "duration_s": 2 })],
    )
}

fn amount(value: &Value) -> f64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or(value.as_f64()).unwrap_or(f64::NAN)
}

/// What is spent and reserved today, of everybody.
fn spent(world: &World) -> Result<f64> {
    let budgets = world.json(&["budget", "list"])?;
    Ok(amount(&budgets["data"][0]["spent"]))
}

#[test]
fn limits_hold_to_the_cent_while_submitters_are_killed_and_prices_change() -> Result<()> {
    let world = World::start(&["generation_ms=[50, 400]", "audio_seconds_most=1"])?
        .with_callbacks()
        .with("money.day=3.0")
        .with("money.prices.replicate.song=0.05")
        .with("policy.vendors.replicate.settle=\"10s\"")
        .with("policy.vendors.replicate.limits.in_flight=6");
    let _others = world.serve(&["deliver", "listener"])?;
    world.submit("b", &songs(120))?;
    let mut workers = vec![world.serve_as("generate-0", &["generate"], &[])?];
    until("the settings have filled the record", || {
        let prices = world.json(&["price", "list"])?;
        let all = prices["data"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(all.iter().all(|price| price["updated_at"].is_string()))
    })?;
    workers.push(world.serve_as("generate-1", &["generate"], &[])?);
    // One knows of no price and of no budget: it goes by the fleet's.
    let ignorant = ["money.day=0.0".to_owned(), "money.prices={}".to_owned()];
    workers.push(world.serve_as("ignorant", &["generate"], &ignorant)?);
    for (round, price) in ["0.08", "0.02", "0.11", "0.03", "0.07", "0.05"].into_iter().enumerate() {
        std::thread::sleep(Duration::from_millis(700));
        world.json(&["price", "set", "replicate", "--song", price])?;
        workers.remove(0).crash();
        workers.push(world.serve_as(&format!("again-{round}"), &["generate"], &[])?);
        let spent = spent(&world)?;
        assert!(spent <= 3.0 + 1e-9, "{spent} of 3.00 are spent or reserved");
    }
    // In the end nothing fits any longer at any price of these.
    world.json(&["price", "set", "replicate", "--song", "0.5"])?;
    let counts = || Ok::<_, anyhow::Error>(world.json(&["batch", "show", "b"])?["counts"].clone());
    until("all that was submitted has ended", || {
        let counts = counts()?;
        let under_way = counts.as_object().context("counts")?.keys();
        Ok(under_way.filter(|state| !["completed", "queued"].contains(&state.as_str())).count() == 0)
    })?;
    let jobs = world.results("b")?;
    let cost: f64 = jobs.iter().map(|job| job["cost"].as_f64().unwrap_or(0.0)).sum();
    let spend = world.json(&["spend"])?;
    assert_eq!(spend["total"]["possibly_paid"], 0, "{spend}");
    assert!((spend["total"]["cost"].as_f64().context("a cost")? - cost).abs() < 1e-9, "{spend}: {cost}");
    assert!(cost <= 3.0 + 1e-9, "{cost} of 3.00");
    assert!((spent(&world)? - cost).abs() < 1e-9, "what is spent is what the jobs have cost: {cost}");
    let completed = jobs.iter().filter(|job| job["state"] == "completed").count();
    let tasks = world.stats()?["vendors"]["replicate"]["tasks_created"].as_u64().context("a count")?;
    assert_eq!(tasks, completed as u64, "each task is booked");
    let prices: Vec<f64> =
        jobs.iter().filter_map(|job| job["cost"].as_f64()).filter(|cost| *cost > 0.0).collect();
    let known = [0.05, 0.08, 0.02, 0.11, 0.03, 0.07, 0.5];
    assert!(prices.iter().all(|cost| known.contains(cost)), "each at the price of its claim: {prices:?}");
    world.audit()
}

#[test]
fn whoever_looks_is_told_why_work_waits() -> Result<()> {
    let world = World::start(&["generation_ms=[20, 40]"])?
        .with_callbacks()
        .with("money.prices.replicate.song=0.5")
        .with("policy.vendors.replicate.limits.in_flight=1");
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    world.file("b.jsonl", &songs(7))?;
    let begun = Instant::now();
    let output = world.run(&["submit", "b.jsonl", "--batch", "b", "--budget", "1.25", "--wait"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(60), "it does not wait for days");
    let line = "replicate: the budget of batch b is used up: 1.00 of 1.25 USD are spent or reserved, the next song costs 0.50";
    assert!(said.contains(line) && said.contains("songs wait"), "{said}");
    let shown = world.run(&["batch", "show", "b"])?;
    assert_eq!(shown.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&shown.stdout).contains(line), "{shown:?}");
    let view = world.json(&["batch", "show", "b"])?;
    let wait = &view["waits"][0];
    assert_eq!(
        (&wait["reason"], &wait["songs"], &wait["needs_person"]),
        (&json!("budget"), &json!(5), &json!(true))
    );
    let doctor = world.run(&["doctor"])?;
    assert_eq!(doctor.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("5 songs wait"), "{doctor:?}");
    let vendors = world.run(&["vendor", "list"])?;
    assert!(String::from_utf8_lossy(&vendors.stdout).contains("5 songs wait"), "{vendors:?}");
    let events: Vec<_> = world.json_lines(&["event", "list"])?;
    let told = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((told("budget.warning"), told("budget.reached")), (1, 1), "{events:?}");
    // An operator puts it right, and all of it goes on.
    world.json(&["budget", "set", "batch", "5", "--batch", "b"])?;
    assert_eq!(world.settled("b")?, json!({ "completed": 7 }));
    assert_eq!(world.run(&["batch", "show", "b"])?.status.code(), Some(0));
    world.audit()
}

#[test]
fn an_account_without_credit_is_told_of_with_the_page_to_buy_it() -> Result<()> {
    let world = World::start(&["faults.locked=true"])?.with_callbacks();
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    world.submit("b", &songs(3))?;
    let waits = || Ok::<_, anyhow::Error>(world.json(&["batch", "show", "b"])?["waits"][0].clone());
    until("all of them wait for that", || Ok(waits()?["songs"] == 3))?;
    let wait = waits()?;
    assert_eq!((&wait["reason"], &wait["needs_person"]), (&json!("paused"), &json!(true)), "{wait}");
    assert!(wait["next_try_at"].is_string() && wait["code"].is_string(), "{wait}");
    let doctor = world.run(&["doctor"])?;
    assert_eq!(doctor.status.code(), Some(3), "{doctor:?}");
    let events: Vec<_> = world.json_lines(&["event", "list"])?;
    let paused = events.iter().find(|event| event["type"] == "vendor.paused").context("it is told of")?;
    assert_eq!(paused["vendor"], "replicate", "{paused}");
    world.faults(&json!({ "locked": false }))?;
    world.run(&["vendor", "open", "replicate"])?;
    assert_eq!(world.settled("b")?, json!({ "completed": 3 }));
    let events: Vec<_> = world.json_lines(&["event", "list"])?;
    assert!(events.iter().any(|event| event["type"] == "vendor.resumed"), "{events:?}");
    world.audit()
}

#[test]
fn the_fleets_record_wins_over_settings_and_doctor_says_where_they_differ() -> Result<()> {
    let world = World::start(&[])?.with("money.prices.replicate.song=0.5").with("money.day=9.0");
    let _roles = world.serve(&["generate"])?;
    until("it is filled", || Ok(world.json(&["price", "list"])?["data"][1]["updated_by"] == "settings"))?;
    let prices = world.json(&["price", "list"])?;
    let price = |vendor: &str| {
        let all = prices["data"].as_array().map_or(&[][..], Vec::as_slice);
        all.iter().find(|price| price["vendor"] == vendor).cloned().unwrap_or_default()
    };
    assert_eq!(
        (&price("replicate")["song"], &price("replicate")["estimate"]),
        (&json!("0.50"), &json!(false))
    );
    let estimate = price("senseaudio");
    assert_eq!((&estimate["estimate"], &estimate["currency"]), (&json!(true), &json!("CNY")), "{estimate}");
    assert!(estimate["source"].is_string() && estimate["source_date"].is_string(), "{estimate}");
    world.file("b.jsonl", &songmill_tests::one_each())?;
    let plan = world.json(&["plan", "b.jsonl"])?;
    assert_eq!(plan["estimated"], json!(["inference_sh", "senseaudio", "tencent"]), "{plan}");
    // Other settings change nothing, and that is said.
    let other = |args: &[&str]| -> Result<std::process::Output> {
        let mut command = world.command(args)?;
        command.args(["--set", "money.prices.replicate.song=0.1", "--set", "money.day=2.0"]);
        Ok(command.output()?)
    };
    let doctor = String::from_utf8(other(&["doctor"])?.stdout)?;
    assert!(doctor.contains("money.day is 2.00 in the settings, but the fleet's budget is 9.00"), "{doctor}");
    assert!(doctor.contains("songmill price set replicate"), "{doctor}");
    // Bad input says what and where.
    for (args, says) in [
        (vec!["price", "set", "replicate", "--song", "-1"], "not an amount"),
        (vec!["price", "set", "replicate", "--song", "1", "--currency", "CNY"], "what 1 CNY is worth in USD"),
        (vec!["price", "set", "replicate"], "amounts"),
        (vec!["price", "set", "replicate", "--song", "1", "--rate", "0.14"], "say its currency"),
        (vec!["price", "set", "nobody", "--song", "1"], "nobody is not known"),
        (vec!["price", "set", "replicate", "--song", "1", "--currency", "yuan"], "three capital letters"),
        (vec!["budget", "set", "day"], "limit"),
        (vec!["budget", "set", "batch", "1", "--batch", "none"], "no such batch"),
        (vec!["budget", "set", "day", "1", "--tenant", "acme"], "scope"),
    ] {
        let output = world.run(&args)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(says), "{args:?}: {output:?}");
    }
    // A budget that can never hold is named.
    world.json(&["price", "set", "replicate", "--song", "0"])?;
    let doctor = String::from_utf8(world.run(&["doctor"])?.stdout)?;
    assert!(doctor.contains("a budget is set, but replicate is free"), "{doctor}");
    Ok(())
}
