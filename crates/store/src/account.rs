//! The bytes that each tenant makes us keep, and how many it may.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use songmill_core::Tenant;

use crate::connection::StoreError;
use crate::events::EVENT_BYTES;
use crate::held::chain;
use crate::scripts::ACCOUNT;
use crate::store::Store;

/// How much a tenant may make us keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Capacity {
    /// So many bytes; 0 is any number.
    Bytes(u64),
    /// So many hundredths of Redis' `maxmemory`, or of the machine's memory where that is not set.
    Percent(f64),
}

impl Default for Capacity {
    fn default() -> Self {
        Self::Percent(25.0)
    }
}

impl Capacity {
    /// In bytes, of so much memory.
    fn of(self, memory: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            // However small a share is, it is not nothing: that would be any number.
            Self::Percent(percent) => (memory as f64 * percent / 100.0).max(memory.min(1) as f64) as u64,
        }
    }
}

impl std::str::FromStr for Capacity {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not a number of bytes, such as 500000000, nor a share, such as \"25%\"");
        match text.trim().strip_suffix('%') {
            Some(percent) => {
                let percent = percent.trim().parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
                percent.map(Self::Percent).ok_or_else(wrong)
            }
            None => text.trim().parse().map(Self::Bytes).map_err(|_| wrong()),
        }
    }
}

impl Serialize for Capacity {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bytes(bytes) => to.serialize_u64(*bytes),
            Self::Percent(percent) => to.serialize_str(&format!("{percent}%")),
        }
    }
}

impl<'de> Deserialize<'de> for Capacity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bytes(u64),
            Text(String),
        }
        match Written::deserialize(from) {
            Ok(Written::Bytes(bytes)) => Ok(Self::Bytes(bytes)),
            Ok(Written::Text(text)) => text.parse().map_err(D::Error::custom),
            Err(_) => Err(D::Error::custom("is not a number of bytes, nor a share such as \"25%\"")),
        }
    }
}

/// What a tenant makes us keep, in bytes, with what Redis takes beside the texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Kept {
    /// Jobs: records and requests, until some time after their end.
    pub jobs: u64,
    /// Lists of jobs by day, and what makes requests the same.
    pub lists: u64,
    /// Batches with the lists of their jobs.
    pub batches: u64,
    /// Rejected rows.
    pub rejected: u64,
    /// Answers to requests with an `Idempotency-Key`.
    pub answers: u64,
    /// Webhooks that wait, and those of the last days.
    pub webhooks: u64,
    /// Events.
    pub events: u64,
}

impl Kept {
    /// All of it.
    pub fn total(&self) -> u64 {
        let Self { jobs, lists, batches, rejected, answers, webhooks, events } = self;
        jobs + lists + batches + rejected + answers + webhooks + events
    }
}

/// The part of its bytes that a tenant's events may take.
const EVENTS: u64 = 8;
/// How many events a piece of a stream has.
const PIECE: u64 = 100;
/// About so many moments are told apart at which something of a kind expires: an account has a field for each of them.
const MOMENTS: u32 = 64;
/// How far these are apart, at least, for what is kept for days whatever the retention: webhooks for fourteen.
const WIDE: Duration = Duration::from_secs(4 * 3600);
/// Between two times at which what has expired goes from all accounts.
const SWEPT: Duration = Duration::from_secs(3600);

impl Store {
    /// Asks Redis how much memory it may take.
    pub(crate) async fn learn_memory(&self) -> Result<(), StoreError> {
        let mut ask = redis::cmd("INFO");
        let info: String = ask.arg("memory").query_async(&mut self.connection()).await?;
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|number| number.trim().parse::<u64>().ok()).filter(|number| *number > 0)
        };
        let memory = number("maxmemory").or_else(|| number("total_system_memory")).unwrap_or(0);
        self.memory().store(memory, Ordering::Relaxed);
        Ok(())
    }

    /// How many bytes a tenant may make us keep unless something else is said for it; 0 is any number.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.quota().bytes.of(self.memory().load(Ordering::Relaxed))
    }

    /// What `account.lua` takes.
    pub(crate) fn account_limits(&self) -> String {
        let width = (self.retention().age.get() / MOMENTS).max(Duration::from_secs(1));
        // Lists of jobs are kept longer than jobs, whatever the retention of these.
        let wide = (self.listed_for() / MOMENTS).max(WIDE);
        format!("{} {} {}", self.most_bytes(), width.as_millis(), wide.as_millis())
    }

    /// How many events of a tenant are never passed.
    pub(crate) fn bound_of_events(&self) -> u64 {
        match self.most_bytes() {
            0 => u64::from(u32::MAX),
            // A stream is cut by whole pieces.
            bytes => (bytes / EVENTS / EVENT_BYTES).saturating_sub(PIECE).max(PIECE),
        }
    }

    /// Has what has expired go from the accounts of all tenants, now and then: those that do nothing any more, too.
    pub async fn sweep_accounts(&self) -> Result<(), StoreError> {
        const DONE: &str = "accounts";
        if self.is_marked(DONE).await? {
            return Ok(());
        }
        self.mark(DONE, SWEPT).await?;
        for tenant in self.tenants().await? {
            match self.kept(&tenant).await {
                Ok(_) => {}
                Err(error) if error.will_pass() => return Err(error),
                Err(error) => {
                    tracing::error!(%tenant, error = %chain(&error), "what has expired is counted: a tenant's account cannot be read");
                }
            }
        }
        Ok(())
    }

    /// What a tenant makes us keep.
    pub(crate) async fn kept(&self, tenant: &Tenant) -> Result<Kept, StoreError> {
        let mut call = ACCOUNT.call(&[self.keys().tenant(tenant), self.keys().events()]);
        call.arg(self.account_limits());
        let [jobs, lists, batches, rejected, answers, webhooks, events]: [u64; 7] =
            call.run(&mut self.connection()).await?;
        Ok(Kept { jobs, lists, batches, rejected, answers, webhooks, events })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_is_bytes_or_a_share() {
        let read = |json: &str| serde_json::from_str::<Capacity>(json).map_err(|error| error.to_string());
        assert_eq!(read("1000"), Ok(Capacity::Bytes(1000)));
        assert_eq!(read("\"1000\""), Ok(Capacity::Bytes(1000)));
        assert_eq!(read("\"12.5 %\""), Ok(Capacity::Percent(12.5)));
        assert_eq!(Capacity::Percent(12.5).of(800), 100);
        assert_eq!([800, 0].map(|memory| read("\"0%\"").unwrap().of(memory)), [1, 0], "0 is any number");
        for wrong in ["\"a lot\"", "\"101%\"", "\"-1%\"", "\"NaN%\"", "-1", "[]"] {
            let said = read(wrong).unwrap_err();
            assert!(said.contains("number of bytes"), "{wrong}: {said}");
        }
        let text = serde_json::to_string(&Capacity::Percent(25.0)).unwrap();
        assert_eq!((text.as_str(), read(&text)), ("\"25%\"", Ok(Capacity::default())));
    }
}
