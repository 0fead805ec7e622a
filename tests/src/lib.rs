//! Real processes for whole journeys: a redis-server, the simulator, Songmill's roles.
//!
//! Every world is a folder of its own with its own Redis and its own ports; processes end with it, by their id.

pub mod api;
pub mod chaos;
pub mod noise;
mod process;
mod wire;

pub use process::{Process, Redis, raise_open_files};
pub use wire::{free_port, http, http_with};

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a Redis, a simulator and settings that join them.
#[derive(Debug)]
pub struct World {
    /// Removed with the world.
    pub folder: TempDir,
    /// Its Redis.
    pub redis: Redis,
    /// Where the simulator listens.
    pub sim: SocketAddr,
    /// Where the listener will listen.
    pub listener: SocketAddr,
    settings: Vec<String>,
    simulator: Process,
}

/// Short waits, so that tests need not wait long for what takes minutes in real life.
const SWIFT: &[&str] = &[
    "generate.submit.lease=\"8s\"",
    "generate.resolve.lease=\"3s\"",
    "generate.poll.lease=\"3s\"",
    "generate.cancel.lease=\"3s\"",
    "generate.http.request_timeout=\"2s\"",
    "generate.http.connect_timeout=\"1s\"",
    "deliver.queue.lease=\"3s\"",
    "generate.drain=\"5s\"",
    "deliver.drain=\"5s\"",
    "listener.drain=\"2s\"",
    "policy.jobs.collect_backoff=\"100ms\"",
    "policy.jobs.output_grace=\"3s\"",
    "policy.jobs.download_grace=\"3s\"",
];

/// The same for each vendor's policy.
const SWIFT_POLICY: &[&str] = &[
    "backoff=\"100ms\"",
    "backoff_most=\"1s\"",
    "locked_wait=\"1s\"",
    "throttled_wait=\"200ms\"",
    "poll_first=\"200ms\"",
    "poll_every=\"200ms\"",
    "poll_most=\"1s\"",
    "look_every=\"300ms\"",
    "settle=\"10s\"",
];

/// The vendors, by name.
pub const VENDORS: [&str; 4] = ["inference_sh", "replicate", "senseaudio", "tencent"];

impl World {
    /// Starts a world of short waits; `with` are settings of the simulator such as `faults.callback_drop_rate=1`.
    pub fn start(with: &[&str]) -> Result<Self> {
        let mut world = Self::start_plain(with)?;
        world.settings.extend(SWIFT.iter().map(ToString::to_string));
        Ok(SWIFT_POLICY.iter().fold(world, |world, setting| world.with_policy(setting)))
    }

    /// Starts a world whose settings are the defaults.
    pub fn start_plain(with: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let redis = Redis::start(&folder.path().join("redis"))?;
        let mut command = Command::new(binary()?);
        command.current_dir(folder.path()).args(["sim", "--port", "0", "--write-config", "songmill.toml"]);
        command.args(with.iter().flat_map(|setting| ["--with", setting])).stdout(Stdio::piped());
        let mut sim = Process::spawn(&mut command, &folder.path().join("sim.log"))?;
        let mut line = String::new();
        let out = sim.0.stdout.take().context("standard output is piped")?;
        BufReader::new(out).read_line(&mut line)?;
        let Some((_, addr)) = line.trim().split_once("http://") else {
            bail!("the simulator did not start: {}", read(&folder.path().join("sim.log")));
        };
        let addr = addr.parse()?;
        let begun = Instant::now();
        // It may be there a moment before what is in it.
        let is_written = |file: PathBuf| std::fs::metadata(file).is_ok_and(|file| file.len() > 0);
        while !is_written(folder.path().join("songmill.toml")) {
            if begun.elapsed() > PATIENCE {
                bail!("the simulator wrote no settings");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let listener = free_port()?;
        let settings = vec![format!("listener.listen=\"{listener}\"")];
        Ok(Self { folder, redis, sim: addr, listener, settings, simulator: sim })
    }

    /// Has vendors call back.
    #[must_use]
    pub fn with_callbacks(self) -> Self {
        let listener = self.listener;
        self.with_callbacks_at(listener)
    }

    /// Has vendors call back at an address that leads to the listener.
    #[must_use]
    pub fn with_callbacks_at(self, addr: SocketAddr) -> Self {
        self.with(format!("public_url=\"http://{addr}\""))
    }

    /// One more setting, such as `policy.vendors.replicate.poll_first="30s"`.
    #[must_use]
    pub fn with(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// The id of the simulator's process.
    pub fn simulator(&self) -> u32 {
        self.simulator.id()
    }

    /// A setting of every vendor's policy.
    #[must_use]
    pub fn with_policy(mut self, setting: &str) -> Self {
        self.settings.extend(VENDORS.map(|vendor| format!("policy.vendors.{vendor}.{setting}")));
        self
    }

    /// A command on this world.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command.current_dir(self.folder.path()).args(args).arg("--redis-url").arg(self.redis.url());
        command.args(self.settings.iter().flat_map(|setting| ["--set", setting.as_str()]));
        command.env("SONGMILL_LOG__LEVEL", "info");
        for key in [
            "REPLICATE_API_TOKEN",
            "INFERENCE_API_KEY",
            "SENSEAUDIO_API_KEY",
            "TENCENT_SECRET_ID",
            "TENCENT_SECRET_KEY",
        ] {
            command.env_remove(key);
        }
        Ok(command)
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        Ok(self.command(args)?.stdin(Stdio::null()).output()?)
    }

    /// Runs a command that prints JSON.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let output = self.run(&[args, &["--json"]].concat())?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "{args:?} printed {:?} and {}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    /// Runs a command that prints lines of JSON.
    pub fn json_lines(&self, args: &[&str]) -> Result<Vec<Value>> {
        let output = self.run(&[args, &["--json"]].concat())?;
        String::from_utf8(output.stdout)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Starts roles in a process of their own, with a log of this name and more settings, and does not wait.
    pub fn serve_as(&self, name: &str, roles: &[&str], settings: &[String]) -> Result<Process> {
        let log = self.folder.path().join(format!("{name}.log"));
        let mut command = self.command(&[&["serve"], roles].concat())?;
        command.args(settings.iter().flat_map(|setting| ["--set", setting.as_str()]));
        Process::spawn(command.stdout(Stdio::null()), &log)
    }

    /// Starts roles in a process of their own.
    pub fn serve(&self, roles: &[&str]) -> Result<Process> {
        let process = self.serve_as(&roles.join("-"), roles, &[])?;
        if roles.contains(&"listener") {
            until("the listener answers", || Ok(std::net::TcpStream::connect(self.listener).is_ok()))?;
        }
        Ok(process)
    }

    /// Starts the API, and roles beside it, in a process of their own.
    pub fn serve_api(&self, roles: &[&str], settings: &[&str]) -> Result<(Process, api::Api)> {
        let addr = free_port()?;
        let mut settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        settings.push(format!("api.listen=\"{addr}\""));
        let process = self.serve_as("api", &[&["api"], roles].concat(), &settings)?;
        until("the API answers", || Ok(std::net::TcpStream::connect(addr).is_ok()))?;
        Ok((process, api::Api { addr, key: None }))
    }

    /// Makes a key for a tenant.
    pub fn key(&self, tenant: &str, scopes: &[&str]) -> Result<String> {
        let mut args = vec!["key", "create", "--tenant", tenant];
        args.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
        let made = self.json(&args)?;
        made["secret"].as_str().map(str::to_owned).context("a key has a secret")
    }

    /// Writes a file of requests.
    pub fn file(&self, name: &str, lines: &[Value]) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        let mut file = std::fs::File::create(&path)?;
        for line in lines {
            writeln!(file, "{line}")?;
        }
        Ok(path)
    }

    /// Submits requests to a batch.
    pub fn submit(&self, batch: &str, lines: &[Value]) -> Result<Value> {
        self.file(&format!("{batch}.jsonl"), lines)?;
        self.json(&["submit", &format!("{batch}.jsonl"), "--batch", batch])
    }

    /// Waits until a batch has settled; its counts by state.
    pub fn settled(&self, batch: &str) -> Result<Value> {
        let output = self.run(&["batch", "watch", batch, "--json"])?;
        let shown: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok(shown["counts"].clone())
    }

    /// What became of a batch's jobs, in order.
    pub fn results(&self, batch: &str) -> Result<Vec<Value>> {
        self.json_lines(&["batch", "results", batch])
    }

    /// The one job of a batch that has `custom_id`.
    pub fn job(&self, batch: &str, custom_id: &str) -> Result<Value> {
        let results = self.results(batch)?;
        let found = results.iter().find(|job| job["custom_id"] == custom_id).context("no such job")?;
        self.json(&["job", "show", found["id"].as_str().context("a job has an id")?])
    }

    /// The simulator's books.
    pub fn stats(&self) -> Result<Value> {
        http(self.sim, "GET", "/_sim/stats?tokens=1", None).map(|(_, body)| body)
    }

    /// Changes the simulator's faults.
    pub fn faults(&self, faults: &Value) -> Result<()> {
        match http(self.sim, "POST", "/_sim/faults", Some(&faults.to_string()))? {
            (200..300, _) => Ok(()),
            (status, body) => bail!("the simulator refused faults: {status} {body}"),
        }
    }

    /// Proves the store's invariant and that nothing was paid for twice.
    pub fn audit(&self) -> Result<()> {
        let doctor = self.json(&["doctor", "--audit"])?;
        let checks = doctor["checks"].as_array().context("doctor lists checks")?;
        // What waits for a person breaks no promise.
        let is_bad = |check: &&Value| check["verdict"] == "bad" && check["what"] != "waiting";
        if let Some(bad) = checks.iter().find(is_bad) {
            bail!("doctor complains: {bad}");
        }
        let stats = self.stats()?;
        for vendor in VENDORS {
            let most = stats["vendors"][vendor]["max_tasks_per_token"].as_u64().unwrap_or(0);
            if most > 1 {
                bail!("{vendor} made {most} tasks for one attempt");
            }
        }
        Ok(())
    }

    /// What a process of these roles logged.
    pub fn log(&self, roles: &str) -> String {
        read(&self.folder.path().join(format!("{roles}.log")))
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if so()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    bail!("it never came to be that {what}")
}

/// The binary under test: `SONGMILL_BIN`, or the one beside the tests.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("SONGMILL_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let path = test.ancestors().nth(2).context("tests lie in target/<profile>/deps")?.join("songmill");
    if !path.is_file() {
        bail!(
            "{} is not there: build it first (`cargo build --bin songmill`, or run `just test`)",
            path.display()
        );
    }
    Ok(path)
}

/// Requests for all four vendors, one each, told apart by `custom_id`.
pub fn one_each() -> Vec<Value> {
    vec![
        serde_json::json!({"custom_id": "t", "vendor": "tencent", "prompt": "海边的清晨，轻快的旋律", "mood": "happy"}),
        serde_json::json!({"custom_id": "i", "vendor": "inference_sh", "lyrics": "[verse] the rain has gone. the road is long. ; [chorus] we are going home.", "style": "folk, female", "duration_s": 6}),
        serde_json::json!({"custom_id": "r", "vendor": "replicate", "prompt": "a calm piano", "duration_s": 4}),
        serde_json::json!({"custom_id": "s", "vendor": "senseaudio", "lyrics": "[verse] snow on the hill ; [chorus] all is still", "style": "pop", "vocal": "female"}),
    ]
}

/// So many of each of these requests, told apart by `custom_id`.
pub fn many(count: usize, lines: &[Value]) -> Vec<Value> {
    let numbered = |n: usize| {
        lines.iter().cloned().map(move |mut line| {
            line["custom_id"] = format!("{}-{n}", line["custom_id"].as_str().unwrap_or_default()).into();
            line
        })
    };
    (0..count).flat_map(numbered).collect()
}

/// One each of the vendors that can find a lost submission again: all but SenseAudio.
pub fn findable() -> Vec<Value> {
    one_each().into_iter().filter(|line| line["vendor"] != "senseaudio").collect()
}
