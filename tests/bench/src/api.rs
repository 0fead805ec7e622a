//! The API by plain HTTP: uploads, single songs, looks, and notices to a customer.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use songmill_tests::{World, api, until};

use crate::report::{Mark, Report};
use crate::{Scale, machine};

/// Connections that ask at the same time.
const CONNECTIONS: usize = 16;

pub(crate) async fn run(report: &mut Report, scale: Scale) -> Result<()> {
    // It blocks, and nothing else is to be done meanwhile.
    tokio::task::block_in_place(|| measure(report, scale))
}

fn measure(report: &mut Report, scale: Scale) -> Result<()> {
    let world = World::start_plain(&[])?
        .with("api.requests_per_minute=0")
        .with("deliver.notices.allow_http=true")
        .with("deliver.notices.allow_private=true");
    let (process, api) = world.serve_api(&[], &[])?;
    let at_rest = machine::resident(process.id()).context("the API runs")?;
    report.add("api: resident memory at rest", at_rest, "MiB").mark(Mark::Most(30.0));
    upload(report, &api, scale.of(1_000_000))?;
    let most = machine::most_resident(process.id()).context("the API runs")?;
    report.add("api: most resident memory after that upload", most, "MiB").mark(Mark::Most(150.0));
    world.redis.cli(&["flushall"])?;

    let before = machine::cpu(process.id()).context("the API runs")?;
    let count = scale.of(40_000);
    let begun = Instant::now();
    let mut times = asked(api.addr, count, |n| {
        let body = song(n).to_string();
        let head = "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
        format!("{head}content-length: {}\r\n\r\n{body}", body.len())
    })?;
    report.add("api: POST /v1/jobs", count as f64 / begun.elapsed().as_secs_f64(), "songs/s");
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1000.0;
    report.add("api: POST /v1/jobs, p50 with 16 connections", at(0.5), "ms");
    report.add("api: POST /v1/jobs, p99", at(0.99), "ms");
    let took = machine::cpu(process.id()).context("the API runs")? - before;
    report.add("api: CPU per 1,000 songs posted", took * 1000.0 / count as f64, "CPU s");

    let listed = api.get("/v1/jobs?limit=1")?.json();
    let id = listed["data"][0]["id"].as_str().context("a job")?.to_owned();
    let begun = Instant::now();
    asked(api.addr, count, |_| format!("GET /v1/jobs/{id} HTTP/1.1\r\nhost: localhost\r\n\r\n"))?;
    report.add("api: GET /v1/jobs/{id}", count as f64 / begun.elapsed().as_secs_f64(), "/s");
    notices(report, &world, &api, scale.of(20_000))
}

fn song(n: usize) -> Value {
    json!({
        "custom_id": format!("song-{n:07}"), "vendor": "replicate", "prompt": "a tune for a bench", "duration_s": 4,
    })
}

fn upload(report: &mut Report, api: &api::Api, count: usize) -> Result<()> {
    let head = [("content-type", "application/jsonl")];
    let begun = Instant::now();
    let mut stream = api.begin("POST", "/v1/batches?name=bench", &head, None)?;
    let mut text = String::new();
    for n in 0..count {
        text += &format!("{}\n", song(n));
        if text.len() > 60_000 || n + 1 == count {
            write!(stream, "{:x}\r\n{text}\r\n", text.len())?;
            text.clear();
        }
    }
    stream.write_all(b"0\r\n\r\n")?;
    let reply = api::read(&mut BufReader::new(stream))?;
    ensure!(reply.json()["created"] == count, "the upload came to {}", reply.json());
    report.add(
        format!("api: upload of {count} lines"),
        count as f64 / begun.elapsed().as_secs_f64(),
        "lines/s",
    );
    Ok(())
}

/// Asks so often over connections that stay open; how long each answer took.
fn asked(addr: SocketAddr, count: usize, request: impl Fn(usize) -> String + Sync) -> Result<Vec<Duration>> {
    let (next, request) = (AtomicUsize::new(0), &request);
    let one = || -> Result<Vec<Duration>> {
        let mut stream = BufReader::new(TcpStream::connect(addr)?);
        stream.get_ref().set_nodelay(true)?;
        let mut times = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                return Ok(times);
            }
            let begun = Instant::now();
            stream.get_mut().write_all(request(n).as_bytes())?;
            let reply = api::read(&mut stream)?;
            times.push(begun.elapsed());
            if !(200..300).contains(&reply.status) {
                bail!("{}", String::from_utf8_lossy(&reply.body));
            }
        }
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(one)).collect();
        let mut times = Vec::new();
        for one in asking {
            times.extend(one.join().map_err(|_| anyhow::anyhow!("a connection panicked"))??);
        }
        Ok(times)
    })
}

/// From the end of many jobs to the last notice that a customer took.
fn notices(report: &mut Report, world: &World, api: &api::Api, count: usize) -> Result<()> {
    world.redis.cli(&["flushall"])?;
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let hook = format!("http://{}/", socket.local_addr()?);
    let taken = Arc::new(AtomicUsize::new(0));
    let counting = taken.clone();
    std::thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            let counting = counting.clone();
            std::thread::spawn(move || customer(stream, &counting));
        }
    });
    let made = api.post("/v1/endpoints", &json!({ "url": hook, "types": ["job.canceled"] }))?;
    ensure!(made.status == 201, "{}", made.json());
    let text: String = (0..count).map(|n| format!("{}\n", song(n))).collect();
    let head = [("content-type", "application/jsonl")];
    api.ask("POST", "/v1/batches?name=told", &head, text.as_bytes())?;
    api.post("/v1/batches/told/cancel", &Value::Null)?;
    let deliver = world.serve(&["deliver"])?;
    let begun = Instant::now();
    until("all are taken", || Ok(taken.load(Ordering::Relaxed) >= count))?;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    report.add("notices posted to one endpoint and written down", rate, "/s");
    let cpu = machine::cpu(deliver.id()).context("deliver runs")?;
    report.add("notices: deliver's CPU per 1,000", cpu * 1000.0 / count as f64, "CPU s");
    Ok(())
}

fn customer(stream: TcpStream, taken: &AtomicUsize) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let head = api::request_head(&mut reader)?;
        let length: usize = head.header("content-length").context("a length")?.parse()?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        taken.fetch_add(1, Ordering::Relaxed);
        reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}
