//! Audio as the vendors serve it: their own delivery addresses, and an S3-style bucket.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use sha2::{Digest as _, Sha256};

use crate::outputs::{self, Address, File};
use crate::reply;
use crate::settings::{NotReady, OddAudio};
use crate::world::{Fault, Phase, Task, Vendor, World, count, now};

mod encoding;

pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/_files/{*path}", get(delivery))
        .route("/_uploads/{name}", put(put_upload).get(get_upload))
        .route("/_cos/{*path}", get(object))
}

/// A file that was asked for.
struct Asked<'a> {
    vendor: Vendor,
    /// The task that made it, where one is known.
    task: Option<&'a Task>,
    file: File,
    /// What stands for this file when chance is asked about it.
    id: String,
}

async fn delivery(State(world): State<Arc<World>>, uri: Uri, headers: HeaderMap) -> Response {
    let Some(address) = Address::of_path(uri.path()) else { return gone() };
    let vendor = address.vendor;
    let Some((file, _)) = File::of_name(&address.name) else { return gone() };
    let Some((task, Phase::Done)) = world.task(vendor, &address.task) else { return gone() };
    let age = now().saturating_sub(task.ended.unwrap_or(0)) / 1000;
    let is_over = match vendor {
        Vendor::Replicate => age > world.config.replicate.retention_s,
        Vendor::SenseAudio => now() > address.until,
        Vendor::InferenceSh | Vendor::Tencent => false,
    };
    if is_over || is_withheld(&world, vendor, &task) {
        count(&world.books(vendor).downloads_refused);
        return gone();
    }
    if address.generation < task.generation || is_expired_once(&world, vendor, &task) {
        count(&world.books(vendor).downloads_refused);
        return match world.draw("expired", &task.id) % 2 {
            0 => reply::typed(
                403,
                "application/xml",
                "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
            ),
            _ => gone(),
        };
    }
    let id = format!("{}/{}", task.id, address.name);
    serve(&world, Asked { vendor, task: Some(&task), file, id }, &headers).await
}

/// An object of Tencent's bucket, path-style; any signature is taken, none is required.
async fn object(State(world): State<Arc<World>>, uri: Uri, headers: HeaderMap) -> Response {
    const V: Vendor = Vendor::Tencent;
    let path = outputs::decoded(uri.path());
    let path = path.strip_prefix("/_cos/").unwrap_or_default();
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    if bucket != world.config.tencent.bucket {
        return no_such("NoSuchBucket");
    }
    let name = key.rsplit('/').next().unwrap_or_default().trim();
    let Some((file, before)) = File::of_name(name) else { return no_such("NoSuchKey") };
    // An object that no known job made was put there by somebody else.
    let task = outputs::task_of(before).and_then(|id| world.task(V, id));
    if let Some((task, phase)) = &task
        && (*phase != Phase::Done || is_expired_once(&world, V, task))
    {
        count(&world.books(V).downloads_refused);
        return no_such("NoSuchKey");
    }
    let task = task.as_ref().map(|(task, _)| task);
    let id = task.map_or_else(|| key.to_owned(), |task| format!("{}/{name}", task.id));
    serve(&world, Asked { vendor: V, task, file, id }, &headers).await
}

fn is_withheld(world: &World, vendor: Vendor, task: &Task) -> bool {
    if task.withheld {
        world.note(vendor, task, Fault::OutputExpired);
    }
    task.withheld
}

/// Whether a task's first address is one that is refused; that it was is remembered.
fn is_expired_once(world: &World, vendor: Vendor, task: &Task) -> bool {
    let rate = world.faults(vendor).output_expired_once_rate;
    let is_expired = task.generation == 0 && world.strikes(vendor, task, Fault::OutputExpiredOnce, rate);
    if is_expired {
        world.refuse_address(vendor, &task.id);
    }
    is_expired
}

/// A file, with what goes wrong with downloads.
async fn serve(world: &World, asked: Asked<'_>, headers: &HeaderMap) -> Response {
    let Asked { vendor, task, file, id } = &asked;
    let faults = world.faults(*vendor);
    let note = |fault| {
        if let Some(task) = task {
            world.note(*vendor, task, fault);
        }
    };
    count(&world.books(*vendor).downloads);
    let form = not_ready(world, &asked);
    if form != NotReady::None {
        note(Fault::NotReady);
    }
    let mut bytes = match form {
        NotReady::Page => return reply::typed(200, "text/html", "<html><body>being processed</body></html>"),
        NotReady::Json => return reply::typed(200, "application/json", "{\"detail\": \"being processed\"}"),
        NotReady::NotFound if *vendor == Vendor::Tencent => return no_such("NoSuchKey"),
        NotReady::NotFound => return gone(),
        NotReady::Empty => Bytes::new(),
        NotReady::FirstThird | NotReady::None | NotReady::Mixed => content(world, &asked).await,
    };
    if form == NotReady::FirstThird {
        bytes.truncate(bytes.len() / 3);
    }
    let kind = file.content_type();
    if faults.content_encoding.is_empty()
        || !world.strikes_file(Fault::ContentEncoding, id, faults.content_encoding_rate)
    {
        return served(bytes, kind, headers);
    }
    note(Fault::ContentEncoding);
    let chance = world.draw("content_encoding/name", id);
    let (name, apply) = encoding::named(&faults.content_encoding, faults.encode_bytes, chance);
    let bytes = if apply { encoding::encoded(bytes, name) } else { bytes };
    reply::with(served(bytes, kind, headers), "content-encoding", name)
}

/// The bytes of a file, which may be odd where it is a song.
async fn content(world: &World, asked: &Asked<'_>) -> Bytes {
    let recipe = match &asked.file {
        File::Extra(extra) => return Bytes::from(extra.bytes()),
        File::Song(recipe) => recipe,
    };
    let faults = world.faults(asked.vendor);
    if faults.audio == OddAudio::None || !world.strikes_file(Fault::Audio, &asked.id, faults.audio_rate) {
        return world.cache.audio(recipe).await;
    }
    if let Some(task) = asked.task {
        world.note(asked.vendor, task, Fault::Audio);
    }
    world.cache.odd_audio(recipe, faults.audio).await
}

/// How a file is not ready yet.
fn not_ready(world: &World, asked: &Asked<'_>) -> NotReady {
    let faults = world.faults(asked.vendor);
    let ready_at = |ended: u64| ended.saturating_add(faults.not_ready_ms);
    let is_early = asked.task.and_then(|task| task.ended).is_some_and(|ended| now() < ready_at(ended));
    if faults.not_ready == NotReady::None
        || !is_early
        || !world.strikes_file(Fault::NotReady, &asked.id, faults.not_ready_rate)
    {
        return NotReady::None;
    }
    match faults.not_ready {
        NotReady::Mixed => NotReady::ODD[world.draw("not_ready/form", &asked.id) % NotReady::ODD.len()],
        form => form,
    }
}

/// How the bucket says that something is not there.
fn no_such(code: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>not there</Message></Error>"
    );
    reply::typed(404, "application/xml", body)
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
