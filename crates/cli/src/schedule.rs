//! Files that are submitted again and again, at their times.
//!
//! Every time is a batch of its own, named by it, and its lines are known by their ids: whoever submits it a second
//! time, another process or this one after a restart, adds nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::Zoned;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use songmill_core::{BatchName, BatchRef, Tenant};
use songmill_producer::{Producer, parse};
use songmill_store::{Store, Upload};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::exit::usage;
use crate::{input, submit};

/// A file, and when it is submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schedule {
    /// What its batches are called: this, a dash and the time in UTC, such as `daily-20261224T0800`.
    pub(crate) name: BatchName,
    /// When, as cron has it, in UTC: `0 8 * * *` for every day at eight.
    pub(crate) cron: String,
    /// The file: JSON lines, a JSON array or CSV, by its ending.
    pub(crate) file: PathBuf,
    /// Whose jobs they are.
    #[serde(default)]
    pub(crate) tenant: Tenant,
}

/// A schedule that is understood.
struct Timed {
    schedule: Schedule,
    cron: Cron,
}

/// What was missed no longer ago than this, because nothing ran, is submitted at the start.
const CATCH_UP: Duration = Duration::from_secs(3600);
/// Between two tries when a file or Redis is away.
const RETRY: Duration = Duration::from_secs(10);

/// Understands a schedule, or says what is wrong with which field.
fn understood(schedule: &Schedule) -> Result<Timed, (&'static str, String)> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
    let Ok(cron) = parser.parse(&schedule.cron) else {
        let message = format!("is {:?}: write a time as cron has it, such as 0 8 * * *", schedule.cron);
        return Err(("cron", message));
    };
    if schedule.file == Path::new("-") {
        return Err(("file", "is standard input: name a file".to_owned()));
    }
    if schedule.name.as_str().len() > 50 {
        return Err(("name", "is too long for the time behind it: use at most 50 characters".to_owned()));
    }
    Ok(Timed { schedule: schedule.clone(), cron })
}

/// What is wrong with schedules: which setting, and what.
pub(crate) fn problems(schedules: &[Schedule]) -> Vec<(String, String)> {
    let wrong = schedules.iter().enumerate().filter_map(|(n, schedule)| {
        let (field, message) = understood(schedule).err()?;
        Some((format!("schedule.{n}.{field}"), message))
    });
    wrong.collect()
}

fn timed(schedules: &[Schedule]) -> Result<Vec<Timed>> {
    let one = |(n, schedule)| {
        understood(schedule).map_err(|(field, message)| usage(format!("schedule.{n}.{field} {message}")))
    };
    schedules.iter().enumerate().map(one).collect()
}

/// Submits files at their times until `stop`, each for itself.
pub(crate) async fn run(
    schedules: Vec<Schedule>,
    store: Store,
    producer: Producer,
    stop: CancellationToken,
) -> Result<()> {
    let all = timed(&schedules)?;
    tracing::info!(schedules = all.len(), "schedule: files are submitted at their times");
    let mut running = JoinSet::new();
    for timed in all {
        running.spawn(timed.run(store.clone(), producer.clone(), stop.clone()));
    }
    while let Some(ended) = running.join_next().await {
        ended.context("a schedule panicked")?;
    }
    Ok(())
}

fn utc() -> Zoned {
    jiff::Timestamp::now().to_zoned(TimeZone::UTC)
}

impl Timed {
    /// The next time, or one that was missed a moment ago.
    fn due(&self, after: &Zoned, now: &Zoned) -> Option<Zoned> {
        let oldest = now.checked_sub(CATCH_UP).ok()?;
        let after = if after.timestamp() > oldest.timestamp() { after } else { &oldest };
        self.cron.find_next_occurrence(after, false).ok()
    }

    async fn run(self, store: Store, producer: Producer, stop: CancellationToken) {
        // Long ago: what was missed within the last hour comes first.
        let mut last = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        let mut again = None;
        while let Some(at) = self.due(&last, &utc()) {
            let wait =
                Duration::try_from(at.timestamp().duration_since(utc().timestamp())).unwrap_or_default();
            // Cancel-safe: nothing is under way. Clocks may be set: it is looked again at least every minute.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(again.take().unwrap_or(wait).min(Duration::from_secs(60))) => {}
            }
            if utc().timestamp() < at.timestamp() {
                continue;
            }
            match self.submit(&store, &producer, &at).await {
                Ok(()) => last = at,
                Err(error) => {
                    let schedule = &self.schedule.name;
                    tracing::error!(%schedule, error = %format!("{error:#}"), "a scheduled file is not submitted yet");
                    again = Some(RETRY);
                }
            }
        }
    }

    async fn submit(&self, store: &Store, producer: &Producer, at: &Zoned) -> Result<()> {
        let Schedule { name, file, tenant, .. } = &self.schedule;
        let name = BatchName::new(&format!("{name}-{}", at.strftime("%Y%m%dT%H%M")))?;
        let batch = BatchRef { tenant: tenant.clone(), name };
        // The file may have been written anew since: what was submitted whole is not submitted again.
        let done = self.done_key(&batch);
        if store.is_marked(&done).await? {
            return Ok(());
        }
        let rows = parse::read(input::open(file)?, input::by_name(file)).rows;
        let upload = Upload {
            batch,
            id: submit::upload_id()?,
            label: "schedule".into(),
            notify: Vec::new(),
            trace: None,
            budget: None,
            weight: None,
        };
        let uploaded = producer.submit_lines(&upload, rows, |_| {}).await.context("jobs cannot be stored")?;
        if let Some(error) = uploaded.broke {
            return Err(input::refused(file, error));
        }
        if uploaded.over > 0 {
            bail!(
                "{} lines are more than the tenant may have; they are submitted when it may",
                uploaded.over
            );
        }
        store.mark(&done, CATCH_UP * 48).await?;
        let songmill_producer::Tally { created, known, refused } = uploaded.tally;
        tracing::info!(batch = %upload.batch, created, known, refused, "scheduled file submitted");
        Ok(())
    }

    fn done_key(&self, batch: &BatchRef) -> String {
        format!("schedule:{batch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str) -> Schedule {
        Schedule {
            name: "daily".parse().unwrap(),
            cron: cron.into(),
            file: "a.jsonl".into(),
            tenant: Tenant::default(),
        }
    }

    fn at(text: &str) -> Zoned {
        text.parse::<jiff::Timestamp>().unwrap().to_zoned(TimeZone::UTC)
    }

    #[test]
    fn times_are_those_of_cron_in_utc() {
        let all = timed(&[schedule("0 8 * * 1-5")]).unwrap();
        let friday = at("2026-11-20T08:00:00Z");
        assert_eq!(all[0].due(&friday, &friday).unwrap(), at("2026-11-23T08:00:00Z"));
    }

    #[test]
    fn what_was_missed_long_ago_is_not_made_up_for() {
        let all = timed(&[schedule("0 * * * *")]).unwrap();
        let (last, now) = (at("2026-11-20T08:00:00Z"), at("2026-11-23T10:30:00Z"));
        assert_eq!(all[0].due(&last, &now).unwrap(), at("2026-11-23T10:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_named() {
        assert!(timed(&[schedule("*/30 * * * * *")]).is_err(), "batches are named by the minute");
        let error = timed(&[schedule("0 8 * * *"), schedule("at noon")]).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with("schedule.1.cron is \"at noon\": write a time"), "{error}");
    }
}
