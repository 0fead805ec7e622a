//! Vendors' limits and gates, as the whole fleet sees them.

use std::time::Duration;

use songmill_core::fault::is_down;
use songmill_core::{Fault, Job, Stage, Tenant, Timestamp, VendorName};

use crate::connection::StoreError;
use crate::lease::Watch;
use crate::scripts::{Call, FLOW, SIGNAL, TAKE};
use crate::store::Store;

/// What a request tells of a vendor.
#[derive(Clone, Copy, Debug)]
pub enum Signal<'a> {
    /// A submission was answered: taken, or refused for what it was.
    Answered,
    /// Key, plan or balance refuse every submission, by a status or a code that the vendor documents.
    Locked(&'a Fault),
    /// A submission came to nothing that is known of.
    Failing(&'a Fault),
    /// Every submission will fail for as long as the vendor says, by a code that it documents.
    Down(&'a Fault),
    /// It looks as if every submission were refused as this one: that counts once another job confirms it.
    Suspected(&'a Fault),
    /// The same of a task that failed: submissions that go well say nothing against it.
    SuspectedOfTasks(&'a Fault),
    /// A submission that was let through a shut gate was not made.
    Unprobed,
    /// There were too many submissions.
    CreatesThrottled(&'a Fault),
    /// There were too many other requests.
    ReadsThrottled(&'a Fault),
}

/// Who shut a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutBy {
    /// Key, plan or balance.
    Locked,
    /// Submissions that failed in a row.
    Failing,
    /// An operator.
    Hand,
}

/// A shut gate: nothing is submitted to the vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Who shut it.
    pub by: ShutBy,
    /// The fault's code; `shut_by_hand` for an operator.
    pub code: String,
    /// What the operator said who shut it; a vendor's words stay with the job that it said them about.
    pub words: String,
    /// The tenant whose submissions alone failed, where that is so: others are let through at any time to find out.
    pub only: Option<Tenant>,
    /// Whether nobody else had submitted in the last ten minutes then.
    pub alone: bool,
    /// Since when.
    pub since: Timestamp,
    /// Until when; then one submission is let through to find out, or it opens where an operator shut it. None: until
    /// an operator opens it.
    pub until: Option<Timestamp>,
    /// How often in a row it was shut.
    pub trips: u32,
    /// Until when the submission counts as under way that was let through to find out.
    pub probe: Option<Timestamp>,
}

impl Gate {
    /// Whether nothing is let through now: its time has not come, or one that was let through is under way.
    pub fn keeps_shut(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now) || self.probe.is_some()
    }

    /// What shut it, as the fault that jobs fail over with.
    pub fn fault(&self) -> Fault {
        use songmill_core::FaultKind::{Locked, Unavailable};
        let kind = if self.by == ShutBy::Failing { Unavailable } else { Locked };
        Fault::new(kind, self.code.clone(), &self.words)
    }
}

/// Requests of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Deserialize)]
pub struct Bucket {
    /// Most a minute, as set; 0 for any number.
    pub most: u32,
    /// Most a minute now: less than set after the vendor refused; 0 for any number.
    pub allowed: f64,
    /// Made in the last minute, about.
    pub made: u64,
    /// When the next one may be made, in ms since 1970.
    pub next: f64,
    /// Whether the vendor asked for a pause until then.
    pub paused: bool,
}

/// A vendor's limits and what is used of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// The gate, where it is shut.
    pub gate: Option<Gate>,
    /// Failures in a row while it is open.
    pub fails: u32,
    /// Tasks under way, those in doubt included.
    pub in_flight: u64,
    /// The most of them; 0 for any number.
    pub most_in_flight: u32,
    /// Submissions.
    pub creates: Bucket,
    /// Other requests.
    pub reads: Bucket,
    /// Jobs that may be submitted as soon as the limits let them.
    pub ready: u64,
    /// Jobs that wait for their time: a back-off, or `not_before`.
    pub later: u64,
    /// Lanes of jobs that wait for money.
    pub without_money: u64,
}

impl Flow {
    /// The gate, where it is the vendor's and not only one tenant's beside others.
    pub fn gate_of_all(&self) -> Option<&Gate> {
        self.gate.as_ref().filter(|gate| gate.only.is_none() || gate.alone)
    }

    /// The gate, where it is shut for a tenant.
    pub fn gate_for(&self, tenant: &Tenant) -> Option<&Gate> {
        self.gate.as_ref().filter(|gate| gate.only.as_ref().is_none_or(|only| only == tenant))
    }
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heeded {
    /// Nothing.
    No,
    /// The gate was shut or opened by it.
    Changed,
    /// The gate stays shut: it confirms why.
    Confirmed,
}

/// Requests that may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How many.
    pub granted: usize,
    /// When to ask for more.
    pub wait: Duration,
    /// Whether there is no limit to ask for.
    pub free: bool,
}

impl Store {
    /// Tells what a request for a job says of a vendor; `watch` is the lease's that it was made under.
    pub async fn signal(
        &self,
        vendor: &VendorName,
        (job, watch): (&Job, Watch),
        signal: Signal<'_>,
    ) -> Result<Heeded, StoreError> {
        let policy = self.policy();
        let policy = policy.vendor(vendor);
        let limits = &policy.limits;
        let mut call = self.signal_call(vendor, watch);
        let wait = |fault: &Fault, own: Duration| millis(policy.named_wait(fault).unwrap_or(own));
        let most = millis(limits.breaker_most.get());
        let waits = |call: &mut Call<'_>, first: u64| {
            call.arg(first).arg(first.max(most));
        };
        match signal {
            Signal::Answered => {
                call.arg("ok").arg(millis(policy.poll_first.get().saturating_mul(3)));
            }
            Signal::Unprobed => {
                call.arg("unprobed");
            }
            Signal::Failing(_) | Signal::Down(_) if limits.breaker == 0 => return Ok(Heeded::No),
            Signal::Suspected(fault) | Signal::SuspectedOfTasks(fault)
                if limits.breaker == 0 && fault.suspicion().is_some_and(is_down) =>
            {
                return Ok(Heeded::No);
            }
            Signal::Locked(fault) => {
                call.arg("locked").arg(&*fault.code);
                waits(&mut call, wait(fault, policy.locked_wait.get()));
            }
            Signal::Down(fault) => {
                call.arg("down").arg(&*fault.code);
                waits(&mut call, wait(fault, limits.breaker_wait.get()));
            }
            Signal::Failing(fault) => {
                call.arg("failing").arg(&*fault.code);
                waits(&mut call, wait(fault, limits.breaker_wait.get()));
                call.arg(job.tenant.as_str()).arg(limits.breaker);
            }
            Signal::Suspected(fault) | Signal::SuspectedOfTasks(fault) => {
                let code = fault.suspicion().unwrap_or(&fault.code);
                call.arg("suspected").arg(code);
                let is_vendor = is_down(code);
                let own = if is_vendor { limits.breaker_wait } else { policy.locked_wait };
                waits(&mut call, wait(fault, own.get()));
                call.arg(job.tenant.as_str()).arg(job.id.to_string());
                call.arg(if is_vendor { "failing" } else { "locked" });
                call.arg(if matches!(signal, Signal::SuspectedOfTasks(_)) { "task" } else { "" });
            }
            Signal::CreatesThrottled(fault) => {
                call.arg("throttled").arg("c").arg(limits.creates_per_minute);
                call.arg(fault.per_minute().unwrap_or(0)).arg(wait(fault, Duration::ZERO));
            }
            Signal::ReadsThrottled(fault) => {
                call.arg("throttled").arg("r").arg(limits.reads_per_minute);
                call.arg(0).arg(wait(fault, Duration::ZERO));
            }
        }
        Ok(match call.run::<i64>(&mut self.connection()).await? {
            1 => Heeded::Changed,
            2 => Heeded::Confirmed,
            _ => Heeded::No,
        })
    }

    /// Shuts a vendor's gate by hand, until then or until it is opened. True when it was not shut by hand before.
    pub async fn shut_gate(
        &self,
        vendor: &VendorName,
        until: Option<Timestamp>,
        words: &str,
    ) -> Result<bool, StoreError> {
        let mut call = self.signal_call(vendor, Watch::None);
        call.arg("shut").arg(until.map_or(0, Timestamp::as_millis)).arg(words);
        self.changed(&call).await
    }

    /// Opens a vendor's gate, whoever shut it, and ends pauses that the vendor asked for. True when it was shut.
    pub async fn open_gate(&self, vendor: &VendorName) -> Result<bool, StoreError> {
        let mut call = self.signal_call(vendor, Watch::None);
        call.arg("open");
        self.changed(&call).await
    }

    fn signal_call(&self, vendor: &VendorName, watch: Watch) -> Call<'static> {
        let keys = self.keys();
        let mut call = SIGNAL.call(&[
            keys.limits(vendor),
            keys.queue(Stage::Submit, vendor),
            keys.events(),
            keys.outbox(),
        ]);
        call.arg(keys.wake()).arg(vendor.as_str()).arg(self.event_limits()).arg(keys.tenant_prefix());
        call.arg(if watch == Watch::Probe { "probe" } else { "" });
        call
    }

    async fn changed(&self, call: &Call<'_>) -> Result<bool, StoreError> {
        Ok(call.run::<i64>(&mut self.connection()).await? == 1)
    }

    /// Takes requests that are no submissions out of a vendor's allowance; `made` were made without asking.
    pub async fn take_reads(
        &self,
        vendor: &VendorName,
        wanted: usize,
        made: usize,
    ) -> Result<Grant, StoreError> {
        let limits = self.policy().vendor(vendor).limits;
        let mut call = TAKE.call(&[self.keys().limits(vendor)]);
        call.arg(wanted).arg(limits.reads_per_minute).arg(limits.reads_burst).arg(made);
        let (granted, wait, free): (usize, u64, u8) = call.run(&mut self.connection()).await?;
        Ok(Grant { granted, wait: Duration::from_millis(wait), free: free == 1 })
    }

    /// A vendor's limits and what is used of them now.
    pub async fn flow(&self, vendor: &VendorName) -> Result<Flow, StoreError> {
        let keys = self.keys();
        let limits = self.policy().vendor(vendor).limits;
        let mut call = FLOW.call(&[
            keys.limits(vendor),
            keys.queue(Stage::Resolve, vendor),
            keys.queue(Stage::Poll, vendor),
            keys.queue(Stage::Cancel, vendor),
            keys.queue(Stage::Submit, vendor),
        ]);
        call.arg(limits.creates_per_minute).arg(limits.creates_burst);
        call.arg(limits.reads_per_minute).arg(limits.reads_burst);
        let text: String = call.run(&mut self.connection()).await?;
        let read: Read = serde_json::from_str(&text).map_err(|source| StoreError::Record {
            job: format!("the limits of {vendor}"),
            source: source.into(),
        })?;
        let now = self.now();
        // One that was shut by hand for a time opens by itself.
        let over = |gate: &Gate| gate.by == ShutBy::Hand && gate.until.is_some_and(|until| until <= now);
        Ok(Flow {
            gate: read.gate(now).filter(|gate| !over(gate)),
            fails: read.fails.unwrap_or(0),
            in_flight: read.in_flight,
            most_in_flight: limits.in_flight,
            creates: read.creates,
            reads: read.reads,
            ready: read.ready,
            later: read.later,
            without_money: read.without_money,
        })
    }
}

/// What `flow.lua` returns.
#[derive(serde::Deserialize)]
struct Read {
    shut: Option<f64>,
    by: Option<String>,
    code: Option<String>,
    words: Option<String>,
    only: Option<Tenant>,
    #[serde(default)]
    alone: bool,
    since: Option<f64>,
    trips: Option<u32>,
    probe: Option<f64>,
    fails: Option<u32>,
    in_flight: u64,
    creates: Bucket,
    reads: Bucket,
    ready: u64,
    later: u64,
    without_money: u64,
}

impl Read {
    fn gate(&self, now: Timestamp) -> Option<Gate> {
        let moment = |millis: f64| Timestamp::from_millis(millis as u64);
        let until = self.shut?;
        Some(Gate {
            by: match self.by.as_deref() {
                Some("hand") => ShutBy::Hand,
                Some("locked") => ShutBy::Locked,
                _ => ShutBy::Failing,
            },
            code: self.code.clone().unwrap_or_default(),
            words: self.words.clone().unwrap_or_default(),
            only: self.only.clone(),
            alone: self.alone,
            since: moment(self.since.unwrap_or(until)),
            until: (until > 0.0).then(|| moment(until)),
            trips: self.trips.unwrap_or(0),
            probe: self.probe.map(moment).filter(|until| *until > now),
        })
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
