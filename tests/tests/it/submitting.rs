//! Files of requests, good and bad.

use anyhow::Result;
use serde_json::{Value, json};
use songmill_tests::{World, one_each};

#[test]
fn bad_lines_are_named_and_good_ones_run() -> Result<()> {
    let world = World::start(&[])?;
    let good = one_each();
    let text = format!(
        "{}\n{}\nnot json\n{}\n{}\n",
        good[2],
        json!({ "custom_id": "x", "vendor": "replicate", "prompt": "p", "duration_s": 9999 }),
        json!({ "custom_id": "y", "vendor": "tencent", "prompt": "no Chinese here" }),
        good[3],
    );
    std::fs::write(world.folder.path().join("mixed.jsonl"), text)?;
    let output = world.run(&["submit", "mixed.jsonl", "--json"])?;
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((&summary["created"], &summary["refused"]), (&json!(2), &json!(3)));
    let errors = std::fs::read_to_string(world.folder.path().join("mixed.rejected.jsonl"))?;
    let errors: Vec<Value> = errors.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let named: Vec<_> =
        errors.iter().map(|error| (error["line"].as_u64(), error["field"].as_str())).collect();
    assert_eq!(named[0], (Some(2), Some("duration_s")));
    assert_eq!(named[1], (Some(3), Some("(line)")));
    assert_eq!(named[2].0, Some(4));
    assert!(errors.iter().all(|error| error["fault"].is_string() && error["fix"].is_string()));
    let _roles = world.serve(&["generate", "deliver"])?;
    assert_eq!(world.settled("mixed")?, json!({ "completed": 2 }));
    Ok(())
}

#[test]
fn the_same_file_again_creates_nothing_new_and_says_so() -> Result<()> {
    let world = World::start(&[])?;
    let mut lines = one_each();
    // Two lines without an id that are alike are two songs.
    lines.extend([
        json!({ "vendor": "replicate", "prompt": "twin" }),
        json!({ "vendor": "replicate", "prompt": "twin" }),
    ]);
    let first = world.submit("b", &lines)?;
    assert_eq!((&first["created"], &first["known"]), (&json!(6), &json!(0)));
    let again = world.run(&["submit", "b.jsonl", "--batch", "b"])?;
    let said = String::from_utf8(again.stdout)?;
    assert_eq!(again.status.code(), Some(0));
    assert!(said.contains("0 new jobs, 6 submitted before"), "{said}");
    assert_eq!(world.json(&["batch", "show", "b"])?["total"], 6);
    Ok(())
}

#[test]
fn another_request_under_a_known_id_is_refused() -> Result<()> {
    let world = World::start(&[])?;
    world.submit("b", &[json!({ "custom_id": "a", "vendor": "replicate", "prompt": "one" })])?;
    let second = world.submit("b", &[json!({ "custom_id": "a", "vendor": "replicate", "prompt": "two" })])?;
    assert_eq!((&second["created"], &second["refused"]), (&json!(0), &json!(1)));
    Ok(())
}

#[test]
fn a_dry_run_needs_no_redis_and_submits_nothing() -> Result<()> {
    let mut world = World::start(&[])?;
    world.file("b.jsonl", &one_each())?;
    world.redis.stop()?;
    let summary = world.json(&["submit", "b.jsonl", "--dry-run"])?;
    assert_eq!(
        summary["by_vendor"],
        json!({ "inference_sh": 1, "replicate": 1, "senseaudio": 1, "tencent": 1 })
    );
    let output = world.run(&["submit", "b.jsonl"])?;
    assert_eq!(output.status.code(), Some(4), "Redis is away");
    Ok(())
}

#[test]
fn what_is_changed_in_lyrics_is_shown_before_and_after() -> Result<()> {
    let world = World::start(&[])?;
    let sung = |id: &str, vendor: &str, lyrics: &str| json!({ "custom_id": id, "vendor": vendor, "lyrics": lyrics, "style": "pop", "duration_s": 6 });
    let lines = [
        sung("plain", "inference_sh", "Verse 1:\nWe'll be young\nI'll stay\n\n[Hook]\nShe'd go，no"),
        sung("tagged", "inference_sh", "[verse] We'll be young. ; [chorus] She'd go."),
        sung("chinese", "senseaudio", "副歌\n你好，世界。"),
    ];
    world.file("b.jsonl", &lines)?;
    let kinds = |changes: &Value| -> Vec<String> {
        let of = |change: &Value| format!("{} {}", change["kind"].as_str().unwrap_or(""), change["count"]);
        changes.as_array().into_iter().flatten().map(of).collect()
    };
    let plain = ["tag_mapped 2", "punctuation 1", "lines_joined 1", "full_stop_added 2"];
    let all = [&plain[..], &["tag_mapped 1"]].concat();
    assert_eq!(kinds(&world.json(&["submit", "b.jsonl", "--dry-run"])?["changes"]), all);
    assert_eq!(kinds(&world.json(&["plan", "b.jsonl"])?["changes"]), all);
    let said = String::from_utf8(world.run(&["plan", "b.jsonl"])?.stdout)?;
    assert!(said.contains("inference_sh, lyrics of 1 song: 2 tags mapped (Verse 1: -> [verse]"), "{said}");

    world.submit("b", &lines)?;
    let _roles = world.serve(&["generate", "deliver"])?;
    assert_eq!(world.settled("b")?, json!({ "completed": 3 }));
    let job = world.job("b", "plain")?;
    assert_eq!(kinds(&job["changes"]), plain, "{job}");
    assert_eq!(job["changes"][0]["examples"][1], json!({ "from": "[Hook]", "to": "[chorus]" }));
    assert!(world.job("b", "tagged")?.get("changes").is_none());
    let id = job["id"].as_str().unwrap_or_default();
    let shown = String::from_utf8(world.run(&["job", "show", id])?.stdout)?;
    assert!(
        shown.contains("changed   lyrics: 2 tags mapped (Verse 1: -> [verse], [Hook] -> [chorus])"),
        "{shown}"
    );
    let results = String::from_utf8(world.run(&["batch", "results", "b"])?.stdout)?;
    assert!(results.contains("2 songs were sent in another form than written"), "{results}");
    Ok(())
}

#[test]
fn a_job_can_be_canceled_wherever_it_is() -> Result<()> {
    let world = World::start(&["faults.hold=true"])?;
    world.submit("queued", &one_each())?;
    assert_eq!(world.json(&["batch", "cancel", "queued"])?["canceled"], 4);
    assert_eq!(world.settled("queued")?, json!({ "canceled": 4 }));
    let _roles = world.serve(&["generate", "deliver"])?;
    world.submit("running", &one_each())?;
    songmill_tests::until("all tasks run", || {
        Ok(world.json(&["batch", "show", "running"])?["counts"] == json!({ "generating": 4 }))
    })?;
    world.json(&["batch", "cancel", "running"])?;
    assert_eq!(world.settled("running")?, json!({ "canceled": 4 }));
    let stats = world.stats()?;
    for vendor in ["replicate", "inference_sh"] {
        assert_eq!(stats["vendors"][vendor]["canceled"], 1, "{vendor} was told to stop");
    }
    world.audit()
}

#[test]
fn a_batch_has_the_order_of_its_file() -> Result<()> {
    let world = World::start(&[])?;
    let name = |n: usize| format!("{n:04}");
    let rows: String = (0..260).map(|n| format!("{};replicate;calm piano\r\n", name(n))).collect();
    let table = format!("custom_id;vendor;prompt\r\n{rows}");
    std::fs::write(world.folder.path().join("songs.csv"), table)?;
    // Redis has to be told what to do first, time and again: a call that it did not understand is sent once more, and those
    // behind it must not pass it by. Without care every sixth batch or so was out of order.
    for round in 0..25 {
        world.redis.cli(&["script", "flush"])?;
        let batch = format!("round-{round}");
        world.json(&["submit", "songs.csv", "--batch", &batch])?;
        let results = world.results(&batch)?;
        let order: Vec<_> = results.iter().filter_map(|job| job["custom_id"].as_str()).collect();
        assert_eq!(order, (0..260).map(name).collect::<Vec<_>>(), "{batch}");
    }
    Ok(())
}
