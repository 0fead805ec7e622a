//! A world in which one tenant writes, another has songs made, and a third may only look.

use std::io::Read as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use songmill_tests::api::Api;
use songmill_tests::{Process, VENDORS, World, until};

use super::rules::{self, NAMED, SAID, WRITTEN};
use crate::notices::Customer;

/// The tenant that has songs made of its own.
const READER: &str = "reader";
/// How many streams are read of a kind.
const STREAMS: usize = 4;

pub(super) struct Stage {
    pub(super) world: World,
    /// Whose words are marked.
    pub(super) writer: Api,
    /// Who must see nothing of them.
    pub(super) reader: Api,
    /// Another tenant, which may only read.
    pub(super) onlooker: Api,
    /// Who may see everything.
    pub(super) operator: Api,
    /// What the reader and the writer are told.
    heard: [Customer; 2],
    /// How many songs the reader has asked for.
    songs: usize,
    _roles: Process,
}

impl Stage {
    /// With more settings of every vendor's policy.
    pub(super) fn set(policy: &[&str]) -> Result<Self> {
        let world = World::start(&["generation_ms=[200, 600]", "audio_seconds_most=2"])?
            .with_callbacks()
            .with_policy("locked_wait=\"10m\"")
            .with_policy("strikes=4")
            .with("log.level=\"debug\"")
            .with("deliver.layout=\"{tenant}/{title}/{job}-{n}.{ext}\"")
            .with("deliver.notices.schedule=[\"300ms\", \"1s\", \"2s\"]");
        let world = policy.iter().fold(world, |world, setting| world.with_policy(setting));
        let (roles, api) = world.serve_api(&["generate", "deliver", "listener"], &[])?;
        let key =
            |tenant: &str, scopes: &[&str]| Ok::<_, anyhow::Error>(api.with_key(&world.key(tenant, scopes)?));
        let (writer, reader) = (key(NAMED, &["submit", "read"])?, key(READER, &["submit", "read"])?);
        let (onlooker, operator) = (key("onlooker", &["read"])?, key("default", &["admin"])?);
        let heard = [Customer::answering(200)?, Customer::answering(500)?];
        let url = [heard[0].url.clone(), format!("{}?{WRITTEN}", heard[1].url)];
        for (tenant, url) in [(&reader, &url[0]), (&writer, &url[1])] {
            let made = tenant.post("/v1/endpoints", &json!({ "url": url, "description": url }))?;
            ensure!(made.status == 201, "no endpoint: {}", made.json());
        }
        Ok(Self { world, writer, reader, onlooker, operator, heard, songs: 0, _roles: roles })
    }

    /// What goes wrong at every vendor from now on.
    pub(super) fn faults(&self, locked: &[&str], no_lists: Option<u16>) -> Result<()> {
        let mut all = VENDORS.iter().map(|vendor| rules::faults(vendor, locked.contains(vendor), no_lists));
        all.try_for_each(|faults| self.world.faults(&faults))
    }

    /// Takes in a song of the writer's, whose names are marked, too.
    pub(super) fn write(&self, song: &Value) -> Result<String> {
        let name = song["custom_id"].as_str().unwrap_or_default();
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", name),
            ("x-request-id", name),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ];
        let path = format!("/v1/jobs?batch={NAMED}");
        let taken = self.writer.ask("POST", &path, &headers, song.to_string().as_bytes())?.json();
        taken["id"].as_str().map(str::to_owned).with_context(|| format!("{song}: {taken}"))
    }

    /// Takes in plain songs of the reader's at every vendor, alone and before two others.
    pub(super) fn read(&mut self, batch: &str) -> Result<()> {
        for (n, vendor) in VENDORS.into_iter().enumerate() {
            let next = |by: usize| VENDORS[(n + by) % VENDORS.len()];
            for (how, vendors) in [("alone", json!(vendor)), ("before", json!([vendor, next(1), next(2)]))] {
                let song = json!({
                    "custom_id": format!("{batch}-{vendor}-{how}"), "vendor": vendors, "style": "pop", "duration_s": 6,
                    "prompt": "海边的清晨", "lyrics": "[verse] snow on the hill ; [chorus] all is still", "allow_ignored": ["lyrics"],
                });
                let taken = self.reader.post(&format!("/v1/jobs?batch={batch}"), &song)?;
                ensure!(taken.status == 202, "{}", taken.json());
                self.songs += 1;
            }
        }
        Ok(())
    }

    /// Waits until the reader's songs are made.
    pub(super) fn are_made(&self, batch: &str) -> Result<()> {
        until("the reader's songs are made", || {
            let shown = self.reader.get(&format!("/v1/batches/{batch}"))?.json();
            Ok(shown["counts"]["completed"] == shown["total"])
        })
    }

    /// Nothing that others can read, or are told, has anything of the writer's.
    pub(super) fn is_kept_to_its_writer(&self) -> Result<()> {
        for (api, tenant, least) in [(&self.reader, READER, 50), (&self.onlooker, "onlooker", 10)] {
            let answers = all_answers(api, tenant)?;
            ensure!(answers.len() >= least, "only {} answers are read", answers.len());
            for (path, status, text) in answers {
                ensure!(matches!(status, 200..400 | 403 | 404), "{path} answers {status}: {text}");
                let leak = found(&text, &[WRITTEN, SAID, NAMED]).or_else(|| secret(&text));
                ensure!(leak.is_none(), "{leak:?} is told at {path}: {text}");
            }
        }
        for (_, told) in self.heard[0].told() {
            let told = told.to_string();
            let leak = found(&told, &[WRITTEN, SAID, NAMED]).or_else(|| secret(&told));
            ensure!(leak.is_none(), "{leak:?} is told to its endpoint: {told}");
        }
        Ok(())
    }

    /// The writer and an operator read the same of what vendors said of its jobs, and nobody reads the secret of an
    /// address; of how many jobs something was said.
    pub(super) fn is_told_to_its_writer(&self) -> Result<usize> {
        let mut said = 0;
        for id in ids(&self.writer)? {
            let path = format!("/v1/jobs/{id}");
            let shown = |api: &Api| -> Result<String> {
                let parts = [path.clone(), format!("{path}/events"), format!("{path}/explain")];
                parts
                    .iter()
                    .map(|path| Ok(String::from_utf8_lossy(&api.get(path)?.body).into_owned()))
                    .collect()
            };
            let (own, operators) = (shown(&self.writer)?, shown(&self.operator)?);
            let command = self.world.json(&["job", "show", &id])?.to_string();
            ensure!(self.reader.get(&path)?.status == 404, "{id} is another's");
            for text in [&own, &operators, &command] {
                ensure!(secret(text).is_none(), "the secret of an address: {text}");
            }
            let is_said = |text: &String| found(text, &[SAID]).is_some();
            ensure!(
                is_said(&own) == is_said(&operators) && is_said(&own) == is_said(&command),
                "{own} {command}"
            );
            said += usize::from(is_said(&own));
        }
        for (_, told) in self.heard[1].told() {
            ensure!(secret(&told.to_string()).is_none(), "the secret of an address: {told}");
        }
        Ok(said)
    }

    /// The reader was told of all of its songs; nothing is in the log; and nothing was paid for twice.
    pub(super) fn ends(&self) -> Result<()> {
        until("the reader is told of all", || Ok(self.heard[0].of("job.completed").len() >= self.songs))?;
        self.is_kept_to_its_writer()?;
        let given = self.world.stats()?["vendors"]["replicate"]["tasks_per_token"].to_string();
        ensure!(secret(&given).is_some(), "vendors were given addresses with a secret: {given}");
        self.logs_nothing()?;
        self.world.audit()
    }

    /// The log names jobs and codes.
    pub(super) fn logs_nothing(&self) -> Result<()> {
        let log = self.world.log("api");
        ensure!(log.contains("answered 200"), "it says much: {log}");
        for line in log.lines() {
            let leak = found(line, &[WRITTEN, SAID]).or_else(|| secret(line));
            ensure!(leak.is_none(), "{leak:?} is logged: {line}");
        }
        Ok(())
    }
}

/// The first of these that stands somewhere in a text.
fn found<'a>(text: &str, marks: &[&'a str]) -> Option<&'a str> {
    let text = text.to_lowercase();
    marks.iter().copied().find(|mark| text.contains(mark))
}

/// The secret part of a callback address that stands in a text: a key's id, and 43 characters of base 64.
fn secret(text: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut words = text.split(|c: char| !is_part(c) && c != '.').filter_map(|word| word.split_once('.'));
    words
        .find(|(key, mac)| !key.is_empty() && mac.len() == 43 && mac.chars().all(is_part))
        .map(|(_, mac)| mac)
}

fn ids(api: &Api) -> Result<Vec<String>> {
    let listed = api.get("/v1/jobs?limit=100")?.json();
    let all = listed["data"].as_array().context("a list")?;
    Ok(all.iter().filter_map(|job| job["id"].as_str().map(str::to_owned)).collect())
}

/// What a stream says within a moment.
fn streamed(api: &Api, path: &str) -> Result<String> {
    let mut stream = api.begin("GET", path, &[("last-event-id", "0")], Some(0))?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let (mut told, mut part, begun) = (Vec::new(), [0; 4096], Instant::now());
    while begun.elapsed() < Duration::from_secs(1) {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(length) => told.extend_from_slice(&part[..length]),
        }
    }
    Ok(String::from_utf8_lossy(&told).into_owned())
}

/// All that a tenant can read: every GET there is, of each of its things, with the status and the text of each answer.
fn all_answers(api: &Api, tenant: &str) -> Result<Vec<(String, u16, String)>> {
    let document = api.get("/openapi.json")?.json();
    let listed = |path: &str, field: &str| -> Result<Vec<String>> {
        let listed = api.get(path)?.json();
        let all = listed["data"].as_array().cloned().unwrap_or_default();
        Ok(all.iter().filter_map(|one| one[field].as_str().map(str::to_owned)).collect())
    };
    let mut notices = listed("/v1/notices", "id")?;
    notices.truncate(20);
    let things = [
        ("{id}", ids(api)?),
        ("{batch}", listed("/v1/batches", "name")?),
        ("{endpoint}", listed("/v1/endpoints", "id")?),
        ("{notice}", notices),
        ("{tenant}", vec![tenant.to_owned()]),
        ("{n}", vec!["1".to_owned()]),
    ];
    let mut answers = Vec::new();
    for (template, methods) in document["paths"].as_object().context("paths")? {
        if methods["get"].is_null() {
            continue;
        }
        let mut paths = vec![template.clone()];
        for (name, values) in things.iter().filter(|(name, _)| template.contains(name)) {
            let filled = |path: &String| values.iter().map(|one| path.replace(name, one)).collect::<Vec<_>>();
            paths = paths.iter().flat_map(filled).collect();
        }
        if template.ends_with("stream") {
            paths.truncate(STREAMS);
        }
        for path in paths {
            if template.ends_with("stream") {
                answers.push((path.clone(), 200, streamed(api, &path)?));
                continue;
            }
            let reply = api.get(&path)?;
            let head: String =
                reply.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
            answers.push((path, reply.status, head + &String::from_utf8_lossy(&reply.body)));
        }
    }
    Ok(answers)
}
