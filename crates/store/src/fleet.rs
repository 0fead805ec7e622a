//! Prices and budgets of the fleet: one record in Redis, which the settings fill once and every claim reads.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use songmill_core::money::limit_micros;
use songmill_core::{BatchRef, Currency, Estimate, Money, Price, Tenant, Timestamp, VendorName};
use tokio_util::task::AbortOnDropHandle;

use crate::connection::StoreError;
use crate::scripts::FLEET;
use crate::store::Store;

/// Between two looks whether prices and budgets have changed.
const REFRESH: Duration = Duration::from_secs(2);
/// So many looks between two whether Redis' memory has changed.
const MEMORY: u64 = 15;

/// Who set what the settings file says, and what ships with Songmill.
const SETTINGS: &str = "settings";
const SHIPPED: &str = "songmill";

/// What a vendor charges, and who said so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriceEntry {
    /// The price.
    pub price: Price,
    /// Where it is from, for a price that nobody has set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Source>,
    /// When it was set.
    pub at: Timestamp,
    /// Who set it; `settings` for the settings file.
    pub by: String,
}

/// Where an estimate is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// A page, or what it was guessed from.
    pub source: String,
    /// When that was looked up: a date.
    pub date: String,
}

/// Budgets in the fleet's currency; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Budgets {
    /// On a day, UTC, by all.
    pub day: f64,
    /// On a day by a tenant, unless something else is said for it.
    pub tenant_day: f64,
    /// For a batch, unless something else is said for it.
    pub batch: f64,
}

/// Which budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BudgetOf {
    /// What all spend on a day.
    Day,
    /// What each tenant spends on a day that has no budget of its own.
    EachTenant,
    /// What a tenant spends on a day.
    Tenant(Tenant),
    /// What each batch costs that has no budget of its own.
    EachBatch,
    /// What a batch costs.
    Batch(BatchRef),
}

/// The fleet's prices and budgets.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Whether a process that submits has filled the record; until then it says what this process' settings do.
    pub is_seeded: bool,
    /// The currency of budgets and sums.
    pub currency: Currency,
    /// Budgets.
    pub budgets: Budgets,
    /// What each vendor charges.
    pub prices: BTreeMap<VendorName, PriceEntry>,
}

impl Fleet {
    /// The same as the machine and plans need it; `hour` is the process' own.
    fn money(self, hour: f64) -> Money {
        let Budgets { day, tenant_day, batch } = self.budgets;
        let mut money = Money { currency: self.currency, day, tenant_day, batch, hour, ..Money::default() };
        for (vendor, PriceEntry { price, estimate, .. }) in self.prices {
            match estimate {
                Some(Source { source, date }) => {
                    money.estimates.insert(vendor, Estimate { price, source, date });
                }
                None => {
                    money.prices.insert(vendor, price);
                }
            }
        }
        money
    }

    /// What one process' settings say, with the estimates that ship with it.
    fn of_settings(money: &Money) -> Self {
        let budgets = Budgets { day: money.day, tenant_day: money.tenant_day, batch: money.batch };
        let mut prices = BTreeMap::new();
        for (vendor, Estimate { price, source, date }) in &money.estimates {
            let estimate = Some(Source { source: source.clone(), date: date.clone() });
            let entry = PriceEntry { price: *price, estimate, at: Timestamp::default(), by: SHIPPED.into() };
            prices.insert(vendor.clone(), entry);
        }
        for (vendor, price) in &money.prices {
            let entry =
                PriceEntry { price: *price, estimate: None, at: Timestamp::default(), by: SETTINGS.into() };
            prices.insert(vendor.clone(), entry);
        }
        Self { is_seeded: false, currency: money.currency, budgets, prices }
    }

    /// The same with what stands in the record, and the vendors whose price there cannot be read, with why: it is as
    /// the settings say.
    fn with(mut self, fields: &BTreeMap<String, String>) -> (Self, Vec<(VendorName, serde_json::Error)>) {
        let mut unreadable = Vec::new();
        self.is_seeded = fields.contains_key("seeded");
        if let Some(currency) = fields.get("currency").and_then(|letters| letters.parse().ok()) {
            self.currency = currency;
        }
        let budget = |name: &str, budget: &mut f64| {
            let micros = fields.get(name).and_then(|micros| micros.parse::<f64>().ok());
            if let Some(micros) = micros.filter(|micros| micros.is_finite()) {
                *budget = micros / 1e6;
            }
        };
        budget("day", &mut self.budgets.day);
        budget("tenant_day", &mut self.budgets.tenant_day);
        budget("batch", &mut self.budgets.batch);
        for (field, info) in fields {
            let Some(Ok(vendor)) = field.strip_prefix("i:").map(str::parse) else { continue };
            match serde_json::from_str(info) {
                Ok(entry) => drop(self.prices.insert(vendor, entry)),
                Err(error) => unreadable.push((vendor, error)),
            }
        }
        (self, unreadable)
    }
}

/// What the audit log keeps of a change.
#[derive(Serialize)]
struct Change<'a> {
    by: &'a str,
    action: &'a str,
    subject: &'a str,
    before: serde_json::Value,
    after: serde_json::Value,
}

impl Store {
    /// Fills the fleet's prices and budgets from this process' settings, if nobody has. True when something was written.
    pub async fn seed_fleet(&self) -> Result<bool, StoreError> {
        let own = Fleet::of_settings(self.configured());
        let mut call = FLEET.call(&[self.keys().fleet(), self.keys().audit()]);
        call.arg("seed").arg(own.currency.as_str());
        for limit in [own.budgets.day, own.budgets.tenant_day, own.budgets.batch] {
            call.arg(limit_micros(limit));
        }
        for (vendor, mut entry) in own.prices {
            entry.at = self.now();
            let date = entry.estimate.as_ref().map_or("", |estimate| estimate.date.as_str());
            call.arg(vendor.as_str()).arg(json(&entry.price.terms())).arg(json(&entry)).arg(date);
        }
        let written = call.run::<u8>(&mut self.connection()).await? == 1;
        let (fleet, unreadable) = self.read_fleet().await?;
        for (vendor, error) in unreadable {
            tracing::warn!(
                %vendor, %error,
                "what {vendor} charges cannot be read, and counts as this process' settings say; set it with `songmill price set`"
            );
        }
        self.take_over(fleet);
        Ok(written)
    }

    /// The fleet's prices and budgets.
    pub async fn fleet(&self) -> Result<Fleet, StoreError> {
        Ok(self.read_fleet().await?.0)
    }

    async fn read_fleet(&self) -> Result<(Fleet, Vec<(VendorName, serde_json::Error)>), StoreError> {
        let mut ask = redis::cmd("HGETALL");
        ask.arg(self.keys().fleet());
        let fields = ask.query_async(&mut self.connection()).await?;
        Ok(Fleet::of_settings(self.configured()).with(&fields))
    }

    /// Takes over the fleet's prices and budgets for plans; claims read them themselves.
    pub async fn refresh_fleet(&self) -> Result<(), StoreError> {
        let fleet = self.fleet().await?;
        self.take_over(fleet);
        Ok(())
    }

    fn take_over(&self, fleet: Fleet) {
        let money = fleet.money(self.configured().hour);
        if self.policy().money != money {
            self.change_policy(|policy| policy.money = money);
        }
    }

    /// Keeps prices and budgets up to date until the handle is dropped.
    pub fn keep_fleet(&self) -> AbortOnDropHandle<()> {
        let store = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = store.begin_events().await {
                tracing::debug!(%error, "where the events of tenants begin is written down by the next process");
            }
            for round in 1_u64.. {
                tokio::time::sleep(REFRESH).await;
                let read = match round % MEMORY {
                    0 => store.learn_memory().await.and(store.refresh_fleet().await),
                    _ => store.refresh_fleet().await,
                };
                if let Err(error) = read {
                    tracing::debug!(%error, "prices and budgets stay as they were until redis answers");
                }
            }
        }))
    }

    /// Sets what a vendor charges; none is the estimate that ships with this process.
    pub async fn set_price(
        &self,
        vendor: &VendorName,
        price: Option<Price>,
        by: &str,
    ) -> Result<PriceEntry, StoreError> {
        let before = self.fleet().await?.prices.get(vendor).cloned();
        let estimate = || self.configured().estimates.get(vendor).cloned();
        let entry = match (price, estimate()) {
            (Some(price), _) => PriceEntry { price, estimate: None, at: self.now(), by: by.into() },
            (None, Some(Estimate { price, source, date })) => {
                PriceEntry { price, estimate: Some(Source { source, date }), at: self.now(), by: by.into() }
            }
            (None, None) => {
                PriceEntry { price: Price::default(), estimate: None, at: self.now(), by: by.into() }
            }
        };
        let action = if price.is_some() { "price.set" } else { "price.reset" };
        let change = Change {
            by,
            action,
            subject: vendor.as_str(),
            before: serde_json::to_value(before.map(|entry| entry.price)).unwrap_or_default(),
            after: serde_json::to_value(entry.price).unwrap_or_default(),
        };
        let fields =
            [(format!("t:{vendor}"), json(&entry.price.terms())), (format!("i:{vendor}"), json(&entry))];
        self.write(&self.keys().fleet(), &change, &fields).await?;
        Ok(entry)
    }

    /// Sets a budget, 0 for no limit; without a limit a tenant's or a batch's own is taken away. False where there is no
    /// such batch.
    pub async fn set_budget(&self, of: &BudgetOf, limit: Option<f64>, by: &str) -> Result<bool, StoreError> {
        let (key, field, subject) = match of {
            BudgetOf::Day => (self.keys().fleet(), "day", "day".to_owned()),
            BudgetOf::EachTenant => (self.keys().fleet(), "tenant_day", "tenant_day".to_owned()),
            BudgetOf::EachBatch => (self.keys().fleet(), "batch", "batch".to_owned()),
            BudgetOf::Tenant(tenant) => (self.keys().tenant(tenant), "max_spend", format!("tenant {tenant}")),
            BudgetOf::Batch(batch) => (self.keys().batch(batch), "budget", format!("batch {batch}")),
        };
        let mut ask = redis::pipe();
        ask.cmd("HGET").arg(&key).arg(field);
        ask.cmd("EXISTS").arg(&key);
        let (before, exists): (Option<f64>, bool) = ask.query_async(&mut self.connection()).await?;
        if matches!(of, BudgetOf::Batch(_)) && !exists {
            return Ok(false);
        }
        let amount = |micros: f64| micros / 1e6;
        let change = Change {
            by,
            action: "budget.set",
            subject: &subject,
            before: serde_json::to_value(before.map(amount)).unwrap_or_default(),
            after: serde_json::to_value(limit).unwrap_or_default(),
        };
        let value = limit.map_or_else(String::new, |limit| limit_micros(limit).to_string());
        if let BudgetOf::Tenant(tenant) = of {
            let mut add = redis::cmd("SADD");
            add.arg(self.keys().tenants()).arg(tenant.as_str());
            add.query_async::<()>(&mut self.connection()).await?;
        }
        self.write(&key, &change, &[(field.to_owned(), value)]).await?;
        Ok(true)
    }

    /// Writes fields of a hash, and the change to the audit log, in one call.
    async fn write(
        &self,
        key: &str,
        change: &Change<'_>,
        fields: &[(String, String)],
    ) -> Result<(), StoreError> {
        let mut call = FLEET.call(&[key.to_owned(), self.keys().audit()]);
        call.arg("set").arg(json(change));
        for (field, value) in fields {
            call.arg(field).arg(value);
        }
        call.run::<u8>(&mut self.connection()).await?;
        self.refresh_fleet().await
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names and finite numbers are always JSON")
}
