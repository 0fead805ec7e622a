//! inference.sh's words: three envelopes, two numberings of statuses, files as texts or objects.

use serde_json::Value;
use songmill_core::{Fault, Outputs, TaskId};

use super::Numbering;
use crate::outputs;
use crate::tolerant::{Object, as_int, first, garbled, garbled_id, is_empty, text, words_of};

/// Takes the envelope off: `{data, …}`, `{success, data}` or none; `None` is a `success: false`.
pub(super) fn unwrap(mut body: Object) -> Option<Value> {
    if is_refusal(&body) {
        return None;
    }
    Some(body.remove("data").unwrap_or(Value::Object(body)))
}

/// Whether a body says `success: false`, whatever the status code.
pub(super) fn is_refusal(body: &Object) -> bool {
    body.get("success") == Some(&Value::Bool(false))
}

/// How a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Live,
    Completed,
    Failed,
    Canceled,
    /// The account may not run it.
    Rejected,
    /// A status that the task itself contradicts: the numbering may have moved.
    Contradicted,
    /// A status that we do not know.
    Unknown,
}

/// What we read of a task, or of what its status route says of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Task {
    pub(super) id: TaskId,
    pub(super) state: State,
    /// What it gave, in whatever shape.
    pub(super) outputs: Outputs,
    pub(super) error: Option<String>,
}

impl Task {
    pub(super) fn read(object: &Object, numbering: Numbering) -> Result<Self, Fault> {
        let status = object.get("status").filter(|status| !is_empty(status));
        let Some(status) = status.or_else(|| first(object, &["status_text"])) else {
            return Err(garbled("a task without a status"));
        };
        let outputs = object.get("output").map(outputs::read).unwrap_or_default();
        let state = state(object, status, numbering, outputs::is_usable(&outputs))?;
        Ok(Self { id: id(object)?, state, outputs, error: error(object) })
    }

    /// Whether it shows audio that can be downloaded.
    pub(super) fn has_audio(&self) -> bool {
        outputs::is_usable(&self.outputs)
    }
}

/// The id of a task.
pub(super) fn id(object: &Object) -> Result<TaskId, Fault> {
    let id = text(object, &["id"]).ok_or_else(|| garbled("a task without an id"))?;
    TaskId::new(id).map_err(|error| garbled_id(&error))
}

fn state(object: &Object, status: &Value, numbering: Numbering, has_output: bool) -> Result<State, Fault> {
    let words = [text(object, &["status_text"]), status.as_str()];
    if let Some(state) = words.into_iter().flatten().find_map(named) {
        return Ok(state);
    }
    let Some(number) = as_int(status) else {
        return match status {
            Value::String(_) => Ok(State::Unknown),
            _ => Err(garbled("a task whose status is neither a word nor a number")),
        };
    };
    Ok(match numbering {
        Numbering::Legacy => legacy(number),
        Numbering::Current => current(number),
        Numbering::Auto => match number {
            9 if has_output => State::Contradicted,
            10 if !has_output && error(object).is_some() => State::Contradicted,
            _ => current(number),
        },
    })
}

fn named(word: &str) -> Option<State> {
    Some(match word.trim().to_ascii_lowercase().as_str() {
        "completed" => State::Completed,
        "failed" => State::Failed,
        "cancelled" | "canceled" => State::Canceled,
        "rejected" => State::Rejected,
        "unknown" | "received" | "queued" | "dispatched" | "scheduled" | "preparing" | "serving"
        | "setting_up" | "running" | "cancelling" | "canceling" | "uploading" => State::Live,
        _ => return None,
    })
}

fn current(number: i64) -> State {
    match number {
        0..=9 => State::Live,
        10 => State::Completed,
        11 => State::Failed,
        12 => State::Canceled,
        13 => State::Rejected,
        _ => State::Unknown,
    }
}

fn legacy(number: i64) -> State {
    match number {
        0..=8 => State::Live,
        9 => State::Completed,
        10 => State::Failed,
        11 | 12 => State::Canceled,
        13 => State::Rejected,
        _ => State::Unknown,
    }
}

fn error(object: &Object) -> Option<String> {
    match object.get("error")? {
        Value::String(error) if !error.trim().is_empty() => Some(error.trim().to_owned()),
        Value::Object(error) => words_of(error),
        _ => None,
    }
}
