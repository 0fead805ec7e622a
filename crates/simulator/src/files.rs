//! Audio as the vendors serve it: their own delivery addresses, and an S3-style bucket.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use sha2::{Digest as _, Sha256};

use crate::audio::{Recipe, seed_of};
use crate::config::OddAudio;
use crate::reply;
use crate::stats::count;
use crate::world::{Phase, Vendor, World, now};

pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/_files/{vendor}/{task}/{name}", get(delivery))
        .route("/_files/senseaudio/{task}/{until}/{name}", get(senseaudio))
        .route("/_uploads/{name}", put(put_upload).get(get_upload))
        .route("/_cos/{bucket}/{*key}", get(object))
}

async fn delivery(
    State(world): State<Arc<World>>,
    Path((vendor, task, name)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let Some(vendor) = Vendor::ALL.into_iter().find(|known| known.name() == vendor) else { return gone() };
    let Some((task, Phase::Done)) = world.task(vendor, &task) else { return gone() };
    let age = now().saturating_sub(task.ended.unwrap_or(0)) / 1000;
    let expired = vendor == Vendor::Replicate && age > world.config.replicate.retention_s;
    if expired || task.withheld {
        return gone();
    }
    audio(&world, vendor, (&task.id, &name), &headers).await
}

async fn senseaudio(
    State(world): State<Arc<World>>,
    Path((task, until, name)): Path<(String, u64, String)>,
    headers: HeaderMap,
) -> Response {
    match world.task(Vendor::SenseAudio, &task) {
        Some((task, Phase::Done)) if now() <= until && !task.withheld => {
            audio(&world, Vendor::SenseAudio, (&task.id, &name), &headers).await
        }
        _ => gone(),
    }
}

/// An object of Tencent's bucket, path-style; any signature is taken, none is required.
async fn object(
    State(world): State<Arc<World>>,
    Path((bucket, key)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let name = key.rsplit('/').next().unwrap_or_default();
    if bucket != world.config.tencent.bucket || Recipe::of_name(name).is_none() {
        let code = if bucket == world.config.tencent.bucket { "NoSuchKey" } else { "NoSuchBucket" };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>not there</Message></Error>"
        );
        return reply::typed(404, "application/xml", body);
    }
    audio(&world, Vendor::Tencent, (&key, name), &headers).await
}

/// A file, and what it is of.
async fn audio(world: &World, vendor: Vendor, (of, name): (&str, &str), headers: &HeaderMap) -> Response {
    let Some(recipe) = Recipe::of_name(name) else { return gone() };
    count(&world.books(vendor).downloads);
    let faults = world.faults(vendor);
    // The same each time that it is fetched, and one file of a task may be while another is not.
    let is_odd = (seed_of(&format!("{of}/{name}")) % 1000) as f64 / 1000.0 < faults.audio_rate;
    let bytes = world.odd_audio(&recipe, if is_odd { faults.audio } else { OddAudio::None }).await;
    served(bytes, recipe.format.content_type(), headers)
}

fn gone() -> Response {
    reply::typed(404, "text/html", "<html><body>404 not found</body></html>")
}

/// Bytes with an ETag, whole or a range of them.
fn served(bytes: Bytes, content_type: &str, headers: &HeaderMap) -> Response {
    let etag: String = Sha256::digest(&bytes)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let total = bytes.len();
    let asked = headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok())
        .and_then(|range| range_of(range, total));
    let (status, part, range) = match asked {
        None => (StatusCode::OK, bytes, None),
        Some(Err(())) => {
            let response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            return reply::with(response, "content-range", format!("bytes */{total}"));
        }
        Some(Ok((from, to))) => {
            let range = format!("bytes {from}-{to}/{total}");
            (StatusCode::PARTIAL_CONTENT, bytes.slice(from..=to), Some(range))
        }
    };
    let mut response = (status, Body::from(part)).into_response();
    for (name, value) in [
        ("content-type", content_type.to_owned()),
        ("etag", format!("\"{etag}\"")),
        ("accept-ranges", "bytes".to_owned()),
        ("last-modified", "Sat, 01 Nov 2025 00:00:00 GMT".to_owned()),
        ("date", rfc2822()),
    ] {
        response = reply::with(response, name, value);
    }
    match range {
        Some(range) => reply::with(response, "content-range", range),
        None => response,
    }
}

fn rfc2822() -> String {
    jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn range_of(range: &str, total: usize) -> Option<Result<(usize, usize), ()>> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let last = total.checked_sub(1)?;
    let (from, to) = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), Ok(to)) => (from, to.min(last)),
        (Ok(from), Err(_)) => (from, last),
        (Err(_), Ok(suffix)) => (total.saturating_sub(suffix), last),
        (Err(_), Err(_)) => return None,
    };
    Some(if from <= to { Ok((from, to)) } else { Err(()) })
}

/// A presigned upload: the signature is in the address, so a key in the headers is a mistake.
async fn put_upload(
    State(world): State<Arc<World>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if headers.contains_key(header::AUTHORIZATION) {
        return reply::typed(400, "application/xml", "<Error><Code>InvalidArgument</Code></Error>");
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    match world.uploaded(&name) {
        None => reply::typed(403, "application/xml", "<Error><Code>AccessDenied</Code></Error>"),
        Some((_, wanted)) if wanted != content_type => {
            reply::typed(403, "application/xml", "<Error><Code>SignatureDoesNotMatch</Code></Error>")
        }
        Some((_, wanted)) => {
            world.upload(&name, body, &wanted);
            StatusCode::OK.into_response()
        }
    }
}

async fn get_upload(
    State(world): State<Arc<World>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match world.uploaded(&name) {
        Some((bytes, content_type)) => served(bytes, &content_type, &headers),
        None => gone(),
    }
}
