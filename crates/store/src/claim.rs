//! Claiming due jobs for a lease, and keeping or giving back what was claimed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use songmill_core::{JobId, Stage, Timestamp, VendorName};

use crate::commit::COMMIT_CHUNK;
use crate::connection::StoreError;
use crate::held::chain;
use crate::isolation::FAILURE;
use crate::lease::{Fence, Lease, Watch};
use crate::record::decode;
use crate::scripts::{BLAME, CLAIM, Call, EXTEND, SUBMIT};
use crate::store::Store;

/// The jobs that a claim took, and when there will be more.
pub(crate) struct Claims {
    pub(crate) leases: Vec<Lease>,
    pub(crate) now: Timestamp,
    pub(crate) next_due: Option<Timestamp>,
    pub(crate) unreadable: Vec<StoreError>,
    /// Whether suspects were left that are due.
    pub(crate) suspects: bool,
}

/// What is wanted of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) most: usize,
    pub(crate) lease: Duration,
    /// Suspects and nothing else, or everything but suspects.
    pub(crate) suspects: bool,
    /// Whether this process has (next to) no other job of the queue.
    pub(crate) alone: bool,
}

/// Who claims, and which claim of its own is next: a claim whose reply was lost is asked for again by its number.
pub(crate) struct Claimant {
    worker: u64,
    number: u64,
    lost: bool,
}

impl Claimant {
    pub(crate) fn new() -> Self {
        Self { worker: getrandom::u64().expect("the system has random bytes"), number: 0, lost: false }
    }
}

/// The longest a queue sleeps without being woken.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// How long a worker that claims scarce looks has them to itself.
const TURN: Duration = Duration::from_secs(2);

impl Store {
    /// Takes due jobs from a queue for a lease; what an earlier call took whose reply was lost comes first.
    pub(crate) async fn claim(
        &self,
        claimant: &mut Claimant,
        stage: Stage,
        vendor: &VendorName,
        wanted: Wanted,
    ) -> Result<Claims, StoreError> {
        let lease = wanted.lease;
        let apart = if wanted.suspects { "apart" } else { "" };
        let call = match stage {
            Stage::Submit => {
                let mut call = self.submit_call(claimant, vendor, &wanted);
                call.arg(apart);
                call
            }
            Stage::Resolve | Stage::Poll | Stage::Cancel | Stage::Collect => {
                let mut call =
                    CLAIM.call(&[self.keys().queue(stage, vendor), self.keys().last_claim(claimant.worker)]);
                self.common(&mut call, claimant, &wanted);
                call.arg(if needs_request(stage) { "r" } else { "" });
                // Where looks are scarce several workers would look at the same pages of a list at once.
                let is_scarce = stage == Stage::Poll && !self.policy().pace.round(vendor).is_zero();
                call.arg(if is_scarce { TURN.as_millis() as u64 } else { 0 });
                call.arg(apart).arg(if wanted.alone { "alone" } else { "" });
                call
            }
        };
        // Until a reply is here, and also when this call is dropped halfway.
        claimant.lost = true;
        let claimed = Instant::now();
        let mut reply = match call.run::<Vec<redis::Value>>(&mut self.connection()).await {
            // Nobody has said yet what songs cost and what may be spent.
            Err(error) if error.code() == Some("UNSEEDED") => {
                self.seed_fleet().await?;
                call.run(&mut self.connection()).await?
            }
            other => other?,
        }
        .into_iter();
        (claimant.lost, claimant.number) = (false, claimant.number + 1);
        let now = Timestamp::from_millis(next(&mut reply)?);
        self.learned(now);
        let next_due: i64 = next(&mut reply)?;
        let watched: u64 = next(&mut reply)?;
        let (suspects, is_alone) = (next::<u64>(&mut reply)? == 1, next::<u64>(&mut reply)? == 1);
        let mut claims = Claims {
            leases: Vec::new(),
            now,
            next_due: u64::try_from(next_due).ok().map(Timestamp::from_millis),
            unreadable: Vec::new(),
            suspects,
        };
        let mut unreadable = Vec::new();
        while reply.len() > 0 {
            let id: String = next(&mut reply)?;
            let fence = Fence {
                version: next(&mut reply)?,
                claims: next(&mut reply)?,
                alone: next(&mut reply)?,
                is_alone,
            };
            let began: u64 = next(&mut reply)?;
            let price: String = next(&mut reply)?;
            let record: Vec<u8> = next(&mut reply)?;
            let request: String = next(&mut reply)?;
            let Ok(id) = id.parse::<JobId>() else { continue };
            match decode(id, &record) {
                Ok(job) => {
                    let job = self.begun(job, began, Some(&price));
                    let request = (!request.is_empty()).then(|| request.into());
                    let place = (stage, vendor.clone());
                    let watch = match watched {
                        0 => Watch::None,
                        1 => Watch::Wanted,
                        _ => Watch::Probe,
                    };
                    claims.leases.push(Lease::new(job, place, request, fence, (claimed, lease), watch));
                }
                Err(error) => {
                    unreadable.push((id, fence.version));
                    claims.unreadable.push(error);
                }
            }
        }
        // A submission that was claimed stands with those that are to be looked up.
        let stands = if stage == Stage::Submit { Stage::Resolve } else { stage };
        if let Err(error) = self.set_aside(&self.keys().queue(stands, vendor), &unreadable).await {
            // They are handed out once more when their lease ends.
            tracing::warn!(%stage, %vendor, error = %chain(&error), "jobs that cannot be read could not be set aside");
        }
        Ok(claims)
    }

    fn common(&self, call: &mut Call<'_>, claimant: &Claimant, wanted: &Wanted) {
        call.arg(wanted.most).arg((wanted.lease.as_millis() as u64).max(1)).arg(self.keys().job_prefix());
        call.arg(LONGEST_SLEEP.as_millis() as u64);
        call.arg(claimant.number).arg(if claimant.lost { "again" } else { "" });
    }

    fn submit_call(&self, claimant: &Claimant, vendor: &VendorName, wanted: &Wanted) -> Call<'static> {
        let keys = self.keys();
        let mut call = SUBMIT.call(&[
            keys.queue(Stage::Submit, vendor),
            keys.queue(Stage::Resolve, vendor),
            keys.last_claim(claimant.worker),
            keys.limits(vendor),
            keys.queue(Stage::Poll, vendor),
            keys.queue(Stage::Cancel, vendor),
            keys.fleet(),
            keys.events(),
            keys.outbox(),
        ]);
        self.common(&mut call, claimant, wanted);
        call.arg(keys.batch_prefix())
            .arg(keys.tenant_prefix())
            .arg(vendor.as_str())
            .arg(keys.ledger_prefix());
        let policy = self.policy();
        let limits = policy.vendor(vendor).limits;
        call.arg(limits.in_flight).arg(limits.creates_per_minute).arg(limits.creates_burst);
        call.arg(self.event_limits());
        call
    }

    /// Says that the work on a job failed by itself.
    pub(crate) async fn blame(&self, lease: &Lease) -> Result<(), StoreError> {
        let mut call = BLAME.call(&[self.keys().job(lease.job.id)]);
        call.arg(lease.version).arg(FAILURE);
        Ok(call.run(&mut self.connection()).await?)
    }

    /// Lengthens the leases that are still ours; zero gives them back. Marks the others as lost.
    pub(crate) async fn extend(&self, leases: &[Arc<Lease>], lease: Duration) -> Result<(), StoreError> {
        for chunk in leases.chunks(COMMIT_CHUNK) {
            let keys: Vec<_> = chunk
                .iter()
                .flat_map(|held| {
                    let stage = if held.stage == Stage::Submit { Stage::Resolve } else { held.stage };
                    [self.keys().job(held.job.id), self.keys().queue(stage, &held.vendor)]
                })
                .collect();
            let mut call = EXTEND.call(&keys);
            call.arg(lease.as_millis() as u64);
            for held in chunk {
                call.arg(held.job.id.to_string()).arg(held.version);
                call.arg(if held.is_alone { "alone" } else { "" });
            }
            let asked = Instant::now();
            let codes: Vec<i64> = call.run(&mut self.connection()).await?;
            for (held, code) in chunk.iter().zip(codes) {
                if code == 1 { held.extended(asked, lease) } else { held.lost() }
            }
        }
        Ok(())
    }
}

const fn needs_request(stage: Stage) -> bool {
    matches!(stage, Stage::Resolve | Stage::Collect)
}

fn next<T: redis::FromRedisValue>(reply: &mut impl Iterator<Item = redis::Value>) -> Result<T, StoreError> {
    let value = reply.next().unwrap_or(redis::Value::Nil);
    T::from_redis_value(value).map_err(|error| StoreError::from(redis::RedisError::from(error)))
}
