//! Why work waits, where the reason holds for more than one job: for a batch, a tenant, or all.

use songmill_core::job::StateName;
use songmill_core::{Job, Stage, Tenant, Timestamp, VendorName};

use crate::batch::Batch;
use crate::connection::StoreError;
use crate::flow::{Flow, Gate, ShutBy};
use crate::scripts::LANES;
use crate::standing::{Purse, PurseOf};
use crate::store::Store;
use crate::workers::{Missing, Role, Workers};

/// Whose work is looked at.
#[derive(Clone, Copy, Debug)]
pub enum WaitsOf<'a> {
    /// Everybody's.
    All,
    /// A tenant's.
    Tenant(&'a Tenant),
    /// A batch's.
    Batch(&'a Batch),
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
    /// No process is running that works on them.
    NoWorker(Missing),
}

/// Songs that wait for one reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// The vendor they are for, where that is part of the reason.
    pub vendor: Option<VendorName>,
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
            Because::Budget(_) | Because::NoWorker(_) => true,
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
            Because::NoWorker(_) => None,
        }
    }
}

/// Lanes of a vendor that are looked at; their reasons are their first jobs'.
const LANES_MOST: usize = 500;
const LOOKED_AT: usize = 16;

impl Store {
    /// Why songs of these vendors wait, by vendor and reason.
    pub async fn waits(&self, vendors: &[VendorName], of: WaitsOf<'_>) -> Result<Vec<Wait>, StoreError> {
        let workers = self.workers().await?;
        let mut waits: Vec<Wait> = Vec::new();
        for vendor in vendors {
            let lanes = self.lanes(vendor, of).await?;
            if lanes.is_empty() {
                continue;
            }
            let flow = self.flow(vendor).await?;
            for (n, (lane, songs)) in lanes.into_iter().enumerate() {
                let look = n < LOOKED_AT;
                if let Some(because) = self.because(vendor, &lane, (&flow, &workers), look).await? {
                    add(&mut waits, vendor, because, songs);
                }
            }
        }
        match of {
            WaitsOf::All => self.unattended(vendors, &workers, &mut waits).await?,
            WaitsOf::Batch(batch) => unattended_of(batch, &workers, &mut waits),
            WaitsOf::Tenant(_) => {}
        }
        Ok(waits)
    }

    /// Jobs of vendors that nobody works on, beside those in lanes.
    async fn unattended(
        &self,
        vendors: &[VendorName],
        workers: &Workers,
        waits: &mut Vec<Wait>,
    ) -> Result<(), StoreError> {
        for vendor in vendors {
            let missing: Vec<_> = Stage::ALL
                .into_iter()
                .filter_map(|stage| Some((stage, workers.missing(stage, vendor)?)))
                .collect();
            if missing.is_empty() {
                continue;
            }
            let mut ask = redis::pipe();
            for (stage, _) in &missing {
                ask.cmd("ZCARD").arg(self.keys().queue(*stage, vendor));
            }
            let counts: Vec<u64> = ask.query_async(&mut self.connection()).await?;
            for ((_, missing), songs) in missing.into_iter().zip(counts) {
                add(waits, vendor, Because::NoWorker(missing), songs);
            }
        }
        Ok(())
    }

    /// Lanes with how many jobs stand in each.
    async fn lanes(&self, vendor: &VendorName, of: WaitsOf<'_>) -> Result<Vec<(String, u64)>, StoreError> {
        let queue = self.keys().queue(songmill_core::Stage::Submit, vendor);
        if let WaitsOf::Batch(Batch { tenant, name, counts, .. }) = of {
            if counts.of(StateName::Queued) == 0 {
                return Ok(Vec::new());
            }
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
        (flow, workers): (&Flow, &Workers),
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
        Ok(workers.missing(Stage::Submit, vendor).map(Because::NoWorker))
    }

    async fn first_of(&self, vendor: &VendorName, lane: &str) -> Result<Option<Job>, StoreError> {
        Ok(self.in_lane(vendor, lane, 0, 1).await?.pop())
    }
}

/// Jobs of a batch that nobody works on, beside those in lanes. Which vendors they are with is not told.
fn unattended_of(batch: &Batch, workers: &Workers, waits: &mut Vec<Wait>) {
    let told: u64 = waits.iter().map(|wait| wait.songs).sum();
    let later = [StateName::Submitting, StateName::Uncertain, StateName::Generating, StateName::Canceling];
    let of_generate = later.into_iter().map(|state| batch.counts.of(state)).sum::<u64>()
        + batch.counts.of(StateName::Queued).saturating_sub(told);
    let of_deliver = batch.counts.of(StateName::Collecting);
    for (role, songs) in [(Role::Generate, of_generate), (Role::Deliver, of_deliver)] {
        if !workers.all.iter().any(|worker| worker.works_as(role, workers.now)) {
            merge(waits, Wait { vendor: None, because: Because::NoWorker(Missing::Role(role)), songs });
        }
    }
}

fn add(waits: &mut Vec<Wait>, vendor: &VendorName, because: Because, songs: u64) {
    // Who is missing for all vendors is missing once.
    let is_of_all = matches!(because, Because::NoWorker(Missing::Role(_)));
    merge(waits, Wait { vendor: (!is_of_all).then(|| vendor.clone()), because, songs });
}

fn merge(waits: &mut Vec<Wait>, wait: Wait) {
    let same = |known: &&mut Wait| known.vendor == wait.vendor && is_same(&known.because, &wait.because);
    match waits.iter_mut().find(same) {
        Some(known) => known.songs += wait.songs,
        None if wait.songs > 0 => waits.push(wait),
        None => {}
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
