//! What every request goes through: its id, its trace, who calls, how often, and how problems are written.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use songmill_core::job::Trace;
use songmill_http_server::Peer;
use songmill_store::Scope;
use tracing::Instrument as _;

use crate::app::App;
use crate::caller::{Caller, forbidden};
use crate::extract::Asked;
use crate::problem::{Problem, busy};
use crate::rate::Left;
use crate::secret::random_text;
use crate::share::{Place, holding};
use crate::watch::watched;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Around everything.
pub(crate) async fn front(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let trace = match trace(request.headers()) {
        Ok(trace) => trace,
        Err(problem) => return problem.render(""),
    };
    let request_id = trace.request_id.clone();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    // Of what somebody put into an address by mistake, such as a key, nothing is logged.
    let route = request.extensions().get::<MatchedPath>().map_or("?", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request", request.id = %request_id, traceparent = trace.traceparent.as_deref().unwrap_or_default()
    );
    request.extensions_mut().insert(Asked(trace));
    let answered = async {
        let mut left = None;
        let response = match admitted(&app, &mut request, &path, &mut left).await {
            Ok(admitted) => {
                match AssertUnwindSafe(answer(&app, admitted, request, next)).catch_unwind().await {
                    Ok(response) => response,
                    Err(_) => {
                        tracing::error!(%method, route, "a request's handler panicked");
                        Problem::internal().into_response()
                    }
                }
            }
            Err(problem) => problem.into_response(),
        };
        (response, left)
    };
    let (mut response, left) = answered.instrument(span.clone()).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let headers = std::mem::take(response.headers_mut());
        response = problem.render(&request_id);
        // Such as Allow, beside a method that is not allowed.
        for (name, value) in &headers {
            if !response.headers().contains_key(name) && name != "content-length" {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(left) = left {
        said(&left, response.headers_mut());
    }
    let (status, took_ms) = (response.status().as_u16(), begun.elapsed().as_millis() as u64);
    span.in_scope(|| tracing::debug!(%method, route, status, took_ms, "answered {status}"));
    response
}

/// Somebody from outside who was let in, with a place among their tenant's requests.
struct Admitted(Caller, Place);

async fn answer(app: &Arc<App>, admitted: Option<Admitted>, request: Request, next: Next) -> Response {
    match admitted {
        // An answer that nobody reads is under way as well.
        Some(Admitted(caller, place)) => {
            watched(app, caller, request, next).await.map(|body| holding(place, body))
        }
        None => next.run(request).await,
    }
}

/// Whether the caller is known and has requests left. Pages that need no key are for everybody, and who runs the API in
/// their own process has everything.
async fn admitted(
    app: &App,
    request: &mut Request,
    path: &str,
    left: &mut Option<Left>,
) -> Result<Option<Admitted>, Problem> {
    if !path.starts_with("/v1/") || request.extensions().get::<Caller>().is_some() {
        return Ok(None);
    }
    let peer = request.extensions().get::<Peer>().copied();
    let caller = app.keyring.caller(&app.store, request.headers(), request.version(), peer).await;
    let caller = caller.inspect_err(|problem| {
        if problem.status() == StatusCode::UNAUTHORIZED {
            refused(app, peer);
        }
    })?;
    *left = app.rates.take(caller.label(), Instant::now());
    request.extensions_mut().insert(caller.clone());
    match left {
        Some(Left { allowed: false, reset, quota, .. }) => {
            let detail = format!("more than {quota} requests a minute; wait {} s", reset.as_secs() + 1);
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).after(*reset))
        }
        _ => {
            let place = app.requests.take(caller.tenant.as_str());
            let place = place.ok_or_else(|| busy("too many requests of this tenant are under way"))?;
            Ok(Some(Admitted(caller, place)))
        }
    }
}

/// Guesses may come by the thousand: one line a second.
fn refused(app: &App, peer: Option<Peer>) {
    let from = peer.map_or_else(|| "here".to_owned(), |Peer(addr)| addr.ip().to_string());
    app.refused.add(from, |count, last| {
        tracing::warn!(
            count,
            "api: {count} requests without a valid key refused in the last second; the last from {last}"
        );
    });
}

/// `RateLimit` and `RateLimit-Policy`, as the draft of the IETF has them.
fn said(left: &Left, headers: &mut HeaderMap) {
    let Left { quota, remaining, reset, .. } = left;
    let now = format!("\"key\";r={remaining};t={}", reset.as_secs_f64().ceil());
    let policy = format!("\"key\";q={quota};w=60");
    for (name, value) in [("ratelimit", now), ("ratelimit-policy", policy)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

/// The caller's id of the request, where it is one, or a new one; and its W3C trace.
fn trace(headers: &HeaderMap) -> Result<Trace, Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let own = text("x-request-id").filter(|id| is_request_id(id));
    let request_id = match own {
        Some(id) => id.to_owned(),
        None => random_text()?,
    };
    Ok(Trace {
        request_id,
        traceparent: text("traceparent").filter(|text| is_traceparent(text)).map(str::to_owned),
    })
}

/// Whether a text is one that a caller may call a request by.
pub(crate) fn is_request_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    (1..=64).contains(&id.len()) && id.chars().all(plain)
}

/// `{version}-{trace id}-{parent id}-{flags}`, none of the ids all zeros.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let parts: Vec<_> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else { return false };
    let zeros = |part: &str| part.bytes().all(|b| b == b'0');
    hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && hex(parent, 16)
        && hex(flags, 2)
        && !zeros(trace)
        && !zeros(parent)
}

/// Lets only those with a scope through.
pub(crate) async fn scoped(State(scope): State<Scope>, request: Request, next: Next) -> Response {
    let Some(caller) = request.extensions().get::<Caller>() else {
        return Problem::internal().into_response();
    };
    if !caller.may(scope) {
        let name = match scope {
            Scope::Submit => "submit",
            Scope::Read => "read",
            Scope::Admin => "admin",
        };
        return forbidden(&format!("the key has not the scope {name}")).into_response();
    }
    next.run(request).await
}

pub(crate) async fn nothing_here() -> Problem {
    Problem::not_found("there is nothing here; /docs lists what there is")
}

pub(crate) async fn not_so() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this method is not served here; see /docs",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_ids_are_taken_when_they_are_ids() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let asked = trace(&headers(&[("x-request-id", "order-17"), ("traceparent", parent)])).unwrap();
        assert_eq!((asked.request_id.as_str(), asked.traceparent.as_deref()), ("order-17", Some(parent)));
        for bad in ["00-0-0-0", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "", "x"] {
            assert!(!is_traceparent(bad), "{bad}");
        }
        assert_eq!(trace(&headers(&[("x-request-id", "a b")])).unwrap().request_id.len(), 26);
    }
}
