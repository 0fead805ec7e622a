//! What there is: tasks, chance, faults, books.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::{Deref, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use axum::body::Bytes;

use crate::quoting;
use crate::settings::{Config, Faults};

mod books;
mod cache;
mod dice;
mod faults;
mod limits;
mod tasks;

pub(crate) use books::{Books, count};
pub(crate) use faults::Fault;
pub(crate) use limits::Kind;
pub(crate) use tasks::{Phase, Task, Vendor, now, rfc3339};

use cache::Cache;
use dice::Dice;
use limits::{Limits, Over};
use tasks::{Tasks, View};

/// Everything the handlers share.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) addr: SocketAddr,
    pub(crate) client: reqwest::Client,
    pub(crate) cache: Cache,
    /// What the first task of a warm worker was to last.
    pub(crate) first_length: OnceLock<u64>,
    pub(crate) dice: Dice,
    faults: RwLock<HashMap<Vendor, Arc<Faults>>>,
    tasks: [Tasks; 4],
    books: RwLock<Arc<[Books; 4]>>,
    limits: [Limits; 4],
    uploads: Mutex<HashMap<String, (Bytes, String)>>,
    /// The jobs that had a task made for them.
    jobs: Mutex<HashSet<(Vendor, String)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(config: Config, addr: SocketAddr, client: reqwest::Client) -> Self {
        let faults = Arc::new(config.faults.clone());
        Self {
            dice: Dice::new(config.seed),
            config,
            addr,
            client,
            cache: Cache::default(),
            first_length: OnceLock::new(),
            faults: RwLock::new(Vendor::ALL.into_iter().map(|vendor| (vendor, faults.clone())).collect()),
            tasks: Default::default(),
            books: RwLock::default(),
            limits: Default::default(),
            uploads: Mutex::default(),
            jobs: Mutex::default(),
        }
    }

    /// Our address as others see it.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn faults(&self, vendor: Vendor) -> Arc<Faults> {
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner);
        faults.get(&vendor).cloned().unwrap_or_default()
    }

    /// Changes the faults of some vendors.
    pub(crate) fn set_faults(&self, vendors: &[Vendor], faults: Vec<Faults>) {
        let mut all = self.faults.write().unwrap_or_else(PoisonError::into_inner);
        all.extend(vendors.iter().copied().zip(faults.into_iter().map(Arc::new)));
    }

    pub(crate) fn books(&self, vendor: Vendor) -> BooksOf {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner).clone();
        BooksOf { books, vendor }
    }

    /// Forgets all tasks and begins new books.
    pub(crate) fn reset(&self) {
        *self.books.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        self.tasks.iter().for_each(Tasks::clear);
        lock(&self.uploads).clear();
        lock(&self.jobs).clear();
    }

    /// When a task that begins now ends.
    pub(crate) fn plan_end(&self, now: u64) -> u64 {
        now + self.dice.between(self.config.generation_ms)
    }

    /// How long the audio of a task is to be, in ms: what was asked for within bounds, or 4 to 12 s by chance.
    pub(crate) fn length(&self, asked_s: Option<u64>) -> u32 {
        let most = u64::from(self.config.audio_seconds_most);
        let secs = asked_s.unwrap_or_else(|| 4 + self.dice.roll() % 9).clamp(1, most);
        u32::try_from(secs * 1000).unwrap_or(u32::MAX)
    }

    /// What a new task fails with, if it is to: what is set for its submission, the text that is set, or else the
    /// vendor's own.
    pub(crate) fn failure(&self, vendor: Vendor, token: &str, body: &[u8], own: &str) -> Option<String> {
        let faults = self.faults(vendor);
        if let Some(words) = quoting::doom(&faults, body) {
            self.books(vendor).applied(Fault::Failed);
            return Some(words);
        }
        let is_first = lock(&self.jobs).insert((vendor, job_of(token).to_owned()));
        if faults.fail_first_only && !is_first || !self.dice.chance(faults.fail_rate) {
            return None;
        }
        self.books(vendor).applied(Fault::Failed);
        Some(if faults.fail_message.is_empty() { own.to_owned() } else { faults.fail_message.clone() })
    }

    /// Remembers a task.
    pub(crate) fn keep(&self, vendor: Vendor, token: &str, task: Task) {
        self.books(vendor).created(token);
        self.tasks[vendor as usize].keep(task, self.config.tasks_most);
    }

    /// A task as it is now.
    pub(crate) fn task(&self, vendor: Vendor, id: &str) -> Option<(Task, Phase)> {
        self.with_tasks(vendor, |tasks, view| tasks.find(id, view))
    }

    /// A task whose caller asks for it by its id, which gives its outputs a fresh address where the first was refused.
    pub(crate) fn ask(&self, vendor: Vendor, id: &str) -> Option<(Task, Phase)> {
        self.with_tasks(vendor, |tasks, view| tasks.ask(id, view))
    }

    /// Newest first, those made in a span of time that are wanted, at most so many after skipping so many.
    pub(crate) fn list(
        &self,
        vendor: Vendor,
        page: (usize, usize),
        made: RangeInclusive<u64>,
        wanted: impl Fn(&Task) -> bool,
    ) -> Vec<(Task, Phase)> {
        let visible = now().saturating_sub(self.faults(vendor).lookup_lag_ms).min(*made.end());
        self.with_tasks(vendor, |tasks, view| tasks.list(page, *made.start()..=visible, wanted, view))
    }

    /// Stops a task that has not ended; its phase afterwards, and whether it was stopped now.
    pub(crate) fn cancel(&self, vendor: Vendor, id: &str) -> Option<(Task, Phase, bool)> {
        let canceled = self.with_tasks(vendor, |tasks, view| tasks.cancel(id, view))?;
        if canceled.2 {
            count(&self.books(vendor).canceled);
        }
        Some(canceled)
    }

    fn with_tasks<T>(&self, vendor: Vendor, act: impl FnOnce(&Tasks, &View<'_>) -> T) -> T {
        let books = self.books(vendor);
        let on_end = |phase| count(if phase == Phase::Failed { &books.failed } else { &books.completed });
        act(&self.tasks[vendor as usize], &View { hold: self.faults(vendor).hold, on_end: &on_end })
    }

    /// Whether a fault strikes a task; where it does, the books say so.
    pub(crate) fn strikes(&self, vendor: Vendor, task: &Task, fault: Fault, rate: f64) -> bool {
        let struck = faults::strikes(self.config.seed, fault, &task.id, rate);
        if struck {
            self.note(vendor, task, fault);
        }
        struck
    }

    /// The same of one file of a task, which leaves it to the caller to note it.
    pub(crate) fn strikes_file(&self, fault: Fault, file: &str, rate: f64) -> bool {
        faults::strikes(self.config.seed, fault, file, rate)
    }

    /// Writes into the books that a fault was applied to a task.
    pub(crate) fn note(&self, vendor: Vendor, task: &Task, fault: Fault) {
        if !task.applied.has(fault) && self.tasks[vendor as usize].note(&task.id, fault) {
            self.books(vendor).applied(fault);
        }
    }

    /// A number that follows from the seed, a name and an id.
    pub(crate) fn draw(&self, name: &str, id: &str) -> usize {
        (faults::draw(self.config.seed, name, id) >> 16) as usize
    }

    /// Notes that the address of a task's present generation was refused.
    pub(crate) fn refuse_address(&self, vendor: Vendor, id: &str) {
        self.tasks[vendor as usize].refuse_address(id);
    }

    pub(crate) fn forget(&self, vendor: Vendor, id: &str) {
        self.tasks[vendor as usize].forget(id);
    }

    pub(crate) fn in_flight(&self, vendor: Vendor) -> usize {
        self.tasks[vendor as usize].in_flight()
    }

    /// Lets a request in if the vendor allows one more.
    pub(crate) fn admit(&self, vendor: Vendor, kind: Kind, faults: &Faults) -> Result<(), (Over, u64)> {
        self.limits[vendor as usize].enter(kind, faults, now(), || {
            let under_way = self.tasks[vendor as usize].under_way(faults.hold);
            self.books(vendor).under_way(under_way + 1);
            under_way
        })
    }

    /// Keeps what was uploaded under a name.
    pub(crate) fn upload(&self, name: &str, bytes: Bytes, content_type: &str) {
        lock(&self.uploads).insert(name.to_owned(), (bytes, content_type.to_owned()));
    }

    pub(crate) fn uploaded(&self, name: &str) -> Option<(Bytes, String)> {
        lock(&self.uploads).get(name).cloned()
    }

    pub(crate) fn remove_upload(&self, name: &str) -> bool {
        lock(&self.uploads).remove(name).is_some()
    }
}

/// The job that a task is made for: the part of its token that is as long as a job's id, or else all of it.
fn job_of(token: &str) -> &str {
    const ID: usize = 26;
    let mut parts = token.split(|c: char| !c.is_ascii_alphanumeric());
    parts.find(|part| part.len() == ID).unwrap_or(token)
}

/// The books of one vendor.
pub(crate) struct BooksOf {
    books: Arc<[Books; 4]>,
    vendor: Vendor,
}

impl Deref for BooksOf {
    type Target = Books;
    fn deref(&self) -> &Books {
        &self.books[self.vendor as usize]
    }
}
