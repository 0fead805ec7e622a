//! A job's audio.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use songmill_core::{JobId, State as JobState};
use songmill_store::Scope;
use songmill_worker_deliver::{Shelved, audio_types, content_type};
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use crate::app::App;
use crate::caller::Caller;
use crate::erase::erased;
use crate::extract::Ids;
use crate::operation::{BYTES, Operation};
use crate::problem::Problem;

pub(crate) fn operations() -> Vec<Operation> {
    let fetch = Operation::new(Method::GET, "/v1/jobs/{id}/assets/{n}", "assets.download", fetch)
        .says(
            "Fetches a piece of audio",
            "From a folder the bytes are served, parts of them too (`Range: bytes=0-65535`); from a bucket the answer leads to an \
             address that works for ten minutes.",
        )
        .for_scope(Scope::Read)
        .reply_empty(302, "It is there")
        .reply_empty(304, "It has not changed")
        .problems(&[410, 416]);
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
    request: Request,
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
            let mut asked = Request::new(axum::body::Body::empty());
            *asked.method_mut() = request.method().clone();
            for name in [header::RANGE, header::IF_MODIFIED_SINCE] {
                if let Some(value) = request.headers().get(&name) {
                    asked.headers_mut().insert(name, value.clone());
                }
            }
            let response = ServeFile::new(&path).oneshot(asked).await.map_err(|_| Problem::internal())?;
            match response.status() {
                StatusCode::NOT_FOUND => {
                    tracing::warn!(job.id = %id, "an asset is not in storage any more");
                    return Err(Problem::not_found("the audio is not in storage any more"));
                }
                StatusCode::RANGE_NOT_SATISFIABLE => {
                    let detail = format!("Range: there are {} bytes; ask for some of them", asset.bytes);
                    return Err(Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "no_such_bytes", detail));
                }
                status if status.is_client_error() || status.is_server_error() => {
                    tracing::error!(job.id = %id, %status, "an asset cannot be read");
                    return Err(Problem::internal());
                }
                _ => {}
            }
            let mut response = response.into_response();
            if response.status().is_success() {
                let kind = HeaderValue::from_static(content_type(&asset.path));
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=86400"));
            Ok(response)
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
