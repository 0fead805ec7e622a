//! Limits, gates, fair shares and money, over real processes; the simulator counts and refuses.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use songmill_tests::{Process, World, many, one_each, until};

fn songs(vendor: &Value, count: usize) -> Vec<Value> {
    many(count, &[json!({ "custom_id": "s", "vendor": vendor, "prompt": "a calm piano", "duration_s": 4 })])
}

fn replicate(count: usize) -> Vec<Value> {
    songs(&json!("replicate"), count)
}

fn lyrical(vendor: &Value, count: usize) -> Vec<Value> {
    let line = json!({
        "custom_id": "s", "vendor": vendor, "lyrics": "[verse] snow on the hill ; [chorus] all is still",
        "style": "pop", "vocal": "female",
    });
    many(count, &[line])
}

/// So many processes that submit and poll, each on its own.
fn fleet(world: &World, count: usize) -> Result<Vec<Process>> {
    (0..count).map(|n| world.serve_as(&format!("generate-{n}"), &["generate"], &[])).collect()
}

fn vendor(world: &World, name: &str) -> Result<Value> {
    let vendors = world.json(&["vendor", "list"])?;
    let found = vendors.as_array().and_then(|all| all.iter().find(|vendor| vendor["name"] == name).cloned());
    found.context("the vendor is listed")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn explained(world: &World, batch: &str, custom_id: &str) -> Result<Value> {
    let job = world.job(batch, custom_id)?;
    world.json(&["job", "explain", job["id"].as_str().context("a job has an id")?])
}

#[test]
fn a_fleet_of_four_keeps_a_rate_and_uses_it() -> Result<()> {
    // 20 a second, as the vendor counts them: at most 200 in any ten seconds.
    let world = World::start(&["faults.creates_most=200", "faults.window_ms=10000"])?
        .with_callbacks()
        .with("policy.vendors.replicate.limits.creates_per_minute=1200")
        .with("policy.vendors.replicate.limits.creates_burst=3");
    let _listener = world.serve(&["listener", "deliver"])?;
    world.submit("b", &replicate(500))?;
    let _fleet = fleet(&world, 4)?;
    let created = || Ok::<_, anyhow::Error>(number(&world.stats()?["vendors"]["replicate"]["tasks_created"]));
    until("the first are submitted", || Ok(created()? >= 40))?;
    let (begun, before) = (Instant::now(), created()?);
    until("nearly all are submitted", || Ok(created()? >= 460))?;
    let rate = (created()? - before) as f64 / begun.elapsed().as_secs_f64();
    assert_eq!(world.settled("b")?, json!({ "completed": 500 }));
    let over = &world.stats()?["vendors"]["replicate"]["over_limit"];
    assert_eq!(over, &json!({ "creates": 0, "reads": 0, "in_flight": 0 }));
    // 97 % on an idle machine (`just bench limits`); a busy one must not fail this.
    assert!(rate > 16.0, "{rate} of 20 a second");
    world.audit()
}

#[test]
fn a_fleet_of_four_keeps_a_cap_on_tasks_under_way_and_leaks_none_when_it_is_killed() -> Result<()> {
    let world = World::start(&["faults.in_flight_most=25", "generation_ms=[300, 900]"])?
        .with_callbacks()
        .with("policy.vendors.replicate.limits.in_flight=25")
        .with("policy.vendors.replicate.settle=\"10s\"");
    let _others = world.serve(&["listener", "deliver"])?;
    world.submit("b", &replicate(400))?;
    let mut workers = fleet(&world, 4)?;
    for round in 0..10 {
        std::thread::sleep(Duration::from_millis(400));
        workers.remove(0).crash();
        workers.push(world.serve_as(&format!("again-{round}"), &["generate"], &[])?);
    }
    assert_eq!(world.settled("b")?, json!({ "completed": 400 }));
    let stats = world.stats()?;
    let mut replicate = stats["vendors"]["replicate"].clone();
    replicate["tasks_per_token"] = Value::Null;
    assert_eq!(replicate["over_limit"], json!({ "creates": 0, "reads": 0, "in_flight": 0 }));
    assert!(number(&replicate["most_in_flight"]) >= 23, "it is used: {replicate}");
    assert_eq!(vendor(&world, "replicate")?["flow"]["in_flight"], 0, "nothing leaks");
    // What was begun is known to have been done, or not to have been.
    let spend = world.json(&["spend"])?;
    assert_eq!((&spend["total"]["possibly_paid"], &spend["total"]["confirmed"]), (&json!(0), &json!(400)));
    world.audit()
}

#[test]
fn looks_keep_to_the_read_budget_and_take_many_tasks_at_once() -> Result<()> {
    let world = World::start(&[
        "faults.reads_most=40",
        "faults.window_ms=10000",
        "generation_ms=[2000, 2500]",
        "faults.callback_drop_rate=1.0",
    ])?
    .with("policy.vendors.replicate.limits.reads_per_minute=220")
    .with("policy.vendors.replicate.limits.reads_burst=2")
    .with("policy.vendors.inference_sh.limits.reads_per_minute=220")
    .with("policy.vendors.inference_sh.limits.reads_burst=2")
    // The simulator's files are fetched from the same addresses, but not counted.
    .with("policy.jobs.collect_rounds=0");
    let _roles = world.serve(&["generate", "deliver"])?;
    world.submit("r", &replicate(300))?;
    world.submit("i", &lyrical(&json!("inference_sh"), 300))?;
    assert_eq!(world.settled("r")?, json!({ "completed": 300 }));
    assert_eq!(world.settled("i")?, json!({ "completed": 300 }));
    for name in ["replicate", "inference_sh"] {
        let mut books = world.stats()?["vendors"][name].clone();
        books["tasks_per_token"] = Value::Null;
        assert_eq!(books["over_limit"]["reads"], 0, "{name}: {books}");
        assert!(number(&books["look_ups"]) >= 3, "{name} is listed: {books}");
        assert!(number(&books["polls"]) < 150, "{name}: 300 tasks are not asked for one by one: {books}");
    }
    world.audit()
}

#[test]
fn a_vendor_that_only_fails_is_left_alone_and_costs_the_others_nothing() -> Result<()> {
    let cases = [
        (json!({ "server_error_rate": 1.0 }), "failing"),
        (json!({ "timeout_rate": 1.0 }), "failing"),
        (json!({ "garble_rate": 1.0 }), "failing"),
        (json!({ "locked": true }), "locked"),
    ];
    for (faults, by) in cases {
        let world = World::start(&["faults.timeout_ms=5000"])?
            .with_callbacks()
            .with("policy.vendors.replicate.limits.breaker_wait=\"1s\"")
            .with("policy.vendors.replicate.limits.breaker_most=\"2s\"");
        let mut sick = faults.clone();
        sick["vendor"] = json!("replicate");
        world.faults(&sick)?;
        let _roles = world.serve(&["generate", "deliver", "listener"])?;
        world.submit("sick", &replicate(60))?;
        let others: Vec<_> = one_each().into_iter().filter(|line| line["vendor"] != "replicate").collect();
        world.submit("well", &many(10, &others))?;
        assert_eq!(world.settled("well")?, json!({ "completed": 30 }), "{faults}");
        until("its gate is shut", || Ok(vendor(&world, "replicate")?["gate"]["by"] == by))?;
        // Hardly anything is asked of it while it is shut.
        let asked = |world: &World| Ok::<_, anyhow::Error>(world.json(&["spend"])?["total"]["sent"].clone());
        let before = number(&asked(&world)?);
        std::thread::sleep(Duration::from_secs(3));
        let more = number(&asked(&world)?) - before;
        assert!(more <= 6, "{more} submissions in three seconds while it only answers {faults}");
        let well = faults
            .as_object()
            .context("faults")?
            .keys()
            .map(|key| (key.clone(), if faults[key] == true { json!(false) } else { json!(0.0) }));
        let mut well: serde_json::Map<_, _> = well.collect();
        well.insert("vendor".into(), json!("replicate"));
        world.faults(&Value::Object(well))?;
        assert_eq!(world.settled("sick")?, json!({ "completed": 60 }), "{faults}");
        assert_eq!(vendor(&world, "replicate")?["gate"], Value::Null, "its gate is open again: {faults}");
        world.audit()?;
    }
    Ok(())
}

#[test]
fn a_vendor_that_throttles_everything_costs_the_others_nothing() -> Result<()> {
    let world = World::start(&[])?.with_callbacks();
    world.faults(&json!({ "vendor": "replicate", "throttle_rate": 1.0 }))?;
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    world.submit("sick", &replicate(60))?;
    let others: Vec<_> = one_each().into_iter().filter(|line| line["vendor"] != "replicate").collect();
    world.submit("well", &many(10, &others))?;
    assert_eq!(world.settled("well")?, json!({ "completed": 30 }));
    let flow = vendor(&world, "replicate")?["flow"]["creates"].clone();
    assert!(
        flow["allowed"].as_f64() < Some(600.0) && flow["allowed"].as_f64() > Some(1.0),
        "it learned: {flow}"
    );
    world.faults(&json!({ "vendor": "replicate", "throttle_rate": 0.0 }))?;
    assert_eq!(world.settled("sick")?, json!({ "completed": 60 }));
    let job = world.job("sick", "s-0")?;
    assert_eq!(job["paid_this_step"], 1, "throttles cost no attempt: {job}");
    world.audit()
}

#[test]
fn one_song_of_a_late_tenant_does_not_wait_behind_thousands() -> Result<()> {
    let world =
        World::start(&[])?.with_callbacks().with("policy.vendors.replicate.limits.creates_per_minute=300");
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    world.submit("crowd", &replicate(3000))?;
    std::thread::sleep(Duration::from_secs(2));
    let begun = Instant::now();
    world.file("one.jsonl", &replicate(1))?;
    world.json(&["submit", "one.jsonl", "--batch", "late/one"])?;
    world.run(&["batch", "watch", "late/one"])?;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let crowd = world.json(&["batch", "show", "crowd"])?;
    assert!(number(&crowd["counts"]["queued"]) > 2800, "{crowd}");
    let waiting = explained(&world, "crowd", "s-2999")?;
    assert_eq!(waiting["blocked"]["by"], "share", "{waiting}");
    assert!(number(&waiting["blocked"]["until_ms"]) == 0 && waiting["blocked"]["words"].is_string());
    world.audit()
}

#[test]
fn a_gate_that_is_shut_by_hand_sends_jobs_to_their_next_vendor_and_holds_the_others() -> Result<()> {
    let world = World::start(&[])?.with_callbacks();
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    let shut = world.json(&["vendor", "shut", "senseaudio", "--why", "the invoice is disputed"])?;
    assert_eq!(shut[0]["gate"]["by"], "hand", "{shut}");
    world.submit("stay", &lyrical(&json!("senseaudio"), 3))?;
    world.submit("go", &lyrical(&json!(["senseaudio", "inference_sh"]), 5))?;
    assert_eq!(world.settled("go")?, json!({ "completed": 5 }));
    let job = world.job("go", "s-0")?;
    assert_eq!((&job["vendor"], &job["submissions"]), (&json!("inference_sh"), &json!(1)), "{job}");
    assert!(job["failed_over"][0]["because"].as_str().unwrap_or_default().contains("disputed"), "{job}");
    let why = explained(&world, "stay", "s-0")?;
    assert_eq!((&why["blocked"]["by"], &why["state"]), (&json!("gate"), &json!("queued")), "{why}");
    assert!(
        why["blocked"]["words"].as_str().unwrap_or_default().contains("the invoice is disputed"),
        "{why}"
    );
    assert_eq!(world.stats()?["vendors"]["senseaudio"]["tasks_created"], 0);
    world.json(&["vendor", "open", "senseaudio"])?;
    assert_eq!(world.settled("stay")?, json!({ "completed": 3 }));
    world.audit()
}

#[test]
fn nothing_is_submitted_that_could_pass_a_cap_on_money() -> Result<()> {
    let world = World::start(&[])?
        .with_callbacks()
        .with("money.prices.replicate.song=0.5")
        .with("money.currency=\"EUR\"");
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    world.file("b.jsonl", &replicate(10))?;
    world.json(&["submit", "b.jsonl", "--batch", "b", "--budget", "2.2"])?;
    until("what the budget allows is done", || {
        Ok(world.json(&["batch", "show", "b"])?["counts"] == json!({ "queued": 6, "completed": 4 }))
    })?;
    std::thread::sleep(Duration::from_secs(1));
    let queued = world.results("b")?.into_iter().find(|job| job["state"] == "queued").context("one waits")?;
    let why = explained(&world, "b", queued["custom_id"].as_str().unwrap_or_default())?;
    assert_eq!(why["blocked"]["by"], "money", "{why}");
    assert!(
        why["blocked"]["words"].as_str().unwrap_or_default().contains("2.0000 of at most 2.2000"),
        "{why}"
    );
    // More of it, and a cap on the tenant's day.
    world.json(&["tenant", "quota", "default", "--spend-per-day", "3"])?;
    world.json(&["submit", "b.jsonl", "--batch", "b", "--budget", "0"])?;
    until("what the day allows is done", || {
        Ok(world.json(&["batch", "show", "b"])?["counts"] == json!({ "queued": 4, "completed": 6 }))
    })?;
    world.json(&["tenant", "quota", "default", "--weight", "2"])?;
    assert_eq!(world.json(&["batch", "show", "b"])?["counts"]["queued"], 4, "a weight changes no budget");
    world.json(&["budget", "set", "tenant", "--tenant", "default"])?;
    assert_eq!(world.settled("b")?, json!({ "completed": 10 }));
    let spend = world.json(&["spend", "--by", "vendor"])?;
    assert_eq!((&spend["currency"], &spend["data"][0]["vendor"]), (&json!("EUR"), &json!("replicate")));
    let row = &spend["data"][0];
    assert_eq!(
        (&row["sent"], &row["confirmed"], &row["possibly_paid"], &row["cost"]),
        (&json!(10), &json!(10), &json!(0), &json!(5.0)),
        "{spend}"
    );
    assert_eq!(spend["today"], 5.0, "{spend}");
    world.audit()
}

#[test]
fn a_length_in_the_vendors_own_fields_is_booked_and_planned() -> Result<()> {
    let world = World::start(&[])?.with_callbacks().with("money.prices.replicate.second=0.01");
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    let own = |n: usize| {
        json!({ "custom_id": format!("r{n}"), "vendor": "replicate", "prompt": "rain", "duration_s": 1,
            "options": { "replicate": { "duration": 30 } } })
    };
    let songs: Vec<Value> = (0..5).map(own).collect();
    world.file("b.jsonl", &songs)?;
    let plan = world.json(&["plan", "b.jsonl"])?;
    assert_eq!(plan["cost"]["USD"]["low"], 1.5, "five songs of 30 s: {plan}");
    // Two of them fit, whatever the neutral field says.
    world.json(&["submit", "b.jsonl", "--batch", "b", "--budget", "0.75"])?;
    until("what the budget allows is done", || {
        Ok(world.json(&["batch", "show", "b"])?["counts"] == json!({ "queued": 3, "completed": 2 }))
    })?;
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(world.stats()?["vendors"]["replicate"]["tasks_created"], 2);
    // What was made is what is charged in the end.
    let made: f64 = world
        .results("b")?
        .iter()
        .filter_map(|job| job["assets"][0]["duration_ms"].as_f64())
        .map(|length| length / 1000.0 * 0.01)
        .sum();
    let spent = world.json(&["spend"])?["total"]["cost"].as_f64().context("a cost")?;
    assert!((spent - made).abs() < 0.001, "{spent} is booked, {made} was made");
    world.audit()
}

#[test]
fn a_plan_says_how_many_songs_are_made_by_every_vendor() -> Result<()> {
    let world = World::start(&["audio_seconds_most=2"])?.with_callbacks();
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    let mut songs = Vec::new();
    for count in [None, Some(3)] {
        for mut song in songmill_tests::one_each() {
            song["custom_id"] =
                format!("{}-{}", song["vendor"].as_str().context("one")?, count.unwrap_or(1)).into();
            song["count"] = count.into();
            song["allow_ignored"] = json!(["count"]);
            song.as_object_mut().context("an object")?.retain(|_, value| !value.is_null());
            songs.push(song);
        }
    }
    world.file("b.jsonl", &songs)?;
    let plan = world.json(&["plan", "b.jsonl"])?;
    world.json(&["submit", "b.jsonl", "--batch", "b"])?;
    assert_eq!(world.settled("b")?, json!({ "completed": songs.len() }));
    for vendor in songmill_tests::VENDORS {
        let of_vendor = |job: &&Value| job["vendor"] == vendor;
        let results = world.results("b")?;
        let songs_of = |job: &Value| {
            let assets = job["assets"].as_array().map_or(&[][..], Vec::as_slice);
            assets.iter().filter(|asset| asset["part"].is_null()).count()
        };
        let made: usize = results.iter().filter(of_vendor).map(songs_of).sum();
        assert_eq!(plan["vendors"][vendor]["songs"], made, "{vendor}: {plan}");
    }
    Ok(())
}

#[test]
fn a_song_waits_for_its_time_and_ends_at_its_deadline() -> Result<()> {
    let world = World::start(&[])?.with_callbacks();
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    world.json(&["vendor", "shut", "senseaudio"])?;
    let moment = |secs: i64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        jiff::Timestamp::from_second(now.as_secs().cast_signed() + secs).unwrap_or_default().to_string()
    };
    let mut later = replicate(1);
    later[0]["not_before"] = json!(moment(4));
    let mut never = lyrical(&json!("senseaudio"), 1);
    never[0]["deadline"] = json!(moment(3));
    world.submit("later", &later)?;
    world.submit("never", &never)?;
    let why = explained(&world, "later", "s-0")?;
    assert_eq!(why["blocked"]["by"], "time", "{why}");
    assert_eq!(world.settled("never")?, json!({ "failed": 1 }));
    assert_eq!(world.job("never", "s-0")?["fault"]["code"], "deadline_passed");
    assert_eq!(world.settled("later")?, json!({ "completed": 1 }));
    let job = world.job("later", "s-0")?;
    assert!(job["seconds"].as_f64() > Some(2.0), "{job}");
    world.audit()
}

#[test]
fn the_same_song_is_not_made_twice_by_mistake() -> Result<()> {
    let world = World::start(&[])?.with_callbacks();
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    let mut lines = replicate(3);
    for line in &mut lines {
        line["content_key"] = json!("auto");
    }
    let submitted = world.submit("b", &lines)?;
    assert_eq!((&submitted["created"], &submitted["refused"]), (&json!(1), &json!(2)), "{submitted}");
    let again = world.submit("c", &lines)?;
    assert_eq!((&again["created"], &again["refused"]), (&json!(0), &json!(3)), "{again}");
    let errors = std::fs::read_to_string(world.folder.path().join("c.rejected.jsonl"))?;
    assert!(errors.contains("makes the same song"), "{errors}");
    assert_eq!(world.settled("b")?, json!({ "completed": 1 }));
    assert_eq!(world.stats()?["vendors"]["replicate"]["tasks_created"], 1);
    world.audit()
}

#[test]
fn callbacks_that_go_quiet_are_noticed_and_looked_for() -> Result<()> {
    // However slow this machine is, looks come later than callbacks.
    let world = World::start(&["generation_ms=[200, 400]"])?
        .with_callbacks()
        .with(r#"policy.vendors.replicate.poll_first="2s""#);
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    let callbacks = || Ok::<_, anyhow::Error>(vendor(&world, "replicate")?["flow"]["callbacks"].clone());
    world.submit("good", &replicate(40))?;
    assert_eq!(world.settled("good")?, json!({ "completed": 40 }));
    until("they are known to come", || Ok(callbacks()? == "good"))?;
    world.faults(&json!({ "callback_drop_rate": 1.0 }))?;
    world.submit("quiet", &replicate(120))?;
    assert_eq!(world.settled("quiet")?, json!({ "completed": 120 }));
    until("they are known not to come", || Ok(callbacks()? == "quiet"))?;
    let log = world.log("generate-deliver-listener");
    assert!(log.contains("callbacks of replicate have gone quiet"), "it is said");
    world.audit()
}

#[test]
fn equal_songs_share_a_task_when_that_is_asked_for_and_each_job_has_its_own() -> Result<()> {
    let line = json!({
        "custom_id": "t", "vendor": "tencent", "prompt": "海边的清晨，轻快的旋律", "options": { "tencent": { "pack": true } },
    });
    let world = World::start(&["generation_ms=[500, 900]"])?.with_callbacks();
    let _others = world.serve(&["deliver", "listener"])?;
    world.submit("b", &many(40, &[line]))?;
    let mut worker = world.serve_as("generate-0", &["generate"], &[])?;
    // Those that die in between leave nobody who is paid for twice.
    for round in 1..4 {
        std::thread::sleep(Duration::from_millis(60 * round));
        worker.crash();
        worker = world.serve_as(&format!("generate-{round}"), &["generate"], &[])?;
    }
    assert_eq!(world.settled("b")?, json!({ "completed": 40 }));
    let stats = world.stats()?;
    let tasks = number(&stats["vendors"]["tencent"]["tasks_created"]);
    assert!(tasks < 12, "{tasks} tasks for 40 songs");
    let results = world.results("b")?;
    let sums: std::collections::BTreeSet<_> =
        results.iter().map(|job| (job["task"].to_string(), job["assets"][0]["sha256"].to_string())).collect();
    // The simulator makes the same tune again now and then.
    assert!(sums.len() > 30, "each has a song of its own: {}", results[0]);
    assert!(
        results
            .iter()
            .all(|job| job["maybe_paid_twice"] == 0 && job["assets"].as_array().map(Vec::len) == Some(1))
    );
    drop(worker);
    world.audit()
}
