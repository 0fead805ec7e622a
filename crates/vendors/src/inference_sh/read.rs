//! Asking how a task is, stopping it, and what a task means.

use std::sync::Arc;

use serde_json::Value;
use songmill_core::{Fault, Product, RawAnswer, Report, TaskId, VendorName};

use super::wire::{State, Task, is_refusal, unwrap};
use super::{Numbering, Settings, fault, list};
use crate::contract::{Cost, Exchange, Listed, Next, Seen, Watched, Within, marked};
use crate::pages::{Looks, span};
use crate::tolerant::{BODY_MAX, Object, Reply, get, post_empty, raw_answer, text, value};

/// Asks for the status alone, which is small, and for the task when it has ended or cannot be told.
pub(super) fn status(settings: Arc<Settings>, id: TaskId) -> Exchange<Report> {
    let uri = settings.base_url.at(&["tasks", id.as_str(), "status"]);
    Exchange::free(get(uri, Some(&settings.key)), move |response| {
        let reply = Reply::from(response);
        let read = read(&reply, &settings).and_then(|object| {
            // The status says nothing of outputs, and under the old numbering 9 is the end.
            let nine = settings.numbering == Numbering::Auto && is_nine(&object);
            Ok((nine, task(&reply, &object, &id, &settings)?))
        });
        match read {
            Err(fault) => Next::fault(fault),
            Ok((false, Task { state: State::Live, .. })) => Next::ok(Report::Pending),
            Ok(_) => Next::Then(whole(settings, id)),
        }
    })
}

/// Asks for the whole task.
fn whole(settings: Arc<Settings>, id: TaskId) -> Exchange<Report> {
    let uri = settings.base_url.at(&["tasks", id.as_str()]);
    Exchange::free(get(uri, Some(&settings.key)), move |response| {
        let reply = Reply::from(response);
        let task = read(&reply, &settings).and_then(|object| task(&reply, &object, &id, &settings));
        match task {
            Err(fault) => Next::fault(fault),
            Ok(task) => Next::Done(match report(&task, || raw_answer(&reply.body, &[&settings.key])) {
                Some(report) => Ok(report),
                // It has audio, but the number says that it is still being brought in.
                None => Err(reply.garbled("status 9 with audio: is `numbering = \"legacy\"` right?")),
            }),
        }
    })
}

/// Asks how many tasks are at once: the newest, back to the oldest of these.
pub(super) fn poll_many(
    settings: &Arc<Settings>,
    name: &VendorName,
    tasks: &[Watched],
    within: Within,
) -> Exchange<Listed> {
    let name = name.clone();
    let (first, _, most) = span(tasks, within);
    let numbering = settings.numbering;
    let read = move |item: &Object| {
        let task = Task::read(item, numbering).ok()?;
        // What has ended but shows no audio here is asked for by itself.
        if task.state == State::Completed && !task.has_audio() {
            return None;
        }
        let mark = text(item, &["webhook"]).and_then(|at| marked(&name, at));
        Some(Seen {
            report: report(&task, || RawAnswer::new(""))?,
            task: task.id,
            mark,
            made: list::made(item),
        })
    };
    let is_older = move |item: &Object| list::made(item).is_some_and(|made| made < first);
    let pages = list::Pages { settings: settings.clone(), most, cursor: None };
    list::search(pages, Looks::of(tasks, read, is_older))
}

/// Stops a task. What the reply says is of no use: it has been null, nothing and half a task.
pub(super) fn cancel(settings: Arc<Settings>, id: &TaskId) -> Exchange<()> {
    let uri = settings.base_url.at(&["tasks", id.as_str(), "cancel"]);
    Exchange::free(post_empty(uri, Some(&settings.key)), move |response| {
        let reply = Reply::from(response);
        match reply.status.as_u16() {
            200..300 if reply.body.trim_ascii().is_empty() => Next::ok(()),
            200..300 => Next::Done(match value(&reply.body, BODY_MAX) {
                Ok(Value::Object(body)) if is_refusal(&body) => {
                    Err(fault::of_reply(&reply, Cost::Free, &settings))
                }
                other => other.map(drop),
            }),
            // It has ended.
            409 => Next::ok(()),
            _ => Next::fault(fault::of_reply(&reply, Cost::Free, &settings)),
        }
    })
}

/// The object in a reply's envelope, or what the reply means otherwise.
pub(super) fn read(reply: &Reply, settings: &Settings) -> Result<Object, Fault> {
    if !reply.status.is_success() {
        return Err(fault::of_reply(reply, Cost::Free, settings));
    }
    match unwrap(reply.object()?) {
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(reply.garbled("an envelope without an object")),
        None => Err(fault::of_reply(reply, Cost::Free, settings)),
    }
}

/// What a task means; `None` when its status is contradicted by its audio.
///
/// A contradicted status without audio is a failure whatever the numbering.
pub(super) fn report(task: &Task, answer: impl FnOnce() -> RawAnswer) -> Option<Report> {
    let error = task.error.as_deref();
    Some(match task.state {
        State::Live | State::Unknown => Report::Pending,
        State::Completed if !task.has_audio() => Report::Unreadable(answer()),
        State::Completed => Report::Done(Product::Audio(task.outputs.clone())),
        State::Failed => Report::Failed(fault::of_task(error)),
        State::Canceled => Report::Canceled,
        State::Rejected => Report::Failed(fault::admission(error)),
        State::Contradicted if !task.has_audio() => Report::Failed(fault::of_task(error)),
        State::Contradicted => return None,
    })
}

fn task(reply: &Reply, object: &Object, id: &TaskId, settings: &Settings) -> Result<Task, Fault> {
    let task = Task::read(object, settings.numbering)?;
    if task.id != *id {
        return Err(reply.garbled("the answer is about another task"));
    }
    Ok(task)
}

fn is_nine(object: &Object) -> bool {
    crate::tolerant::int(object, &["status"]) == Some(9)
}
