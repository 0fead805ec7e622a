//! A job's audio.

use std::io::SeekFrom;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use songmill_core::{Asset, JobId, State as JobState};
use songmill_store::Scope;
use songmill_worker_deliver::{Shelved, audio_types, content_type};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use crate::app::App;
use crate::caller::Caller;
use crate::conditions::{Selected, Version};
use crate::erase::erased;
use crate::extract::Ids;
use crate::operation::{BYTES, Operation};
use crate::problem::{Problem, busy};
use crate::secret::hashed;
use crate::share::{Place, holding};

pub(crate) fn operations() -> Vec<Operation> {
    let fetch = Operation::new(Method::GET, "/v1/jobs/{id}/assets/{n}", "assets.download", fetch)
        .says(
            "Fetches a piece of audio",
            "From a folder the bytes are served, parts of them too (`Range: bytes=0-65535`, one range); from a bucket the answer \
             leads to an address that works for ten minutes. `ETag` names the version: with `If-None-Match` it is not sent \
             again (304), with `If-Range` another version is sent whole instead of in part, with `If-Match` another version \
             is refused (412). A range behind the end is 416, with the size in `Content-Range`.",
        )
        .for_scope(Scope::Read)
        .reply_empty(302, "It is there")
        .reply_empty(304, "It has not changed")
        .problems(&[410, 412, 416]);
    let with_type = |fetch: Operation, kind| {
        fetch.reply_bytes(200, "All of it", kind).reply_bytes(206, "The part that was asked for", kind)
    };
    vec![audio_types().chain([BYTES]).fold(fetch, with_type)]
}

/// The number of an asset within its job, from 1.
#[derive(Clone, Copy, Debug, schemars::JsonSchema)]
#[schemars(transparent)]
pub(crate) struct AssetNumber(#[schemars(range(min = 1, max = 1000))] usize);

impl std::str::FromStr for AssetNumber {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.parse().ok().filter(|number| (1..=1000).contains(number));
        number.map(Self).ok_or("assets are numbered from 1")
    }
}

async fn fetch(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(id, AssetNumber(n)): Ids<JobId, AssetNumber>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stored = app.job(&caller, id).await?;
    let JobState::Completed { assets, .. } = &stored.job.state else {
        return Err(Problem::not_found(format!("job {id} is {} and has no audio", stored.job.state.name())));
    };
    let none = || Problem::not_found(format!("job {id} has {} assets", assets.len()));
    let asset = assets.get(n - 1).ok_or_else(none)?;
    if stored.job.erased.is_some() {
        return Err(erased(id));
    }
    match app.library.find(&asset.path).await {
        Ok(Shelved::File(path)) => {
            let place = app.downloads.take(caller.tenant.as_str());
            let place =
                place.ok_or_else(|| busy("too many downloads are under way; try again in a moment"))?;
            let file = open(&path).await.map_err(|error| gone_or_broken(id, &error))?;
            sent(file, asset, &headers, place).await.map_err(|error| gone_or_broken(id, &error))
        }
        Ok(Shelved::Address(address)) => {
            Ok((StatusCode::FOUND, [(header::LOCATION, address)]).into_response())
        }
        Err(error) => {
            tracing::error!(job.id = %id, %error, "an asset cannot be had");
            Err(Problem::internal())
        }
    }
}

/// An open file, and what is known of it.
struct Opened {
    file: File,
    bytes: u64,
    modified: String,
}

async fn open(path: &Path) -> std::io::Result<Opened> {
    let file = File::open(path).await?;
    let metadata = file.metadata().await?;
    if !metadata.is_file() {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    Ok(Opened { bytes: metadata.len(), modified: httpdate::fmt_http_date(metadata.modified()?), file })
}

fn gone_or_broken(id: JobId, error: &std::io::Error) -> Problem {
    if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) {
        tracing::warn!(job.id = %id, "an asset is not in storage any more");
        return Problem::not_found("the audio is not in storage any more");
    }
    tracing::error!(job.id = %id, %error, "an asset cannot be read");
    Problem::internal()
}

/// Bytes of a file that are read at once.
const CHUNK: usize = 64 << 10;

/// What the caller is to be sent of a file, which keeps its place until it has been sent.
async fn sent(opened: Opened, asset: &Asset, headers: &HeaderMap, place: Place) -> std::io::Result<Response> {
    let Opened { mut file, bytes, modified } = opened;
    // A file that is not what was stored has a tag of its own.
    let etag = match bytes == asset.bytes && !asset.sha256.is_empty() {
        true => format!("\"{}\"", asset.sha256),
        false => format!("\"{bytes}-{}\"", hashed(&modified)),
    };
    let version = Version { etag, modified, bytes };
    let selected = version.select(headers);
    let mut response = match &selected {
        Selected::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        Selected::PreconditionFailed => {
            let detail = format!("If-Match: this is {}", version.etag);
            Problem::new(StatusCode::PRECONDITION_FAILED, "changed", detail).into_response()
        }
        Selected::NoSuchBytes => {
            let detail = format!("Range: there are {bytes} bytes; ask for some of them");
            Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "no_such_bytes", detail).into_response()
        }
        Selected::All => whole(file, bytes, place),
        Selected::Part(range) => {
            file.seek(SeekFrom::Start(*range.start())).await?;
            let mut response = whole(file, range.end() - range.start() + 1, place);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            response
        }
    };
    let range = match &selected {
        Selected::Part(range) => Some(format!("bytes {}-{}/{bytes}", range.start(), range.end())),
        Selected::NoSuchBytes => Some(format!("bytes */{bytes}")),
        Selected::All | Selected::NotModified | Selected::PreconditionFailed => None,
    };
    let mut said = vec![
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, version.etag),
        (header::LAST_MODIFIED, version.modified),
    ];
    said.extend(range.map(|range| (header::CONTENT_RANGE, range)));
    if response.status().is_success() {
        said.push((header::CONTENT_TYPE, content_type(&asset.path).to_owned()));
    }
    if response.status().is_success() || selected == Selected::NotModified {
        said.push((header::CACHE_CONTROL, "private, max-age=86400".to_owned()));
    }
    for (name, value) in said {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// So many bytes of a file from where it stands.
fn whole(file: File, bytes: u64, place: Place) -> Response {
    let chunks = ReaderStream::with_capacity(file.take(bytes), CHUNK);
    let mut response = holding(place, Body::from_stream(chunks)).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    response
}
