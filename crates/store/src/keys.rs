//! Names of keys. All keys of a shard share the hash tag `{namespace:shard}`.

use songmill_core::{BatchName, JobId, Stage, VendorName};

/// The keys of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    tag: String,
}

impl Keys {
    /// The keys of the first shard of a namespace.
    pub(crate) fn new(namespace: &str) -> Self {
        Self { tag: format!("{{{namespace}:0}}") }
    }

    /// Hash: `d` record, `r` request, `v` version, `b` batch, `x` when a submit claim began, `c` claims in a row.
    pub(crate) fn job(&self, id: JobId) -> String {
        format!("{}:j:{id}", self.tag)
    }

    pub(crate) fn job_prefix(&self) -> String {
        format!("{}:j:", self.tag)
    }

    /// Sorted set of job ids by due time in ms.
    pub(crate) fn queue(&self, stage: Stage, vendor: &VendorName) -> String {
        format!("{}:q:{stage}:{vendor}", self.tag)
    }

    pub(crate) fn queue_prefix(&self) -> String {
        format!("{}:q:", self.tag)
    }

    /// String: the number of a worker's last claim, and what it took.
    pub(crate) fn last_claim(&self, worker: u64) -> String {
        format!("{}:claim:{worker:x}", self.tag)
    }

    /// Sorted set of held jobs by since when.
    pub(crate) fn held(&self) -> String {
        format!("{}:held", self.tag)
    }

    /// Hash: `created`, `total`, `closed` once all have ended, and how many jobs are in each state.
    pub(crate) fn batch(&self, name: &BatchName) -> String {
        format!("{}:b:{name}", self.tag)
    }

    pub(crate) fn batch_prefix(&self) -> String {
        format!("{}:b:", self.tag)
    }

    /// List of a batch's job ids in the order they were taken in.
    pub(crate) fn members(&self, name: &BatchName) -> String {
        format!("{}:m:{name}", self.tag)
    }

    /// Sorted set of batch names by creation.
    pub(crate) fn batches(&self) -> String {
        format!("{}:batches", self.tag)
    }

    /// Stream of state changes, capped.
    pub(crate) fn events(&self) -> String {
        format!("{}:events", self.tag)
    }

    /// List of `{id}:{version}` of ended jobs, oldest first.
    pub(crate) fn ended(&self) -> String {
        format!("{}:ended", self.tag)
    }

    /// Hash `{vendor}:{state}` → how many jobs ever ended so.
    pub(crate) fn totals(&self) -> String {
        format!("{}:totals", self.tag)
    }

    /// Stream of what could not be understood, capped.
    pub(crate) fn quarantine(&self) -> String {
        format!("{}:quarantine", self.tag)
    }

    /// Channel on which the name of a queue is published when a sleeping worker is needed there.
    pub(crate) fn wake(&self) -> String {
        format!("{}:wake", self.tag)
    }
}
