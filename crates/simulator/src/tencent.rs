//! Tencent's text BGM generation: one address, three actions.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use serde_json::{Map, Value, json};

use crate::audio::{Format, Recipe, seed_of};
use crate::callback;
use crate::gate::{Refusals, pass};
use crate::reply;
use crate::world::{Kind, Phase, Task, Vendor, World, now};

mod form;
mod show;

use show::{callback_body, show};

const V: Vendor = Vendor::Tencent;

pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new().route("/release/job", post(job)).route("/job", post(job))
}

/// How its gateway refuses: not in the API's own envelope.
fn gateway(status: u16, message: &str) -> Response {
    reply::json(status, &json!({ "message": message }))
}

fn refusals() -> Refusals {
    Refusals {
        throttled: |_| gateway(429, "API rate limit exceeded"),
        failed: || gateway(502, "Bad Gateway"),
    }
}

fn refuse(world: &World, message: &str) -> Response {
    reply::json(200, &json!({ "requestId": world.dice.uuid(), "errorResponse": { "message": message } }))
}

async fn job(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let parsed: Result<Map<String, Value>, _> = serde_json::from_slice(&body);
    let action = parsed.as_ref().ok().and_then(|sent| sent.get("action")?.as_str().map(str::to_owned));
    let kind = match action.as_deref() {
        Some("CreateJob") => Kind::Create,
        Some("ListJobs") => Kind::LookUp,
        _ => Kind::Read,
    };
    pass(&world, V, (kind, &body), refusals(), async || {
        let Ok(sent) = parsed else { return refuse(&world, "invalid request: body is not a JSON object") };
        let is = |field: &str, known: &str| sent.get(field).and_then(Value::as_str) == Some(known);
        let settings = &world.config.tencent;
        if world.faults(V).locked
            || !is("secretId", &settings.secret_id)
            || !is("secretKey", &settings.secret_key)
        {
            return refuse(&world, "authentication failed: invalid secretId or secretKey");
        }
        match action.as_deref() {
            Some("CreateJob") => create(&world, &sent, &body).await,
            Some("GetJob") => get(&world, &sent),
            Some("ListJobs") => list(&world, &sent),
            _ => refuse(&world, "invalid action"),
        }
    })
    .await
}

async fn create(world: &Arc<World>, sent: &Map<String, Value>, body: &Bytes) -> Response {
    if let Some(extra) = sent.keys().find(|key| {
        !["action", "secretId", "secretKey", "createJobRequest", "requestId"].contains(&key.as_str())
    }) {
        return refuse(world, &format!("invalid parameter {extra}"));
    }
    let order = match form::order(sent.get("createJobRequest"), &world.config.tencent) {
        Ok(order) => order,
        Err(message) => return refuse(world, &format!("invalid parameter: {message}")),
    };
    let faults = world.faults(V);
    let (id, created) = (world.dice.uuid(), now());
    let outputs = (0..order.quantity)
        .map(|n| Recipe {
            seed: seed_of(&order.text).wrapping_add(n),
            millis: world.length(None),
            format: Format::Mp3,
        })
        .collect();
    let early = order.callback.is_some() && world.dice.chance(faults.callback_early_rate);
    let ends = if early { created } else { world.plan_end(created) };
    let late = order.timeout_s.is_some_and(|timeout| ends > created + timeout * 1000);
    let token = order.custom_id.as_deref().unwrap_or(&order.text);
    let own = "generation failed";
    let failure = world.failure(V, token, body, own).or_else(|| late.then(|| own.to_owned()));
    let task = Task {
        id: id.clone(),
        created,
        ends: order.timeout_s.map_or(ends, |timeout| ends.min(created + timeout * 1000)),
        failure,
        request: order.echo,
        webhook: order.callback.clone(),
        outputs,
        ..Task::default()
    };
    let shown = show(world, &task, Phase::Starting);
    world.keep(V, order.custom_id.as_deref().unwrap_or(&id), task);
    if let Some(url) = &order.callback {
        if early {
            callback::send(world, V, &id, url, callback_body).await;
        } else {
            callback::schedule(world, V, &id, url, callback_body);
        }
    }
    reply::json(200, &json!({ "requestId": world.dice.uuid(), "createJobResponse": { "job": shown } }))
}

fn get(world: &World, sent: &Map<String, Value>) -> Response {
    let id = sent.get("getJobRequest").and_then(|request| request.get("id")?.as_str()).unwrap_or_default();
    match world.ask(V, id) {
        Some((task, phase)) => {
            let job = show(world, &task, phase);
            reply::json(200, &json!({ "requestId": world.dice.uuid(), "getJobResponse": { "job": job } }))
        }
        None => refuse(world, "job not found"),
    }
}

fn list(world: &World, sent: &Map<String, Value>) -> Response {
    let wanted = sent.get("listJobsRequest").and_then(|request| request.get("customId")?.as_str());
    let Some(wanted) = wanted else { return refuse(world, "invalid parameter: customId is required") };
    let jobs: Vec<Value> = world
        .list(V, (0, 100), 0..=u64::MAX, |task| {
            task.request.get("customId").and_then(Value::as_str) == Some(wanted)
        })
        .iter()
        .map(|(task, phase)| show(world, task, *phase))
        .collect();
    let total = jobs.len();
    reply::json(
        200,
        &json!({ "requestId": world.dice.uuid(), "listJobsResponse": { "jobs": jobs, "total": total } }),
    )
}
