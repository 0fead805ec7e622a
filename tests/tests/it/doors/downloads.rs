//! Downloads: what is sent of a file, and that whoever does not read takes nobody else's time.

use std::io::{BufReader, Read as _};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use songmill_tests::api::{self, Api};
use songmill_tests::{World, until};

use super::{SOON, song};

/// A completed job of a tenant's; the path of its audio.
fn audio(api: &Api) -> Result<String> {
    let job = api.post("/v1/jobs?batch=b", &song("a"))?.json()["id"].as_str().context("an id")?.to_owned();
    let path = format!("/v1/jobs/{job}");
    until("it is completed", || Ok(api.get(&path)?.json()["state"] == "completed"))?;
    Ok(format!("{path}/assets/1"))
}

#[test]
fn audio_is_sent_as_the_caller_needs_it() -> Result<()> {
    let world = World::start(&[])?;
    let (_api, api) = world.serve_api(&["generate", "deliver"], &[])?;
    let path = audio(&api)?;
    let whole = api.get(&path)?;
    let (bytes, etag) = (whole.body.len(), whole.header("etag").context("an ETag")?.to_owned());
    let job = api.get(path.trim_end_matches("/assets/1"))?.json();
    assert_eq!(json!(etag.trim_matches('"')), job["assets"][0]["sha256"], "the tag is what is in it");
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let modified = whole.header("last-modified").context("a date")?.to_owned();
    let size = format!("bytes */{bytes}");
    let part = format!("bytes 4-7/{bytes}");
    for (headers, status, length, range) in [
        (vec![("range", "bytes=4-7")], 206, 4, Some(&part)),
        (vec![("range", "bytes=4-7"), ("if-range", &etag)], 206, 4, Some(&part)),
        (vec![("range", "bytes=4-7"), ("if-range", &modified)], 206, 4, Some(&part)),
        (vec![("range", "bytes=4-7"), ("if-range", "\"another\"")], 200, bytes, None),
        (vec![("range", "bytes=999999999-")], 416, 0, Some(&size)),
        (vec![("range", "bytes=999999999-"), ("if-range", "\"another\"")], 200, bytes, None),
        (vec![("if-none-match", &etag)], 304, 0, None),
        (vec![("if-none-match", "*"), ("range", "bytes=4-7")], 304, 0, None),
        (vec![("if-none-match", "\"another\"")], 200, bytes, None),
        (vec![("if-modified-since", &modified)], 304, 0, None),
        (vec![("if-match", "\"another\"")], 412, 0, None),
        (vec![("range", "bytes=0-1,4-7")], 200, bytes, None),
    ] {
        let answer = api.ask("GET", &path, &headers, b"")?;
        assert_eq!(answer.status, status, "{headers:?}");
        assert_eq!(answer.header("content-range"), range.map(String::as_str), "{headers:?}");
        if status < 300 {
            assert_eq!(answer.body.len(), length, "{headers:?}");
        }
        if status < 400 {
            assert_eq!(answer.header("etag"), Some(&*etag), "{headers:?}");
        } else {
            assert_eq!(answer.json()["status"], status, "{headers:?}");
        }
    }
    let head =
        api.ask("HEAD", &path, &[], b"").map(|reply| reply.header("content-length").map(str::to_owned));
    // A client that reads a body where there is none fails; the header is what counts.
    ensure!(head.is_err() || head.is_ok_and(|length| length == Some(bytes.to_string())));
    Ok(())
}

#[test]
fn downloads_that_nobody_reads_take_a_tenants_own_places_and_end() -> Result<()> {
    let world = World::start(&[])?;
    let settings = ["api.downloads=40", "api.http.write_timeout=\"2s\"", "api.requests_per_minute=0"];
    let (_process, api) = world.serve_api(&["generate", "deliver"], &settings)?;
    let greedy = api.with_key(&world.key("greedy", &["submit", "read"])?);
    let other = api.with_key(&world.key("other", &["submit", "read"])?);
    let (path, others) = (audio(&greedy)?, audio(&other)?);
    // Long enough not to fit into the buffers on the way.
    let stored = audio_of_greedy(&world)?;
    std::fs::File::options().write(true).open(stored)?.set_len(64 << 20)?;
    let mut open = Vec::new();
    for _ in 0..150 {
        open.push(greedy.begin("GET", &path, &[], Some(0))?);
    }
    let mut slowest = std::time::Duration::ZERO;
    for _ in 0..20 {
        let begun = Instant::now();
        ensure!(
            other.get("/v1/jobs")?.status == 200 && other.get(&others)?.status == 200,
            "another is refused"
        );
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < SOON, "another waited {slowest:?}");
    let refused = greedy.ask("GET", &path, &[], b"")?;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("busy")));
    assert!(refused.header("retry-after").is_some());
    // They are cut, and the places come back.
    until("there is room again", || {
        let mut stream = BufReader::new(greedy.begin("GET", &path, &[("range", "bytes=0-9")], Some(0))?);
        Ok(api::head(&mut stream)?.status == 206)
    })?;
    let mut cut = 0;
    for mut stream in open {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        cut += usize::from(all.len() > 1000 && all.len() < 64 << 20);
    }
    assert!(cut > 5, "only {cut} were cut");
    Ok(())
}

#[test]
fn results_that_nobody_reads_take_nobody_elses_time() -> Result<()> {
    const LINES: usize = 12_000;
    let world = World::start(&[])?;
    let settings = ["api.http.write_timeout=\"2s\"", "api.requests_per_minute=0"];
    let (_process, api) = world.serve_api(&[], &settings)?;
    let greedy = api.with_key(&world.key("greedy", &["submit", "read"])?);
    let other = api.with_key(&world.key("other", &["submit", "read"])?);
    let text: String = (0..LINES).map(|n| format!("{}\n", song(&n.to_string()))).collect();
    let head = [("content-type", "application/jsonl")];
    ensure!(greedy.ask("POST", "/v1/batches?name=b", &head, text.as_bytes())?.status == 202, "refused");
    let paths = ["/v1/batches/b/results", "/v1/batches/b/errors"];
    let mut open = Vec::new();
    for n in 0..60 {
        open.push(greedy.begin("GET", paths[n % 2], &[], Some(0))?);
    }
    let mut slowest = std::time::Duration::ZERO;
    for _ in 0..20 {
        let begun = Instant::now();
        ensure!(other.get("/v1/jobs")?.status == 200, "another is refused");
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < SOON, "another waited {slowest:?}");
    let mut busy = 0;
    for stream in open {
        busy += usize::from(api::head(&mut BufReader::new(stream))?.status == 503);
    }
    assert!((20..60).contains(&busy), "{busy} were refused");
    until("there is room again", || Ok(greedy.get(paths[0])?.lines().is_ok_and(|lines| lines.len() == LINES)))
}

#[test]
fn answers_that_nobody_reads_take_a_tenants_own_requests() -> Result<()> {
    const LINES: usize = 1000;
    let world = World::start(&[])?;
    let settings = ["api.http.max_requests=40", "api.http.write_timeout=\"2s\"", "api.requests_per_minute=0"];
    let (_process, api) = world.serve_api(&[], &settings)?;
    let greedy = api.with_key(&world.key("greedy", &["submit", "read"])?);
    let other = api.with_key(&world.key("other", &["submit", "read"])?);
    let text: String = (0..LINES).map(|n| format!("{}\n", song(&n.to_string()))).collect();
    let head = [("content-type", "application/jsonl")];
    ensure!(greedy.ask("POST", "/v1/batches?name=b", &head, text.as_bytes())?.status == 202, "refused");
    let list = format!("/v1/jobs?limit={LINES}");
    let mut open = Vec::new();
    for _ in 0..60 {
        open.push(greedy.begin("GET", &list, &[], Some(0))?);
    }
    for _ in 0..20 {
        ensure!(other.get("/v1/jobs")?.status == 200, "another is refused");
    }
    let mut busy = 0;
    for stream in open {
        busy += usize::from(api::head(&mut BufReader::new(stream))?.status == 503);
    }
    assert!((45..60).contains(&busy), "{busy} were refused");
    until("there is room again", || Ok(greedy.get(&list)?.status == 200))
}

/// The one file of audio of the tenant `greedy`.
fn audio_of_greedy(world: &World) -> Result<std::path::PathBuf> {
    let mut folders = vec![world.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "wav")
                && path.to_string_lossy().contains("greedy")
            {
                return Ok(path);
            }
        }
    }
    anyhow::bail!("no audio of greedy's")
}
