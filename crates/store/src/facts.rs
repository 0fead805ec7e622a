//! What Redis is like, and the side streams: events and quarantine.

use std::collections::BTreeMap;

use songmill_core::fault::reason;
use songmill_core::{BatchRef, Currency, Tenant, VendorName};

use crate::connection::StoreError;
use crate::durability::Durability;
use crate::notice_type::NoticeType;
use crate::standing::PurseOf;
use crate::store::{Logged, Store};

/// What an operator should know of the Redis in use.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Facts {
    /// Its version.
    pub version: String,
    /// `noeviction` is the only policy under which nothing is lost.
    pub maxmemory_policy: String,
    /// 0 is without limit.
    pub maxmemory: u64,
    /// Bytes in use.
    pub used_memory: u64,
    /// Whether it is still reading its file: what it says of the file then means nothing.
    pub loading: bool,
    /// Whether the append-only file is on: without it a restart loses what was not in the last snapshot.
    pub append_only: bool,
    /// How often the append-only file is flushed.
    pub append_fsync: String,
    /// What a crash of it may take back.
    pub durability: Durability,
    /// The longest field of a hash that is kept in one piece with the others; 0 where it is not told.
    pub hash_in_one_piece: u64,
    /// Whether it is a cluster, which is not supported yet.
    pub cluster: bool,
    /// How far its clock is ahead of ours, in ms.
    pub clock_offset_ms: i64,
}

impl Facts {
    /// What would break a promise, as sentences; empty when all is well.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut numbers = self.version.split('.').map_while(|number| number.parse::<u32>().ok());
        if (numbers.next(), numbers.next()) < (Some(6), Some(2)) {
            complaints.push(format!("redis {} is too old; use 6.2 or newer, or valkey", self.version));
        }
        if self.maxmemory_policy != "noeviction" {
            complaints.push(format!(
                "maxmemory-policy is {}: redis may drop jobs; set it to noeviction",
                self.maxmemory_policy
            ));
        }
        if self.loading {
            complaints.push("redis is still reading its file".into());
        } else if !self.append_only {
            complaints.push("appendonly is off: a restart of redis loses jobs; set it to yes".into());
        } else if self.append_fsync == "no" {
            complaints.push("appendfsync is no: a crash loses what was not flushed; set it to always".into());
        }
        if self.clock_offset_ms.abs() > 60_000 {
            complaints.push(format!(
                "our clock and redis's differ by {} s; synchronise them",
                self.clock_offset_ms / 1000
            ));
        }
        if self.cluster {
            complaints.push("redis runs as a cluster, which is not supported yet".into());
        }
        complaints
    }

    /// What would serve better, as sentences; nothing is at stake.
    pub fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        if (1..HASH_IN_ONE_PIECE).contains(&self.hash_in_one_piece) {
            advice.push(format!(
                "hash-max-listpack-value is {}: set it to {HASH_IN_ONE_PIECE}, and jobs take a quarter less memory",
                self.hash_in_one_piece
            ));
        }
        advice
    }
}

/// No field of most job records is longer.
const HASH_IN_ONE_PIECE: u64 = 2048;

/// An entry of the event stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A job changed its state.
    Job(Logged),
    /// The last job of a batch ended.
    Closed(BatchRef),
    /// Something about a vendor or a budget that jobs wait for.
    News(News),
}

/// What is news for operators, or for one tenant. Amounts are millionths of the fleet's currency.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct News {
    /// What happened.
    pub kind: NoticeType,
    /// Whom it concerns; everybody where nothing is said.
    #[serde(default)]
    pub tenant: Option<Tenant>,
    /// The batch, for its budget: `name`, or `tenant/name`.
    #[serde(default)]
    pub batch: Option<String>,
    /// The vendor that is paused or resumed.
    #[serde(default)]
    pub vendor: Option<VendorName>,
    /// Why it is paused.
    #[serde(default)]
    pub code: Option<String>,
    /// Until when it is paused, in ms since 1970; 0 until an operator resumes it.
    #[serde(default)]
    pub until_ms: Option<f64>,
    /// Which budget.
    #[serde(default)]
    pub budget: Option<PurseOf>,
    /// The budget's limit.
    #[serde(default)]
    pub limit: f64,
    /// What of it is spent or reserved.
    #[serde(default)]
    pub spent: f64,
}

impl News {
    /// It in a sentence; amounts are shown to those whose money it is.
    pub fn message(&self, currency: Currency, with_amounts: bool) -> String {
        let vendor = self.vendor.as_ref().map_or("a vendor", VendorName::as_str);
        let whose = match (self.budget, &self.tenant, &self.batch) {
            (Some(PurseOf::Tenant), Some(tenant), _) => format!("of tenant {tenant} for today"),
            (Some(PurseOf::Batch), _, Some(batch)) => format!("of batch {batch}"),
            _ => "of all tenants for today".to_owned(),
        };
        let amounts = match with_amounts {
            true => format!(
                ": {:.2} of {:.2} {currency} are spent or reserved",
                self.spent / 1e6,
                self.limit / 1e6
            ),
            false => String::new(),
        };
        match self.kind {
            NoticeType::BudgetWarning => format!("80 % of the budget {whose} are used{amounts}"),
            NoticeType::BudgetReached => format!("jobs wait because the budget {whose} is used up{amounts}"),
            NoticeType::VendorPaused => {
                format!("{vendor} is paused: {}", reason(self.code.as_deref().unwrap_or_default()))
            }
            NoticeType::VendorResumed => format!("{vendor} is resumed"),
            NoticeType::JobCompleted
            | NoticeType::JobFailed
            | NoticeType::JobCanceled
            | NoticeType::JobHeld
            | NoticeType::BatchCompleted
            | NoticeType::EndpointDisabled
            | NoticeType::Test => String::new(),
        }
    }
}

impl Told {
    pub(crate) fn read(fields: &[(String, Vec<u8>)]) -> Option<Self> {
        let (field, value) = fields.first()?;
        match field.as_str() {
            "e" => Some(Self::Job(serde_json::from_slice(value).ok()?)),
            "n" => Some(Self::News(serde_json::from_slice(value).ok()?)),
            "closed" => Some(Self::Closed(std::str::from_utf8(value).ok()?.parse().ok()?)),
            _ => None,
        }
    }

    /// The batch it is about.
    pub fn batch(&self) -> Option<BatchRef> {
        match self {
            Self::Job(logged) => {
                let name = logged.batch.clone()?;
                Some(BatchRef { tenant: logged.tenant.clone(), name })
            }
            Self::Closed(batch) => Some(batch.clone()),
            Self::News(news) => news.batch.as_ref()?.parse().ok(),
        }
    }

    /// Whose it is; nobody's in particular where it concerns everybody.
    pub fn tenant(&self) -> Option<&Tenant> {
        match self {
            Self::Job(logged) => Some(&logged.tenant),
            Self::Closed(batch) => Some(&batch.tenant),
            Self::News(news) => news.tenant.as_ref(),
        }
    }
}

/// An entry of a stream: its position, and its fields.
pub(crate) type Entry = (String, Vec<(String, Vec<u8>)>);

/// About how many entries the quarantine keeps.
const QUARANTINE: usize = 1000;
/// How much of a body the quarantine keeps.
const QUARANTINE_BYTES: usize = 4096;

impl Store {
    /// Asks whether Redis answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        Ok(redis::cmd("PING").query_async(&mut self.connection()).await?)
    }

    /// Asks Redis what it is like.
    pub async fn facts(&self) -> Result<Facts, StoreError> {
        let mut connection = self.connection();
        let info: String = redis::cmd("INFO").query_async(&mut connection).await?;
        let info: BTreeMap<&str, &str> =
            info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        let text = |key: &str| info.get(key).copied().unwrap_or_default().to_owned();
        let number = |key: &str| info.get(key).and_then(|value| value.parse().ok()).unwrap_or(0);
        // Managed Redis often forbids CONFIG, and our own user may not ask, either; INFO knows the rest.
        let mut config = async |name: &str| -> Option<String> {
            let asked = redis::cmd("CONFIG").arg("GET").arg(name).to_owned();
            asked.query_async::<Vec<String>>(&mut connection).await.ok()?.get(1).cloned()
        };
        let append_fsync = config("appendfsync").await;
        let not_on_rewrite = config("no-appendfsync-on-rewrite").await;
        let durability = Durability::of(&info, append_fsync.as_deref(), not_on_rewrite.as_deref());
        // By the name that 6.2 knows too.
        let in_one_piece = config("hash-max-ziplist-value").await.and_then(|value| value.parse().ok());
        self.learn_clock().await?;
        Ok(Facts {
            version: text("redis_version"),
            maxmemory_policy: text("maxmemory_policy"),
            maxmemory: number("maxmemory"),
            used_memory: number("used_memory"),
            loading: info.get("loading") == Some(&"1"),
            append_only: info.get("aof_enabled") == Some(&"1"),
            append_fsync: append_fsync.unwrap_or_default(),
            durability,
            hash_in_one_piece: in_one_piece.unwrap_or(0),
            cluster: info.get("cluster_enabled") == Some(&"1"),
            clock_offset_ms: self.clock_offset_ms(),
        })
    }

    /// Whether something was marked as done, and not too long ago.
    pub async fn is_marked(&self, what: &str) -> Result<bool, StoreError> {
        Ok(redis::cmd("EXISTS").arg(self.keys().mark(what)).query_async(&mut self.connection()).await?)
    }

    /// Marks something as done, for so long.
    pub async fn mark(&self, what: &str, kept: std::time::Duration) -> Result<(), StoreError> {
        let mut set = redis::cmd("SET");
        set.arg(self.keys().mark(what))
            .arg(1)
            .arg("PX")
            .arg(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX));
        Ok(set.query_async(&mut self.connection()).await?)
    }

    /// How many jobs ever ended, by vendor and state, such as `replicate:completed`.
    pub async fn totals(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut ask = redis::cmd("HGETALL");
        ask.arg(self.keys().totals());
        Ok(ask.query_async(&mut self.connection()).await?)
    }

    /// Keeps what could not be understood, for somebody to look at; shortened, and only so many.
    pub async fn quarantine(&self, source: &str, why: &str, body: &[u8]) -> Result<(), StoreError> {
        let mut add = redis::cmd("XADD");
        add.arg(self.keys().quarantine()).arg("MAXLEN").arg("~").arg(QUARANTINE).arg("*");
        add.arg("source")
            .arg(source)
            .arg("why")
            .arg(why)
            .arg("body")
            .arg(&body[..body.len().min(QUARANTINE_BYTES)]);
        Ok(add.query_async(&mut self.connection()).await?)
    }

    /// How many entries the quarantine holds.
    pub async fn quarantined(&self) -> Result<u64, StoreError> {
        Ok(redis::cmd("XLEN").arg(self.keys().quarantine()).query_async(&mut self.connection()).await?)
    }
}
