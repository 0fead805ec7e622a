//! inference.sh, with one app: `infsh/tencent-song-generation`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::audio::{Format, Recipe, seed_of};
use crate::callback;
use crate::gate::{Asked, Refusals, bearer, pass};
use crate::outputs::{self, Outputs};
use crate::reply;
use crate::settings::Envelope;
use crate::world::{Kind, Phase, Task, Vendor, World, now, rfc3339};

mod form;
mod listing;
mod show;
mod stream;

use show::{callback_body, full, number, slim};

const V: Vendor = Vendor::InferenceSh;
const APP_ID: &str = "2r8q1n5v7kx0m3c6t9w4yzab1d";

pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/apps/run", post(create))
        .route("/run", post(create))
        .route("/tasks/{id}", get(read).delete(remove))
        .route("/tasks/{id}/status", get(status))
        .route("/tasks/{id}/cancel", post(cancel))
        .route("/tasks/{id}/stream", get(stream::stream))
        .route("/tasks/{id}/logs", get(logs))
        .route("/tasks/{id}/files", get(files))
        .route("/tasks/list", post(listing::list))
        .route("/tasks", get(listing::list_all))
        .route("/files", post(upload))
        .route("/usage/tasks/{id}/cost", get(cost))
}

/// A problem whose code is the last part of its type.
pub(super) fn problem(status: u16, code: &str, title: &str, detail: &str) -> Response {
    let kind = format!("https://api.inference.sh/errors/{code}");
    reply::problem(status, &json!({ "type": kind, "title": title, "status": status, "detail": detail }))
}

fn refusals() -> Refusals {
    Refusals {
        throttled: |_| problem(429, "rate_limited", "Too Many Requests", "rate limit exceeded"),
        failed: || problem(500, "internal_error", "Internal Server Error", "internal error"),
    }
}

fn refused(world: &World, headers: &HeaderMap) -> Option<Response> {
    if bearer(headers) != Some(world.config.inference_sh.key.as_str()) {
        return Some(problem(401, "unauthorized", "Unauthorized", "Invalid or missing API key"));
    }
    world
        .faults(V)
        .locked
        .then(|| problem(402, "payment_required", "Payment Required", "insufficient balance"))
}

pub(super) async fn guarded<'a>(
    world: &World,
    headers: &HeaderMap,
    asked: impl Into<Asked<'a>>,
    act: impl AsyncFnOnce() -> Response,
) -> Response {
    pass(world, V, asked, refusals(), async || match refused(world, headers) {
        Some(refused) => refused,
        None => act().await,
    })
    .await
}

/// A good reply in the envelope that is set.
pub(super) fn wrapped(world: &World, value: &Value) -> Response {
    let body = match world.config.inference_sh.envelope {
        Envelope::Current => json!({ "data": value, "messages": [] }),
        Envelope::V1 => json!({ "success": true, "status": 200, "data": value }),
        Envelope::V2Bare => value.clone(),
    };
    reply::json(200, &body)
}

pub(super) fn not_found() -> Response {
    problem(404, "not_found", "Not Found", "task not found")
}

#[derive(serde::Deserialize)]
struct RunQuery {
    wait: Option<bool>,
}

async fn create(
    State(world): State<Arc<World>>,
    Query(query): Query<RunQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    guarded(&world, &headers, (Kind::Create, &body), async || {
        let order = match form::order(&body) {
            Ok(order) => order,
            Err(refused) => return refused,
        };
        let faults = world.faults(V);
        let (id, created) = (world.dice.id(26), now());
        let words = format!("{}{}", order.input["lyrics"], order.input["descriptions"]);
        let (seed, token) = (seed_of(&words), order.webhook.as_deref().unwrap_or(&words));
        let asked =
            order.input["max_duration"].as_u64().unwrap_or(30).min(world.config.audio_seconds_most.into());
        let first = *world.first_length.get_or_init(|| asked);
        let asked = if world.config.inference_sh.sticky { first } else { asked };
        let recipe = |n: u64| Recipe {
            seed: seed.wrapping_add(n),
            millis: world.length(Some(asked)),
            format: Format::Flac,
        };
        let outputs = if order.input["generate_type"] == "separate" {
            vec![recipe(0), recipe(1), recipe(2)]
        } else {
            vec![recipe(0)]
        };
        let early = order.webhook.is_some() && world.dice.chance(faults.callback_early_rate);
        let task = Task {
            id: id.clone(),
            created,
            ends: if early { created } else { world.plan_end(created) },
            failure: world.failure(V, token, &body, "task interrupted, please retry"),
            request: json!({ "input": order.input, "webhook": order.webhook }),
            webhook: order.webhook.clone(),
            outputs,
            withheld: world.dice.chance(faults.output_expired_rate),
            ..Task::default()
        };
        let shown = slim(&world, &task, Phase::Starting);
        world.keep(V, order.webhook.as_deref().unwrap_or(&id), task);
        if let Some(url) = &order.webhook {
            if early {
                callback::send(&world, V, &id, url, callback_body).await;
            } else {
                callback::schedule(&world, V, &id, url, callback_body);
            }
        }
        if query.wait.unwrap_or(order.wait) {
            return waited(&world, &id).await;
        }
        wrapped(&world, &shown)
    })
    .await
}

/// Blocks until the end; a task that did not end well is a 422.
async fn waited(world: &World, id: &str) -> Response {
    loop {
        let Some((task, phase)) = world.task(V, id) else { return not_found() };
        match phase {
            Phase::Done => return wrapped(world, &slim(world, &task, phase)),
            Phase::Failed | Phase::Canceled => {
                return problem(
                    422,
                    "validation_error",
                    "Unprocessable Entity",
                    task.failure.as_deref().unwrap_or("canceled"),
                );
            }
            Phase::Starting | Phase::Running => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await
            }
        }
    }
}

async fn read(State(world): State<Arc<World>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Read, async || match world.ask(V, &id) {
        Some((task, phase)) => wrapped(&world, &full(&world, &task, phase)),
        None => not_found(),
    })
    .await
}

async fn status(State(world): State<Arc<World>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Read, async || match world.task(V, &id) {
        Some((task, phase)) => {
            let updated = rfc3339(task.ended.or(task.canceled).unwrap_or(task.created));
            wrapped(
                &world,
                &json!({ "id": id, "status": number(&world, &task, phase), "updated_at": updated }),
            )
        }
        None => not_found(),
    })
    .await
}

async fn cancel(State(world): State<Arc<World>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Other, async || match world.cancel(V, &id) {
        Some((task, phase, true)) => {
            wrapped(&world, &json!({ "id": id, "status": number(&world, &task, phase), "cancelled": true }))
        }
        Some((_, _, false)) => problem(409, "invalid_transition", "Conflict", "task has already finished"),
        None => not_found(),
    })
    .await
}

async fn remove(State(world): State<Arc<World>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Other, async || match world.task(V, &id) {
        Some((_, phase)) if !phase.has_ended() => {
            problem(409, "conflict", "Conflict", "task is still running")
        }
        Some(_) => {
            world.forget(V, &id);
            wrapped(&world, &Value::Null)
        }
        None => not_found(),
    })
    .await
}

async fn logs(State(world): State<Arc<World>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Other, async || match world.task(V, &id) {
        Some(_) => wrapped(&world, &json!([])),
        None => not_found(),
    })
    .await
}

async fn files(State(world): State<Arc<World>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Other, async || match world.task(V, &id) {
        Some((task, Phase::Done)) => {
            let file = |uri: &str| {
                let name = uri.trim().rsplit('/').next();
                json!({ "id": world.dice.id(26), "role": "output", "uri": uri, "filename": name, "content_type": "audio/flac" })
            };
            let files: Vec<Value> = match outputs::of(&world, V, &task) {
                Outputs::Missing(_) => Vec::new(),
                Outputs::Shown(shown) => shown.addresses().into_iter().map(file).collect(),
            };
            wrapped(&world, &json!(files))
        }
        Some(_) => wrapped(&world, &json!([])),
        None => not_found(),
    })
    .await
}

/// Microcents: 1 USD is 100,000,000.
async fn cost(State(world): State<Arc<World>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Other, async || match world.task(V, &id) {
        Some((_, Phase::Done)) => wrapped(&world, &json!({ "total": 5_000_000, "charged": 5_000_000 })),
        _ => not_found(),
    })
    .await
}

/// The first of two steps: an address to PUT each file to.
async fn upload(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    guarded(&world, &headers, Kind::Other, async || {
        let sent: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let Some(files) = sent["files"].as_array().filter(|files| !files.is_empty()) else {
            return problem(400, "invalid_request", "Bad Request", "files must be a non-empty array");
        };
        let mut shown = Vec::new();
        for file in files {
            let kind = file["content_type"].as_str().unwrap_or("application/octet-stream");
            let extension = file["filename"]
                .as_str()
                .and_then(|name| name.rsplit_once('.'))
                .map_or("bin", |(_, end)| end);
            let name = format!("{}.{extension}", world.dice.id(26));
            world.upload(&name, Bytes::new(), kind);
            let uri = format!("{}/_uploads/{name}", world.base());
            shown.push(json!({
                "id": world.dice.id(26), "uri": uri, "upload_url": format!("{uri}?X-Amz-Signature=sim"),
                "filename": file["filename"], "content_type": kind, "size": file["size"],
                "path": name, "remote_path": name, "category": "uploads",
            }));
        }
        wrapped(&world, &json!(shown))
    })
    .await
}
