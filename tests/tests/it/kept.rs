//! What was paid for is kept: whatever a vendor shows, how late, and from which address, one song is one task.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use songmill_tests::{VENDORS, World, many, one_each};

/// How many tasks each vendor made.
fn tasks(world: &World) -> Result<Vec<u64>> {
    let stats = world.stats()?;
    let made = |vendor: &&str| stats["vendors"][*vendor]["tasks_created"].as_u64().context("it counts tasks");
    VENDORS.iter().map(made).collect()
}

/// To how many tasks or files of each vendor a fault was applied.
fn applied(world: &World, fault: &str) -> Result<Vec<u64>> {
    let stats = world.stats()?;
    Ok(VENDORS
        .iter()
        .map(|vendor| stats["vendors"][*vendor]["faults"][fault].as_u64().unwrap_or(0))
        .collect())
}

/// Requests for all vendors, so many for each, that no vendor can take for one another.
fn songs(count: usize) -> Vec<Value> {
    let mut songs = many(count, &one_each());
    for (n, song) in songs.iter_mut().enumerate() {
        if song["vendor"] == "senseaudio" {
            song["lyrics"] = format!("[verse] snow on hill {n} ; [chorus] all is still").into();
        }
    }
    songs
}

#[test]
fn four_hundred_songs_whose_addresses_expire_once_cost_four_hundred_tasks_at_each_vendor() -> Result<()> {
    const EACH: usize = 400;
    let world = World::start(&["audio_seconds_most=2", "faults.output_expired_once_rate=1"])?;
    let _roles = world.serve(&["generate", "deliver"])?;
    world.submit("b", &songs(EACH))?;
    assert_eq!(world.settled("b")?, json!({ "completed": 4 * EACH }));
    assert_eq!(tasks(&world)?, [EACH as u64; 4]);
    for expired in applied(&world, "output_expired_once")? {
        assert_eq!(expired, EACH as u64, "each address was refused once");
    }
    world.audit()
}

/// A world in which a fault meets every task of every vendor, and what its songs came to.
fn with_fault(faults: &[&str], each: usize) -> Result<(World, Vec<Value>)> {
    let world = World::start(&[&["audio_seconds_most=6"], faults].concat())?;
    let _roles = world.serve(&["generate", "deliver"])?;
    world.submit("b", &songs(each))?;
    world.settled("b")?;
    let results = world.results("b")?;
    Ok((world, results))
}

fn all_completed_for_one_task(world: &World, results: &[Value], each: usize) -> Result<()> {
    for job in results {
        let job = world.json(&["job", "show", job["id"].as_str().context("a job has an id")?])?;
        assert_eq!(job["state"], "completed", "{job}");
    }
    assert_eq!(tasks(world)?, [each as u64; 4]);
    world.audit()
}

#[test]
fn outputs_that_come_late_are_waited_for() -> Result<()> {
    let (world, results) = with_fault(&["faults.output_late_rate=1", "faults.output_late_ms=1500"], 8)?;
    all_completed_for_one_task(&world, &results, 8)?;
    assert!(applied(&world, "output_late")?.iter().all(|count| *count == 8));
    Ok(())
}

#[test]
fn outputs_that_come_late_are_waited_for_though_callbacks_say_that_all_is_done() -> Result<()> {
    let world = World::start(&["audio_seconds_most=2"])?.with_callbacks();
    world.faults(&json!({ "output_late_rate": 1, "output_late_ms": 1500, "callback_double_rate": 0.5 }))?;
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    world.submit("b", &songs(8))?;
    assert_eq!(world.settled("b")?, json!({ "completed": 32 }));
    assert_eq!(tasks(&world)?, [8; 4]);
    world.audit()
}

#[test]
fn outputs_that_never_come_are_held_with_the_vendors_answer() -> Result<()> {
    let (world, results) = with_fault(&["faults.output_never_rate=1"], 2)?;
    assert_eq!(tasks(&world)?, [2; 4]);
    for job in &results {
        assert_eq!(job["state"], "held", "{job}");
        assert_eq!(job["fault"]["code"], "output_unreadable", "{job}");
        let answer = job["vendor_answer"].as_str().context("the answer is kept")?;
        assert!(answer.contains('{'), "{answer}");
    }
    // They come after all: the same task is followed, and nothing is paid for.
    world.faults(&json!({ "output_never_rate": 0 }))?;
    let _roles = world.serve(&["generate", "deliver"])?;
    for job in &results {
        let (id, task) = (job["id"].as_str(), job["task"].as_str());
        let adopt = ["job", "resolve", id.context("an id")?, "--adopt", task.context("a task")?];
        assert!(world.run(&adopt)?.status.success());
    }
    assert_eq!(world.settled("b")?, json!({ "completed": 8 }));
    assert_eq!(tasks(&world)?, [2; 4]);
    world.audit()
}

#[test]
fn outputs_of_any_shape_are_read() -> Result<()> {
    for shape in ["named", "objects", "nested", "other_key", "text"] {
        let (world, results) = with_fault(&[&format!("faults.output_shape={shape}")], 2)?;
        all_completed_for_one_task(&world, &results, 2).context(shape)?;
        for job in &results {
            assert_eq!(job["assets"].as_array().map(Vec::len), Some(1), "{shape}: {job}");
            assert!(job["assets"][0]["flags"].is_null(), "{shape}: {job}");
        }
    }
    Ok(())
}

#[test]
fn what_stands_beside_a_song_is_listed_and_a_song_without_an_address_is_flagged() -> Result<()> {
    let (world, results) = with_fault(&["faults.output_shape=beside"], 2)?;
    all_completed_for_one_task(&world, &results, 2)?;
    for job in &results {
        assert_eq!(job["assets"].as_array().map(Vec::len), Some(1), "{job}");
        assert!(job["assets"][0]["flags"].is_null(), "{job}");
        assert_eq!(job["extra"].as_array().map(Vec::len), Some(2), "a picture and a score: {job}");
    }
    let (world, results) = with_fault(&["faults.output_shape=unusable"], 2)?;
    all_completed_for_one_task(&world, &results, 2)?;
    for job in &results {
        assert_eq!(job["assets"][0]["flags"], json!(["incomplete"]), "{job}");
        let reason = &job["extra"][0]["reason"];
        assert!(reason == "unusable" || reason == "missing", "by chance nothing stands there: {job}");
    }
    Ok(())
}

#[test]
fn twenty_thousand_outputs_make_a_small_record() -> Result<()> {
    let (world, results) = with_fault(&["faults.output_shape=many", "faults.output_many=20000"], 1)?;
    all_completed_for_one_task(&world, &results, 1)?;
    for job in &results {
        assert_eq!(job["assets"].as_array().map(Vec::len), Some(1), "{job}");
        assert_eq!(job["assets"][0]["flags"], json!(["incomplete"]), "{job}");
        assert_eq!(job["extra"].as_array().map(Vec::len), Some(100), "{job}");
        assert!(job["extra_more"].as_u64().is_some_and(|more| more > 19_000), "{job}");
        assert!(job.to_string().len() < 64 << 10, "{} bytes", job.to_string().len());
    }
    Ok(())
}

#[test]
fn addresses_are_read_as_browsers_read_them() -> Result<()> {
    let forms =
        ["blanks", "percent", "slashes", "line_feed", "upper_case", "non_ascii", "query", "host_name"];
    for form in forms {
        let (world, results) = with_fault(&[&format!("faults.address_form={form}")], 2)?;
        all_completed_for_one_task(&world, &results, 2).context(form)?;
    }
    Ok(())
}

#[test]
fn headers_of_buckets_say_nothing_of_the_audio() -> Result<()> {
    let world = World::start(&["audio_seconds_most=2"])?;
    let _roles = world.serve(&["generate", "deliver"])?;
    let named = ["aws-chunked", "utf-8", "binary", "none", "gzip", "deflate"];
    for (n, encoding) in named.iter().enumerate() {
        for (m, encoded) in [true, false].into_iter().enumerate() {
            world.faults(&json!({ "content_encoding": encoding, "encode_bytes": encoded }))?;
            let batch = format!("b{n}{m}");
            let mut songs = songs(1);
            for song in &mut songs {
                song["custom_id"] = format!("{}-{batch}", song["custom_id"]).into();
            }
            world.submit(&batch, &songs)?;
            assert_eq!(world.settled(&batch)?, json!({ "completed": 4 }), "{encoding} {encoded}");
        }
    }
    assert_eq!(tasks(&world)?, [12; 4]);
    world.audit()
}

#[test]
fn files_that_are_not_ready_are_downloaded_again() -> Result<()> {
    for kind in ["page", "json", "empty", "first_third", "not_found"] {
        let not_ready = format!("faults.not_ready={kind}");
        let (world, results) = with_fault(&[&not_ready, "faults.not_ready_ms=1500"], 2)?;
        all_completed_for_one_task(&world, &results, 2).context(kind)?;
        for job in &results {
            assert!(job["assets"][0]["flags"].is_null(), "{kind}: {job}");
        }
    }
    Ok(())
}

#[test]
fn a_vendor_that_closes_idle_connections_holds_nothing() -> Result<()> {
    let world = World::start(&["audio_seconds_most=2", "faults.close_idle_ms=1500"])?;
    let _roles = world.serve(&["generate", "deliver"])?;
    for round in 0..3 {
        let mut songs = songs(4);
        for song in &mut songs {
            song["custom_id"] = format!("{}-{round}", song["custom_id"]).into();
        }
        let batch = format!("b{round}");
        world.submit(&batch, &songs)?;
        assert_eq!(world.settled(&batch)?, json!({ "completed": 16 }), "{round}");
        std::thread::sleep(std::time::Duration::from_millis(2000));
    }
    assert_eq!(tasks(&world)?, [12; 4]);
    world.audit()
}
