//! Names of keys. All keys of a shard share the hash tag `{namespace:shard}`.

use songmill_core::{BatchRef, EndpointId, JobId, Stage, Tenant, VendorName};

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

    /// Hash: `d` record, `r` request, `v` version, `b` batch, `s` what its next submission is priced by, `x` when a submit claim began, `p` what it reserved, `c` claims in a row,
    /// `q` whether its bytes are in its tenant's account, `z` the version it had when it was erased.
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

    /// Sorted set of the tenants with jobs that may be submitted now by how far each is served; what stands below, and
    /// how, says `share.lua`.
    pub(crate) fn share(&self, vendor: &VendorName) -> String {
        format!("{}:w:{vendor}", self.tag)
    }

    /// Hash: a vendor's limits and gate, as `limit.lua` says.
    pub(crate) fn limits(&self, vendor: &VendorName) -> String {
        format!("{}:l:{vendor}", self.tag)
    }

    /// Hash: how long a vendor's tasks take, and whether its callbacks come, as `pace.lua` says.
    pub(crate) fn pace(&self, vendor: &VendorName) -> String {
        format!("{}:p:{vendor}", self.tag)
    }

    /// Hash: what was spent on a day (since 1970): `{what}|{vendor}|{tenant}`, and in all `=` and `={tenant}`.
    pub(crate) fn ledger(&self, day: u64) -> String {
        format!("{}{day}", self.ledger_prefix())
    }

    /// Hash: prices and budgets of the fleet.
    pub(crate) fn fleet(&self) -> String {
        format!("{}:fleet", self.tag)
    }

    /// Stream: what operators have changed.
    pub(crate) fn audit(&self) -> String {
        format!("{}:audit", self.tag)
    }

    pub(crate) fn ledger_prefix(&self) -> String {
        format!("{}:s:", self.tag)
    }

    /// String: something was done.
    pub(crate) fn mark(&self, what: &str) -> String {
        format!("{}:done:{what}", self.tag)
    }

    /// Sorted set of jobs that have a deadline of their own, by deadline.
    pub(crate) fn deadlines(&self) -> String {
        format!("{}:deadlines", self.tag)
    }

    /// String: the job of a tenant that has this content.
    pub(crate) fn content_prefix(&self, tenant: &Tenant) -> String {
        format!("{}:k:{tenant}:", self.tag)
    }

    pub(crate) fn tenant_prefix(&self) -> String {
        format!("{}:t:", self.tag)
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

    /// Hash: `created`, `total`, `closed` once all have ended, `inputs` uploads under way, and how many jobs are in
    /// each state.
    pub(crate) fn batch(&self, name: &BatchRef) -> String {
        format!("{}:b:{name}", self.tag)
    }

    pub(crate) fn batch_prefix(&self) -> String {
        format!("{}:b:", self.tag)
    }

    /// List of a batch's job ids in the order they were taken in.
    pub(crate) fn members(&self, name: &BatchRef) -> String {
        format!("{}:m:{name}", self.tag)
    }

    /// Sorted set of a tenant's batches by creation.
    pub(crate) fn batches(&self, tenant: &Tenant) -> String {
        format!("{}:batches:{tenant}", self.tag)
    }

    /// Sorted set of a batch's refused lines as JSON, by line.
    pub(crate) fn refused(&self, name: &BatchRef) -> String {
        format!("{}:r:{name}", self.tag)
    }

    pub(crate) fn refused_prefix(&self) -> String {
        format!("{}:r:", self.tag)
    }

    /// Every key of the shard begins so.
    pub(crate) fn prefix(&self) -> String {
        format!("{}:", self.tag)
    }

    /// Sorted set of `{upload} {batch}` by when an upload that gives no sign of life is over.
    pub(crate) fn uploads(&self) -> String {
        format!("{}:uploads", self.tag)
    }

    /// Hash: how much a tenant has and may have (`open`, `bytes`, `day`, `today`, `max_…`), and `endpoints`.
    pub(crate) fn tenant(&self, tenant: &Tenant) -> String {
        format!("{}:t:{tenant}", self.tag)
    }

    /// Set of tenants.
    pub(crate) fn tenants(&self) -> String {
        format!("{}:tenants", self.tag)
    }

    /// List of the ids of a tenant's jobs in the order they were taken in on a day (since 1970).
    pub(crate) fn day(&self, tenant: &Tenant, day: u64) -> String {
        format!("{}:d:{tenant}:{day}", self.tag)
    }

    /// Hash: key id → key, as JSON.
    pub(crate) fn access_keys(&self) -> String {
        format!("{}:keys", self.tag)
    }

    /// Hash: what was answered to a request that may be sent again.
    pub(crate) fn idempotent(&self, tenant: &Tenant, key: &str) -> String {
        format!("{}:i:{tenant}:{key}", self.tag)
    }

    pub(crate) fn idempotent_prefix(&self, tenant: &Tenant) -> String {
        format!("{}:i:{tenant}:", self.tag)
    }

    /// Stream of what is to be told to endpoints that are not chosen yet.
    pub(crate) fn outbox(&self) -> String {
        format!("{}:outbox", self.tag)
    }

    /// Hash: a tenant's endpoints as JSON, by id.
    pub(crate) fn endpoints(&self, tenant: &Tenant) -> String {
        format!("{}:ep:{tenant}", self.tag)
    }

    /// Sorted set of tenants by when it is their turn to have notices sent; what stands behind it, see `due.lua`.
    pub(crate) fn notify(&self) -> String {
        format!("{}:notify", self.tag)
    }

    /// Sorted set of `{tenant}/{endpoint}` that a worker sends to, by when its lease ends.
    pub(crate) fn notifying(&self) -> String {
        format!("{}:notifying", self.tag)
    }

    pub(crate) fn waiting_prefix(&self) -> String {
        format!("{}:nq:", self.tag)
    }

    pub(crate) fn notices_prefix(&self) -> String {
        format!("{}:notices:", self.tag)
    }

    /// Sorted set of an endpoint's waiting notices by due time in ms.
    pub(crate) fn waiting(&self, tenant: &Tenant, endpoint: &EndpointId) -> String {
        format!("{}:nq:{tenant}/{endpoint}", self.tag)
    }

    /// Hash: `d` notice as JSON, `p` payload.
    pub(crate) fn notice(&self, id: &str) -> String {
        format!("{}:n:{id}", self.tag)
    }

    pub(crate) fn notice_prefix(&self) -> String {
        format!("{}:n:", self.tag)
    }

    /// List of a tenant's notices, newest first.
    pub(crate) fn notices(&self, tenant: &Tenant) -> String {
        format!("{}:notices:{tenant}", self.tag)
    }

    /// Stream of what happens, whosever it is: the latest, for those who follow.
    pub(crate) fn events(&self) -> String {
        format!("{}:events", self.tag)
    }

    /// Stream of what happened to a tenant; to everybody, where that is no tenant's.
    pub(crate) fn events_of(&self, tenant: &str) -> String {
        format!("{}:events:{tenant}", self.tag)
    }

    /// Hash: from which event on a tenant's are kept, where some are not.
    pub(crate) fn events_kept(&self) -> String {
        format!("{}:events!", self.tag)
    }

    /// List of `{id}:{version}` of ended jobs, oldest first.
    pub(crate) fn ended(&self) -> String {
        format!("{}:ended", self.tag)
    }

    /// Hash `{vendor}:{state}` → how many jobs ever ended so.
    pub(crate) fn totals(&self) -> String {
        format!("{}:totals", self.tag)
    }

    /// Sorted set of records that cannot be read, by since when: a job's id, or the key of another.
    pub(crate) fn corrupt(&self) -> String {
        format!("{}:corrupt", self.tag)
    }

    /// Sorted set of records with a counter that began anew, by since when; it goes after a week.
    pub(crate) fn repaired(&self) -> String {
        format!("{}:repaired", self.tag)
    }

    /// Stream of what could not be understood, capped.
    pub(crate) fn quarantine(&self) -> String {
        format!("{}:quarantine", self.tag)
    }

    /// Hash: processes that run roles, as JSON, by id.
    pub(crate) fn workers(&self) -> String {
        format!("{}:workers", self.tag)
    }

    /// Sorted set of the same by their last sign of life.
    pub(crate) fn workers_seen(&self) -> String {
        format!("{}:workers:seen", self.tag)
    }

    /// Channel on which the name of a queue is published when a sleeping worker is needed there.
    pub(crate) fn wake(&self) -> String {
        format!("{}:wake", self.tag)
    }
}
