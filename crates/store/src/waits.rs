//! Why work waits, where the reason holds for more than one job: for a batch, a tenant, or all.

use songmill_core::{BatchRef, Job, Tenant, Timestamp, VendorName};

use crate::connection::StoreError;
use crate::flow::{Flow, Gate, ShutBy};
use crate::scripts::LANES;
use crate::standing::{Purse, PurseOf};
use crate::store::Store;

/// Whose work is looked at.
#[derive(Clone, Copy, Debug)]
pub enum WaitsOf<'a> {
    /// Everybody's.
    All,
    /// A tenant's.
    Tenant(&'a Tenant),
    /// A batch's.
    Batch(&'a BatchRef),
}

/// Why songs wait for a vendor.
#[derive(Clone, Debug, PartialEq)]
pub enum Because {
    /// Nothing is submitted to it: its account, failures, or an operator.
    Paused(Gate),
    /// A budget would be passed.
    Budget(Purse),
    /// The vendor asked for a pause until then.
    AskedToWait(Timestamp),
    /// No process has asked for such jobs in the last seconds.
    NoWorker,
}

/// Songs that wait for one reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// The vendor they are to be submitted to.
    pub vendor: VendorName,
    /// Why they are not.
    pub because: Because,
    /// How many.
    pub songs: u64,
}

impl Wait {
    /// Whether it takes a person to go on.
    pub fn needs_person(&self) -> bool {
        match &self.because {
            Because::Paused(gate) => gate.by != ShutBy::Failing,
            Because::Budget(_) | Because::NoWorker => true,
            Because::AskedToWait(_) => false,
        }
    }

    /// When it is tried again by itself: the end of a pause, or the next day for a daily budget.
    pub fn next_try(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.because {
            Because::Paused(gate) => gate.until,
            Because::AskedToWait(until) => Some(*until),
            Because::Budget(purse) => {
                (purse.of != PurseOf::Batch).then(|| Timestamp::from_millis((now.day() + 1) * 86_400_000))
            }
            Because::NoWorker => None,
        }
    }
}

/// Lanes of a vendor that are looked at; their reasons are their first jobs'.
const LANES_MOST: usize = 500;
const LOOKED_AT: usize = 16;
/// Within this time a worker that there is comes for a job.
const SOON: std::time::Duration = std::time::Duration::from_secs(8);

impl Store {
    /// Why songs wait to be submitted to these vendors, by vendor and reason.
    pub async fn waits(&self, vendors: &[VendorName], of: WaitsOf<'_>) -> Result<Vec<Wait>, StoreError> {
        let mut waits: Vec<Wait> = Vec::new();
        for vendor in vendors {
            let lanes = self.lanes(vendor, of).await?;
            if lanes.is_empty() {
                continue;
            }
            let flow = self.flow(vendor).await?;
            let queue = self.keys().queue(songmill_core::Stage::Submit, vendor);
            let mut ask = redis::cmd("EXISTS");
            ask.arg(format!("{queue}:idle"));
            let asked: bool = ask.query_async(&mut self.connection()).await?;
            for (n, (lane, songs)) in lanes.into_iter().enumerate() {
                let look = n < LOOKED_AT;
                let Some(because) = self.because(vendor, &lane, (&flow, asked), look).await? else {
                    continue;
                };
                let same = |wait: &&mut Wait| wait.vendor == *vendor && is_same(&wait.because, &because);
                match waits.iter_mut().find(same) {
                    Some(wait) => wait.songs += songs,
                    None => waits.push(Wait { vendor: vendor.clone(), because, songs }),
                }
            }
        }
        Ok(waits)
    }

    /// Lanes with how many jobs stand in each.
    async fn lanes(&self, vendor: &VendorName, of: WaitsOf<'_>) -> Result<Vec<(String, u64)>, StoreError> {
        let queue = self.keys().queue(songmill_core::Stage::Submit, vendor);
        if let WaitsOf::Batch(BatchRef { tenant, name }) = of {
            let names = ["h", "n", "l"]
                .into_iter()
                .flat_map(|class| ["", "+"].map(|more| format!("{tenant}:{class}:{name}{more}")));
            let names: Vec<String> = names.collect();
            let mut ask = redis::pipe();
            names.iter().for_each(|lane| {
                ask.cmd("ZCARD").arg(format!("{queue}:{lane}"));
            });
            let counts: Vec<u64> = ask.query_async(&mut self.connection()).await?;
            return Ok(names.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect());
        }
        let tenant = if let WaitsOf::Tenant(tenant) = of { tenant.as_str() } else { "" };
        let mut call = LANES.call(&[queue]);
        call.arg(tenant).arg(LANES_MOST);
        Ok(call.run(&mut self.connection()).await?)
    }

    /// Why the jobs of a lane wait; none where it is their turn soon.
    async fn because(
        &self,
        vendor: &VendorName,
        lane: &str,
        (flow, asked): (&Flow, bool),
        look: bool,
    ) -> Result<Option<Because>, StoreError> {
        let tenant = lane.split(':').next().unwrap_or_default();
        if let Some(gate) = &flow.gate
            && gate.only.as_ref().is_none_or(|only| only.as_str() == tenant)
        {
            return Ok(Some(Because::Paused(gate.clone())));
        }
        let first = if look { self.first_of(vendor, lane).await? } else { None };
        if let Some(job) = &first
            && let Some(purse) = self.empty_purse(job).await?
        {
            return Ok(Some(Because::Budget(purse)));
        }
        if flow.creates.paused {
            return Ok(Some(Because::AskedToWait(Timestamp::from_millis(flow.creates.next as u64))));
        }
        // A worker that is busy has not said that it sleeps, but then tasks are under way; and one that is woken comes soon.
        let is_old = first.is_some_and(|job| self.now().since(job.due) > SOON);
        Ok((!asked && flow.in_flight == 0 && is_old).then_some(Because::NoWorker))
    }

    async fn first_of(&self, vendor: &VendorName, lane: &str) -> Result<Option<Job>, StoreError> {
        Ok(self.in_lane(vendor, lane, 0, 1).await?.pop())
    }
}

fn is_same(one: &Because, other: &Because) -> bool {
    match (one, other) {
        (Because::Budget(one), Because::Budget(other)) => {
            let whose = |purse: &Purse| match purse.of {
                PurseOf::Day => (None, None),
                PurseOf::Tenant => (Some(purse.tenant.clone()), None),
                PurseOf::Batch => (None, purse.batch.clone()),
            };
            one.of == other.of && whose(one) == whose(other)
        }
        _ => one == other,
    }
}
