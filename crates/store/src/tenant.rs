//! Tenants: what each has, and what it may have.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use songmill_core::money::limit_micros as micros;
use songmill_core::{Tenant, Timestamp};

use crate::connection::StoreError;
use crate::store::Store;

/// What a tenant may have; 0 is any number. The script that takes jobs in enforces it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// The most jobs that have not ended.
    pub open_jobs: u64,
    /// The most bytes that their requests have together.
    pub bytes: u64,
    /// The most jobs taken in on one day, UTC.
    pub jobs_per_day: u64,
    /// The most that is spent on one day, UTC, in millionths of the settings' currency (`money.tenant_day`).
    #[serde(skip)]
    pub spend_per_day: u64,
}

/// Which part of a quota is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Jobs that have not ended.
    OpenJobs,
    /// Bytes of their requests.
    Bytes,
    /// Jobs taken in today.
    JobsPerDay,
}

/// What of a quota is said for one tenant alone; the rest is as for all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TenantQuota {
    /// The most jobs that have not ended.
    pub open_jobs: Option<u64>,
    /// The most bytes that their requests have together.
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
    /// Bytes of their requests.
    pub bytes: u64,
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
        ask.arg(&[
            "open",
            "bytes",
            "day",
            "today",
            "max_open",
            "max_bytes",
            "max_day",
            "max_spend",
            "weight",
        ]);
        let fields: Vec<Option<f64>> = ask.query_async(&mut self.connection()).await?;
        let number = |n: usize| fields.get(n).copied().flatten();
        let field = |n: usize| number(n).map(|number| number as u64);
        let today = field(2) == Some(day(self.now()));
        let default = self.quota();
        Ok(Usage {
            open_jobs: field(0).unwrap_or(0),
            bytes: field(1).unwrap_or(0),
            jobs_today: field(3).filter(|_| today).unwrap_or(0),
            quota: Quota {
                open_jobs: field(4).unwrap_or(default.open_jobs),
                bytes: field(5).unwrap_or(default.bytes),
                jobs_per_day: field(6).unwrap_or(default.jobs_per_day),
                spend_per_day: field(7).unwrap_or(micros(self.policy().money.tenant_day)),
            },
            weight: number(8).unwrap_or(1.0),
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
