//! Jobs and policies of these tests.

use std::collections::BTreeMap;
use std::time::Duration;

use songmill_core::job::{Accepted, JobPolicy, OnUnknown, Policy, Route, StepKind, VendorPolicy, Via, step};
use songmill_core::time::Span;
use songmill_core::{
    Event, Fault, FaultKind, Job, JobId, Output, Product, Report, TaskId, Timestamp, VendorName,
};

pub(crate) const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) fn vendor(name: &str) -> VendorName {
    VendorName::new(name).unwrap()
}

pub(crate) fn task(id: impl std::fmt::Display) -> TaskId {
    TaskId::new(&format!("t{id}")).unwrap()
}

pub(crate) fn route(name: &str, steps: &[StepKind]) -> Route {
    Route { vendor: vendor(name), steps: steps.to_vec(), dropped: vec![] }
}

pub(crate) fn job(routes: Vec<Route>) -> Job {
    Job::new(JobId::derive("test", "job"), routes, START, START + Duration::from_secs(86_400))
}

pub(crate) fn song_job() -> Job {
    job(vec![route("a", &[StepKind::Song])])
}

/// A vendor with a look-up that can stop tasks.
pub(crate) fn able() -> VendorPolicy {
    VendorPolicy {
        look_up: true,
        cancel: true,
        settle: Span::secs(30),
        strikes: 4,
        ..VendorPolicy::default()
    }
}

pub(crate) fn policy(a: VendorPolicy) -> Policy {
    Policy::new(BTreeMap::from([(vendor("a"), a), (vendor("b"), able())]), JobPolicy::default())
}

pub(crate) fn on_unknown(on_unknown: OnUnknown) -> Policy {
    policy(VendorPolicy { on_unknown, look_up: false, cancel: false, ..able() })
}

pub(crate) fn fault(kind: FaultKind) -> Fault {
    Fault::new(kind, "made_up", "for a test")
}

pub(crate) fn audio() -> Product {
    Product::Audio(vec![Output::at("https://a.example/1.mp3")])
}

pub(crate) fn accepted(attempt: u32) -> Event {
    Event::Accepted { attempt, accepted: Accepted::Task(task(attempt)) }
}

pub(crate) fn reported(attempt: u32, report: Report, via: Via) -> Event {
    Event::Reported { attempt, vendor: vendor("a"), task: Some(task(attempt)), report, via }
}

pub(crate) fn called_back(attempt: u32, report: Report) -> Event {
    reported(attempt, report, Via::Callback)
}

pub(crate) fn polled(attempt: u32, report: Report, asked: Timestamp) -> Event {
    reported(attempt, report, Via::Poll { asked })
}

pub(crate) fn submit_failed(attempt: u32, kind: FaultKind) -> Event {
    Event::SubmitFailed { attempt, fault: fault(kind) }
}

pub(crate) fn stored() -> Event {
    Event::Stored { assets: vec![] }
}

/// A job as it is after these events, a second apart.
pub(crate) fn after(job: Job, policy: &Policy, events: &[Event]) -> Job {
    let mut now = START;
    events.iter().fold(job, |job, event| {
        now = now + Duration::from_secs(1);
        step(&job, event, now, policy).map_or(job, |step| step.job)
    })
}
