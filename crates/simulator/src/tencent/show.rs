//! Jobs as they are shown and called back.

use serde_json::{Value, json};

use super::V;
use crate::outputs::{self, Outputs};
use crate::settings::{CallbackForm, OutputShape};
use crate::world::{Phase, Task, World};

/// A job as the page shows it: moments are milliseconds in text, `"0"` for not yet.
pub(super) fn show(world: &World, task: &Task, phase: Phase) -> Value {
    let state = match phase {
        Phase::Starting => 1,
        Phase::Running => 2,
        Phase::Done => 3,
        Phase::Failed => 4,
        Phase::Canceled => 5,
    };
    let started = if phase == Phase::Starting { 0 } else { task.created };
    let mut job = task.request.clone();
    job["id"] = json!(task.id);
    job["state"] = json!(state);
    job["timing"] = json!({
        "createdAt": task.created.to_string(),
        "startedAt": started.to_string(),
        "completedAt": task.ended.unwrap_or(0).to_string(),
    });
    if phase == Phase::Done
        && let Some(result) = result(world, task)
    {
        job["outputs"][0]["smartContentResult"] = result;
    }
    job
}

fn result(world: &World, task: &Task) -> Option<Value> {
    let shown = match outputs::of(world, V, task) {
        Outputs::Missing(form) => {
            return [None, Some(json!({})), Some(json!({ "textBgmGeneration": [] }))][form % 3].clone();
        }
        Outputs::Shown(shown) => shown,
    };
    let names = shown.addresses();
    let under = |key: &str| names.iter().map(|name| json!({ key: name })).collect::<Vec<_>>();
    let songs = match shown.shape {
        OutputShape::Named => json!({ "songName": names[0] }),
        OutputShape::Objects => names.iter().map(|name| json!({ "songName": { "name": name } })).collect(),
        OutputShape::Nested => json!([under("songName")]),
        OutputShape::OtherKey => json!(under("fileName")),
        OutputShape::Beside => {
            let beside = shown.beside.iter().map(|name| json!({ "songName": name }));
            under("songName").into_iter().chain(beside).collect()
        }
        OutputShape::None
        | OutputShape::Mixed
        | OutputShape::Text
        | OutputShape::Many
        | OutputShape::Unusable => json!(under("songName")),
    };
    let result = json!({ "textBgmGeneration": songs });
    Some(if shown.shape == OutputShape::Text { json!(result.to_string()) } else { result })
}

/// Canceled jobs are not called back.
pub(super) fn callback_body(world: &World, id: &str) -> Option<Value> {
    let (task, phase) = world.task(V, id)?;
    if !matches!(phase, Phase::Done | Phase::Failed) {
        return None;
    }
    let job = show(world, &task, phase);
    Some(match world.config.tencent.callback_form {
        CallbackForm::Bare => job,
        CallbackForm::Job => json!({ "job": job }),
        CallbackForm::Response => json!({ "requestId": world.dice.uuid(), "getJobResponse": { "job": job } }),
    })
}
