//! A Redis, and jobs to put into it.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use songmill_core::job::{Accepted, JobPolicy, Route, StepKind, VendorPolicy};
use songmill_core::time::Span;
use songmill_core::{BatchRef, Event, Fault, FaultKind, Job, JobId, Policy, Price, TaskId, VendorName};
use songmill_store::{NewJob, Retention, Settings, Store};
use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Users as operators are told to make them.
const USERS: &str = include_str!("../../../../deploy/redis-users.acl");

pub(crate) struct Redis {
    folder: TempDir,
    child: Option<Child>,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Redis {
    pub(crate) fn start(more: &[&str]) -> Self {
        let mut redis = Self { folder: TempDir::new().unwrap(), child: None };
        redis.resume(more);
        redis
    }

    /// Starts it, with what its file holds.
    pub(crate) fn resume(&mut self, more: &[&str]) {
        // The store logs in as the user that operators are told to make; the test itself as another.
        let users = USERS.replace(">ADMIN_PASSWORD", "nopass").replace(">SONGMILL_PASSWORD", ">songmill");
        std::fs::write(self.folder.path().join("users.acl"), users).unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--aclfile", "users.acl"]);
        command.current_dir(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command.args(["--port", "0", "--unixsocket", "s", "--save", "", "--appendonly", "yes"]);
        command.args(["--appendfsync", "always", "--maxmemory-policy", "noeviction"]).args(more);
        self.child = Some(command.spawn().unwrap());
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(self.folder.path().join("s")).is_err() {
            assert!(begun.elapsed() < PATIENCE, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A store with other limits or prices.
    pub(crate) async fn store_of(&self, set: impl FnOnce(&mut Policy)) -> Store {
        let mut policy = policy();
        set(&mut policy);
        Store::connect(&self.settings(), Retention::default(), policy).await.unwrap()
    }

    pub(crate) async fn store(&self) -> Store {
        self.store_with(Retention::default()).await
    }

    pub(crate) async fn store_with(&self, retention: Retention) -> Store {
        Store::connect(&self.settings(), retention, policy()).await.unwrap()
    }

    /// A store that gives a reply up soon.
    pub(crate) async fn impatient_store(&self) -> Store {
        let settings = Settings { reply_timeout: Span::millis(200), ..self.settings() };
        Store::connect(&settings, Retention::default(), policy()).await.unwrap()
    }

    fn settings(&self) -> Settings {
        let socket = self.folder.path().join("s");
        let url = format!("unix:{}?user=songmill&pass=songmill", socket.display());
        Settings { url, ..Settings::default() }
    }

    /// All that its append-only files hold, as text.
    pub(crate) fn files(&self) -> String {
        let files = std::fs::read_dir(self.folder.path().join("appendonlydir")).unwrap();
        let read = |file: std::io::Result<std::fs::DirEntry>| std::fs::read(file.unwrap().path()).unwrap();
        files.map(|file| String::from_utf8_lossy(&read(file)).into_owned()).collect()
    }

    /// A command to the server, as an operator would give it.
    pub(crate) fn command(&self, args: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .arg("-s")
            .arg(self.folder.path().join("s"))
            .args(args)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

pub(crate) fn vendor() -> VendorName {
    VendorName::new("acme").unwrap()
}

pub(crate) fn batch() -> BatchRef {
    "b".parse().unwrap()
}

fn policy() -> Policy {
    let own = VendorPolicy {
        look_up: true,
        backoff: Span::millis(1),
        backoff_most: Span::millis(2),
        settle: Span::millis(1),
        looks: 1,
        poll_first: Span::millis(1),
        ..VendorPolicy::default()
    };
    Policy::new(
        BTreeMap::from([(vendor(), own)]),
        JobPolicy { claims: 3, deadline: Span::secs(1), ..JobPolicy::default() },
    )
}

/// The job of this number, in the batch.
pub(crate) fn new_job(store: &Store, n: usize) -> NewJob {
    let route = Route::new(vendor(), vec![StepKind::Song]);
    let now = store.now();
    let mut job =
        Job::new(JobId::derive("t", &n.to_string()), vec![route], now, now + Duration::from_secs(3600));
    job.batch = Some(batch().name);
    NewJob { job, request: Arc::from(format!(r#"{{"prompt":"song {n}"}}"#)), content: None }
}

/// Takes so many jobs of a tenant in, without a batch, at this price in millionths.
pub(crate) async fn enqueue_for(store: &Store, tenant: &str, count: usize, price: u64) -> Vec<JobId> {
    if price > 0 {
        let price = Price { song: price as f64 / 1e6, ..Price::default() };
        store.set_price(&vendor(), Some(price), "test").await.unwrap();
    }
    enqueue_more(store, tenant, 0, count).await
}

/// Takes more jobs of a tenant in, without a batch, numbered from `first`.
pub(crate) async fn enqueue_more(store: &Store, tenant: &str, first: usize, count: usize) -> Vec<JobId> {
    let jobs: Vec<_> = (first..first + count)
        .map(|n| {
            let mut new = new_job(store, n);
            new.job.id = JobId::derive(tenant, &n.to_string());
            (new.job.tenant, new.job.batch) = (tenant.parse().unwrap(), None);
            new
        })
        .collect();
    store.enqueue(None, &jobs).await.unwrap();
    jobs.iter().map(|new| new.job.id).collect()
}

pub(crate) async fn enqueue(store: &Store, count: usize) -> Vec<JobId> {
    let jobs: Vec<_> = (0..count).map(|n| new_job(store, n)).collect();
    store.enqueue(Some(&batch()), &jobs).await.unwrap();
    jobs.iter().map(|new| new.job.id).collect()
}

pub(crate) fn accepted(attempt: u32) -> Event {
    Event::Accepted { attempt, accepted: Accepted::Task(TaskId::new("task").unwrap()) }
}

pub(crate) fn rejected(attempt: u32) -> Event {
    Event::SubmitFailed { attempt, fault: Fault::new(FaultKind::Rejected, "no", "") }
}

/// Waits until something is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < PATIENCE, "it never came to be that {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
