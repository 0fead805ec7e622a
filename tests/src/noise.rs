//! A tenant that repeats every operation of the API as fast as it may, beside one that submits a song now and then.

use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::api::{self, Api};

/// Connections over which the noisy tenant asks.
const CONNECTIONS: usize = 4;
/// Between two songs of the quiet tenant.
const EVERY: Duration = Duration::from_millis(20);

/// An operation that is repeated.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its id in the document.
    pub id: String,
    method: String,
    path: String,
}

/// What is there of the noisy tenant's, for operations on it.
#[derive(Clone, Debug)]
struct Own {
    job: String,
    endpoint: String,
    notice: String,
}

/// The noisy tenant.
#[derive(Debug)]
pub struct Noise {
    api: Api,
    own: Own,
    /// What it repeats: everything that its key may, but streams.
    pub operations: Vec<Operation>,
}

/// How often each status was answered.
pub type Statuses = BTreeMap<u16, usize>;

impl Noise {
    /// Reads the table of operations, and makes one of each thing.
    pub fn of(api: Api) -> Result<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned).context("an id");
        let endpoint = api.post("/v1/endpoints", &json!({ "url": "http://127.0.0.1:9/" }))?.json();
        let endpoint = text(&endpoint["id"])?;
        let notice = text(&api.post(&format!("/v1/endpoints/{endpoint}/test"), &Value::Null)?.json()["id"])?;
        let job = text(&api.post("/v1/jobs?batch=noise", &song(0))?.json()["id"])?;
        let document = api.get("/openapi.json")?.json();
        let mut operations = Vec::new();
        for (path, methods) in document["paths"].as_object().context("paths")? {
            for (method, operation) in methods.as_object().context("methods")? {
                let is_allowed =
                    ["read", "submit"].contains(&operation["x-scope"].as_str().unwrap_or_default());
                if is_allowed && !path.ends_with("/stream") {
                    let id = text(&operation["operationId"])?;
                    operations.push(Operation { id, method: method.to_uppercase(), path: path.clone() });
                }
            }
        }
        Ok(Self { api, own: Own { job, endpoint, notice }, operations })
    }

    /// Repeats one operation so often; no answer may be a 5xx, but for a full store.
    pub fn repeat(&self, operation: &Operation, times: usize) -> Result<Statuses> {
        let next = AtomicUsize::new(0);
        let one = || -> Result<Statuses> {
            let (mut statuses, mut open) = (Statuses::new(), None);
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= times {
                    return Ok(statuses);
                }
                let request = self.request(operation, n);
                let status = match asked(self.api.addr, &mut open, &request) {
                    Ok(status) => status,
                    // A connection that was closed between two requests.
                    Err(_) => {
                        open = None;
                        asked(self.api.addr, &mut open, &request)?
                    }
                };
                if status >= 500 && status != 507 {
                    bail!("{} answers {status}", operation.id);
                }
                *statuses.entry(status).or_default() += 1;
            }
        };
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(one)).collect();
            let mut all = Statuses::new();
            for one in asking {
                for (status, count) in one.join().map_err(|_| anyhow::anyhow!("a connection panicked"))?? {
                    *all.entry(status).or_default() += count;
                }
            }
            Ok(all)
        })
    }

    /// A request with as much in it as may be.
    fn request(&self, operation: &Operation, n: usize) -> Vec<u8> {
        let Own { job, endpoint, notice } = &self.own;
        let mut path = operation.path.replace("{id}", job).replace("{n}", "1").replace("{batch}", "noise");
        path = path.replace("{endpoint}", endpoint).replace("{notice}", notice);
        let (media, body) = match (operation.method.as_str(), operation.path.as_str()) {
            ("POST", "/v1/jobs") => {
                path += "?batch=noise";
                ("application/json", song(n).to_string())
            }
            ("POST", "/v1/batches" | "/v1/plan") => {
                path += &format!("?name={}-{n}", "noise".repeat(10));
                ("application/jsonl", rows(n))
            }
            ("POST", "/v1/endpoints") => {
                let url = format!("http://127.0.0.1:9/{}", "noise".repeat(300));
                ("application/json", json!({ "url": url, "description": "n".repeat(200) }).to_string())
            }
            ("PATCH", _) => ("application/json", json!({ "description": "n".repeat(200) }).to_string()),
            ("GET" | "DELETE", _) => ("application/json", String::new()),
            _ => ("application/json", "{}".to_owned()),
        };
        let key = self.api.key.as_deref().unwrap_or_default();
        let mut head = format!(
            "{} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n",
            operation.method,
            self.api.addr,
            body.len()
        );
        if !body.is_empty() {
            head += &format!("content-type: {media}\r\nidempotency-key: {}-{n}\r\n", operation.id);
        }
        format!("{head}\r\n{body}").into_bytes()
    }
}

/// A song with much to say.
fn song(n: usize) -> Value {
    json!({
        "custom_id": format!("noise-{n:07}"), "vendor": "replicate", "prompt": "n".repeat(3900),
        "title": "n".repeat(200), "duration_s": 4,
    })
}

/// Rows of which all but one are refused, each with a long name and a long reason.
fn rows(n: usize) -> String {
    let bad = |row: usize| json!({ "custom_id": format!("{n}-{row}-{}", "n".repeat(100)), "n".repeat(200): "n".repeat(200) });
    let bad: String = (0..200).map(|row| format!("{}\n", bad(row))).collect();
    format!("{bad}{}\n", song(n))
}

fn asked(addr: std::net::SocketAddr, open: &mut Option<BufReader<TcpStream>>, request: &[u8]) -> Result<u16> {
    let mut stream = match open.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(addr)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            BufReader::new(stream)
        }
    };
    stream.get_mut().write_all(request)?;
    let reply = api::read(&mut stream)?;
    if reply.header("connection") != Some("close") {
        *open = Some(stream);
    }
    Ok(reply.status)
}

/// What came of a quiet tenant's songs.
#[derive(Clone, Debug, Default)]
pub struct Quiet {
    /// How long each took, in ms.
    pub times: Vec<f64>,
    /// Answers that were not 202.
    pub refused: Statuses,
}

/// Submits a song every 20 ms while something else goes on.
pub fn beside<T>(api: &Api, name: &str, work: impl FnOnce() -> Result<T>) -> Result<(Quiet, T)> {
    let is_over = AtomicBool::new(false);
    let submitting = || -> Result<Quiet> {
        let (mut quiet, mut n) = (Quiet::default(), 0);
        while !is_over.load(Ordering::Relaxed) {
            let song = json!({
                "custom_id": format!("{name}-{n}"), "vendor": "replicate", "prompt": "a calm piano", "duration_s": 4,
            });
            let begun = Instant::now();
            let status = api.post("/v1/jobs", &song)?.status;
            quiet.times.push(begun.elapsed().as_secs_f64() * 1000.0);
            if status != 202 {
                *quiet.refused.entry(status).or_default() += 1;
            }
            n += 1;
            std::thread::sleep(EVERY.saturating_sub(begun.elapsed()));
        }
        Ok(quiet)
    };
    std::thread::scope(|scope| {
        let quiet = scope.spawn(submitting);
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        let quiet = quiet.join().map_err(|_| anyhow::anyhow!("the quiet tenant panicked"))??;
        Ok((quiet, done?))
    })
}
