//! What handlers take from a request, with clear answers to what is wrong with it.

use std::str::FromStr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use songmill_core::job::{StateName, Trace};
use songmill_http_server::{BodyLimits, HeldBody, ReadError};
use songmill_producer::parse::Format;

use crate::app::App;
use crate::caller::Caller;
use crate::problem::{Problem, ProblemError, busy, pointer};

/// The query's fields.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        query(&parts.uri).map(Self)
    }
}

/// Reads an address's query; the error names the field.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let read = axum::extract::Query::<T>::try_from_uri(uri);
    let axum::extract::Query(query) = read.map_err(|rejection| {
        let text = rejection.body_text();
        let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        match text.split_once(": ") {
            Some((name, fault)) if !name.contains(' ') => {
                Problem::query(name, fault, "see /docs for the fields of this query")
            }
            _ => Problem::bad_request("bad_query", text),
        }
    })?;
    Ok(query)
}

/// A JSON body, read whole.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        expect_json(&parts.headers)?;
        json(read_whole(app, &parts, body).await?.bytes()).map(Self)
    }
}

/// Reads a value from JSON; the error names the field.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // A list of values would be taken for the fields in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::invalid("the body is a list; send one JSON object", Vec::new()));
    }
    let mut from = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let inner = error.inner();
        if inner.is_syntax() || inner.is_eof() {
            return Problem::bad_request(
                "bad_json",
                format!("the body {}", songmill_core::json::fault(inner)),
            );
        }
        let path = error.path().to_string();
        let detail = songmill_core::json::fault(inner);
        let at = if path == "." { String::new() } else { pointer(&path) };
        let fix = "see /docs for the form of this body".to_owned();
        let said = format!("{}: {detail}", if at.is_empty() { "body" } else { &at });
        Problem::invalid(
            said,
            vec![ProblemError { pointer: at, line: None, custom_id: None, title: None, detail, fix }],
        )
    })?;
    let more = |_| Problem::bad_request("bad_json", "there is more behind the JSON");
    from.end().map_err(more)?;
    Ok(value)
}

fn media_type(headers: &HeaderMap) -> &str {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().unwrap_or_default().trim()
}

const TAKEN: &str = "application/json (objects or an array), application/jsonl, text/csv, a workbook (.xlsx), or application/octet-stream (any of these)";

/// How a body is written, by its media type.
pub(crate) fn format(headers: &HeaderMap) -> Result<Option<Format>, Problem> {
    let media = media_type(headers).to_ascii_lowercase();
    match media.as_str() {
        "application/json" => Ok(Some(Format::Json)),
        "application/jsonl"
        | "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonlines"
        | "application/x-jsonlines" => Ok(Some(Format::JsonLines)),
        "text/csv" | "text/tab-separated-values" => Ok(Some(Format::Csv)),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => Ok(Some(Format::Xlsx)),
        "application/octet-stream" | "application/gzip" | "application/x-gzip" => Ok(None),
        _ => Err(unsupported(&media, TAKEN)),
    }
}

pub(crate) fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media = media_type(headers).to_ascii_lowercase();
    if media == "application/json" || (media.starts_with("application/") && media.ends_with("+json")) {
        return Ok(());
    }
    Err(unsupported(&media, "application/json"))
}

fn unsupported(media: &str, wanted: &str) -> Problem {
    let detail = format!("Content-Type: {media:?} is not taken here; send {wanted}");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}

/// A body that is held already: reading it again costs nothing more.
#[derive(Clone, Debug)]
pub(crate) struct Held;

/// Reads a body whole, within its limits and the tenant's share of what bodies may take.
pub(crate) async fn read_whole(app: &App, parts: &Parts, body: Body) -> Result<HeldBody, Problem> {
    let limits = BodyLimits { max_bytes: app.settings.body_bytes, timeout: app.settings.body_timeout.get() };
    let caller = parts.extensions.get::<Caller>();
    let tenant = caller.map_or("", |caller| caller.tenant.as_str());
    let read = match parts.extensions.get() {
        Some(Held) => HeldBody::read_again(body, limits).await,
        None => app.bodies.read(tenant, body, limits).await,
    };
    read.map_err(|error| match error {
        ReadError::CutOff => Problem::bad_request("body_cut", "the body was cut"),
        ReadError::TooLarge(most) => too_large(most),
        ReadError::TooSlow => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not come in time")
        }
        ReadError::Busy => busy("too many request bodies are being received; try again in a moment"),
    })
}

pub(crate) fn too_large(most: usize) -> Problem {
    let detail = format!("the body has more than {most} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

/// A path's one parameter, checked.
pub(crate) struct Id<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Id<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
    S: Send + Sync,
{
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let texts = path_texts(parts, state).await?;
        parsed(texts.first()).map(Self)
    }
}

/// A path's two parameters, checked.
pub(crate) struct Ids<A, B>(pub(crate) A, pub(crate) B);

impl<A, B, S> FromRequestParts<S> for Ids<A, B>
where
    A: FromStr,
    A::Err: std::fmt::Display,
    B: FromStr,
    B::Err: std::fmt::Display,
    S: Send + Sync,
{
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let texts = path_texts(parts, state).await?;
        Ok(Self(parsed(texts.first())?, parsed(texts.get(1))?))
    }
}

async fn path_texts<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Vec<String>, Problem> {
    let read = axum::extract::Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
    let axum::extract::Path(pairs) = read.map_err(|error| Problem::not_found(error.body_text()))?;
    Ok(pairs.into_iter().map(|(_, text)| text).collect())
}

fn parsed<T: FromStr>(text: Option<&String>) -> Result<T, Problem>
where
    T::Err: std::fmt::Display,
{
    let text = text.map(String::as_str).unwrap_or_default();
    text.parse().map_err(|error: T::Err| Problem::not_found(format!("there is nothing here: {error}")))
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::internal)
    }
}

/// The request's id and trace.
#[derive(Clone, Debug)]
pub(crate) struct Asked(pub(crate) Trace);

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::internal)
    }
}

/// The caller's `Idempotency-Key`, where there is one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let fits = |key: &&str| (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    let key = key.to_str().ok().filter(fits);
    let rule = "Idempotency-Key: use 1 to 255 printable characters without blanks, such as a UUID";
    key.map(Some).ok_or_else(|| Problem::bad_request("bad_idempotency_key", rule))
}

/// One or several states, with commas between them.
#[derive(Clone, Debug, Default)]
pub(crate) struct States(pub(crate) Vec<StateName>);

impl<'de> Deserialize<'de> for States {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let state = |name: &str| name.parse().map_err(|rule| format!("{name:?} {rule}"));
        text.split(',').map(state).collect::<Result<_, String>>().map(Self).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for States {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "States".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names = StateName::ALL.map(StateName::as_str).join("|");
        schemars::json_schema!({ "type": "string", "pattern": format!("^({names})(,({names}))*$") })
    }
}
