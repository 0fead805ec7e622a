//! The library: audio is exported whole, proved to be what was stored, and erased without the accounts.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use songmill_tests::{World, until};

const MARK: &str = "zqmarkqz";

fn song(custom_id: &str) -> Value {
    json!({ "custom_id": custom_id, "vendor": "replicate", "prompt": format!("{MARK} piano"), "duration_s": 4,
        "title": format!("{MARK}, the song") })
}

fn completed(world: &World, batch: &str) -> Result<()> {
    let counts = world.settled(batch)?;
    anyhow::ensure!(counts.as_object().is_some_and(|counts| counts.keys().eq(["completed"])), "{counts}");
    Ok(())
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an archive holds, by programs that are not ours.
fn unpack(archive: &Path) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let mut command = if archive.extension().is_some_and(|ending| ending == "zip") {
        let mut python = std::process::Command::new("python3");
        python.args(["-m", "zipfile", "-e"]).arg(archive).arg(folder.path());
        python
    } else {
        let mut tar = std::process::Command::new("tar");
        tar.arg("-xf").arg(archive).arg("-C").arg(folder.path());
        tar
    };
    anyhow::ensure!(command.status()?.success(), "{} cannot be unpacked", archive.display());
    Ok(folder)
}

/// Where a batch's audio lies, with its sidecars.
fn stored(world: &World, batch: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for job in world.results(batch)? {
        for asset in job["assets"].as_array().context("assets")? {
            let path = world.folder.path().join("songs").join(asset["path"].as_str().context("a path")?);
            anyhow::ensure!(sidecar(&path).is_file(), "{} has no sidecar", path.display());
            paths.push(path);
        }
    }
    Ok(paths)
}

fn sidecar(audio: &Path) -> PathBuf {
    format!("{}.json", audio.display()).into()
}

#[test]
fn a_batch_is_exported_as_a_folder_or_an_archive_and_what_is_there_is_not_fetched_again() -> Result<()> {
    let world = World::start(&[])?;
    let (_roles, api) = world.serve_api(&["generate", "deliver"], &[])?;
    world.submit("album", &[song("a"), song("b"), song("c")])?;
    completed(&world, "album")?;
    let exported = world.json(&["batch", "export", "album", "--to", "out"])?;
    assert_eq!(
        (&exported["jobs"], &exported["files"], &exported["missing"]),
        (&json!(3), &json!(3), &json!(0))
    );
    let out = world.folder.path().join("out");
    let manifest = std::fs::read_to_string(out.join("manifest.jsonl"))?;
    let lines: Vec<Value> = manifest.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(lines.iter().map(|line| &line["custom_id"]).collect::<Vec<_>>(), ["a", "b", "c"]);
    let names: Vec<_> = lines.iter().map(|line| &line["files"][0]["path"]).collect();
    let named = |n: u32| format!("00{n} {MARK}, the song.wav");
    assert_eq!(names, [named(1), named(2), named(3)].iter().collect::<Vec<_>>());
    let playlist = std::fs::read_to_string(out.join("album.m3u8"))?;
    assert!(
        playlist.starts_with("#EXTM3U\n") && playlist.contains(&format!(",{MARK}, the song\n")),
        "{playlist}"
    );
    let mut files = Vec::new();
    for line in &lines {
        let file = &line["files"][0];
        let name = file["path"].as_str().context("a name")?;
        assert_eq!(file["sha256"], sha256(&std::fs::read(out.join(name))?).as_str());
        assert_eq!((&line["state"], &line["prompt"]), (&json!("completed"), &json!(format!("{MARK} piano"))));
        assert!(playlist.lines().any(|line| line == name));
        files.push(out.join(name));
    }
    // One is whole and stays, one was cut, one is gone: the same again, over HTTP.
    let before = files[0].metadata()?.modified()?;
    let bytes = std::fs::read(&files[1])?;
    std::fs::write(&files[1], &bytes[..bytes.len() / 2])?;
    std::fs::remove_file(&files[2])?;
    let server = format!("http://{}", api.addr);
    world.json(&["batch", "export", "album", "--to", "out", "--server", &server])?;
    assert_eq!(files[0].metadata()?.modified()?, before, "what is there is not fetched again");
    assert_eq!(std::fs::read(&files[1])?, bytes);
    assert!(files[2].is_file());
    assert_eq!(std::fs::read_dir(&out)?.count(), 5, "nothing else is left there");
    // As a tar, and as a zip.
    let has_python = std::process::Command::new("python3").arg("--version").output().is_ok();
    if !has_python {
        eprintln!("python3 is missing: no zip is unpacked");
    }
    for archive in ["album.tar", "album.zip"].into_iter().take(if has_python { 2 } else { 1 }) {
        let packed = world.json(&["batch", "export", "album", "-o", archive, "--server", &server])?;
        assert_eq!(packed["files"], 3);
        let unpacked = unpack(&world.folder.path().join(archive))?;
        assert_eq!(std::fs::read_dir(unpacked.path())?.count(), 5);
        for path in &files {
            let other = unpacked.path().join(path.file_name().context("a name")?);
            assert!(std::fs::read(path)? == std::fs::read(other)?, "{archive}: {}", path.display());
        }
    }
    // By names of one's own: those that are the same are numbered, and no file of others is overwritten.
    std::fs::write(out.join("replicate song.wav"), "not ours")?;
    for _ in 0..2 {
        let named = ["batch", "export", "album", "-o", "out", "--names", "{vendor} song"];
        assert_eq!(world.json(&named)?["files"], 3);
        for name in ["replicate song (2).wav", "replicate song (3).wav", "replicate song (4).wav"] {
            assert!(out.join(name).is_file(), "{name}");
        }
        assert_eq!(std::fs::read_dir(&out)?.count(), 9);
    }
    assert_eq!(std::fs::read_to_string(out.join("replicate song.wav"))?, "not ours");
    let wrong = world.run(&["batch", "export", "album", "-o", "out", "--names", "{titel}"])?;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("{titel} is no field"));
    // A folder holds one batch; what is no folder and no archive that is written here is refused.
    world.submit("other", &[song("a")])?;
    completed(&world, "other")?;
    for (to, why) in [
        ("out", "holds the export of batch album"),
        ("a.tar.gz", ".zip or .tar"),
        ("album.jsonl", ".zip or .tar"),
    ] {
        let refused = world.run(&["batch", "export", "other", "-o", to])?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains(why), "{to}: {said}");
    }
    assert_eq!(std::fs::read_to_string(out.join("manifest.jsonl"))?.lines().count(), 3);
    let own = world.folder.path().join("own");
    std::fs::create_dir(&own)?;
    for name in ["manifest.jsonl", "other.m3u8"] {
        std::fs::write(own.join(name), "somebody's own\n")?;
        let refused = world.run(&["batch", "export", "other", "-o", "own"])?;
        assert!(refused.status.code() == Some(2), "{name}");
        assert_eq!(std::fs::read_dir(&own)?.count(), 1, "{name}: nothing was written");
        std::fs::remove_file(own.join(name))?;
    }
    for _ in 0..2 {
        assert_eq!(world.json(&["batch", "export", "other", "-o", "own"])?["files"], 1);
    }
    let report = world.run(&["batch", "report", "album", "-o", "report.xlsx"])?;
    assert!(report.status.success());
    assert!(std::fs::read(world.folder.path().join("report.xlsx"))?.starts_with(b"PK"));
    // What cannot be had is said, and nothing half written takes a name.
    let stored = world.results("album")?[1]["assets"][0]["path"].as_str().context("a path")?.to_owned();
    std::fs::remove_file(world.folder.path().join("songs").join(&stored))?;
    let lost = world.run(&["batch", "export", "album", "--to", "again"])?;
    assert_eq!(lost.status.code(), Some(3), "{}", String::from_utf8_lossy(&lost.stderr));
    let manifest = std::fs::read_to_string(world.folder.path().join("again/manifest.jsonl"))?;
    assert!(manifest.lines().nth(1).is_some_and(|line| line.contains("\"missing\"")), "{manifest}");
    let changed = world.results("album")?[0]["assets"][0]["path"].as_str().context("a path")?.to_owned();
    let changed = world.folder.path().join("songs").join(changed);
    let mut bytes = std::fs::read(&changed)?;
    bytes[100] ^= 1;
    std::fs::write(&changed, bytes)?;
    let broken = world.run(&["batch", "export", "album", "--to", "broken.tar"])?;
    assert_eq!(broken.status.code(), Some(1));
    assert!(!world.folder.path().join("broken.tar").exists());
    // Half an export is not taken for a whole one: a job is kept no more, a batch goes on.
    let id = lines[0]["id"].as_str().context("an id")?;
    world.redis.cli(&["del", &format!("{{sm:0}}:j:{id}")])?;
    let half = world.run(&["batch", "export", "album", "--to", "half", "--json"])?;
    let said: Value = serde_json::from_slice(&half.stdout)?;
    assert_eq!((half.status.code(), &said["gone"]), (Some(3), &json!(1)), "{said}");
    world.run(&["vendor", "shut", "replicate"])?;
    world.submit("open", &[song("open")])?;
    assert_eq!(world.run(&["batch", "export", "open", "--to", "open"])?.status.code(), Some(3));
    Ok(())
}

#[test]
fn what_storage_does_not_have_as_it_was_stored_is_found() -> Result<()> {
    let world = World::start(&[])?;
    let _roles = world.serve(&["generate", "deliver"])?;
    world.submit("album", &[song("a"), song("b"), song("c"), song("d")])?;
    completed(&world, "album")?;
    let paths = stored(&world, "album")?;
    let listed = world.json_lines(&["asset", "list", "--batch", "album"])?;
    assert_eq!(listed.len(), 4);
    let id = listed[1]["job"].as_str().context("an id")?;
    for args in [&["asset", "get", &format!("{id}/1"), "-o", "one"][..], &["job", "get", id, "-o", "two"]] {
        assert!(world.run(args)?.status.success());
    }
    let stored = std::fs::read(&paths[1])?;
    assert_eq!(std::fs::read(world.folder.path().join("one"))?, stored);
    assert_eq!(std::fs::read(world.folder.path().join("two"))?, stored);
    assert!(world.run(&["asset", "get", id])?.status.success());
    let name = paths[1].file_name().context("a name")?;
    assert_eq!(std::fs::read(world.folder.path().join(name))?, stored);
    assert_eq!(world.run(&["asset", "get", id, "-o", "-"])?.stdout, stored);
    let well = world.run(&["asset", "verify"])?;
    let said = String::from_utf8_lossy(&well.stdout);
    assert!(
        well.status.success() && said.contains("4 files"),
        "{said} {}",
        String::from_utf8_lossy(&well.stderr)
    );
    // One loses its audio, one its sidecar, one a bit.
    std::fs::remove_file(&paths[0])?;
    std::fs::remove_file(sidecar(&paths[1]))?;
    let mut bytes = stored;
    bytes[50] ^= 1;
    std::fs::write(&paths[2], bytes)?;
    let changed = listed[2]["job"].as_str().context("an id")?;
    assert_eq!(world.run(&["asset", "get", changed, "-o", "changed"])?.status.code(), Some(1));
    assert!(!world.folder.path().join("changed").exists());
    let found = world.json_lines(&["asset", "verify", "--batch", "album"])?;
    let of = |wrong: &str| found.iter().find(|one| one["wrong"] == wrong).map(|one| one["path"].to_string());
    let named = |n: usize| {
        let path = paths[n].strip_prefix(world.folder.path().join("songs")).ok();
        path.map(|path| json!(path).to_string())
    };
    assert_eq!((of("missing"), of("orphaned"), of("changed")), (named(0), named(1), named(2)), "{found:?}");
    let sum = found.last().context("a sum")?;
    assert_eq!(
        (&sum["verified"], &sum["missing"], &sum["changed"]),
        (&json!(4), &json!(1), &json!(1)),
        "{sum}"
    );
    assert_eq!(world.run(&["asset", "verify", "--prefix", "album"])?.status.code(), Some(1));
    assert!(world.run(&["asset", "verify", "--batch", "other"])?.status.success());
    Ok(())
}

/// All keys of Redis in which the mark stands.
fn marked(world: &World) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for key in world.redis.cli(&["--scan"])?.lines() {
        let read: Vec<&str> = match world.redis.cli(&["type", key])?.trim() {
            "hash" => vec!["--no-raw", "hgetall", key],
            "list" => vec!["--no-raw", "lrange", key, "0", "-1"],
            "set" => vec!["--no-raw", "smembers", key],
            "zset" => vec!["--no-raw", "zrange", key, "0", "-1"],
            "stream" => vec!["--no-raw", "xrange", key, "-", "+"],
            _ => vec!["--no-raw", "get", key],
        };
        if key.contains(MARK) || world.redis.cli(&read)?.contains(MARK) {
            found.push(key.to_owned());
        }
    }
    Ok(found)
}

fn files_with_mark(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_with_mark(&path)?);
        } else if path.to_string_lossy().contains(MARK)
            || std::fs::read(&path)?.windows(MARK.len()).any(|bytes| bytes == MARK.as_bytes())
        {
            found.push(path);
        }
    }
    Ok(found)
}

#[test]
fn a_tenants_words_and_audio_are_erased_and_its_accounts_are_not() -> Result<()> {
    let world = World::start(&[])?;
    let settings = ["deliver.notices.schedule=[\"1d\"]"];
    let (_roles, api) = world.serve_api(&["generate", "deliver"], &settings)?;
    let acme = api.with_key(&world.key("acme", &["submit", "read"])?);
    let other = api.with_key(&world.key("other", &["submit", "read"])?);
    acme.post("/v1/endpoints", &json!({ "url": "http://127.0.0.1:9/" }))?;
    let mut first = song(&format!("{MARK}-1"));
    first["content_key"] = json!("auto");
    let lyrics = json!({ "custom_id": format!("{MARK}-2"), "vendor": "senseaudio", "style": "pop",
        "lyrics": format!("[verse] {MARK} on the hill ; [chorus] all is {MARK}"), "title": MARK });
    let written = json!({ "custom_id": "written", "vendor": "senseaudio", "style": "folk",
        "lyrics_prompt": format!("of {MARK}") });
    let refused =
        json!({ "custom_id": format!("{MARK}-3"), "vendor": "replicate", "prompt": "x", MARK: MARK });
    let lines = [&first, &lyrics, &written, &refused].map(|line| format!("{line}\n")).concat();
    let head = [("content-type", "application/jsonl"), ("idempotency-key", "up-1")];
    let uploaded = acme.ask("POST", "/v1/batches?name=album", &head, lines.as_bytes())?.json();
    assert_eq!((&uploaded["created"], &uploaded["refused"]), (&json!(3), &json!(1)), "{uploaded}");
    let head = [("content-type", "application/json"), ("idempotency-key", "one-1")];
    let single =
        acme.ask("POST", "/v1/jobs?batch=album", &head, song("single").to_string().as_bytes())?.json();
    let single = single["id"].as_str().context("an id")?.to_owned();
    world.run(&["vendor", "shut", "tencent"])?;
    let later = json!({ "custom_id": "later", "vendor": "tencent", "prompt": "留下" });
    let later_head = [("content-type", "application/json"), ("idempotency-key", "later-1")];
    let ask_later = || acme.ask("POST", "/v1/jobs?batch=later", &later_head, later.to_string().as_bytes());
    let open = ask_later()?;
    assert_eq!(open.status, 202, "{}", open.json());
    let theirs =
        other.post("/v1/jobs?batch=theirs", &json!({ "vendor": "replicate", "prompt": "theirs" }))?.json();
    let theirs = format!("/v1/jobs/{}", theirs["id"].as_str().context("an id")?);
    until("all have ended", || {
        let ended = acme.get("/v1/batches/album")?.json()["counts"]["completed"] == 4;
        let told = acme.get("/v1/notices")?.json()["data"].as_array().is_some_and(|told| told.len() >= 4);
        Ok(ended && told && other.get(&theirs)?.json()["state"] == "completed")
    })?;
    // What an earlier job left that nobody knows any more, and what a crash left.
    let songs = world.folder.path().join("songs");
    let kept = stored(&world, "acme/album")?.pop().context("audio")?;
    std::fs::create_dir(songs.join("odd"))?;
    std::fs::write(songs.join("odd/old.mp3"), MARK)?;
    let mut said: Value = serde_json::from_slice(&std::fs::read(sidecar(&kept))?)?;
    (said["job"], said["path"]) = (json!("0".repeat(26)), json!("odd/old.mp3"));
    std::fs::write(songs.join("odd/old.mp3.json"), said.to_string())?;
    let kinds = |keys: &[String]| -> std::collections::BTreeSet<String> {
        keys.iter().filter_map(|key| Some(key.split(':').nth(2)?.to_owned())).collect()
    };
    let before = marked(&world)?;
    for kind in ["j", "i", "n", "r"] {
        assert!(kinds(&before).contains(kind), "the search finds the mark in {kind}: {before:?}");
    }
    assert!(files_with_mark(&songs)?.len() >= 8);
    let accounts = || -> Result<Value> {
        let admin = |args: &[&str]| world.json(args);
        Ok(json!([
            admin(&["spend", "--by", "tenant"])?,
            admin(&["spend", "--by", "vendor"])?,
            acme.get("/v1/batches/album")?.json(),
            acme.get("/v1/jobs?batch=album")?.json()["data"].as_array().map(|jobs| jobs
                .iter()
                .map(|job| json!([
                    job["id"],
                    job["state"],
                    job["vendor"],
                    job["cost"],
                    job["task"],
                    job["created_ms"],
                    job["ended_ms"],
                    job["submissions"]
                ]))
                .collect::<Vec<_>>()),
        ]))
    };
    let counted = accounts()?;
    // Not by accident, and not by the tenant's own key.
    assert_eq!(world.run(&["tenant", "erase", "acme"])?.status.code(), Some(2));
    assert_eq!(acme.post("/v1/tenants/acme/erase", &Value::Null)?.status, 403);
    let erased = world.json(&["tenant", "erase", "acme", "--yes"])?;
    assert_eq!((&erased["jobs"], &erased["open"]), (&json!(4), &json!(1)), "{erased}");
    assert!(erased["files"].as_u64() >= Some(5), "{erased}");
    assert_eq!(marked(&world)?, Vec::<String>::new());
    assert_eq!(files_with_mark(&songs)?, Vec::<PathBuf>::new());
    assert_eq!(accounts()?, counted);
    // Neither is it behind what is packed.
    for path in
        ["/v1/jobs", "/v1/notices", "/v1/batches/album/results", "/v1/batches/album/errors", "/v1/events"]
    {
        let said = acme.get(path)?;
        assert!(said.status == 200 && !String::from_utf8_lossy(&said.body).contains(MARK), "{path}");
    }
    for more in ["", "/events", "/explain"] {
        let said = acme.get(&format!("/v1/jobs/{single}{more}"))?;
        assert!(said.status == 200 && !String::from_utf8_lossy(&said.body).contains(MARK), "{more}");
    }
    let gone = acme.get(&format!("/v1/jobs/{single}/assets/1"))?;
    assert_eq!((gone.status, gone.json()["code"].as_str()), (410, Some("erased")));
    assert_eq!(gone.header("content-type"), Some("application/problem+json"));
    // What is not erased is as it was.
    assert_eq!(other.get(&format!("{theirs}/assets/1"))?.status, 200);
    assert_eq!(other.get(&theirs)?.json()["request"]["prompt"], "theirs");
    let open = format!("/v1/jobs/{}", open.json()["id"].as_str().context("an id")?);
    assert_eq!(acme.get(&open)?.json()["request"]["prompt"], "留下");
    let again = ask_later()?;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (202, Some("true")),
        "it is still to come"
    );
    // The keys stay used: nothing is made again by mistake.
    let again = acme.ask("POST", "/v1/jobs?batch=album", &head, song("single").to_string().as_bytes())?;
    assert_eq!((again.status, again.json()["code"].as_str()), (410, Some("erased")));
    assert_eq!(acme.post("/v1/jobs?batch=album", &song("single"))?.status, 409);
    // Once more, with the last one canceled.
    acme.post(&format!("{}/cancel", &open[..]), &Value::Null)?;
    let erased = world.json(&["tenant", "erase", "acme", "--yes"])?;
    assert_eq!(
        (&erased["jobs"], &erased["open"], &erased["files"]),
        (&json!(1), &json!(0), &json!(0)),
        "{erased}"
    );
    assert_eq!(acme.post(&format!("{open}/retry"), &Value::Null)?.status, 410);
    assert_eq!(ask_later()?.status, 410);
    world.audit()
}

#[test]
fn a_job_that_ended_behind_the_look_is_erased_whole_and_a_broken_record_stops_nothing() -> Result<()> {
    let world = World::start(&[])?;
    let (_roles, api) = world.serve_api(&["generate", "deliver"], &[])?;
    let admin = api.with_key(&world.key("default", &["admin"])?);
    let acme = api.with_key(&world.key("acme", &["submit", "read"])?);
    let songs = world.folder.path().join("songs");
    let one = |n: &str| -> Result<String> {
        let made = acme.post("/v1/jobs", &song(n))?.json();
        let path = format!("/v1/jobs/{}", made["id"].as_str().context("an id")?);
        until("it has ended", || Ok(acme.get(&path)?.json()["state"] == "completed"))?;
        Ok(path)
    };
    // It ended when the records had been looked through, and only its sidecar is still to be met.
    let late = one("late")?;
    let files = admin.post("/v1/tenants/acme/erase?cursor=files.", &Value::Null)?.json();
    assert_eq!(
        (&files["jobs"], &files["files"], &files["open"]),
        (&json!(1), &json!(1), &json!(0)),
        "{files}"
    );
    let left = acme.get(&late)?;
    assert!(left.json()["erased_ms"].is_u64(), "{}", left.json());
    assert!(!String::from_utf8_lossy(&left.body).contains(MARK));
    assert_eq!(files_with_mark(&songs)?, Vec::<PathBuf>::new());
    // Another's record that cannot be read.
    let whole = one("whole")?;
    world.submit("broken", &[song("broken")])?;
    completed(&world, "broken")?;
    let broken = world.job("broken", "broken")?;
    let key = format!("{{sm:0}}:j:{}", broken["id"].as_str().context("an id")?);
    world.redis.cli(&["hset", &key, "d", "none"])?;
    let erased = world.run(&["tenant", "erase", "acme", "--yes", "--json"])?;
    let said: Value = serde_json::from_slice(&erased.stdout)?;
    assert_eq!(
        (erased.status.code(), &said["jobs"], &said["unreadable"]),
        (Some(3), &json!(1), &json!(1)),
        "{said}"
    );
    assert!(acme.get(&whole)?.json()["erased_ms"].is_u64());
    Ok(())
}
