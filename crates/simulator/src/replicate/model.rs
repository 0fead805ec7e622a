//! The model and its one version.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::{NAME, OWNER, VERSION, guarded, not_found};
use crate::reply;
use crate::world::{Kind, World};

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/v1/models/{owner}/{name}", get(model))
        .route("/v1/models/{owner}/{name}/versions", get(versions))
        .route("/v1/models/{owner}/{name}/versions/{id}", get(version))
}

async fn model(
    State(world): State<Arc<World>>,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    guarded(&world, &headers, Kind::Other, async || {
        if (owner.as_str(), name.as_str()) != (OWNER, NAME) {
            return not_found();
        }
        reply::json(
            200,
            &json!({
                "url": format!("https://replicate.com/{OWNER}/{NAME}"),
                "owner": OWNER, "name": NAME, "description": null, "visibility": "public",
                "github_url": null, "paper_url": null, "license_url": null, "run_count": 7,
                "cover_image_url": null, "default_example": null, "is_official": false,
                "created_at": "2023-10-24T00:00:00.000000Z",
                "latest_version": shown(),
            }),
        )
    })
    .await
}

async fn versions(
    State(world): State<Arc<World>>,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    guarded(&world, &headers, Kind::Other, async || {
        if (owner.as_str(), name.as_str()) != (OWNER, NAME) {
            return not_found();
        }
        reply::json(200, &json!({ "next": null, "previous": null, "results": [shown()] }))
    })
    .await
}

async fn version(
    State(world): State<Arc<World>>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    guarded(&world, &headers, Kind::Other, async || {
        if (owner.as_str(), name.as_str(), id.as_str()) != (OWNER, NAME, VERSION) {
            return not_found();
        }
        reply::json(200, &shown())
    })
    .await
}

fn shown() -> Value {
    json!({
        "id": VERSION, "created_at": "2023-10-24T00:00:00.000000Z", "cog_version": "0.8.6",
        "openapi_schema": { "openapi": "3.0.2", "info": { "title": "Cog", "version": "0.1.0" }, "paths": {}, "components": { "schemas": {
            "Input": { "type": "object", "title": "Input", "properties": {
                "prompt": { "type": "string", "title": "Prompt", "x-order": 0 },
                "input_audio": { "type": "string", "title": "Input Audio", "format": "uri", "x-order": 1 },
                "duration": { "type": "integer", "title": "Duration", "default": 8, "x-order": 2 },
                "continuation": { "type": "boolean", "default": false, "x-order": 3 },
                "continuation_start": { "type": "integer", "default": 0, "minimum": 0, "x-order": 4 },
                "continuation_end": { "type": "integer", "minimum": 0, "x-order": 5 },
                "multi_band_diffusion": { "type": "boolean", "default": false, "x-order": 6 },
                "normalization_strategy": { "allOf": [{ "$ref": "#/components/schemas/normalization_strategy" }], "default": "loudness", "x-order": 7 },
                "top_k": { "type": "integer", "default": 250, "x-order": 8 },
                "top_p": { "type": "number", "default": 0, "x-order": 9 },
                "temperature": { "type": "number", "default": 1, "x-order": 10 },
                "classifier_free_guidance": { "type": "integer", "default": 3, "x-order": 11 },
                "output_format": { "allOf": [{ "$ref": "#/components/schemas/output_format" }], "default": "wav", "x-order": 12 },
                "seed": { "type": "integer", "x-order": 13 },
            } },
            "Output": { "type": "string", "title": "Output", "format": "uri" },
            "normalization_strategy": { "enum": ["loudness", "clip", "peak", "rms"], "type": "string" },
            "output_format": { "enum": ["wav", "mp3"], "type": "string" },
        } } },
    })
}
