//! Asking how a prediction is, stopping it, and what a prediction means.

use std::sync::Arc;
use std::time::Duration;

use songmill_core::{Fault, FaultKind, Product, RawAnswer, Report, TaskId, VendorName};

use super::fault::failure;
use super::wire::{Prediction, Status, moment};
use super::{Settings, list, throttle};
use crate::contract::{Cost, Exchange, Listed, Next, Seen, Watched, Within, marked};
use crate::outputs::is_usable;
use crate::pages::{Looks, span};
use crate::tolerant::{Object, Reply, blot, get, post_empty, raw_answer, text};

/// How long after its end a prediction's audio can be had.
const RETENTION: Duration = Duration::from_secs(3600);

pub(super) fn poll(settings: &Settings, task: &TaskId) -> Exchange<Report> {
    let uri = settings.base_url.at(&["predictions", task.as_str()]);
    let (token, task) = (settings.token.clone(), task.clone());
    Exchange::free(get(uri, Some(&settings.token)), move |response| {
        let reply = Reply::from(response);
        if !reply.status.is_success() {
            return Next::fault(blot(throttle::of_reply(&reply, Cost::Free), &[&token]));
        }
        Next::Done(reply.object().and_then(|body| Prediction::read(&body)).and_then(|prediction| {
            if prediction.id != task {
                return Err(reply.garbled("the answer is about another prediction"));
            }
            Ok(report(&prediction, || raw_answer(&reply.body, &[&token])))
        }))
    })
}

/// Asks how many predictions are at once: those that were made in the span of time in which these were.
pub(super) fn poll_many(
    settings: &Arc<Settings>,
    name: &VendorName,
    tasks: &[Watched],
    within: Within,
) -> Exchange<Listed> {
    let name = name.clone();
    let (first, last, most) = span(tasks, within);
    let read = move |item: &Object| {
        // What has ended but shows no audio here is asked for by itself.
        let prediction = Prediction::read(item).ok()?;
        let bare = prediction.status == Status::Succeeded && !is_usable(&prediction.output);
        let report = report(&prediction, || RawAnswer::new(""));
        let mark = text(item, &["webhook", "webhook_completed"]).and_then(|at| marked(&name, at));
        (!bare).then_some(Seen { task: prediction.id, report, mark, made: moment(item, "created_at") })
    };
    let uri = list::made(settings, first, Some(last));
    let looks = Looks::of(tasks, read, |_| false).going_on();
    list::search(list::Pages { settings: settings.clone(), most }, looks, uri)
}

pub(super) fn cancel(settings: &Settings, task: &TaskId) -> Exchange<()> {
    let uri = settings.base_url.at(&["predictions", task.as_str(), "cancel"]);
    let token = settings.token.clone();
    Exchange::free(post_empty(uri, Some(&settings.token)), move |response| {
        let reply = Reply::from(response);
        match reply.status.as_u16() {
            200..300 => Next::Done(reply.object().and_then(|body| Prediction::read(&body)).map(drop)),
            // It has ended.
            409 => Next::ok(()),
            _ => Next::fault(blot(throttle::of_reply(&reply, Cost::Free), &[&token])),
        }
    })
}

/// What a prediction means.
pub(super) fn report(prediction: &Prediction, answer: impl FnOnce() -> RawAnswer) -> Report {
    match prediction.status {
        Status::Live => Report::Pending,
        // It may show its output later; where its data was removed it stands in the answer.
        Status::Succeeded if !is_usable(&prediction.output) => Report::Unreadable(answer()),
        Status::Succeeded => succeeded(prediction),
        Status::Failed => Report::Failed(failure(prediction.error.as_deref())),
        Status::Aborted => Report::Failed(expired("its deadline came before it started")),
        Status::Canceled if deadline_came(prediction) => {
            Report::Failed(expired("its deadline came while it ran"))
        }
        Status::Canceled => Report::Canceled,
    }
}

fn succeeded(prediction: &Prediction) -> Report {
    let expires = prediction.completed_at.map(|ended| ended + RETENTION);
    let mut outputs = prediction.output.clone();
    outputs.audio.iter_mut().for_each(|output| output.expires = expires);
    if let Some(first) = outputs.audio.first_mut() {
        first.worked_ms = prediction.worked_ms;
    }
    Report::Done(Product::Audio(outputs))
}

fn deadline_came(prediction: &Prediction) -> bool {
    matches!((prediction.completed_at, prediction.deadline), (Some(ended), Some(due)) if ended >= due)
}

fn expired(words: &str) -> Fault {
    Fault::from_vendor(FaultKind::Unavailable, "task_expired", words)
}
