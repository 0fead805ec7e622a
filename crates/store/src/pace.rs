//! How long tasks take and whether callbacks come: counted here, added up in Redis, and read back into the policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use songmill_core::job::{State, Via};
use songmill_core::pace::{Health, Kind, Pace, Took};
use songmill_core::{Event, Job, Report, Timestamp, VendorName};
use tokio_util::task::AbortOnDropHandle;

use crate::connection::{StoreError, nothing_if_corrupt};
use crate::scripts::PACE;
use crate::store::Store;

/// What this process has counted since it last told.
#[derive(Debug, Default)]
pub(crate) struct Counted(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Vendors that are to call back.
    calling: BTreeSet<VendorName>,
    /// By vendor and field of its pace.
    more: BTreeMap<VendorName, BTreeMap<String, u64>>,
}

/// Between two times of telling and reading.
const ROUND: Duration = Duration::from_secs(2);
/// What is due within this part of the time that a task has taken is about due, while callbacks come.
const ABOUT: u32 = 4;
/// How long what is known is kept when nothing is added.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

impl Counted {
    /// Counts what could not be told yet.
    fn keep(&self, more: BTreeMap<VendorName, BTreeMap<String, u64>>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (vendor, fields) in more {
            let known = counts.more.entry(vendor).or_default();
            for (field, by) in fields {
                *known.entry(field).or_default() += by;
            }
        }
    }

    /// Counts what an event that changed a job tells of its vendor.
    pub(crate) fn observe(&self, pace: &Pace, before: &Job, event: &Event, after: &Job) {
        let State::Generating { attempt, nudged, .. } = &before.state else { return };
        let vendor = before.vendor();
        let count = |field: String| {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.more.entry(vendor.clone()).or_default().entry(field).or_default() += 1;
        };
        match event {
            Event::Heard { .. } if nudged.as_millis() == 0 => count("came".into()),
            Event::Reported { report, via, .. } if after.state != before.state => {
                let has_ended = !matches!(report, Report::Pending);
                let now = after.history.last().map_or(attempt.since, |entry| entry.0);
                // An address that is asked for anew says nothing of how long the task took.
                if matches!(report, Report::Done(_) | Report::Unreadable(_)) && before.retrieval.is_new() {
                    let step = Took::step(now.since(attempt.since));
                    count(format!("{}.{step}", Kind::of(before).0));
                }
                match via {
                    Via::Callback if has_ended => count("came".into()),
                    // Only the one that was submitted is called back for all that share its task.
                    Via::Poll { .. } | Via::List { .. }
                        if has_ended
                            && nudged.as_millis() == 0
                            && before.retrieval.is_new()
                            && is_about_due(pace, before, attempt.since, now)
                            && before.packed.is_none_or(|packed| packed.job == before.id) =>
                    {
                        let calling =
                            self.0.lock().unwrap_or_else(PoisonError::into_inner).calling.contains(vendor);
                        if calling {
                            count("missed".into());
                        }
                    }
                    Via::Callback | Via::Poll { .. } | Via::List { .. } => {}
                }
            }
            _ => {}
        }
    }
}

/// Whether a task would have been asked for about now. What stands beside such a one in a list may have ended just now,
/// and its callback be on the way: only where a look was due it tells that none came. While callbacks come looks are
/// due late, when nearly all have long ended, and somewhat before that tells as much.
fn is_about_due(pace: &Pace, job: &Job, since: Timestamp, now: Timestamp) -> bool {
    let before = match pace.health(job.vendor()) {
        Health::Good => now.since(since) / ABOUT,
        Health::Unknown | Health::Quiet => Duration::ZERO,
    };
    job.due <= now + before
}

impl Store {
    /// Keeps the policy's pace up to date for these vendors until the handle is dropped; `calling` are to call back.
    ///
    /// `at_once` says how many tasks a look takes in, where that is not one.
    pub fn keep_pace(
        &self,
        vendors: Vec<VendorName>,
        calling: Vec<VendorName>,
        at_once: BTreeMap<VendorName, u32>,
    ) -> AbortOnDropHandle<()> {
        let counted = self.counted();
        counted.0.lock().unwrap_or_else(PoisonError::into_inner).calling.extend(calling);
        let store = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                if let Err(error) = store.tell_pace().await {
                    tracing::debug!(%error, "what tasks take is told when redis answers");
                }
                match store.read_rounds(&vendors, &at_once).await {
                    Ok(pace) => store.learn_pace(pace),
                    Err(error) => tracing::debug!(%error, "what tasks take is read when redis answers"),
                }
                tokio::time::sleep(ROUND).await;
            }
        }))
    }

    async fn tell_pace(&self) -> Result<(), StoreError> {
        let mut more = {
            let mut counts = self.counted().0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut counts.more)
        };
        while let Some((vendor, fields)) = more.pop_first() {
            let mut call = PACE.call(&[self.keys().pace(&vendor)]);
            call.arg(KEPT.as_millis() as u64);
            for (field, by) in fields {
                call.arg(field).arg(by);
            }
            if let Err(error) = call.run::<i64>(&mut self.connection()).await {
                // What may have been written is not told twice; what stands behind it is told the next time.
                self.counted().keep(more);
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// The same, with how long a look at each task under way takes.
    async fn read_rounds(
        &self,
        vendors: &[VendorName],
        at_once: &BTreeMap<VendorName, u32>,
    ) -> Result<Pace, StoreError> {
        let mut pace = self.read_pace(vendors).await?;
        for vendor in vendors {
            let flow = self.flow(vendor).await?;
            let per_second = flow.reads.allowed / 60.0 * f64::from(at_once.get(vendor).copied().unwrap_or(1));
            // Short rounds need no heed: looks are not that close to each other.
            let round = if per_second > 0.0 { flow.in_flight as f64 / per_second } else { 0.0 };
            if round >= 1.0 {
                pace.round.insert(vendor.clone(), Duration::from_secs(round as u64));
            }
        }
        Ok(pace)
    }

    /// What is known of these vendors' tasks.
    pub async fn read_pace(&self, vendors: &[VendorName]) -> Result<Pace, StoreError> {
        let mut ask = redis::pipe();
        for vendor in vendors {
            ask.cmd("HGETALL").arg(self.keys().pace(vendor));
        }
        let mut pace = Pace::default();
        if vendors.is_empty() {
            return Ok(pace);
        }
        let found: Vec<redis::RedisResult<BTreeMap<String, String>>> =
            ask.ignore_errors().query_async(&mut self.connection()).await?;
        for (vendor, fields) in vendors.iter().zip(found) {
            for (field, count) in nothing_if_corrupt(fields)? {
                let Ok(count) = count.parse::<u32>() else { continue };
                match field.split_once('.') {
                    Some((kind, step)) => {
                        let (Ok(kind), Ok(step)) = (kind.parse(), step.parse()) else { continue };
                        let kinds = pace.took.entry(vendor.clone()).or_default();
                        kinds.entry(Kind(kind)).or_default().add(step, count);
                    }
                    None => {
                        let callbacks = pace.callbacks.entry(vendor.clone()).or_default();
                        match field.as_str() {
                            "came" => callbacks.came = count,
                            "missed" => callbacks.missed = count,
                            _ => {}
                        }
                    }
                }
            }
        }
        Ok(pace)
    }

    /// Takes over what is known, and says where callbacks go quiet or come again.
    fn learn_pace(&self, pace: Pace) {
        let before = self.policy();
        for (vendor, callbacks) in &pace.callbacks {
            match (before.pace.health(vendor), callbacks.health()) {
                (Health::Good | Health::Unknown, Health::Quiet) => tracing::warn!(
                    %vendor, came = callbacks.came, missed = callbacks.missed,
                    "callbacks of {vendor} have gone quiet: looks come sooner until they are back"
                ),
                (Health::Quiet, Health::Good) => {
                    tracing::info!(%vendor, "callbacks of {vendor} are back: looks come later again");
                }
                _ => {}
            }
        }
        if before.pace != pace {
            self.set_pace(pace);
        }
    }
}

#[cfg(test)]
mod tests {
    use songmill_core::job::{Route, StepKind};
    use songmill_core::pace::Callbacks;
    use songmill_core::{JobId, Output, Policy, Product, Source, step};

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_795_248_000_000 + seconds * 1000)
    }

    /// What is counted of a task submitted at 0 and looked at next at `due`, whose end a list shows at 60.
    fn counted(callbacks: Callbacks, due: u64) -> BTreeMap<String, u64> {
        let vendor = VendorName::new("replicate").unwrap();
        let route = Route::new(vendor.clone(), vec![StepKind::Song]);
        let mut job = Job::new(JobId::derive("default", "a"), vec![route], at(0), at(9999));
        let state = serde_json::json!({ "generating": {
            "attempt": { "n": 1, "since": at(0) }, "task": "t", "polls": 1, "nudged": 0,
        } });
        (job.submissions, job.state, job.due) = (1, serde_json::from_value(state).unwrap(), at(due));
        let source = Source::Url("https://a.example/1".into());
        let output = Output::from(source);
        let event = Event::Reported {
            attempt: 1,
            vendor: vendor.clone(),
            task: Some("t".parse().unwrap()),
            report: Report::Done(Product::Audio(vec![output].into())),
            via: Via::Poll { asked: at(60) },
        };
        let after = step(&job, &event, at(60), &Policy::default()).unwrap().job;
        let pace = Pace { callbacks: BTreeMap::from([(vendor.clone(), callbacks)]), ..Pace::default() };
        let counted = Counted::default();
        counted.0.lock().unwrap().calling.insert(vendor.clone());
        counted.observe(&pace, &job, &event, &after);
        let mut counts = counted.0.into_inner().unwrap();
        counts.more.remove(&vendor).unwrap_or_default()
    }

    #[test]
    fn an_end_that_a_list_shows_is_a_missed_callback_where_a_look_was_due() {
        let (good, quiet) = (Callbacks { came: 50, missed: 0 }, Callbacks { came: 0, missed: 50 });
        let missed = |callbacks, due| counted(callbacks, due).contains_key("missed");
        for callbacks in [good, quiet, Callbacks::default()] {
            assert!(missed(callbacks, 60) && missed(callbacks, 20), "it was due");
            assert!(!missed(callbacks, 80), "its callback may be on the way");
        }
        assert!(missed(good, 70), "nearly all have ended long before a look is due");
        assert!(!missed(quiet, 67) && !missed(Callbacks::default(), 67), "looks are close to each other");
    }
}
