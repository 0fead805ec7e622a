//! The simulator's own addresses: books, faults, health.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Map, Value, json};

use crate::reply;
use crate::settings::Faults;
use crate::world::{Vendor, World};

pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/_sim/health", get(|| async { "ok\n" }))
        .route("/_sim/stats", get(stats))
        .route("/_sim/faults", get(show_faults).post(set_faults))
        .route("/_sim/reset", post(reset))
}

#[derive(serde::Deserialize)]
struct StatsQuery {
    tokens: Option<u8>,
}

async fn stats(State(world): State<Arc<World>>, Query(query): Query<StatsQuery>) -> Response {
    let with_tokens = query.tokens == Some(1);
    let show = |vendor: Vendor| world.books(vendor).show(world.in_flight(vendor), with_tokens);
    let vendors: Map<_, _> =
        Vendor::ALL.into_iter().map(|vendor| (vendor.name().to_owned(), show(vendor))).collect();
    reply::json(200, &json!({ "vendors": vendors }))
}

async fn show_faults(State(world): State<Arc<World>>) -> Response {
    let all: Map<_, _> = Vendor::ALL
        .into_iter()
        .map(|vendor| (vendor.name().to_owned(), json!(*world.faults(vendor))))
        .collect();
    reply::json(200, &Value::Object(all))
}

/// Changes the faults named in the body, for all vendors or for the one in `vendor`; the others stay.
async fn set_faults(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let refuse = |detail: String| {
        reply::problem(400, &json!({ "title": "Bad faults", "status": 400, "detail": detail }))
    };
    let mut patch: Map<String, Value> = match serde_json::from_slice(&body) {
        Ok(patch) => patch,
        Err(error) => return refuse(error.to_string()),
    };
    let vendors = match patch.remove("vendor") {
        None => Vendor::ALL.to_vec(),
        Some(name) => match Vendor::ALL.into_iter().find(|vendor| name == vendor.name()) {
            Some(vendor) => vec![vendor],
            None => {
                return refuse(format!(
                    "vendor: {name} is none of tencent, inference_sh, replicate, senseaudio"
                ));
            }
        },
    };
    let mut changed = Vec::new();
    for vendor in &vendors {
        let Value::Object(mut faults) = json!(*world.faults(*vendor)) else { continue };
        faults.extend(patch.clone());
        match serde_json::from_value::<Faults>(Value::Object(faults)) {
            Ok(faults) => changed.push(faults),
            Err(error) => return refuse(error.to_string()),
        }
    }
    world.set_faults(&vendors, changed);
    show_faults(State(world)).await
}

async fn reset(State(world): State<Arc<World>>) -> Response {
    world.reset();
    reply::json(200, &json!({}))
}
