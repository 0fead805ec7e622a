//! The front doors: whoever connects costs little and locks nobody out, and what is refused is refused early.

mod downloads;
mod early;
mod flood;
mod keys;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use songmill_tests::api::Api;
use songmill_tests::{World, until};

/// How soon what waits for nothing must be answered, on a machine that has other work too.
const SOON: Duration = Duration::from_secs(3);

fn song(custom_id: &str) -> Value {
    json!({ "custom_id": custom_id, "vendor": "replicate", "prompt": "a calm piano", "duration_s": 4 })
}

/// Memory of a process, in MiB, as `/proc` names it: `VmRSS` now, `VmHWM` at most.
fn memory(process: u32, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib: u64 = line.and_then(|line| line.trim().split(' ').next()).context("no such line")?.parse()?;
    Ok(kib / 1024)
}

/// The counts that a log's lines of this kind name, together, and how many lines there are.
fn counted(log: &str, kind: &str) -> (u64, usize) {
    let of = |line: &str| {
        let (_, rest) = line.split_once("count=")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    let counts: Vec<u64> = log.lines().filter(|line| line.contains(kind)).filter_map(of).collect();
    (counts.iter().sum(), counts.len())
}

#[test]
fn refused_keys_and_forged_callbacks_are_a_line_a_second() -> Result<()> {
    let world = World::start(&[])?;
    let (_process, api) = world.serve_api(&["listener"], &[])?;
    let job = api.post("/v1/jobs", &song("a"))?.json()["id"].as_str().context("an id")?.to_owned();
    let _key = world.key("default", &["read"])?;
    until("a key is asked for", || Ok(api.get("/v1/jobs")?.status == 401))?;
    let before = || counted(&world.log("api"), "requests without a valid key refused").0;
    until("that is said", || Ok(before() > 0))?;
    let before = before();
    let begun = std::time::Instant::now();
    let guess = api.with_key("sm_abcdefghij_0123456789");
    for n in 0..200 {
        let (one, other) = (guess.get("/v1/jobs")?.status, api.get("/v1/jobs")?.status);
        assert_eq!((one, other), (401, 401));
        let path = format!("/callbacks/replicate/{job}/{}/k0.AAAA", n + 1);
        let (status, _) = songmill_tests::http(world.listener, "POST", &path, None)?;
        assert_eq!(status, 401);
    }
    let seconds = begun.elapsed().as_secs() as usize + 2;
    let said = |kind: &str, all: u64| {
        until("all are counted", || Ok(counted(&world.log("api"), kind).0 == all))?;
        let lines = counted(&world.log("api"), kind).1;
        anyhow::ensure!(lines <= seconds, "{lines} lines about {kind} in {seconds} s");
        Ok(())
    };
    said("requests without a valid key refused", before + 400)?;
    said("forged callbacks refused", 200)
}

#[test]
fn no_json_answer_is_kept_on_the_way() -> Result<()> {
    let world = World::start(&[])?;
    let (_process, api) = world.serve_api(&["listener"], &[])?;
    let job = api.post("/v1/jobs?batch=b", &song("a"))?.json()["id"].as_str().context("an id")?.to_owned();
    let document = api.get("/openapi.json")?.json();
    let mut seen = 0;
    for (template, methods) in document["paths"].as_object().context("paths")? {
        let path = template.replace("{id}", &job).replace("{batch}", "b").replace("{vendor}", "replicate");
        if methods["get"].is_null() || template.ends_with("/stream") {
            continue;
        }
        for path in [path.clone(), format!("{path}?nonsense=1")] {
            let answer = api.get(&path)?;
            if answer.header("content-type").is_some_and(|media| media.contains("json")) {
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen} answers were JSON");
    assert_eq!(api.post("/v1/jobs", &json!({}))?.header("cache-control"), Some("no-store"));
    let listener = Api { addr: world.listener, key: None };
    let unknown = listener.post("/callbacks/a/b/c/d", &json!({}))?;
    assert_eq!((unknown.status, unknown.header("cache-control")), (404, Some("no-store")));
    Ok(())
}

/// Many connections that stay open, from several addresses of this machine.
fn connections(to: SocketAddr, count: usize) -> Result<Vec<std::net::TcpStream>> {
    (0..count).map(|_| Ok(std::net::TcpStream::connect(to)?)).collect()
}
