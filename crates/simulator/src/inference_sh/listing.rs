//! Lists of tasks, newest first.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::{APP_ID, V, full, guarded, problem, wrapped};
use crate::world::{Kind, World};

/// The documented default.
const LIMIT: u64 = 10;
/// What `-1` means.
const MOST: usize = 10_000;

pub(super) async fn list(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    guarded(&world, &headers, Kind::LookUp, async || {
        let asked: Value = match serde_json::from_slice(&body) {
            Ok(asked) => asked,
            Err(_) if body.is_empty() => json!({}),
            Err(error) => return problem(400, "invalid_request", "Bad Request", &error.to_string()),
        };
        page(&world, &asked)
    })
    .await
}

pub(super) async fn list_all(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::LookUp, async || page(&world, &json!({}))).await
}

fn page(world: &World, asked: &Value) -> Response {
    for filter in asked["filters"].as_array().into_iter().flatten() {
        let field = filter["field"].as_str().unwrap_or_default();
        if !["app_id", "status", "created_at", "webhook"].contains(&field) {
            return problem(400, "invalid_filter", "Bad Request", &format!("unknown filter field {field}"));
        }
        if field == "app_id" && filter["value"] != APP_ID {
            return wrapped(world, &json!({ "items": [], "next_cursor": null, "has_next": false }));
        }
    }
    let limit = match asked["limit"].as_i64() {
        Some(-1) => MOST,
        _ => usize::try_from(asked["limit"].as_u64().unwrap_or(LIMIT)).unwrap_or(MOST).clamp(1, MOST),
    };
    let skip = asked["cursor"].as_str().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let found = world.list(V, (skip, limit + 1), 0..=u64::MAX, |_| true);
    let more = found.len() > limit;
    let items: Vec<Value> = found.iter().take(limit).map(|(task, phase)| full(world, task, *phase)).collect();
    let next = more.then(|| (skip + limit).to_string());
    wrapped(
        world,
        &json!({ "items": items, "next_cursor": next, "has_next": more, "items_per_page": limit, "total_items": found.len() }),
    )
}
