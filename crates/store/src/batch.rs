//! Batches: exact counts, and members in the order they were taken in.

use std::collections::BTreeMap;

use songmill_core::job::StateName;
use songmill_core::job::Trace;
use songmill_core::money::{Amount, Money, limit_micros};
use songmill_core::song::{Field, IgnoredField};
use songmill_core::view::BatchView;
use songmill_core::{BatchName, BatchRef, EndpointId, JobId, Tenant, Timestamp};

use crate::connection::StoreError;
use crate::store::{Store, Stored};

/// How many jobs are in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Counts(pub BTreeMap<StateName, u64>);

impl Counts {
    /// How many are in this state.
    pub fn of(&self, state: StateName) -> u64 {
        self.0.get(&state).copied().unwrap_or(0)
    }

    /// How many have ended.
    pub fn ended(&self) -> u64 {
        self.0.iter().filter(|(state, _)| state.is_final()).map(|(_, count)| count).sum()
    }
}

/// A batch as it stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Batch {
    /// Whose it is.
    #[serde(skip_serializing_if = "Tenant::is_default")]
    pub tenant: Tenant,
    /// Its name.
    pub name: BatchName,
    /// When its first job was taken in.
    pub created_ms: u64,
    /// When its last job ended; none while one may still go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_ms: Option<u64>,
    /// How many jobs were taken in.
    pub total: u64,
    /// How many lines were refused, as far as they are kept.
    pub refused: u64,
    /// Uploads under way: more jobs may come.
    pub uploads: u64,
    /// How many of its jobs are in each state.
    pub counts: Counts,
    /// Endpoints that are told of it and of its jobs, beside those that are told of all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<EndpointId>,
    /// What its jobs cost or are expected to, in millionths.
    pub spent: u64,
    /// The most that they may cost, in millionths, where that was said for it; 0 for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// What vendors ignore in its songs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<IgnoredField>,
    /// The request it first came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
}

impl Batch {
    /// Whether no job of it will change any more without an operator.
    pub fn is_settled(&self) -> bool {
        self.uploads == 0 && self.counts.ended() + self.counts.of(StateName::Held) >= self.total
    }
}

impl Batch {
    /// As it is shown; the money's budget holds where none was said for it.
    pub fn view(&self, now: Timestamp, money: &Money) -> BatchView {
        let amount = |micros: u64| (micros > 0).then(|| Amount::of_micros(micros));
        let budget = self.budget.unwrap_or_else(|| limit_micros(money.batch));
        let (cost, budget) = (amount(self.spent), amount(budget));
        let ended = self.counts.ended();
        let left = self.total.saturating_sub(ended);
        let took = now.as_millis().saturating_sub(self.created_ms);
        let eta = (left > 0 && ended > 0)
            .then(|| now.as_millis() + (u128::from(took) * u128::from(left) / u128::from(ended)) as u64);
        BatchView {
            name: self.name.clone(),
            tenant: self.tenant.clone(),
            created_ms: self.created_ms,
            closed_ms: self.closed_ms,
            total: self.total,
            ended,
            counts: self.counts.0.clone(),
            refused: self.refused,
            uploads: self.uploads,
            settled: self.is_settled(),
            eta_ms: eta,
            currency: cost.or(budget).map(|_| money.currency),
            cost,
            budget,
            waits: Vec::new(),
            notify: self.notify.clone(),
            ignored: self.ignored.clone(),
            request_id: self.trace.as_ref().map(|trace| trace.request_id.clone()),
            traceparent: self.trace.as_ref().and_then(|trace| trace.traceparent.clone()),
        }
    }
}

/// A job of a batch; none when it is kept no more.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id.
    pub id: JobId,
    /// Its record, unless retention has taken it.
    pub stored: Option<Stored>,
}

/// What begins the names of a batch's fields that count songs in which something is ignored; then vendor and field.
const IGNORED: &str = "ignored:";

fn ignored_field(name: &str, songs: &str) -> Option<IgnoredField> {
    let (vendor, field) = name.strip_prefix(IGNORED)?.split_once(':')?;
    let field = Field::ALL.into_iter().find(|known| known.as_str() == field)?;
    Some(IgnoredField { vendor: vendor.parse().ok()?, field, songs: songs.parse().ok()? })
}

impl Store {
    /// Notes what vendors will ignore in new songs of a batch.
    pub async fn note_ignored(&self, batch: &BatchRef, ignored: &[IgnoredField]) -> Result<(), StoreError> {
        if ignored.is_empty() {
            return Ok(());
        }
        let mut write = redis::pipe();
        for IgnoredField { vendor, field, songs } in ignored {
            let name = format!("{IGNORED}{vendor}:{}", field.as_str());
            write.cmd("HINCRBY").arg(self.keys().batch(batch)).arg(name).arg(*songs).ignore();
        }
        Ok(write.query_async(&mut self.connection()).await?)
    }

    /// Reads a batch's counts.
    pub async fn batch(&self, name: &BatchRef) -> Result<Option<Batch>, StoreError> {
        let mut ask = redis::pipe();
        ask.cmd("HGETALL").arg(self.keys().batch(name));
        ask.cmd("ZCARD").arg(self.keys().refused(name));
        let (fields, refused): (BTreeMap<String, String>, u64) =
            ask.query_async(&mut self.connection()).await?;
        let number = |name: &str| fields.get(name).and_then(|number| number.parse::<u64>().ok());
        let Some(created_ms) = number("created") else { return Ok(None) };
        let counted = |state: StateName| Some((state, number(state.as_str()).filter(|count| *count > 0)?));
        let text = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        Ok(Some(Batch {
            tenant: name.tenant.clone(),
            name: name.name.clone(),
            created_ms,
            closed_ms: number("closed"),
            total: number("total").unwrap_or(0),
            refused,
            uploads: number("inputs").unwrap_or(0),
            counts: Counts(StateName::ALL.into_iter().filter_map(counted).collect()),
            notify: text("notify").split(' ').filter_map(|id| id.parse().ok()).collect(),
            spent: number("spent").unwrap_or(0),
            budget: number("budget"),
            ignored: fields.iter().filter_map(|(name, songs)| ignored_field(name, songs)).collect(),
            trace: serde_json::from_str(text("trace")).ok(),
        }))
    }

    /// A tenant's batches, newest first, at most `most` from this place on.
    pub async fn batches(
        &self,
        tenant: &Tenant,
        from: usize,
        most: usize,
    ) -> Result<Vec<BatchRef>, StoreError> {
        let mut ask = redis::cmd("ZREVRANGE");
        ask.arg(self.keys().batches(tenant)).arg(from).arg(from + most.max(1) - 1);
        let names: Vec<String> = ask.query_async(&mut self.connection()).await?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// A page of a batch's jobs in the order they were taken in.
    pub async fn members(
        &self,
        name: &BatchRef,
        from: usize,
        most: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let mut ask = redis::cmd("LRANGE");
        ask.arg(self.keys().members(name)).arg(from).arg(from + most.max(1) - 1);
        let ids: Vec<String> = ask.query_async(&mut self.connection()).await?;
        let ids: Vec<JobId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let stored = self.load_many(&ids).await?;
        Ok(ids.into_iter().zip(stored).map(|(id, stored)| Member { id, stored }).collect())
    }

    /// The ids of held jobs, oldest first, at most `most`.
    pub async fn held(&self, most: usize) -> Result<Vec<(JobId, Timestamp)>, StoreError> {
        let mut ask = redis::cmd("ZRANGE");
        ask.arg(self.keys().held()).arg(0).arg(most.max(1) - 1).arg("WITHSCORES");
        let held: Vec<(String, f64)> = ask.query_async(&mut self.connection()).await?;
        let read =
            |(id, since): &(String, f64)| Some((id.parse().ok()?, Timestamp::from_millis(*since as u64)));
        Ok(held.iter().filter_map(read).collect())
    }
}
