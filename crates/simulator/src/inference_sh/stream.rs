//! A task's stream: lines of JSON, or server-sent events, until it has ended.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use futures_util::stream;
use serde_json::json;

use super::{V, full, guarded, not_found};
use crate::reply;
use crate::world::{Kind, Phase, World};

/// Between two looks at the task.
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn stream(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    guarded(&world, &headers, Kind::Read, async || {
        if world.task(V, &id).is_none() {
            return not_found();
        }
        let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let lines = accepts.contains("ndjson");
        let kind = if lines { "application/x-ndjson" } else { "text/event-stream" };
        reply::typed(200, kind, Body::from_stream(updates(world.clone(), id.clone(), lines)))
    })
    .await
}

fn updates(
    world: Arc<World>,
    id: String,
    lines: bool,
) -> impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    stream::unfold((None::<Phase>, false), move |(said, over)| {
        let (world, id) = (world.clone(), id.clone());
        async move {
            if over {
                return None;
            }
            loop {
                let (task, phase) = world.task(V, &id)?;
                if said == Some(phase) {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                let shown = full(&world, &task, phase);
                let text = match (lines, phase.has_ended()) {
                    (true, _) => format!("{}\n", json!({ "data": shown })),
                    (false, false) => format!("event: update\ndata: {shown}\n\n"),
                    (false, true) => format!("event: update\ndata: {shown}\n\nevent: done\ndata: {{}}\n\n"),
                };
                return Some((Ok(Bytes::from(text)), (Some(phase), phase.has_ended())));
            }
        }
    })
}
