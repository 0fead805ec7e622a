//! SenseAudio: lyrics, then a song (seed page and generation v1 paths).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Map, Value, json};

use crate::audio::{Format, Recipe, seed_of};
use crate::gate::{Refusals, bearer, pass};
use crate::reply;
use crate::settings::LyricsMode;
use crate::world::{Kind, Phase, Task, Vendor, World, now};

mod show;

use show::data;

const V: Vendor = Vendor::SenseAudio;

pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/v1/song/lyrics/create", post(create_lyrics))
        .route("/v1/music/lyrics/create", post(create_lyrics))
        .route("/v1/song/lyrics/pending/{id}", get(pending))
        .route("/v1/song/music/create", post(create_song))
        .route("/v1/music/song/create", post(create_song_v1))
        .route("/v1/song/music/pending/{id}", get(pending))
        .route("/v1/music/song/pending/{id}", get(pending))
}

fn error(status: u16, code: &str, message: &str) -> Response {
    reply::json(status, &json!({ "code": code, "message": message }))
}

fn refusals() -> Refusals {
    Refusals {
        throttled: |_| error(429, "rate_limit_error", "too many requests"),
        failed: || error(503, "internal_error", "service busy"),
    }
}

fn refused(world: &World, headers: &HeaderMap) -> Option<Response> {
    if world.faults(V).locked {
        return Some(error(402, "INSUFFICIENT_BALANCE", "insufficient balance"));
    }
    let known = bearer(headers) == Some(world.config.senseaudio.key.as_str());
    (!known).then(|| error(401, "authentication_error", "incorrect API key provided"))
}

/// What a field must be.
enum Is {
    Text,
    Truth,
    Weight,
    Gender,
}

fn check(body: &Bytes, required: &[&str], fields: &[(&str, Is)]) -> Result<Map<String, Value>, Response> {
    let invalid = |message: String| error(400, "invalid", &message);
    let Ok(Value::Object(sent)) = serde_json::from_slice(body) else {
        return Err(invalid("body is not a JSON object".into()));
    };
    for name in required {
        if sent.get(*name).and_then(Value::as_str).unwrap_or_default().is_empty() {
            return Err(invalid(format!("{name} is required")));
        }
    }
    for (name, value) in &sent {
        let Some((_, is)) = fields.iter().find(|(known, _)| known == name) else {
            return Err(invalid(format!("unknown parameter {name}")));
        };
        let good = match is {
            Is::Text => value.as_str().is_some_and(|text| text.chars().count() <= 2000),
            Is::Truth => value.is_boolean(),
            Is::Gender => matches!(value.as_str(), Some("f" | "m")),
            Is::Weight => {
                let weight = value.as_f64().or_else(|| value.as_str()?.parse().ok());
                weight.is_some_and(|weight| (0.0..=1.0).contains(&weight))
            }
        };
        if !good {
            return Err(invalid(format!("invalid parameter {name}")));
        }
    }
    Ok(sent)
}

const LYRICS: &str = "[intro-medium] ; [verse] We stand upon the edge of dawn. The road is long ; [chorus] Rise up now. Rise and sing ; [outro-medium]";

async fn create_lyrics(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    pass(&world, V, (Kind::Create, &body), refusals(), async || {
        if let Some(refused) = refused(&world, &headers) {
            return refused;
        }
        let fields = [("prompt", Is::Text), ("provider", Is::Text)];
        let sent = match check(&body, &["prompt", "provider"], &fields) {
            Ok(sent) => sent,
            Err(refused) => return refused,
        };
        let at_once = match world.config.senseaudio.lyrics_mode {
            LyricsMode::Sync => true,
            LyricsMode::Async => false,
            LyricsMode::Alternate => world.dice.roll().is_multiple_of(2),
        };
        let id = world.dice.uuid();
        let task = task(&world, &id, &body, Value::Object(sent), vec![]);
        world.keep(V, &token(&body), task);
        if at_once {
            return reply::json(200, &json!({ "data": [{ "text": LYRICS, "title": "" }] }));
        }
        reply::json(200, &json!({ "task_id": id }))
    })
    .await
}

async fn create_song(state: State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    song(state, headers, body, "sensesong", &["model"]).await
}

async fn create_song_v1(state: State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    song(state, headers, body, "senseaudio-music-1.0-260319", &["model", "lyrics"]).await
}

async fn song(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    body: Bytes,
    model: &str,
    required: &[&str],
) -> Response {
    pass(&world, V, (Kind::Create, &body), refusals(), async || {
        if let Some(refused) = refused(&world, &headers) {
            return refused;
        }
        let fields = [
            ("model", Is::Text),
            ("lyrics", Is::Text),
            ("instrumental", Is::Truth),
            ("style", Is::Text),
            ("style_weight", Is::Weight),
            ("title", Is::Text),
            ("vocal_gender", Is::Gender),
            ("negative_tags", Is::Text),
            ("custom_mode", Is::Truth),
        ];
        let sent = match check(&body, required, &fields) {
            Ok(sent) => sent,
            Err(refused) => return refused,
        };
        if sent["model"] != model {
            return error(400, "invalid", "model does not exist");
        }
        let id = world.dice.uuid();
        let text = format!("{:?}{:?}", sent.get("lyrics"), sent.get("style"));
        let recipe = Recipe { seed: seed_of(&text), millis: world.length(None), format: Format::Mp3 };
        let task = task(&world, &id, &body, Value::Object(sent), vec![recipe]);
        world.keep(V, &token(&body), task);
        reply::json(200, &json!({ "task_id": id }))
    })
    .await
}

/// There is no id of the caller's: equal bodies are counted together, with how often they came.
fn token(body: &Bytes) -> String {
    format!("{}-{}", words_of(body), NTH.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

fn words_of(body: &Bytes) -> String {
    format!("{:016x}", seed_of(&String::from_utf8_lossy(body)))
}

static NTH: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

fn task(world: &World, id: &str, body: &Bytes, request: Value, outputs: Vec<Recipe>) -> Task {
    let faults = world.faults(V);
    let created = now();
    Task {
        id: id.to_owned(),
        created,
        ends: world.plan_end(created),
        failure: world.failure(V, &words_of(body), body, "生成失败，请稍后重试"),
        request,
        outputs,
        withheld: world.dice.chance(faults.output_expired_rate),
        ..Task::default()
    }
}

async fn pending(State(world): State<Arc<World>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    pass(&world, V, Kind::Read, refusals(), async || {
        if let Some(refused) = refused(&world, &headers) {
            return refused;
        }
        let Some((task, phase)) = world.ask(V, &id) else {
            return reply::json(
                404,
                &json!({ "code": "notfound", "message": "未找到资源", "ref_code": 404_000, "ref_scope": "common" }),
            );
        };
        let shown = match phase {
            Phase::Starting | Phase::Running | Phase::Canceled => json!({ "task_id": id, "status": "PENDING" }),
            Phase::Failed => json!({ "task_id": id, "status": "FAILED", "fail_reason": task.failure }),
            Phase::Done => json!({
                "task_id": id, "status": "SUCCESS",
                "response": { "task_id": id, "data": data(&world, &task) },
            }),
        };
        reply::json(200, &shown)
    })
    .await
}
