//! What there is: tasks, chance, faults, books.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use serde_json::Value;

use crate::audio::{self, Recipe};
use crate::config::{Config, Faults, OddAudio};
use crate::door::{Door, Over};
use crate::gate::Kind;
use crate::stats::{Books, count};

/// One of the four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Vendor {
    Tencent,
    InferenceSh,
    Replicate,
    SenseAudio,
}

impl Vendor {
    pub(crate) const ALL: [Self; 4] = [Self::Tencent, Self::InferenceSh, Self::Replicate, Self::SenseAudio];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tencent => "tencent",
            Self::InferenceSh => "inference_sh",
            Self::Replicate => "replicate",
            Self::SenseAudio => "senseaudio",
        }
    }
}

/// A task at a vendor's.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    /// In ms since 1970, as all moments here.
    pub(crate) created: u64,
    /// When it ends, unless tasks are held.
    pub(crate) ends: u64,
    /// When it was seen to have ended.
    pub(crate) ended: Option<u64>,
    /// Why it fails, if it is to.
    pub(crate) failure: Option<String>,
    pub(crate) canceled: Option<u64>,
    /// What was asked for, as the vendor echoes it.
    pub(crate) request: Value,
    pub(crate) webhook: Option<String>,
    /// What it makes.
    pub(crate) outputs: Vec<Recipe>,
    /// Whether its outputs refuse to be had until it is asked for again.
    pub(crate) withheld: bool,
}

/// How a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Running,
    Done,
    Failed,
    Canceled,
}

impl Phase {
    pub(crate) const fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Canceled)
    }
}

#[derive(Debug, Default)]
struct Tasks {
    by_id: HashMap<String, Task>,
    order: VecDeque<String>,
}

/// Everything the handlers share.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) addr: SocketAddr,
    pub(crate) client: reqwest::Client,
    dice: AtomicU64,
    faults: RwLock<HashMap<Vendor, Faults>>,
    tasks: [Mutex<Tasks>; 4],
    books: RwLock<Arc<[Books; 4]>>,
    doors: [Door; 4],
    uploads: Mutex<HashMap<String, (Bytes, String)>>,
    /// What the first task of a warm worker was to last.
    pub(crate) first_length: OnceLock<u64>,
    audio: Mutex<(HashMap<Recipe, Bytes>, VecDeque<Recipe>, usize)>,
}

/// How many bytes of audio are kept made.
const AUDIO_KEPT: usize = 64 << 20;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(config: Config, addr: SocketAddr, client: reqwest::Client) -> Self {
        let faults = Vendor::ALL.into_iter().map(|vendor| (vendor, config.faults.clone())).collect();
        let dice = AtomicU64::new(config.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self {
            config,
            addr,
            client,
            dice,
            faults: RwLock::new(faults),
            tasks: Default::default(),
            books: RwLock::default(),
            doors: Default::default(),
            uploads: Mutex::default(),
            first_length: OnceLock::new(),
            audio: Mutex::default(),
        }
    }

    /// Our address as others see it.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A number from the seeded dice.
    pub(crate) fn roll(&self) -> u64 {
        let mut x = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// True so often.
    pub(crate) fn chance(&self, rate: f64) -> bool {
        rate > 0.0 && (self.roll() >> 11) as f64 / (1u64 << 53) as f64 <= rate
    }

    /// A number from least to most.
    pub(crate) fn between(&self, [least, most]: [u64; 2]) -> u64 {
        least + self.roll() % (most.saturating_sub(least) + 1)
    }

    /// An id of so many characters of 0-9 and a-z.
    pub(crate) fn id(&self, chars: usize) -> String {
        (0..chars)
            .map(|_| char::from(b"0123456789abcdefghjkmnpqrstvwxyz"[(self.roll() >> 40) as usize % 32]))
            .collect()
    }

    /// An id in the form of a UUID.
    pub(crate) fn uuid(&self) -> String {
        let (a, b) = (self.roll(), self.roll());
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }

    pub(crate) fn faults(&self, vendor: Vendor) -> Faults {
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner);
        faults.get(&vendor).cloned().unwrap_or_default()
    }

    /// Changes the faults of some vendors.
    pub(crate) fn set_faults(&self, vendors: &[Vendor], faults: &[Faults]) {
        let mut all = self.faults.write().unwrap_or_else(PoisonError::into_inner);
        all.extend(vendors.iter().copied().zip(faults.iter().cloned()));
    }

    pub(crate) fn books(&self, vendor: Vendor) -> BooksOf {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner).clone();
        BooksOf { books, vendor }
    }

    /// Forgets all tasks and begins new books.
    pub(crate) fn reset(&self) {
        *self.books.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        for tasks in &self.tasks {
            *lock(tasks) = Tasks::default();
        }
        lock(&self.uploads).clear();
    }

    fn tasks(&self, vendor: Vendor) -> MutexGuard<'_, Tasks> {
        lock(&self.tasks[vendor as usize])
    }

    /// When a task that begins now ends.
    pub(crate) fn plan_end(&self, now: u64) -> u64 {
        now + self.between(self.config.generation_ms)
    }

    /// Remembers a task.
    pub(crate) fn keep(&self, vendor: Vendor, token: &str, task: Task) {
        self.books(vendor).created(token);
        let mut tasks = self.tasks(vendor);
        tasks.order.push_back(task.id.clone());
        tasks.by_id.insert(task.id.clone(), task);
        if tasks.order.len() > self.config.tasks_most
            && let Some(oldest) = tasks.order.pop_front()
        {
            tasks.by_id.remove(&oldest);
        }
    }

    /// A task as it is now.
    pub(crate) fn task(&self, vendor: Vendor, id: &str) -> Option<(Task, Phase)> {
        let hold = self.faults(vendor).hold;
        let mut tasks = self.tasks(vendor);
        let task = tasks.by_id.get_mut(id)?;
        let phase = self.settle(vendor, task, hold);
        Some((task.clone(), phase))
    }

    /// Newest first, those made in a span of time that are wanted, at most so many after skipping so many.
    pub(crate) fn list(
        &self,
        vendor: Vendor,
        skip: usize,
        most: usize,
        made: std::ops::RangeInclusive<u64>,
        wanted: impl Fn(&Task) -> bool,
    ) -> Vec<(Task, Phase)> {
        let faults = self.faults(vendor);
        let visible = now().saturating_sub(faults.lookup_lag_ms).min(*made.end());
        let mut tasks = self.tasks(vendor);
        // They stand in the order of their making; one that is forgotten stands nowhere.
        let made_by = |moment: u64| {
            tasks.order.partition_point(|id| tasks.by_id.get(id).is_none_or(|task| task.created <= moment))
        };
        let from = made.start().checked_sub(1).map_or(0, made_by);
        let ids: Vec<String> = tasks
            .order
            .range(from..made_by(visible).max(from))
            .rev()
            .filter(|id| tasks.by_id.get(*id).is_some_and(&wanted))
            .skip(skip)
            .take(most)
            .cloned()
            .collect();
        let mut listed = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(task) = tasks.by_id.get_mut(&id) {
                let phase = self.settle(vendor, task, faults.hold);
                listed.push((task.clone(), phase));
            }
        }
        listed
    }

    fn settle(&self, vendor: Vendor, task: &mut Task, hold: bool) -> Phase {
        let now = now();
        if task.canceled.is_some() {
            return Phase::Canceled;
        }
        if task.ended.is_none() && !hold && now >= task.ends {
            task.ended = Some(now);
            let books = self.books(vendor);
            count(if task.failure.is_some() { &books.failed } else { &books.completed });
        }
        match (&task.ended, &task.failure) {
            (Some(_), Some(_)) => Phase::Failed,
            (Some(_), None) => Phase::Done,
            (None, _) if now < task.created + 50 => Phase::Starting,
            (None, _) => Phase::Running,
        }
    }

    /// Stops a task that has not ended; its phase afterwards.
    pub(crate) fn cancel(&self, vendor: Vendor, id: &str) -> Option<(Task, Phase, bool)> {
        let (_, before) = self.task(vendor, id)?;
        let mut tasks = self.tasks(vendor);
        let task = tasks.by_id.get_mut(id)?;
        if before.has_ended() {
            return Some((task.clone(), before, false));
        }
        task.canceled = Some(now());
        count(&self.books(vendor).canceled);
        Some((task.clone(), Phase::Canceled, true))
    }

    /// Lets a task's outputs be had again.
    pub(crate) fn release_outputs(&self, vendor: Vendor, id: &str) {
        if let Some(task) = self.tasks(vendor).by_id.get_mut(id) {
            task.withheld = false;
        }
    }

    pub(crate) fn forget(&self, vendor: Vendor, id: &str) {
        self.tasks(vendor).by_id.remove(id);
    }

    pub(crate) fn in_flight(&self, vendor: Vendor) -> usize {
        self.tasks(vendor)
            .by_id
            .values()
            .filter(|task| task.ended.is_none() && task.canceled.is_none())
            .count()
    }

    /// Lets a request in if the vendor allows one more.
    pub(crate) fn admit(&self, vendor: Vendor, kind: Kind, faults: &Faults) -> Result<(), (Over, u64)> {
        self.doors[vendor as usize].enter(kind, faults, now(), || {
            let ends = now();
            let tasks = self.tasks(vendor);
            let live = |task: &&Task| {
                task.canceled.is_none() && task.ended.is_none() && (faults.hold || task.ends > ends)
            };
            let under_way = tasks.by_id.values().filter(live).count();
            self.books(vendor).under_way(under_way + 1);
            under_way
        })
    }

    /// The audio of a recipe, made when it is first asked for.
    pub(crate) async fn audio(&self, recipe: &Recipe) -> Bytes {
        if let Some(bytes) = lock(&self.audio).0.get(recipe) {
            return bytes.clone();
        }
        let wanted = recipe.clone();
        let made = tokio::task::spawn_blocking(move || audio::make(&wanted, 1)).await;
        let bytes = Bytes::from(made.unwrap_or_default());
        let mut kept = lock(&self.audio);
        let (by_recipe, order, size) = &mut *kept;
        if by_recipe.insert(recipe.clone(), bytes.clone()).is_none() {
            order.push_back(recipe.clone());
            *size += bytes.len();
        }
        while *size > AUDIO_KEPT
            && let Some(oldest) = order.pop_front()
        {
            *size -= by_recipe.remove(&oldest).map_or(0, |bytes| bytes.len());
        }
        bytes
    }

    /// The audio of a recipe as it is where something is wrong with it.
    pub(crate) async fn odd_audio(&self, recipe: &Recipe, odd: OddAudio) -> Bytes {
        let gain = match odd {
            OddAudio::None => return self.audio(recipe).await,
            OddAudio::Cut => {
                let whole = self.audio(recipe).await;
                return whole.slice(..whole.len() * 3 / 5);
            }
            OddAudio::Page => {
                return Bytes::from_static(b"<!doctype html><html><body>403 Forbidden</body></html>");
            }
            OddAudio::Empty => return Bytes::new(),
            OddAudio::Silent => 0,
            OddAudio::Clipped => 40,
        };
        let wanted = recipe.clone();
        let made = tokio::task::spawn_blocking(move || audio::make(&wanted, gain)).await;
        Bytes::from(made.unwrap_or_default())
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

    /// How long the audio of a task is to be, in ms: what was asked for within bounds, or 4 to 12 s by chance.
    pub(crate) fn length(&self, asked_s: Option<u64>) -> u32 {
        let most = u64::from(self.config.audio_seconds_most);
        let secs = asked_s.unwrap_or_else(|| 4 + self.roll() % 9).clamp(1, most);
        u32::try_from(secs * 1000).unwrap_or(u32::MAX)
    }
}

/// The books of one vendor.
pub(crate) struct BooksOf {
    books: Arc<[Books; 4]>,
    vendor: Vendor,
}

impl std::ops::Deref for BooksOf {
    type Target = Books;
    fn deref(&self) -> &Books {
        &self.books[self.vendor as usize]
    }
}

/// Now, in ms since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A moment as RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339(millis: u64) -> String {
    let moment = i64::try_from(millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    moment.map_or_else(String::new, |moment| moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}
