//! What path, query and headers can refuse is refused before anything of the body is read.

use std::sync::Arc;

use axum::extract::{Query, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use songmill_core::Tenant;

use crate::app::App;
use crate::caller::Caller;
use crate::extract::{expect_json, format, idempotency_key, too_large};
use crate::problem::Problem;

/// Reads a text of a path; why it is none.
pub(crate) type ReadText = fn(&str) -> Result<(), String>;
/// Reads an address's query.
pub(crate) type ReadQuery = fn(&Uri) -> Result<(), Problem>;

/// What an operation expects of a request beside its body.
#[derive(Clone, Default)]
pub(crate) struct Expected {
    /// How its path parameters are read, by name.
    pub(crate) path: Vec<(&'static str, ReadText)>,
    /// How its query is read.
    pub(crate) query: Option<ReadQuery>,
    pub(crate) body: ExpectedBody,
    /// Whether it heeds an `Idempotency-Key`.
    pub(crate) is_idempotent: bool,
}

/// The form of a request's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ExpectedBody {
    /// Nobody reads it.
    #[default]
    None,
    /// One JSON value, read whole.
    Json,
    /// Many songs, of any length.
    Songs,
}

/// Around an operation's handler.
pub(crate) async fn checked(
    State((app, expected)): State<(Arc<App>, Arc<Expected>)>,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    match expected.check(&app, &params, &parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}

impl Expected {
    fn check(&self, app: &App, params: &RawPathParams, parts: &Parts) -> Result<(), Problem> {
        for (name, value) in params {
            if let Some((_, read)) = self.path.iter().find(|(known, _)| *known == name) {
                read(value).map_err(|error| Problem::not_found(format!("there is nothing here: {error}")))?;
            }
        }
        if let Some(read) = self.query {
            read(&parts.uri)?;
        }
        // Another's is not there, whatever the operation is.
        if let (Some(caller), Ok(Query(Named { tenant }))) =
            (parts.extensions.get::<Caller>(), Query::<Named>::try_from_uri(&parts.uri))
        {
            caller.meant(tenant.as_ref())?;
        }
        if self.is_idempotent {
            idempotency_key(&parts.headers)?;
        }
        match self.body {
            ExpectedBody::None => {}
            ExpectedBody::Songs => drop(format(&parts.headers)?),
            ExpectedBody::Json => {
                expect_json(&parts.headers)?;
                let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
                let most = app.settings.body_bytes;
                if length
                    .and_then(|length| length.parse::<u64>().ok())
                    .is_some_and(|length| length > most as u64)
                {
                    return Err(too_large(most));
                }
            }
        }
        Ok(())
    }
}

/// The tenant that the query names.
#[derive(Default, Deserialize)]
struct Named {
    tenant: Option<Tenant>,
}
