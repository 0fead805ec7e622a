//! The files API: multipart in, an address out.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Multipart, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{empty, guarded, not_found};
use crate::reply;
use crate::world::{Kind, World, now, rfc3339};

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new().route("/v1/files", post(create)).route("/v1/files/{id}", get(read).delete(remove))
}

async fn create(State(world): State<Arc<World>>, headers: HeaderMap, mut form: Multipart) -> Response {
    let mut content: Option<(String, String, Bytes)> = None;
    let mut metadata = json!({});
    while let Ok(Some(field)) = form.next_field().await {
        let name = field.name().unwrap_or_default().to_owned();
        let file = field.file_name().unwrap_or("blob").to_owned();
        let kind = field.content_type().unwrap_or("application/octet-stream").to_owned();
        let Ok(bytes) = field.bytes().await else { break };
        match name.as_str() {
            "content" => content = Some((file, kind, bytes)),
            "metadata" => metadata = serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            _ => {}
        }
    }
    guarded(&world, &headers, Kind::Other, async || {
        let Some((file, kind, bytes)) = content else {
            return reply::problem(400, &json!({ "detail": "Missing content", "status": 400 }));
        };
        let id = world.dice.id(48);
        let shown = show(&world, &id, &file, &kind, &bytes, &metadata);
        world.upload(&id, bytes, &kind);
        reply::json(201, &shown)
    })
    .await
}

fn show(world: &World, id: &str, file: &str, kind: &str, bytes: &Bytes, metadata: &Value) -> Value {
    let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "id": id, "name": file, "content_type": kind, "size": bytes.len(), "etag": &sum[..32],
        "checksums": { "sha256": sum }, "metadata": metadata,
        "created_at": rfc3339(now()), "expires_at": rfc3339(now() + 86_400_000),
        "urls": { "get": format!("{}/v1/files/{id}", world.base()) },
    })
}

async fn read(State(world): State<Arc<World>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Other, async || match world.uploaded(&id) {
        Some((bytes, kind)) => reply::json(200, &show(&world, &id, "upload", &kind, &bytes, &json!({}))),
        None => not_found(),
    })
    .await
}

async fn remove(State(world): State<Arc<World>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    guarded(&world, &headers, Kind::Other, async || {
        if world.remove_upload(&id) { empty(StatusCode::NO_CONTENT) } else { not_found() }
    })
    .await
}
