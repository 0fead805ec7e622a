//! Three books compared: ours, the vendors' and the files on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::BATCH;
use crate::{VENDORS, World};

/// What the comparison came to.
#[derive(Debug, Default)]
pub struct Books {
    /// Requests handed in.
    pub jobs: usize,
    /// Jobs by state.
    pub states: BTreeMap<String, usize>,
    /// Failed and held jobs by state and fault code.
    pub reasons: BTreeMap<String, usize>,
    /// Jobs that did not complete and do not say why.
    pub unreasoned: usize,
    /// Requests of which there is no job, or one in no final state that nobody holds.
    pub lost: usize,
    /// Tasks at the vendors'.
    pub tasks: u64,
    /// Tasks that a vendor made for one attempt beyond the first.
    pub made_twice: u64,
    /// Tasks that vendors made for one job beyond the first: none ever fails there, so each job needs one.
    pub paid_twice: u64,
    /// Those jobs, and their histories.
    pub histories: Vec<String>,
    /// Jobs that failed or are held although their song was made and could be had: it was misread.
    pub misread: usize,
    /// Jobs that are held because workers died over them; chance may hit one of a thousand.
    pub poisoned: usize,
    /// Files that no completed job names.
    pub files_without_job: usize,
    /// Files that a completed job names and that are not there, or whose hash is another.
    pub jobs_without_file: usize,
    /// What `songmill doctor --audit` complains of.
    pub breaches: Vec<String>,
}

impl Books {
    pub(super) fn compare(world: &World, requests: &[Value]) -> Result<Self> {
        let mut books = Self { jobs: requests.len(), ..Self::default() };
        let results = world.results(BATCH)?;
        let named = |value: &Value| value["custom_id"].as_str().map(str::to_owned);
        let known: BTreeMap<String, &Value> =
            results.iter().filter_map(|result| Some((named(result)?, result))).collect();
        for request in requests {
            let state = named(request).and_then(|id| known.get(&id)?["state"].as_str());
            if !matches!(state, Some("completed" | "failed" | "canceled" | "held")) {
                books.lost += 1;
            }
        }
        // One request that became two jobs is paid for twice as well.
        books.paid_twice += results.len().saturating_sub(requests.len()) as u64;
        for result in &results {
            let state = result["state"].as_str().unwrap_or("gone");
            *books.states.entry(state.to_owned()).or_default() += 1;
            match result["fault"]["code"].as_str() {
                Some(code) => {
                    *books.reasons.entry(format!("{state}: {code}")).or_default() += 1;
                    books.misread += usize::from(MISREAD.contains(&code));
                    books.poisoned += usize::from(code == "poisoned");
                }
                None => books.unreasoned += usize::from(state != "completed"),
            }
        }
        books.vendors(world, &results)?;
        books.files(&world.folder.path().join("songs"), &results)?;
        let doctor = world.json(&["doctor", "--audit"])?;
        let complaints = doctor["checks"].as_array().into_iter().flatten();
        books.breaches = complaints
            .filter(|check| check["verdict"] == "bad")
            .map(|check| format!("{}: {}", check["what"], check["words"]))
            .collect();
        if doctor["ok"] != true && books.breaches.is_empty() {
            books.breaches.push(doctor.to_string());
        }
        Ok(books)
    }

    fn vendors(&mut self, world: &World, results: &[Value]) -> Result<()> {
        let stats = world.stats()?;
        for vendor in VENDORS {
            let of = &stats["vendors"][vendor];
            let made = of["tasks_created"].as_u64().context("tasks are counted")?;
            self.tasks += made;
            self.made_twice += of["duplicates"].as_u64().context("duplicates are counted")?;
            // Where nothing marks an attempt on the wire, there must at least be a submission of ours for each task.
            self.made_twice += made.saturating_sub(submissions(results, vendor));
            let mut jobs: BTreeMap<&str, u64> = BTreeMap::new();
            for (token, count) in of["tasks_per_token"].as_object().context("tasks are told apart")? {
                *jobs.entry(job_of(token)?).or_default() += count.as_u64().unwrap_or(0);
            }
            self.paid_twice += jobs.values().map(|count| count - 1).sum::<u64>();
            if jobs.values().any(|count| *count > 1) {
                self.histories.extend(submitted_again(world, results, vendor)?);
            }
            for (job, count) in jobs.iter().filter(|(_, count)| **count > 1) {
                self.histories.push(format!("{vendor} made {count} tasks for {job}"));
            }
        }
        Ok(())
    }

    fn files(&mut self, folder: &Path, results: &[Value]) -> Result<()> {
        let mut named = BTreeSet::new();
        for result in results.iter().filter(|result| result["state"] == "completed") {
            let assets = result["assets"].as_array().context("a result lists its assets")?;
            self.jobs_without_file += usize::from(assets.is_empty());
            for asset in assets {
                let path = asset["path"].as_str().context("an asset has a path")?.to_owned();
                let there = std::fs::read(folder.join(&path)).map(|bytes| hex(&Sha256::digest(bytes))).ok();
                self.jobs_without_file += usize::from(there.as_deref() != asset["sha256"].as_str());
                self.jobs_without_file += usize::from(!folder.join(format!("{path}.json")).exists());
                named.insert(path);
            }
        }
        for batch in std::fs::read_dir(folder).context("the songs have a folder")? {
            let batch = batch?;
            let name = batch.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            for file in std::fs::read_dir(batch.path())? {
                let path = format!("{name}/{}", file?.file_name().to_string_lossy());
                // A sidecar belongs to the audio beside it.
                let of = path.strip_suffix(".json").unwrap_or(&path);
                self.files_without_job += usize::from(!named.contains(of));
            }
        }
        Ok(())
    }

    /// Whether every promise was kept.
    pub fn is_well(&self) -> bool {
        self.lost == 0
            && self.unreasoned == 0
            && self.made_twice == 0
            && self.paid_twice == 0
            && self.misread == 0
            && self.poisoned * 1000 <= self.jobs
            && self.files_without_job == 0
            && self.jobs_without_file == 0
            && self.breaches.is_empty()
    }
}

/// Why a job fails or is held whose song was made: whatever vendors do in the fire, all audio is good and can be had.
const MISREAD: [&str; 7] = [
    "output_unreadable",
    "output_lost",
    "output_encoded",
    "audio_unfit",
    "not_audio",
    "address_refused",
    "store_refused",
];

/// The job that a task was made for: its id stands in the address or id that marks the task. SenseAudio knows no marks;
/// there the words tell jobs apart, and the simulator's token begins with their hash.
fn job_of(token: &str) -> Result<&str> {
    const ID: usize = 26;
    let is_id = |part: &&str| part.len() == ID && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let marked = token.split(|c: char| !c.is_ascii_alphanumeric()).find(is_id);
    let by_words = || token.split_once('-').map(|(words, _)| words).filter(|words| words.len() == 16);
    marked.or_else(by_words).with_context(|| format!("a task is marked {token:?}, which names no job"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The jobs that a vendor was sent more than once, with what happened to them: a vendor that knows no marks does not
/// say which job a task was made for.
fn submitted_again(world: &World, results: &[Value], vendor: &str) -> Result<Vec<String>> {
    let again = results.iter().filter(|result| submissions(std::slice::from_ref(*result), vendor) > 1);
    again
        .filter_map(|result| result["id"].as_str())
        .map(|id| Ok(format!("{vendor} was sent this more than once: {}", world.json(&["job", "show", id])?)))
        .collect()
}

/// Submissions that our records of a vendor's jobs know of.
fn submissions(results: &[Value], vendor: &str) -> u64 {
    let ours = results.iter().filter(|result| result["vendor"] == vendor);
    ours.filter_map(|result| result["submissions"].as_u64()).sum()
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |what: &str, count: u64| writeln!(f, "{what:<58} {count:>8}");
        row("jobs", self.jobs as u64)?;
        for (state, count) in &self.states {
            row(&format!("  {state}"), *count as u64)?;
        }
        for (reason, count) in &self.reasons {
            row(&format!("    {reason}"), *count as u64)?;
        }
        row("lost (must be 0)", self.lost as u64)?;
        row("not completed and no reason given (must be 0)", self.unreasoned as u64)?;
        row("tasks at the vendors'", self.tasks)?;
        row("tasks created per attempt above 1 (must be 0)", self.made_twice)?;
        row("tasks created per job above 1 (must be 0)", self.paid_twice)?;
        let histories = &self.histories;
        row("songs that were made and were misread (must be 0)", self.misread as u64)?;
        row("jobs held as poisoned (at most 1 of 1,000)", self.poisoned as u64)?;
        row("files without a job (must be 0)", self.files_without_job as u64)?;
        row("jobs without a file (must be 0)", self.jobs_without_file as u64)?;
        row("what the audit complains of (must be 0)", self.breaches.len() as u64)?;
        for line in self.breaches.iter().chain(histories) {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}
