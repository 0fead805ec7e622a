//! Replicate's words: the prediction object of replies and webhooks, read tolerantly.

use songmill_core::{Fault, Outputs, TaskId, Timestamp};

use crate::outputs;
use crate::tolerant::{Object, child, garbled, garbled_id, text};

/// How a prediction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// `starting`, `processing`, and words we do not know: not ended as far as we can tell.
    Live,
    Succeeded,
    Failed,
    Canceled,
    /// The deadline came before it started; never charged.
    Aborted,
}

/// What we read of a prediction.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prediction {
    pub(super) id: TaskId,
    pub(super) status: Status,
    /// What it gave, in whatever shape.
    pub(super) output: Outputs,
    pub(super) error: Option<String>,
    pub(super) completed_at: Option<Timestamp>,
    pub(super) deadline: Option<Timestamp>,
    /// How long it was worked on, in ms: what it is charged by.
    pub(super) worked_ms: Option<u64>,
}

impl Prediction {
    pub(super) fn read(object: &Object) -> Result<Self, Fault> {
        let status = text(object, &["status"]).ok_or_else(|| garbled("a prediction without a status"))?;
        Ok(Self {
            id: id(object)?,
            status: match status {
                "succeeded" => Status::Succeeded,
                "failed" => Status::Failed,
                "canceled" | "cancelled" => Status::Canceled,
                "aborted" => Status::Aborted,
                _ => Status::Live,
            },
            output: object.get("output").map(outputs::read).unwrap_or_default(),
            error: text(object, &["error"]).map(str::to_owned),
            completed_at: moment(object, "completed_at"),
            deadline: moment(object, "deadline"),
            worked_ms: child(object, "metrics")
                .and_then(|metrics| metrics.get("predict_time"))
                .and_then(serde_json::Value::as_f64)
                .filter(|seconds| *seconds > 0.0)
                .map(|seconds| (seconds * 1000.0).round() as u64),
        })
    }
}

/// The id of a prediction.
pub(super) fn id(object: &Object) -> Result<TaskId, Fault> {
    let id = text(object, &["id"]).ok_or_else(|| garbled("a prediction without an id"))?;
    TaskId::new(id).map_err(|error| garbled_id(&error))
}

/// A moment in RFC 3339, with 0 to 9 digits behind the second.
pub(super) fn moment(object: &Object, key: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text(object, &[key])?.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp::from_millis)
}
