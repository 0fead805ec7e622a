//! Whatever lasts ends when its key no longer allows it.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use songmill_tests::api::Api;
use songmill_tests::{World, until};

use super::song;

/// How soon it must have ended: both looks at a key, and a busy machine.
const ENDED: Duration = Duration::from_secs(6);

const JSONL: (&str, &str) = ("content-type", "application/jsonl");

/// Requests of each kind that lasts, under way.
struct Lasting {
    upload: TcpStream,
    kept_upload: TcpStream,
    plan: TcpStream,
    stream: TcpStream,
}

impl Lasting {
    fn begin(api: &Api) -> Result<Self> {
        let kept = [JSONL, ("idempotency-key", "once")];
        let lasting = Self {
            upload: api.begin("POST", "/v1/batches?name=one", &[JSONL], None)?,
            kept_upload: api.begin("POST", "/v1/batches?name=two", &kept, None)?,
            plan: api.begin("POST", "/v1/plan", &[JSONL], None)?,
            stream: api.begin("GET", "/v1/stream", &[], Some(0))?,
        };
        let mut reader = BufReader::new(lasting.stream.try_clone()?);
        ensure!(songmill_tests::api::head(&mut reader)?.status == 200, "the stream is refused");
        Ok(lasting)
    }

    /// Sends a line on each upload; whether each is still there.
    fn send(&mut self, n: usize) -> [bool; 3] {
        let line = format!("{}\n", song(&n.to_string()));
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        [&mut self.upload, &mut self.kept_upload, &mut self.plan]
            .map(|stream| stream.write_all(chunk.as_bytes()).is_ok() && is_open(stream))
    }
}

/// Whether the other side has not closed; answers do not matter.
fn is_open(stream: &mut TcpStream) -> bool {
    let timeout = stream.set_read_timeout(Some(Duration::from_millis(10)));
    let mut some = [0; 4096];
    loop {
        match timeout.as_ref().map(|()| stream.read(&mut some)) {
            Ok(Ok(1..)) => {}
            Ok(Err(error)) => {
                return matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
            }
            Ok(Ok(0)) | Err(_) => return false,
        }
    }
}

fn total(api: &Api, batch: &str) -> Result<Value> {
    Ok(api.get(&format!("/v1/batches/{batch}?tenant=ours"))?.json()["total"].clone())
}

/// Begins what lasts with a key, does something to the key, and sees all of it end.
fn ends_when(end: impl FnOnce(&World, &str) -> Result<()>) -> Result<()> {
    let world = World::start(&[])?;
    let (_process, api) = world.serve_api(&[], &["api.upload_silence=\"60s\""])?;
    let (key, admin) =
        (world.key("ours", &["submit", "read"])?, api.with_key(&world.key("default", &["admin"])?));
    let mut lasting = Lasting::begin(&api.with_key(&key))?;
    let begun = Instant::now();
    let mut sent = 0;
    while begun.elapsed() < Duration::from_secs(4) {
        sent += 1;
        ensure!(lasting.send(sent) == [true; 3], "cut although the key works");
        std::thread::sleep(Duration::from_millis(50));
    }
    until("lines are taken in", || Ok(total(&admin, "one")?.as_u64() > Some(0)))?;
    ensure!(is_open(&mut lasting.stream), "the stream was cut although the key works");
    end(&world, &key)?;
    let begun = Instant::now();
    let mut open = [true; 4];
    while open != [false; 4] {
        ensure!(begun.elapsed() < ENDED, "still open (upload, kept upload, plan, stream): {open:?}");
        sent += 1;
        let [upload, kept, plan] = lasting.send(sent);
        open = [upload, kept, plan, is_open(&mut lasting.stream)];
        std::thread::sleep(Duration::from_millis(50));
    }
    let counts = (total(&admin, "one")?, total(&admin, "two")?);
    std::thread::sleep(Duration::from_millis(500));
    ensure!(counts == (total(&admin, "one")?, total(&admin, "two")?), "lines are taken in on and on");
    Ok(())
}

#[test]
fn whatever_lasts_ends_when_its_key_is_revoked() -> Result<()> {
    ends_when(|world, key| {
        ensure!(world.run(&["key", "revoke", key])?.status.success());
        Ok(())
    })
}

#[test]
fn whatever_lasts_ends_when_its_key_expires_or_allows_less() -> Result<()> {
    for (field, value) in [("expires_ms", Value::from(1)), ("scopes", Value::from(vec!["read"]))] {
        ends_when(|world, key| {
            let id = key.split('_').nth(1).context("a key's id")?;
            let keys = world.redis.cli(&["keys", "*keys"])?;
            let mut record: Value = serde_json::from_str(&world.redis.cli(&["hget", &keys, id])?)?;
            record[field] = value;
            world.redis.cli(&["hset", &keys, id, &record.to_string()])?;
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn whoever_was_let_in_without_a_key_goes_when_there_is_one() -> Result<()> {
    let world = World::start(&[])?;
    let (_process, api) = world.serve_api(&[], &[])?;
    let mut lasting = Lasting::begin(&api)?;
    world.key("ours", &["read"])?;
    until("it has ended", || Ok(!is_open(&mut lasting.stream) && lasting.send(1) == [false; 3]))
}
