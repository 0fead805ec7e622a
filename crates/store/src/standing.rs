//! What keeps a job waiting, beside what its record says: the one limit, gate, lease or time.

use songmill_core::job::{Stage, StateName};
use songmill_core::money::limit_micros as micros;
use songmill_core::{BatchRef, Job, Tenant, Timestamp};

use crate::connection::StoreError;
use crate::flow::{Bucket, Flow, Gate};
use crate::isolation::SUSPECT;
use crate::store::{Store, Stored};
use crate::workers::Missing;

/// Which purse has too little left for a submission, and how it stands, in millionths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purse {
    /// Which.
    pub of: PurseOf,
    /// Whose job it is.
    pub tenant: Tenant,
    /// The batch that the job belongs to.
    pub batch: Option<BatchRef>,
    /// What may be spent.
    pub most: u64,
    /// What is spent or reserved.
    pub spent: u64,
    /// What the submission is expected to cost.
    pub price: u64,
}

/// Whose purse it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurseOf {
    /// Everybody's of the day.
    Day,
    /// The tenant's of the day.
    #[serde(rename = "tenant_day")]
    Tenant,
    /// The batch's.
    Batch,
}

impl PurseOf {
    /// Its name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Tenant => "tenant_day",
            Self::Batch => "batch",
        }
    }
}

/// The one thing that a job waits for at present.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// It does not wait, or nothing will happen by itself.
    Over,
    /// An operator.
    Operator,
    /// Its time: a back-off, `not_before`, the next look.
    Time(Timestamp),
    /// The vendor's gate.
    Gate(Gate),
    /// Room among the tasks under way.
    Room {
        /// Tasks under way.
        in_flight: u64,
        /// The most of them.
        most: u32,
    },
    /// The vendor's rate of submissions, or of other requests.
    Rate {
        /// How it stands.
        bucket: Bucket,
        /// Whether submissions are meant.
        creates: bool,
    },
    /// Money.
    Money(Purse),
    /// Those before it: in its lane, and of others.
    Share {
        /// Jobs of its own lane before it.
        ahead: u64,
        /// Tenants that share the vendor.
        tenants: u64,
    },
    /// Whoever has it, until the lease ends.
    Lease(Timestamp),
    /// A worker to take it apart from others: so many in a row have not come back with it.
    Apart {
        /// Claims without an outcome, or submissions that were lost with their worker.
        lost: u32,
    },
    /// A worker to take it.
    Worker {
        /// Who is missing; nobody where one is running.
        missing: Option<Missing>,
    },
}

impl Store {
    /// What a job waits for at present.
    pub async fn standing(&self, stored: &Stored) -> Result<Standing, StoreError> {
        let job = &stored.job;
        let Some(place) = job.place() else {
            let held = job.state.name() == StateName::Held;
            return Ok(if held { Standing::Operator } else { Standing::Over });
        };
        let queue = self.keys().queue(place.stage, place.vendor);
        let mut ask = redis::cmd("ZSCORE");
        ask.arg(&queue).arg(job.id.to_string());
        let due: Option<f64> = ask.query_async(&mut self.connection()).await?;
        let missing = self.workers().await?.missing(place.stage, place.vendor);
        let now = self.now();
        let due = due.map(|due| Timestamp::from_millis(due as u64)).filter(|due| *due > now);
        let flow = self.flow(place.vendor).await?;
        match (place.stage, due) {
            (Stage::Submit, Some(due)) => Ok(Standing::Time(due)),
            (Stage::Submit, None) => self.ready(job, flow, missing, &queue).await,
            // Its time or a lease's end changes nothing where nobody will come.
            (Stage::Resolve | Stage::Poll | Stage::Cancel | Stage::Collect, _) if missing.is_some() => {
                Ok(Standing::Worker { missing })
            }
            (Stage::Resolve | Stage::Poll | Stage::Cancel | Stage::Collect, Some(due)) => {
                Ok(if stored.claims > 0 { Standing::Lease(due) } else { Standing::Time(due) })
            }
            (Stage::Resolve | Stage::Poll | Stage::Cancel, None)
                if flow.reads.next > now.as_millis() as f64 =>
            {
                Ok(Standing::Rate { bucket: flow.reads, creates: false })
            }
            (Stage::Resolve | Stage::Poll | Stage::Cancel | Stage::Collect, None) => {
                let is_suspect = stored.claims >= SUSPECT;
                Ok(if is_suspect {
                    Standing::Apart { lost: stored.claims }
                } else {
                    Standing::Worker { missing }
                })
            }
        }
    }

    /// One that may be submitted now.
    async fn ready(
        &self,
        job: &Job,
        flow: Flow,
        missing: Option<Missing>,
        queue: &str,
    ) -> Result<Standing, StoreError> {
        if let Some(gate) = flow.gate_for(&job.tenant) {
            return Ok(Standing::Gate(gate.clone()));
        }
        if let Some(purse) = self.empty_purse(job).await? {
            return Ok(Standing::Money(purse));
        }
        if missing.is_some() {
            return Ok(Standing::Worker { missing });
        }
        if flow.most_in_flight > 0 && flow.in_flight >= u64::from(flow.most_in_flight) {
            return Ok(Standing::Room { in_flight: flow.in_flight, most: flow.most_in_flight });
        }
        let mut ask = redis::pipe();
        ask.cmd("ZRANK").arg(format!("{queue}:{}", job.lane())).arg(job.id.to_string());
        ask.cmd("ZCARD").arg(self.keys().share(job.vendor()));
        ask.cmd("HGET").arg(self.keys().job(job.id)).arg("k");
        let (ahead, tenants, lost): (Option<u64>, u64, Option<u32>) =
            ask.query_async(&mut self.connection()).await?;
        let ahead = ahead.unwrap_or(0);
        if let Some(lost) = lost.filter(|lost| ahead == 0 && *lost >= SUSPECT) {
            return Ok(Standing::Apart { lost });
        }
        if ahead > 0 || (tenants > 1 && flow.ready > 1) {
            return Ok(Standing::Share { ahead, tenants });
        }
        if flow.creates.next > self.now().as_millis() as f64 {
            return Ok(Standing::Rate { bucket: flow.creates, creates: true });
        }
        Ok(Standing::Worker { missing })
    }

    /// The purse that has too little left for a job's next submission.
    pub(crate) async fn empty_purse(&self, job: &Job) -> Result<Option<Purse>, StoreError> {
        let policy = self.policy();
        let price = policy.price(job);
        if price == 0 {
            return Ok(None);
        }
        let (all, own) = self.spent_today(&job.tenant).await?;
        let usage = self.usage(&job.tenant).await?;
        let purse = |of, most, spent| Purse {
            of,
            tenant: job.tenant.clone(),
            batch: job.batch_ref(),
            most,
            spent,
            price,
        };
        let mut purses = vec![
            purse(PurseOf::Day, micros(policy.money.day), all),
            purse(PurseOf::Tenant, usage.quota.spend_per_day, own),
        ];
        if let Some(batch) = job.batch_ref() {
            let (spent, budget) = self.spent_for(&batch).await?;
            let most = budget.unwrap_or(micros(policy.money.batch));
            purses.push(purse(PurseOf::Batch, most, spent));
        }
        Ok(purses.into_iter().find(|purse| purse.most > 0 && purse.spent + price > purse.most))
    }
}
