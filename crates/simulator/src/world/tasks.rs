//! Tasks at the vendors', as they are now.

use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::faults::{Applied, Fault};
use crate::audio::Recipe;

/// How long a task's withheld outputs are withheld at least, after its end, in ms.
const WITHHELD: u64 = 300;

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
#[derive(Clone, Debug, Default)]
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
    /// How often its outputs got a fresh address.
    pub(crate) generation: u32,
    /// Whether the address of this generation was refused.
    pub(crate) refused: bool,
    pub(crate) applied: Applied,
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

/// How tasks are seen: whether they are held, and what is called when one is first seen to have ended.
pub(crate) struct View<'a> {
    pub(crate) hold: bool,
    pub(crate) on_end: &'a dyn Fn(Phase),
}

/// One vendor's tasks.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<ById>);

#[derive(Debug, Default)]
struct ById {
    tasks: HashMap<String, Task>,
    order: VecDeque<String>,
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, ById> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a task, and at most so many.
    pub(crate) fn keep(&self, task: Task, most: usize) {
        let mut all = self.lock();
        all.order.push_back(task.id.clone());
        all.tasks.insert(task.id.clone(), task);
        if all.order.len() > most
            && let Some(oldest) = all.order.pop_front()
        {
            all.tasks.remove(&oldest);
        }
    }

    /// A task as it is now.
    pub(crate) fn find(&self, id: &str, view: &View<'_>) -> Option<(Task, Phase)> {
        let mut all = self.lock();
        let task = all.tasks.get_mut(id)?;
        let phase = settle(task, view);
        Some((task.clone(), phase))
    }

    /// A task whose caller asks for it by its id: a refused address is replaced by a fresh one.
    pub(crate) fn ask(&self, id: &str, view: &View<'_>) -> Option<(Task, Phase)> {
        let mut all = self.lock();
        let task = all.tasks.get_mut(id)?;
        let phase = settle(task, view);
        if phase == Phase::Done {
            if std::mem::take(&mut task.refused) {
                task.generation += 1;
            }
            if task.ended.is_some_and(|ended| now() > ended + WITHHELD) {
                task.withheld = false;
            }
        }
        Some((task.clone(), phase))
    }

    /// Newest first, those made in a span of time that are wanted, at most so many after skipping so many.
    pub(crate) fn list(
        &self,
        (skip, most): (usize, usize),
        made: RangeInclusive<u64>,
        wanted: impl Fn(&Task) -> bool,
        view: &View<'_>,
    ) -> Vec<(Task, Phase)> {
        let mut all = self.lock();
        // They stand in the order of their making; one that is forgotten stands nowhere.
        let made_by = |moment: u64| {
            all.order.partition_point(|id| all.tasks.get(id).is_none_or(|task| task.created <= moment))
        };
        let from = made.start().checked_sub(1).map_or(0, made_by);
        let ids: Vec<String> = all
            .order
            .range(from..made_by(*made.end()).max(from))
            .rev()
            .filter(|id| all.tasks.get(*id).is_some_and(&wanted))
            .skip(skip)
            .take(most)
            .cloned()
            .collect();
        let mut listed = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(task) = all.tasks.get_mut(&id) {
                let phase = settle(task, view);
                listed.push((task.clone(), phase));
            }
        }
        listed
    }

    /// Stops a task that has not ended; its phase afterwards, and whether it was stopped now.
    pub(crate) fn cancel(&self, id: &str, view: &View<'_>) -> Option<(Task, Phase, bool)> {
        let mut all = self.lock();
        let task = all.tasks.get_mut(id)?;
        let before = settle(task, view);
        if before.has_ended() {
            return Some((task.clone(), before, false));
        }
        task.canceled = Some(now());
        Some((task.clone(), Phase::Canceled, true))
    }

    /// Notes that a fault was applied to a task; whether that is new.
    pub(crate) fn note(&self, id: &str, fault: Fault) -> bool {
        self.lock().tasks.get_mut(id).is_some_and(|task| task.applied.add(fault))
    }

    /// Notes that the address of a task's present generation was refused.
    pub(crate) fn refuse_address(&self, id: &str) {
        if let Some(task) = self.lock().tasks.get_mut(id) {
            task.refused = true;
        }
    }

    pub(crate) fn forget(&self, id: &str) {
        self.lock().tasks.remove(id);
    }

    pub(crate) fn clear(&self) {
        *self.lock() = ById::default();
    }

    /// How many were not seen to have ended.
    pub(crate) fn in_flight(&self) -> usize {
        self.lock().tasks.values().filter(|task| task.ended.is_none() && task.canceled.is_none()).count()
    }

    /// How many are under way now.
    pub(crate) fn under_way(&self, hold: bool) -> usize {
        let now = now();
        let live =
            |task: &&Task| task.canceled.is_none() && task.ended.is_none() && (hold || task.ends > now);
        self.lock().tasks.values().filter(live).count()
    }
}

fn settle(task: &mut Task, view: &View<'_>) -> Phase {
    let now = now();
    if task.canceled.is_some() {
        return Phase::Canceled;
    }
    let end = if task.failure.is_some() { Phase::Failed } else { Phase::Done };
    if task.ended.is_none() && !view.hold && now >= task.ends {
        task.ended = Some(now);
        (view.on_end)(end);
    }
    match task.ended {
        Some(_) => end,
        None if now < task.created + 50 => Phase::Starting,
        None => Phase::Running,
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
