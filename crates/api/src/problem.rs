//! What went wrong, as RFC 9457 has it.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::song::{Invalid, Problem as FieldProblem};
use songmill_producer::SubmitError;
use songmill_store::{Bound, StoreError, Usage};

/// An answer that says what went wrong. The front adds the request's id.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<ProblemError>,
    refused: Option<u64>,
    retry_after: Option<Duration>,
}

/// A problem as it is written, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemBody {
    /// Names the kind of problem; stable.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// The kind of problem as a word; stable.
    pub code: String,
    /// What is wrong here, and what to do about it.
    pub detail: String,
    /// Each thing that is wrong with the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemError>,
    /// How many lines of an upload were refused, where none was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// The request's id, as in `X-Request-Id`.
    pub request_id: String,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemError {
    /// Where in the body, as a JSON pointer; `#` stands for the query.
    pub pointer: String,
    /// The row of a table (its header is the first), the line, or the place in an array; from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The caller's id of that line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_id: Option<String>,
    /// The song's title there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is wrong.
    pub detail: String,
    /// What to do about it.
    pub fix: String,
}

impl ProblemError {
    /// From what is wrong with a field.
    pub(crate) fn of(problem: &FieldProblem) -> Self {
        let (detail, fix) = (problem.fault.clone(), problem.fix.clone());
        Self { pointer: pointer(&problem.field), line: None, custom_id: None, title: None, detail, fix }
    }
}

/// A field's path, such as `options.tencent.emotion` or `require[1]`, as a JSON pointer.
pub(crate) fn pointer(field: &str) -> String {
    if field.starts_with('(') {
        return String::new();
    }
    let parts =
        field.split(['.', '[']).map(|part| part.trim_end_matches(']')).filter(|part| !part.is_empty());
    parts.map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), refused: None, retry_after: None }
    }

    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", what)
    }

    pub(crate) fn invalid(detail: impl Into<String>, errors: Vec<ProblemError>) -> Self {
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail) }
    }

    /// One thing is wrong with a field of the body.
    pub(crate) fn field(field: &str, fault: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::from(Invalid::one(field, fault, fix))
    }

    /// One thing is wrong with the query.
    pub(crate) fn query(name: &str, fault: impl Into<String>, fix: impl Into<String>) -> Self {
        let (detail, fix) = (fault.into(), fix.into());
        let said = format!("{name}: {detail}; {fix}");
        let error = ProblemError {
            pointer: format!("#/{name}"),
            line: None,
            custom_id: None,
            title: None,
            detail,
            fix,
        };
        Self { errors: vec![error], ..Self::bad_request("bad_query", said) }
    }

    pub(crate) fn with(mut self, errors: Vec<ProblemError>) -> Self {
        self.errors = errors;
        self
    }

    pub(crate) fn refusing(mut self, lines: u64) -> Self {
        self.refused = Some(lines);
        self
    }

    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The response as it is sent.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let body = ProblemBody {
            kind: format!("urn:songmill:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Problem").to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_owned(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
            refused: self.refused,
            request_id: request_id.to_owned(),
        };
        let json = serde_json::to_string(&body).expect("texts and numbers are always JSON");
        let mut response = (self.status, json).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"songmill\""));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }
}

/// When it is worth trying again where Redis is full.
const FULL: Duration = Duration::from_secs(60);
/// The same where it is away, or refuses for a while.
const AWAY: Duration = Duration::from_secs(5);

/// Carried to the front, which knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let errors = invalid.problems.iter().map(ProblemError::of).collect();
        Self::invalid(invalid.to_string(), errors)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(_) => {
                tracing::error!(%error, "redis is full: a request was refused");
                let detail = "the store is full; nothing was done: an operator must give redis more memory";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_full", detail).after(FULL)
            }
            StoreError::Passing(passing, _) => {
                tracing::error!(%error, "redis refuses for a while: a request was put off");
                let detail = format!("the store cannot be used now: {}; nothing was done", passing.message());
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail).after(AWAY)
            }
            StoreError::Over(bound) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "quota", error.to_string()).after(wait_for(bound))
            }
            error if error.will_pass() => {
                tracing::warn!(%error, "redis cannot be asked: a request was put off");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_away", "the store is away; try again later")
                    .after(AWAY)
            }
            error => {
                tracing::error!(error = %chain(&error), "the store broke: a request failed");
                Self::internal()
            }
        }
    }
}

impl Problem {
    /// Our own fault; what it was stands in the log.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed at this; its log says why",
        )
    }
}

/// There is no room for it now.
pub(crate) fn busy(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).after(Duration::from_secs(5))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    words
}

/// After which time a tenant may have room again.
fn wait_for(bound: Bound) -> Duration {
    match bound {
        Bound::OpenJobs | Bound::Bytes => Duration::from_secs(30),
        Bound::JobsPerDay => Duration::from_secs(3600),
    }
}

/// From why a submission was not taken; the quota of the day opens at midnight.
pub(crate) fn of_submit(error: SubmitError, now: songmill_core::Timestamp) -> Problem {
    match error {
        SubmitError::Invalid(invalid) => invalid.into(),
        SubmitError::Conflict { ref key, job } if key.starts_with("once:") => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "key_reused",
            format!("this Idempotency-Key was used for another request (job {job}); use a new one for each"),
        ),
        SubmitError::Conflict { ref key, job } => Problem::new(
            StatusCode::CONFLICT,
            "conflict",
            format!("custom_id: {key:?} was used for another request (job {job}); give this one another"),
        ),
        SubmitError::Same(_) => Problem::new(StatusCode::CONFLICT, "conflict", error.to_string()),
        SubmitError::Over(bound) => {
            let wait = match bound {
                Bound::JobsPerDay => Usage::until_tomorrow(now),
                Bound::OpenJobs | Bound::Bytes => wait_for(bound),
            };
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "quota", error.to_string()).after(wait)
        }
        SubmitError::Store(error) => error.into(),
        SubmitError::Random => {
            tracing::error!("no random bytes from the system: a request failed");
            Problem::internal()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fields_path_is_a_json_pointer() {
        assert_eq!(pointer("options.tencent.emotion"), "/options/tencent/emotion");
        assert_eq!(pointer("require[1]"), "/require/1");
        assert_eq!(pointer("(line)"), "");
        assert_eq!(pointer("a~b/c"), "/a~0b~1c");
    }
}
