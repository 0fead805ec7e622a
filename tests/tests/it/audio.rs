//! What comes of audio that is not as it should be, and how it lies in storage.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use songmill_tests::{World, until};

fn song(custom_id: &str) -> Value {
    json!({ "custom_id": custom_id, "vendor": "replicate", "prompt": custom_id, "duration_s": 3, "seed": 7, "title": "Night / Day" })
}

/// What lies in storage, but for what has not been stored.
fn files(world: &World) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![world.folder.path().join("songs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true if path.ends_with(".incoming") => {}
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    Ok(found)
}

fn flags(job: &Value) -> &Value {
    &job["assets"][0]["flags"]
}

#[test]
fn audio_that_is_none_or_cut_is_made_anew_once_and_never_completed() -> Result<()> {
    for (audio, code) in
        [("cut", "audio_unfit"), ("silent", "audio_unfit"), ("page", "not_audio"), ("empty", "not_audio")]
    {
        let world = World::start(&[])?.with_policy("attempts=3").with_policy("backoff=\"50ms\"");
        world.faults(&json!({ "audio": audio }))?;
        let _roles = world.serve(&["generate", "deliver"])?;
        world.submit("b", &[song("a")])?;
        assert_eq!(world.settled("b")?, json!({ "failed": 1 }), "{audio}");
        let job = world.job("b", "a")?;
        assert_eq!(job["fault"]["code"], code, "{audio}: {job}");
        assert_eq!(world.stats()?["vendors"]["replicate"]["tasks_created"], 2, "{audio}");
        assert_eq!(files(&world)?, Vec::<PathBuf>::new(), "{audio}: nothing of it is stored");
    }
    Ok(())
}

#[test]
fn a_song_is_not_lost_with_a_part_of_it_that_is_no_good() -> Result<()> {
    let world = World::start(&["audio_seconds_most=2"])?.with_policy("attempts=1");
    world.faults(&json!({ "audio": "cut", "audio_rate": 0.3 }))?;
    let _roles = world.serve(&["generate", "deliver"])?;
    let songs: Vec<Value> = (0..40)
        .map(|n| {
            json!({
                "custom_id": format!("s{n}"), "vendor": "inference_sh", "prompt": "pop", "lyrics": "[verse] la la la",
                "duration_s": 2, "options": { "inference_sh": { "generate_type": "separate" } },
            })
        })
        .collect();
    world.submit("b", &songs)?;
    world.settled("b")?;
    let (mut whole, mut partly, mut failed) = (0, 0, 0);
    for job in world.results("b")? {
        if job["state"] == "failed" {
            assert_eq!(job["fault"]["code"], "audio_unfit", "{job}");
            failed += 1;
            continue;
        }
        let assets = job["assets"].as_array().context("a completed job has assets")?;
        assert!(assets.iter().any(|asset| asset["part"].is_null()), "the song is there: {job}");
        let is_marked = |asset: &Value| asset["flags"].to_string().contains("incomplete");
        match assets.len() {
            3 => whole += u32::from(!assets.iter().any(is_marked)),
            _ => partly += u32::from(assets.iter().all(is_marked)),
        }
    }
    let known: usize =
        world.results("b")?.iter().map(|job| job["assets"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(files(&world)?.len(), 2 * known, "nothing lies there that no job knows of");
    assert_eq!(whole + partly + failed, 40, "{whole} whole, {partly} partly, {failed} failed");
    assert!(whole > 0 && partly > 0 && failed > 0, "{whole} whole, {partly} partly, {failed} failed");
    assert_eq!(world.stats()?["vendors"]["inference_sh"]["tasks_created"], 40);
    world.audit()
}

#[test]
fn audio_is_fetched_again_before_it_is_made_again() -> Result<()> {
    // Time enough to mend it in between.
    let world = World::start(&[])?.with("policy.jobs.collect_backoff=\"3s\"");
    world.faults(&json!({ "audio": "cut" }))?;
    let _roles = world.serve(&["generate", "deliver"])?;
    world.submit("b", &[song("a")])?;
    until("the first is found out", || {
        Ok(world.job("b", "a")?["history"].to_string().contains("audio_unfit"))
    })?;
    world.faults(&json!({ "audio": "none" }))?;
    assert_eq!(world.settled("b")?, json!({ "completed": 1 }));
    let job = world.job("b", "a")?;
    assert_eq!((&job["submissions"], flags(&job)), (&json!(1), &Value::Null), "it was the way, not the song");
    Ok(())
}

#[test]
fn thresholds_and_their_consequences_are_settings() -> Result<()> {
    for (audio, setting, flag) in [
        ("cut", "checks.damage=\"flag\"", "damaged"),
        ("clipped", "checks.clipping=\"flag\"", "clipped"),
        ("none", "checks.shortest=1.5", "too_short"),
        ("none", "checks.longest=0.5", "too_long"),
    ] {
        let world = World::start(&[])?.with(format!("deliver.{setting}"));
        world.faults(&json!({ "audio": audio }))?;
        let _roles = world.serve(&["generate", "deliver"])?;
        world.submit("b", &[song("a")])?;
        assert_eq!(world.settled("b")?, json!({ "completed": 1 }), "{setting}");
        assert_eq!(flags(&world.job("b", "a")?), &json!([flag]), "{setting}");
        assert_eq!(world.stats()?["vendors"]["replicate"]["tasks_created"], 1, "{setting}");
    }
    Ok(())
}

#[test]
fn lengths_that_stick_to_a_warm_worker_are_caught() -> Result<()> {
    let world = World::start(&["inference_sh.sticky=true"])?
        .with("deliver.checks.length=\"regenerate\"")
        .with_policy("attempts=2")
        .with_policy("backoff=\"50ms\"");
    let _roles = world.serve(&["generate", "deliver"])?;
    let song = |id: &str, duration_s: u32| json!({ "custom_id": id, "vendor": "inference_sh", "prompt": "pop", "lyrics": "[verse] la la la", "duration_s": duration_s });
    world.submit("short", &[song("a", 5)])?;
    assert_eq!(world.settled("short")?, json!({ "completed": 1 }));
    world.submit("long", &[song("b", 30)])?;
    assert_eq!(world.settled("long")?, json!({ "completed": 1 }), "kept, for there is nothing better");
    let job = world.job("long", "b")?;
    assert_eq!((&job["submissions"], flags(&job)), (&json!(2), &json!(["too_short"])));
    assert!(job["history"].to_string().contains("where 30 s were asked for"), "{job}");
    Ok(())
}

#[test]
fn beside_each_song_stands_where_it_comes_from() -> Result<()> {
    let world = World::start(&[])?.with("deliver.layout=\"{tenant}/{batch}/{job}/{n}-{title}.{ext}\"");
    let _roles = world.serve(&["generate", "deliver"])?;
    world.submit("b", &[song("a")])?;
    assert_eq!(world.settled("b")?, json!({ "completed": 1 }));
    let job = world.job("b", "a")?;
    let id = job["id"].as_str().context("a job has an id")?;
    assert_eq!(job["assets"][0]["path"], format!("b/{id}/Night-Day.wav"));
    let file = world.folder.path().join(format!("songs/b/{id}/Night-Day.wav"));
    let bytes = std::fs::read(&file)?;
    let sidecar: Value = serde_json::from_slice(&std::fs::read(format!("{}.json", file.display()))?)?;
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sidecar["sha256"], hash.as_str());
    assert_eq!(sidecar["sha256"], job["assets"][0]["sha256"]);
    assert_eq!((&sidecar["origin"]["seed"], &sidecar["request"]["prompt"]), (&json!(7), &json!("a")));
    assert_eq!(sidecar["origin"]["model"], "datasci888/musicgen_8songs");
    assert_ne!(sidecar["origin"]["sha256"], sidecar["sha256"], "tags have changed the file");
    let comment = format!("songmill job={id} vendor=replicate");
    assert!(bytes.windows(comment.len()).any(|part| part == comment.as_bytes()));
    assert!(sidecar["sound"]["peaks"].as_str().is_some_and(|peaks| peaks.len() > 50));
    Ok(())
}

#[test]
fn equal_audio_can_be_stored_once() -> Result<()> {
    let world = World::start(&[])?.with("deliver.layout=\"{tenant}/by-content/{sha256}.{ext}\"");
    let _roles = world.serve(&["generate", "deliver"])?;
    let same = |id: &str| json!({ "custom_id": id, "vendor": "replicate", "prompt": "x", "duration_s": 3, "seed": 7 });
    world.submit("b", &[same("a"), same("b")])?;
    assert_eq!(world.settled("b")?, json!({ "completed": 2 }));
    let path = |id: &str| anyhow::Ok(world.job("b", id)?["assets"][0]["path"].clone());
    assert_eq!(path("a")?, path("b")?);
    let audio = files(&world)?.into_iter().filter(|path| path.extension().is_some_and(|it| it == "wav"));
    assert_eq!(audio.count(), 1);
    Ok(())
}

#[test]
fn audio_is_converted_where_that_is_set() -> Result<()> {
    let world = World::start(&[])?;
    // In place of ffmpeg: it says what it was asked for, and copies.
    let program = world.folder.path().join("ffmpeg");
    std::fs::write(
        &program,
        "#!/bin/sh\n[ \"$1\" = -version ] && exit 0\necho \"$@\" >> \"$0.asked\"\n\
         [ -e \"$0.broken\" ] && { echo no encoder >&2; exit 1; }\n\
         while [ \"$1\" != -i ]; do shift; done\nfrom=$2\nfor to; do :; done\ncp \"$from\" \"$to\"\n",
    )?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let world = world
        .with("deliver.convert.format=\"opus\"")
        .with("deliver.convert.loudness=-14.0")
        .with(format!("deliver.convert.program={:?}", program.display().to_string()));
    let _roles = world.serve(&["generate", "deliver"])?;
    world.submit("b", &[song("a")])?;
    assert_eq!(world.settled("b")?, json!({ "completed": 1 }));
    let asset = |batch: &str| anyhow::Ok(world.job(batch, "a")?["assets"][0].clone());
    assert_eq!((&asset("b")?["format"], &asset("b")?["flags"]), (&json!("opus"), &Value::Null));
    std::fs::write(world.folder.path().join("ffmpeg.broken"), "")?;
    world.submit("c", &[song("a")])?;
    assert_eq!(world.settled("c")?, json!({ "completed": 1 }), "the song is safe first of all");
    assert_eq!((&asset("c")?["format"], &asset("c")?["flags"]), (&json!("wav"), &json!(["not_converted"])));
    let asked = std::fs::read_to_string(world.folder.path().join("ffmpeg.asked"))?;
    for word in ["-protocol_whitelist file", "-f wav -i", "loudnorm=I=-14", "-c:a libopus", "-b:a 192k"] {
        assert!(asked.contains(word), "{word}: {asked}");
    }
    Ok(())
}

#[test]
fn what_cannot_work_is_said_when_the_role_starts() -> Result<()> {
    let world = World::start(&[])?;
    for (setting, words) in [
        ("deliver.convert.format=\"mp3\"\ndeliver.convert.program=\"/nowhere/ffmpeg\"", "install ffmpeg"),
        ("deliver.layout=\"{batch}/{title}.{ext}\"", "jobs would overwrite each other"),
        ("deliver.checks.length=\"drop\"", "regenerate"),
    ] {
        let mut args = vec!["serve", "deliver"];
        setting.lines().for_each(|setting| args.extend(["--set", setting]));
        let output = world.run(&args)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{setting}: {said}");
    }
    Ok(())
}
