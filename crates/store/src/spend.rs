//! What submissions have cost: the ledger of each day, by vendor and tenant.

use std::collections::BTreeMap;

use songmill_core::{BatchRef, Tenant, VendorName};

use crate::connection::{StoreError, nothing_if_corrupt};
use crate::store::Store;
use crate::tenant::day;

/// What was spent on a day with a vendor for a tenant. Amounts are millionths of the settings' currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Submissions begun.
    pub sent: u64,
    /// What they were expected to cost.
    pub expected: u64,
    /// Submissions known to have created a task.
    pub confirmed: u64,
    /// What those have cost, or will.
    pub cost: u64,
    /// Submissions known not to have been done, or not charged for.
    pub not_done: u64,
    /// Submissions that may have been paid for beside the one that counts.
    pub possibly_twice: u64,
}

impl Spent {
    /// Submissions of which it is not known, or not yet, whether they created a task.
    pub fn possibly_paid(&self) -> u64 {
        self.sent.saturating_sub(self.confirmed).saturating_sub(self.not_done)
    }
}

/// Whose a day's sum is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Purse {
    /// The day since 1970, UTC.
    pub day: u64,
    /// Where it was spent.
    pub vendor: VendorName,
    /// For whom.
    pub tenant: Tenant,
}

impl Store {
    /// What was spent on the last so many days, today included, by day, vendor and tenant; of one tenant, or of all.
    pub async fn spent(&self, days: u64, of: Option<&Tenant>) -> Result<BTreeMap<Purse, Spent>, StoreError> {
        let today = day(self.now());
        let days: Vec<u64> = (today.saturating_sub(days.saturating_sub(1))..=today).collect();
        let mut ask = redis::pipe();
        days.iter().for_each(|day| {
            ask.cmd("HGETALL").arg(self.keys().ledger(*day));
        });
        type Fields = BTreeMap<String, String>;
        let found: Vec<redis::RedisResult<Fields>> =
            ask.ignore_errors().query_async(&mut self.connection()).await?;
        let found = found.into_iter().map(nothing_if_corrupt).collect::<Result<Vec<_>, _>>()?;
        let mut sums: BTreeMap<Purse, Spent> = BTreeMap::new();
        for (day, fields) in days.into_iter().zip(found) {
            for (field, amount) in fields {
                let mut parts = field.splitn(3, '|');
                let (Some(what), Some(Ok(vendor)), Some(Ok(tenant))) =
                    (parts.next(), parts.next().map(str::parse), parts.next().map(str::parse))
                else {
                    continue;
                };
                if of.is_some_and(|of| *of != tenant) {
                    continue;
                }
                let sum = sums.entry(Purse { day, vendor, tenant }).or_default();
                let amount = amount.parse().unwrap_or(0);
                match what {
                    "sent" => sum.sent = amount,
                    "sent_price" => sum.expected = amount,
                    "done" => sum.confirmed = amount,
                    "done_price" => sum.cost = amount,
                    "undone" => sum.not_done = amount,
                    "twice" => sum.possibly_twice = amount,
                    _ => {}
                }
            }
        }
        Ok(sums)
    }

    /// What is reserved and spent today, in millionths: by all, and by a tenant.
    pub async fn spent_today(&self, tenant: &Tenant) -> Result<(u64, u64), StoreError> {
        let mut ask = redis::cmd("HMGET");
        ask.arg(self.keys().ledger(day(self.now()))).arg("=").arg(format!("={tenant}"));
        let (all, own) = self.two_numbers(&ask).await?;
        Ok((all.unwrap_or(0), own.unwrap_or(0)))
    }

    /// Two fields of a record, where they are numbers that are not below 0.
    async fn two_numbers(&self, ask: &redis::Cmd) -> Result<(Option<u64>, Option<u64>), StoreError> {
        type Two = (Option<String>, Option<String>);
        let (first, second): Two = nothing_if_corrupt(ask.query_async(&mut self.connection()).await)?;
        let read = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Ok((read(first), read(second)))
    }

    /// What is reserved and spent for a batch, and its own cap where it has one, in millionths.
    pub async fn spent_for(&self, batch: &BatchRef) -> Result<(u64, Option<u64>), StoreError> {
        let mut ask = redis::cmd("HMGET");
        ask.arg(self.keys().batch(batch)).arg(&["spent", "budget"]);
        let (spent, budget) = self.two_numbers(&ask).await?;
        Ok((spent.unwrap_or(0), budget))
    }
}
