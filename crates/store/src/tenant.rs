//! Tenants: what each has, and what it may have.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use songmill_core::money::limit_micros as micros;
use songmill_core::{Tenant, Timestamp};

use crate::account::{Capacity, Kept};
use crate::connection::{StoreError, nothing_if_corrupt};
use crate::store::Store;

/// What a tenant may have where nothing else is said for it; 0 is any number. The scripts that take things in enforce it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DefaultQuota {
    /// The most jobs that have not ended.
    pub open_jobs: u64,
    /// The most that it may make us keep.
    pub bytes: Capacity,
    /// The most jobs taken in on one day, UTC.
    pub jobs_per_day: u64,
}

/// What a tenant may have; 0 is any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// The most jobs that have not ended.
    pub open_jobs: u64,
    /// The most bytes that it may make us keep.
    pub bytes: u64,
    /// The most jobs taken in on one day, UTC.
    pub jobs_per_day: u64,
    /// The most that is spent on one day, UTC, in millionths of the settings' currency (`money.tenant_day`).
    pub spend_per_day: u64,
}

/// Which part of a quota is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Jobs that have not ended.
    OpenJobs,
    /// Bytes that it makes us keep.
    Bytes,
    /// Jobs taken in today.
    JobsPerDay,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OpenJobs => "the tenant has as many open jobs as it may have; wait until some have ended",
            Self::Bytes => {
                "the tenant keeps as many bytes in Redis as it may; what has ended expires, `songmill tenant list --json` \
                 shows what there is, and an operator can raise it (`songmill tenant quota --bytes`)"
            }
            Self::JobsPerDay => {
                "the tenant submitted as many jobs today as it may; the next day begins at 0:00 UTC"
            }
        })
    }
}

/// What of a quota is said for one tenant alone; the rest is as for all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TenantQuota {
    /// The most jobs that have not ended.
    pub open_jobs: Option<u64>,
    /// The most bytes that it may make us keep.
    pub bytes: Option<u64>,
    /// The most jobs taken in on one day, UTC.
    pub jobs_per_day: Option<u64>,
    /// The most that is spent on one day, UTC, in millionths.
    pub spend_per_day: Option<u64>,
    /// Its share beside other tenants, 0.001 to 1000; 1 where nothing is said.
    pub weight: Option<f64>,
}

/// What a tenant has, and what it may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Jobs that have not ended.
    pub open_jobs: u64,
    /// Bytes that it makes us keep.
    pub kept: Kept,
    /// Jobs taken in today, UTC.
    pub jobs_today: u64,
    /// What it may have.
    pub quota: Quota,
    /// Its share beside other tenants.
    pub weight: f64,
    /// What is spent and reserved today, in millionths.
    pub spent_today: u64,
}

const DAY_MS: u64 = 86_400_000;

/// The day since 1970, UTC.
pub(crate) fn day(now: Timestamp) -> u64 {
    now.day()
}

impl Usage {
    /// How long until the day ends, UTC: then jobs can be taken in again.
    pub fn until_tomorrow(now: Timestamp) -> Duration {
        Duration::from_millis(DAY_MS - now.as_millis() % DAY_MS)
    }
}

impl Store {
    /// All tenants that have, or had, a job or a key, by name.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let names: Vec<String> =
            redis::cmd("SMEMBERS").arg(self.keys().tenants()).query_async(&mut self.connection()).await?;
        let mut tenants: Vec<Tenant> = names.iter().filter_map(|name| name.parse().ok()).collect();
        tenants.sort_unstable();
        Ok(tenants)
    }

    /// What a tenant has, and what it may have.
    pub async fn usage(&self, tenant: &Tenant) -> Result<Usage, StoreError> {
        let mut ask = redis::cmd("HMGET");
        ask.arg(self.keys().tenant(tenant));
        ask.arg(&["open", "day", "today", "max_open", "max_bytes", "max_day", "max_spend", "weight"]);
        let fields: Vec<Option<String>> = nothing_if_corrupt(ask.query_async(&mut self.connection()).await)?;
        let number = |n: usize| fields.get(n)?.as_deref()?.parse::<f64>().ok();
        let field = |n: usize| number(n).map(|number| number as u64);
        let today = field(1) == Some(day(self.now()));
        let default = self.quota();
        Ok(Usage {
            open_jobs: field(0).unwrap_or(0),
            kept: self.kept(tenant).await?,
            jobs_today: field(2).filter(|_| today).unwrap_or(0),
            quota: Quota {
                open_jobs: field(3).unwrap_or(default.open_jobs),
                bytes: field(4).unwrap_or(self.most_bytes()),
                jobs_per_day: field(5).unwrap_or(default.jobs_per_day),
                spend_per_day: field(6).unwrap_or(micros(self.policy().money.tenant_day)),
            },
            weight: number(7).unwrap_or(1.0),
            spent_today: self.spent_today(tenant).await?.1,
        })
    }

    /// Says what a tenant may have; what is none is as for all tenants, but its budget, which stays.
    pub async fn set_quota(&self, tenant: &Tenant, quota: TenantQuota) -> Result<(), StoreError> {
        let key = self.keys().tenant(tenant);
        let mut write = redis::pipe();
        write.atomic().cmd("SADD").arg(self.keys().tenants()).arg(tenant.as_str()).ignore();
        let TenantQuota { open_jobs, bytes, jobs_per_day, spend_per_day, weight } = quota;
        let text = |number: Option<u64>| number.map(|number| number.to_string());
        let fields = [
            ("max_open", text(open_jobs)),
            ("max_bytes", text(bytes)),
            ("max_day", text(jobs_per_day)),
            ("max_spend", text(spend_per_day)),
            ("weight", weight.map(|weight| weight.to_string())),
        ];
        for (field, most) in fields {
            // Its budget is set and taken away with the others (`set_budget`).
            if field == "max_spend" && most.is_none() {
                continue;
            }
            match most {
                Some(most) => write.cmd("HSET").arg(&key).arg(field).arg(most).ignore(),
                None => write.cmd("HDEL").arg(&key).arg(field).ignore(),
            };
        }
        Ok(write.query_async(&mut self.connection()).await?)
    }

    /// How long a job is listed after it was taken in: as long as it may wait, and be kept after its end.
    pub(crate) fn listed_for(&self) -> Duration {
        self.policy().jobs.deadline.get() + self.retention().age.get() * 2
    }
}
