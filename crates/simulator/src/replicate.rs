//! Replicate's predictions API for one community model.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::audio::{Format, Recipe, seed_of};
use crate::callback;
use crate::gate::{Asked, Refusals, bearer, pass};
use crate::reply;
use crate::world::{Kind, Phase, Task, Vendor, World, now, rfc3339};

mod form;
mod model;
mod output;
mod uploads;

const V: Vendor = Vendor::Replicate;
const OWNER: &str = "datasci888";
const NAME: &str = "musicgen_8songs";
const VERSION: &str = "531c1fadb581d760235dca418ce027bb8af642716ced08b2cd805e99a25c52e0";
/// Predictions on a page of the list.
const PAGE: usize = 100;

pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/v1/predictions", post(create).get(list))
        .route("/v1/predictions/{id}", get(read))
        .route("/v1/predictions/{id}/cancel", post(cancel))
        .route("/v1/models/{owner}/{name}/predictions", post(official))
        .route("/v1/webhooks/default/secret", get(secret))
        .route("/v1/account", get(account))
        .merge(model::routes())
        .merge(uploads::routes())
}

fn refusals() -> Refusals {
    Refusals {
        throttled: |wait| {
            let mut body = json!({ "detail": "Request was throttled.", "status": 429 });
            if wait > 0 {
                body["detail"] = format!("Request was throttled. Your rate limit resets in ~{wait}s.").into();
                body["retry_after"] = wait.into();
            }
            reply::problem(429, &body)
        },
        failed: || {
            reply::problem(
                500,
                &json!({ "title": "Internal server error", "detail": "Internal server error", "status": 500 }),
            )
        },
    }
}

fn not_found() -> Response {
    reply::problem(404, &json!({ "detail": "The requested resource could not be found.", "status": 404 }))
}

fn refused(world: &World, headers: &HeaderMap) -> Option<Response> {
    if bearer(headers) != Some(world.config.replicate.token.as_str()) {
        let detail = "You did not pass a valid authentication token";
        return Some(reply::problem(
            401,
            &json!({ "title": "Unauthenticated", "detail": detail, "status": 401 }),
        ));
    }
    world.faults(V).locked.then(|| {
        let detail = "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing to purchase credit. Once you purchase credit, please wait a few minutes before trying again.";
        reply::problem(402, &json!({ "title": "Insufficient credit", "detail": detail, "status": 402 }))
    })
}

/// Any request that is no submission: passed through the faults, with the key checked.
async fn guarded<'a>(
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

async fn create(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    let response = guarded(&world, &headers, (Kind::Create, &body), async || {
        let order = match form::order(&body) {
            Ok(order) => order,
            Err(refused) => return refused,
        };
        let faults = world.faults(V);
        let (id, created) = (world.dice.id(26), now());
        let text = order.input.get("prompt").map(Value::to_string).unwrap_or_default();
        let format =
            if order.input.get("output_format") == Some(&json!("mp3")) { Format::Mp3 } else { Format::Wav };
        let seed = order.input.get("seed").and_then(Value::as_u64).unwrap_or(0);
        let asked = order.input.get("duration").and_then(Value::as_u64).unwrap_or(8);
        let recipe =
            Recipe { seed: seed_of(&text).wrapping_add(seed), millis: world.length(Some(asked)), format };
        let early = order.webhook.is_some() && world.dice.chance(faults.callback_early_rate);
        let token = order.webhook.as_deref().unwrap_or(&text);
        let failure = world.failure(V, token, &body, "Prediction interrupted; please retry (code: PA)");
        let task = Task {
            id: id.clone(),
            created,
            ends: if early { created } else { world.plan_end(created) },
            failure: order.doomed.or(failure),
            request: order.echo,
            webhook: order.webhook.clone(),
            outputs: vec![recipe],
            withheld: world.dice.chance(faults.output_expired_rate),
            ..Task::default()
        };
        let mut shown = show(&world, &task, Phase::Starting);
        world.keep(V, order.webhook.as_deref().unwrap_or(&id), task);
        if let Some(url) = &order.webhook {
            if early {
                callback::send(&world, V, &id, url, callback_body).await;
            } else {
                callback::schedule(&world, V, &id, url, callback_body);
            }
        }
        let wait = form::prefer_wait(&headers);
        if let Some(secs) = wait {
            shown = waited(&world, &id, secs).await.unwrap_or(shown);
        }
        let response = reply::json(201, &shown);
        match wait {
            Some(secs) => reply::with(response, "preference-applied", format!("wait={secs}")),
            None => response,
        }
    })
    .await;
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        return response;
    }
    reply::with(reply::with(response, "ratelimit-remaining", 599), "ratelimit-reset", 1)
}

/// As the real one: a prediction that ended in time is shown as processing, with its output.
async fn waited(world: &World, id: &str, secs: u64) -> Option<Value> {
    let until = now() + secs * 1000;
    loop {
        let (task, phase) = world.task(V, id)?;
        if phase.has_ended() {
            let mut shown = show(world, &task, phase);
            if phase == Phase::Done {
                shown["status"] = "processing".into();
                shown.as_object_mut()?.retain(|key, _| key != "metrics" && key != "completed_at");
            }
            return Some(shown);
        }
        if now() > until {
            return Some(show(world, &task, phase));
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn read(State(world): State<Arc<World>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Read, async || match world.ask(V, &id) {
        Some((task, phase)) => reply::json(200, &show(&world, &task, phase)),
        None => reply::problem(404, &json!({ "detail": "Not found.", "status": 404 })),
    })
    .await
}

async fn cancel(State(world): State<Arc<World>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Other, async || match world.cancel(V, &id) {
        Some((task, phase, _)) => reply::json(200, &show(&world, &task, phase)),
        None => reply::problem(404, &json!({ "detail": "Not found.", "status": 404 })),
    })
    .await
}

#[derive(serde::Deserialize)]
struct ListQuery {
    cursor: Option<String>,
    created_after: Option<String>,
    created_before: Option<String>,
}

async fn list(
    State(world): State<Arc<World>>,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Response {
    guarded(&world, &headers, Kind::LookUp, async || {
        let moment = |text: &Option<String>| {
            text.as_ref()
                .map(|text| text.parse::<jiff::Timestamp>().map(|moment| moment.as_millisecond() as u64))
        };
        let (after, before) =
            match (moment(&query.created_after).transpose(), moment(&query.created_before).transpose()) {
                (Ok(after), Ok(before)) => (after.unwrap_or(0), before.unwrap_or(u64::MAX)),
                _ => {
                    return reply::problem(
                        400,
                        &json!({ "detail": "created_after and created_before are ISO 8601", "status": 400 }),
                    );
                }
            };
        let skip = query.cursor.as_deref().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        let found = world.list(V, (skip, PAGE + 1), after..=before, |_| true);
        let more = found.len() > PAGE;
        let results: Vec<Value> =
            found.iter().take(PAGE).map(|(task, phase)| show(&world, task, *phase)).collect();
        let next = more.then(|| {
            let filter = query
                .created_after
                .as_ref()
                .map(|after| format!("&created_after={after}"))
                .unwrap_or_default();
            let until = query
                .created_before
                .as_ref()
                .map(|before| format!("&created_before={before}"))
                .unwrap_or_default();
            format!("{}/v1/predictions?cursor={}{filter}{until}", world.base(), skip + PAGE)
        });
        reply::json(200, &json!({ "next": next, "previous": null, "results": results }))
    })
    .await
}

/// The model is no official one.
async fn official(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Create, async || not_found()).await
}

async fn secret(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Other, async || {
        reply::json(200, &json!({ "key": world.config.replicate.webhook_secret }))
    })
    .await
}

async fn account(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Other, async || {
        reply::json(
            200,
            &json!({ "type": "organization", "username": "sim", "name": "Simulator", "github_url": "" }),
        )
    })
    .await
}

fn show(world: &World, task: &Task, phase: Phase) -> Value {
    let base = format!("{}/v1/predictions/{}", world.base(), task.id);
    let status = match phase {
        Phase::Starting => "starting",
        Phase::Running => "processing",
        Phase::Done => "succeeded",
        Phase::Failed => "failed",
        Phase::Canceled => "canceled",
    };
    let ended = task.ended.or(task.canceled);
    let purged =
        ended.is_some_and(|ended| now().saturating_sub(ended) / 1000 > world.config.replicate.retention_s);
    let mut shown = task.request.clone();
    shown["id"] = json!(task.id);
    shown["model"] = json!(format!("{OWNER}/{NAME}"));
    shown["version"] = json!(VERSION);
    shown["created_at"] = json!(rfc3339(task.created));
    shown["status"] = json!(status);
    shown["error"] = if phase == Phase::Failed { json!(task.failure) } else { Value::Null };
    shown["logs"] = json!(if phase == Phase::Starting { "" } else { "Using seed: 7\n" });
    shown["data_removed"] = json!(purged);
    shown["source"] = json!("api");
    shown["urls"] = json!({
        "get": base, "cancel": format!("{base}/cancel"), "web": format!("https://replicate.com/p/{}", task.id),
    });
    shown["output"] = match phase {
        Phase::Done if !purged => output::output(world, task),
        _ => Value::Null,
    };
    if phase != Phase::Starting {
        shown["started_at"] = json!(rfc3339(task.created + 20));
    }
    if let Some(ended) = ended {
        let secs = ended.saturating_sub(task.created) as f64 / 1000.0;
        shown["completed_at"] = json!(rfc3339(ended));
        shown["metrics"] = json!({ "predict_time": secs, "total_time": secs + 0.02 });
    }
    if purged {
        shown["input"] = json!({});
        shown["logs"] = json!("");
    }
    shown
}

fn callback_body(world: &World, id: &str) -> Option<Value> {
    let (task, phase) = world.task(V, id)?;
    Some(show(world, &task, phase))
}

/// A reply without a body.
fn empty(status: StatusCode) -> Response {
    status.into_response()
}
