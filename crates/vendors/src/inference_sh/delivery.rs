//! Callbacks: a task alone, or in one of two envelopes; never signed.

use serde_json::Value;
use songmill_core::{RawAnswer, Report};

use super::wire::{State, Task, unwrap};
use super::{Callbacks, Settings, read};
use crate::contract::{Delivery, Reading, Refusal};
use crate::tolerant::{BODY_MAX, object, text};

pub(super) fn read(settings: &Settings, delivery: &Delivery<'_>) -> Result<Reading, Refusal> {
    let task = match object(delivery.body, BODY_MAX).map(unwrap) {
        Ok(Some(Value::Object(shown))) => {
            let callback = text(&shown, &["webhook"]).map(str::to_owned);
            Task::read(&shown, settings.numbering).map(|task| (task, callback))
        }
        Ok(_) => return Err(Refusal::Garbled("an envelope without a task".to_owned())),
        Err(fault) => Err(fault),
    };
    let (task, callback) = task.map_err(|fault| Refusal::Garbled(fault.message))?;
    // Audio may follow an end that has none yet; a status that the task contradicts decides nothing.
    let decides = match task.state {
        State::Completed => task.has_audio(),
        State::Failed | State::Canceled | State::Rejected => true,
        State::Live | State::Unknown | State::Contradicted => false,
    };
    let report = read::report(&task, || RawAnswer::new("")).filter(|_| decides).unwrap_or(Report::Pending);
    let believed = decides && settings.callbacks == Callbacks::Accept;
    Ok(Reading { task: Some(task.id), report, believed, callback })
}
