//! Batches: exact counts, and members in the order they were taken in.

use std::collections::BTreeMap;

use songmill_core::job::StateName;
use songmill_core::{BatchName, JobId, Timestamp};

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
    /// Its name.
    pub name: BatchName,
    /// When its first job was taken in.
    pub created_ms: u64,
    /// When its last job ended; none while one may still go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_ms: Option<u64>,
    /// How many jobs were taken in.
    pub total: u64,
    /// How many of them are in each state.
    pub counts: Counts,
}

impl Batch {
    /// Whether no job of it will change any more without an operator.
    pub fn is_settled(&self) -> bool {
        self.counts.ended() + self.counts.of(StateName::Held) >= self.total
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

impl Store {
    /// Reads a batch's counts.
    pub async fn batch(&self, name: &BatchName) -> Result<Option<Batch>, StoreError> {
        let mut ask = redis::cmd("HGETALL");
        ask.arg(self.keys().batch(name));
        let fields: BTreeMap<String, u64> = ask.query_async(&mut self.connection()).await?;
        let Some(total) = fields.get("total").copied() else { return Ok(None) };
        let counts = StateName::ALL
            .into_iter()
            .filter_map(|state| {
                Some((state, fields.get(state.as_str()).copied().filter(|count| *count > 0)?))
            })
            .collect();
        let created_ms = fields.get("created").copied().unwrap_or(0);
        let closed_ms = fields.get("closed").copied();
        Ok(Some(Batch { name: name.clone(), created_ms, closed_ms, total, counts: Counts(counts) }))
    }

    /// The names of batches, newest first, at most `most`.
    pub async fn batches(&self, most: usize) -> Result<Vec<BatchName>, StoreError> {
        let mut ask = redis::cmd("ZREVRANGE");
        ask.arg(self.keys().batches()).arg(0).arg(most.max(1) - 1);
        let names: Vec<String> = ask.query_async(&mut self.connection()).await?;
        Ok(names.iter().filter_map(|name| BatchName::new(name).ok()).collect())
    }

    /// A page of a batch's jobs in the order they were taken in.
    pub async fn members(
        &self,
        name: &BatchName,
        from: usize,
        most: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let mut ask = redis::cmd("LRANGE");
        ask.arg(self.keys().members(name)).arg(from).arg(from + most.max(1) - 1);
        let ids: Vec<String> = ask.query_async(&mut self.connection()).await?;
        let ids = ids.iter().filter_map(|id| id.parse().ok());
        // One connection pipelines them all.
        futures_util::future::try_join_all(
            ids.map(|id| async move { Ok(Member { id, stored: self.load(id).await? }) }),
        )
        .await
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
