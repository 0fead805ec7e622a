//! Reading what others send without trusting it, and building what we send.
//!
//! A body is read as a JSON object of bounded size and depth or it is a `garbled` fault; numbers may be texts,
//! and somebody's words are shortened before they are kept.

mod waits;

pub(crate) use songmill_core::callback::masked;
pub use waits::{reset_in_headers, wait_in_body, wait_in_headers};

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use serde::Serialize;
use serde_json::Value;
use songmill_core::id::InvalidId;
use songmill_core::{Fault, FaultKind, RawAnswer};

use crate::Secret;
use crate::contract::Cost;

/// A JSON object.
pub type Object = serde_json::Map<String, Value>;

/// The longest reply that is read, in bytes, where settings name no other.
pub const BODY_MAX: usize = 16 * 1024 * 1024;
/// The deepest nesting of arrays and objects that is read.
pub const DEPTH_MAX: usize = 64;
/// The code of a reply that is not understood.
pub const REPLY_GARBLED: &str = "reply_garbled";

/// A reply taken apart, its body not yet believed.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl From<Response<Bytes>> for Reply {
    fn from(response: Response<Bytes>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body }
    }
}

impl Reply {
    /// The body as a JSON object of at most [`BODY_MAX`] bytes, or a `garbled` fault.
    pub fn object(&self) -> Result<Object, Fault> {
        object(&self.body, BODY_MAX)
    }

    /// What the reply says, for people: a problem's own words, or the beginning of the text.
    pub fn words(&self) -> String {
        words(&self.body)
    }

    /// How long it asks us to wait: by `Retry-After`, or by a field of the body.
    pub fn wait(&self) -> Option<Duration> {
        wait_in_headers(&self.headers).or_else(|| wait_in_body(self.object().ok().as_ref()?))
    }

    /// How long it asks us to wait at a limit, whose reset may stand in the headers.
    pub fn wait_at_limit(&self) -> Option<Duration> {
        self.wait().or_else(|| reset_in_headers(&self.headers))
    }

    /// What a status code alone says, for a reply whose body says nothing more exact.
    ///
    /// `cost` is of the exchange: a failure of the vendor's may have created a task, a failed read has not. A
    /// success, and a redirection, which is never followed, is `garbled`.
    pub fn fault(&self, cost: Cost) -> Fault {
        let fault = |kind, code: &'static str| Fault::from_vendor(kind, code, self.words());
        match (self.status.as_u16(), cost) {
            (401 | 403, _) => Fault::suspecting("key_refused", self.words()),
            (402, _) if self.object().is_ok() => fault(FaultKind::Locked, "balance_empty"),
            // A page: somebody between us and the vendor may have sent it.
            (402, _) => Fault::suspecting("balance_empty", self.words()),
            (429, _) => fault(FaultKind::Throttled, "rate_limited").after(self.wait_at_limit()),
            (408 | 500.., Cost::Creates) => fault(FaultKind::Unknown, "vendor_error").after(self.wait()),
            (408 | 500.., Cost::Free) => fault(FaultKind::Unavailable, "vendor_error").after(self.wait()),
            (404, Cost::Free) => fault(FaultKind::Rejected, "task_gone"),
            (400..500, _) => fault(FaultKind::Rejected, "request_refused"),
            _ => garbled(&format!("status {}", self.status.as_u16())).with_vendor_message(self.words()),
        }
    }

    /// A `garbled` fault of this reply: its status code and why, in our own words.
    pub fn garbled(&self, why: &str) -> Fault {
        garbled(&format!("{}: {why}", self.status.as_u16()))
    }
}

/// Takes a reply apart and reads its body as a JSON object, for `Exchange` readers that need both.
pub fn read_json(response: Response<Bytes>) -> (Reply, Result<Object, Fault>) {
    let reply = Reply::from(response);
    let body = reply.object();
    (reply, body)
}

/// A `garbled` fault: the reply was not understood, for a reason in our own words.
pub fn garbled(why: &str) -> Fault {
    Fault::new(FaultKind::Garbled, REPLY_GARBLED, why)
}

/// A `garbled` fault: the vendor names something by what is no id.
pub fn garbled_id(error: &InvalidId) -> Fault {
    garbled("an id that is not valid").with_vendor_message(error.to_string())
}

/// Reads a body as a JSON object of at most `most` bytes and [`DEPTH_MAX`] levels, or says why it is `garbled`.
pub fn object(body: &[u8], most: usize) -> Result<Object, Fault> {
    match value(body, most)? {
        Value::Object(object) => Ok(object),
        Value::Array(_) => Err(garbled("the body is a JSON array, not an object")),
        _ => Err(garbled("the body is JSON, but no object")),
    }
}

/// Reads a body as any JSON value of at most `most` bytes and [`DEPTH_MAX`] levels, or says why it is `garbled`.
pub fn value(body: &[u8], most: usize) -> Result<Value, Fault> {
    if body.len() > most {
        return Err(garbled(&format!("the body has {} bytes, more than {most}", body.len())));
    }
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body).trim_ascii();
    match body.first() {
        None => return Err(garbled("the body is empty")),
        Some(b'<') => {
            return Err(garbled("the body is an HTML page, not JSON").with_vendor_message(page(body)));
        }
        Some(_) => {}
    }
    if depth(body) > DEPTH_MAX {
        return Err(garbled(&format!("the body is nested deeper than {DEPTH_MAX} levels")));
    }
    serde_json::from_slice(body).map_err(|error| {
        let what = if error.is_eof() { "the body ends too early" } else { "the body is no JSON" };
        garbled(&format!("{what} (line {}, column {})", error.line(), error.column()))
    })
}

/// How deep the brackets outside strings are nested.
fn depth(body: &[u8]) -> usize {
    let (mut now, mut most, mut in_text, mut escaped) = (0usize, 0, false, false);
    for byte in body {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'{' | b'[') => {
                now += 1;
                most = most.max(now);
            }
            (false, b'}' | b']') => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Whether a value says nothing: null, or an empty text, list or object.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The first of several keys whose value says something.
pub fn first<'a>(object: &'a Object, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().filter_map(|key| object.get(*key)).find(|value| !is_empty(value))
}

/// The first of several keys whose value is a text that is not blank, trimmed.
pub fn text<'a>(object: &'a Object, keys: &[&str]) -> Option<&'a str> {
    keys.iter().filter_map(|key| object.get(*key)?.as_str()).map(str::trim).find(|text| !text.is_empty())
}

/// The first of several keys whose value is a text or a number, as text: for ids and codes that may be either.
pub fn scalar<'a>(object: &'a Object, keys: &[&str]) -> Option<Cow<'a, str>> {
    keys.iter().filter_map(|key| object.get(*key)).find_map(|value| match value {
        Value::String(text) if !text.trim().is_empty() => Some(Cow::Borrowed(text.trim())),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    })
}

/// The first of several keys whose value is a whole number, or a text of one.
pub fn int(object: &Object, keys: &[&str]) -> Option<i64> {
    keys.iter().filter_map(|key| object.get(*key)).find_map(as_int)
}

/// A whole number, or a text of one.
pub fn as_int(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The value at a path of keys.
pub fn at<'a>(object: &'a Object, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(object.get(*first)?, |value, key| value.get(key))
}

/// The object under a key.
pub fn child<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    object.get(key)?.as_object()
}

/// How many bytes of somebody's text are looked at for words.
const WORDS_BYTES: usize = 4096;

/// What a body says, for people: the words of a problem object, the title of a page, or the beginning of the text.
pub fn words(body: &[u8]) -> String {
    let begin = body.trim_ascii_start();
    if begin.first() == Some(&b'<') {
        return page(begin);
    }
    if let Ok(object) = object(body, BODY_MAX) {
        return words_of(&object).unwrap_or_else(|| "(a JSON object without words)".to_owned());
    }
    squeeze(&String::from_utf8_lossy(&begin[..begin.len().min(WORDS_BYTES)]))
}

/// What a page of markup is called.
fn page(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(WORDS_BYTES)]);
    match between(&text, "<title>", "</title>") {
        Some(title) => format!("an HTML page, {:?}", squeeze(title)),
        None => "an HTML page".to_owned(),
    }
}

/// The words of a problem object: `detail`, `message`, `msg`, `title`, `error` and their like, nested ones too.
pub fn words_of(object: &Object) -> Option<String> {
    const KEYS: [&str; 10] = [
        "detail",
        "message",
        "msg",
        "error_message",
        "errorMessage",
        "error",
        "title",
        "reason",
        "description",
        "errors",
    ];
    KEYS.iter().filter_map(|key| object.get(*key)).find_map(|value| match value {
        Value::String(text) if !text.trim().is_empty() => Some(squeeze(text)),
        Value::Object(inner) => words_of(inner),
        Value::Array(list) => list.iter().find_map(|item| words_of(item.as_object()?)),
        _ => None,
    })
}

/// An answer in which nothing can be read, without our secrets and callback addresses: kept for an operator.
pub fn raw_answer(body: &[u8], secrets: &[&Secret]) -> RawAnswer {
    let begin = &body[..body.len().min(RAW_BYTES)];
    RawAnswer::new(&without(String::from_utf8_lossy(begin).into_owned(), secrets))
}

/// How many bytes of an answer are looked at to keep its beginning.
const RAW_BYTES: usize = 64 * 1024;

/// Somebody's words with our secrets blotted out, for vendors that echo what they were sent.
pub fn without(words: String, secrets: &[&Secret]) -> String {
    secrets
        .iter()
        .filter(|secret| secret.expose().len() >= 4)
        .fold(words, |words, secret| words.replace(secret.expose(), "***"))
}

/// The same fault with our secrets blotted out of the other side's words.
pub fn blot(fault: Fault, secrets: &[&Secret]) -> Fault {
    fault.edited(|words| without(words.to_owned(), secrets))
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let from = text.find(open)? + open.len();
    let to = text[from..].find(close)?;
    Some(&text[from..from + to])
}

/// One line with single blanks.
fn squeeze(text: &str) -> String {
    text.split_whitespace().take(400).collect::<Vec<_>>().join(" ")
}

/// An address that somebody else named, when it is an absolute http or https one.
pub fn address(text: &str) -> Option<Uri> {
    let uri: Uri = text.trim().parse().ok()?;
    let absolute = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    absolute.then_some(uri)
}

/// A GET with a bearer key where one is given.
pub fn get(uri: Uri, key: Option<&Secret>) -> Request<Bytes> {
    request(Method::GET, uri, key, Bytes::new())
}

/// A POST without a body, with a bearer key where one is given.
pub fn post_empty(uri: Uri, key: Option<&Secret>) -> Request<Bytes> {
    request(Method::POST, uri, key, Bytes::new())
}

/// A POST of JSON, with a bearer key where one is given.
pub fn post_json(uri: Uri, key: Option<&Secret>, body: &impl Serialize) -> Request<Bytes> {
    let body = serde_json::to_vec(body).expect("what we send has text keys and finite numbers");
    let mut request = request(Method::POST, uri, key, body.into());
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

/// A request with a bearer key where one is given.
///
/// A key that cannot stand in a header is left out: the vendor refuses the request and the operator is told.
pub fn request(method: Method, uri: Uri, key: Option<&Secret>, body: Bytes) -> Request<Bytes> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    let bearer = key.and_then(|key| HeaderValue::try_from(format!("Bearer {}", key.expose())).ok());
    if let Some(mut bearer) = bearer {
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    request
}

#[cfg(test)]
mod tests;
