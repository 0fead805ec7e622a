//! Requests as text, replies by hand.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use songmill_core::job::StepKind;
use songmill_core::{Fault, JobId, SongRequest, TaskId, Timestamp};
use songmill_vendors::contract::Cost;
use songmill_vendors::{Accepted, Callback, Exchange, Next, Order, TaskRef, Vendor};

/// When the submissions of these tests began.
pub(crate) const SINCE: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(crate) fn song(json: &str) -> SongRequest {
    SongRequest::from_json(json.as_bytes()).unwrap()
}

/// What is done with an order by these tests, whose parts live as long as they need.
pub(crate) fn with_order<T>(vendor: &dyn Vendor, song: &SongRequest, act: impl FnOnce(&Order<'_>) -> T) -> T {
    let job = JobId::from_bytes([7; 16]);
    let url = format!("https://songs.example.com/callbacks/{}/{job}/3/k1.mac", vendor.card().name);
    let callback = Callback { url: &url, live: true };
    act(&Order { job, attempt: 3, step: StepKind::Song, song, lyrics: None, callback })
}

pub(crate) fn submit(vendor: &dyn Vendor, json: &str) -> Exchange<Accepted> {
    with_order(vendor, &song(json), |order| vendor.submit(order)).unwrap()
}

pub(crate) fn find(vendor: &dyn Vendor) -> Exchange<Option<TaskId>> {
    with_order(vendor, &song(r#"{"prompt":"p"}"#), |order| vendor.find(order, SINCE)).unwrap()
}

/// The mark of the order above.
pub(crate) fn mark(vendor: &dyn Vendor) -> String {
    with_order(vendor, &song(r#"{"prompt":"p"}"#), |order| order.mark(&vendor.card().name))
}

pub(crate) fn task(id: &TaskId) -> TaskRef<'_> {
    TaskRef { step: StepKind::Song, id }
}

pub(crate) fn task_id(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

pub(crate) fn reply(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    Response::builder().status(status).body(body.into()).unwrap()
}

pub(crate) fn reply_with(status: u16, header: (&str, &str), body: impl Into<Bytes>) -> Response<Bytes> {
    Response::builder().status(status).header(header.0, header.1).body(body.into()).unwrap()
}

/// The end of an exchange that has one.
pub(crate) fn end<T>(next: Next<T>) -> Result<T, Fault> {
    match next {
        Next::Done(result) => result,
        Next::Then(more) => panic!("one more request: {}", show(&more.request)),
    }
}

/// The next exchange of one that goes on.
pub(crate) fn then<T>(next: Next<T>) -> Exchange<T> {
    match next {
        Next::Then(more) => more,
        Next::Done(Ok(_)) => panic!("the exchange ended well, but one more was due"),
        Next::Done(Err(fault)) => panic!("the exchange ended: {fault}"),
    }
}

/// A fault in one line: kind, code, seconds to wait, words.
pub(crate) fn line(fault: &Fault) -> String {
    let wait = fault.retry_after().map(|wait| format!(" after {} s", wait.as_secs_f64())).unwrap_or_default();
    let suspicion = fault.suspicion().filter(|code| *code != fault.code);
    let suspicion = suspicion.map(|code| format!(" ({code} if confirmed)")).unwrap_or_default();
    format!("{} {}{suspicion}{wait}: {}", fault.kind.as_str(), fault.code, fault.words())
}

/// What becomes of an exchange with this reply, when it does not go on.
pub(crate) fn outcome<T: std::fmt::Debug>(exchange: Exchange<T>, reply: Response<Bytes>) -> String {
    match end(exchange.read(reply)) {
        Ok(value) => format!("{value:?}"),
        Err(fault) => line(&fault),
    }
}

/// A request as text: cost, method, address, headers in order, and the body, JSON spread out.
pub(crate) fn show_exchange<T>(exchange: &Exchange<T>) -> String {
    let cost = if exchange.cost == Cost::Creates { "creates" } else { "free" };
    format!("[{cost}] {}", show(&exchange.request))
}

fn show(request: &Request<Bytes>) -> String {
    let body = match serde_json::from_slice::<serde_json::Value>(request.body()) {
        Ok(json) => serde_json::to_string_pretty(&json).unwrap(),
        Err(_) => String::from_utf8_lossy(request.body()).chars().map(shown).collect(),
    };
    format!("{} {}\n{}\n{body}", request.method(), request.uri(), show_headers(request.headers()))
}

fn shown(c: char) -> char {
    match c {
        '\r' => '␍',
        c if c.is_control() && c != '\n' => '·',
        c => c,
    }
}

fn show_headers(headers: &HeaderMap) -> String {
    let mut lines: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect();
    lines.sort();
    lines.concat()
}

/// Bodies that are no reply of anybody's, each with a name.
pub(crate) fn garbage() -> Vec<(&'static str, Bytes)> {
    vec![
        ("nothing", Bytes::new()),
        ("HTML", Bytes::from_static(b"<!doctype html><html><head><title>OK</title></head></html>")),
        ("an empty object", Bytes::from_static(b"{}")),
        ("null", Bytes::from_static(b"null")),
        ("a list", Bytes::from_static(b"[]")),
        ("a text", Bytes::from_static(b"\"ok\"")),
        ("a cut object", Bytes::from_static(br#"{"id":"abc","status":"succ"#)),
        ("no UTF-8", Bytes::from_static(b"{\"id\":\"\xff\xfe\"}")),
        ("a deep object", [r#"{"id":"#.repeat(10_000), "1".into(), "}".repeat(10_000)].concat().into()),
        ("a huge object", [r#"{"id":"a","x":""#, &"x".repeat(17 << 20), r#""}"#].concat().into()),
        ("ids of a wrong form", Bytes::from_static(br#"{"id":{"a":1},"status":[]}"#)),
        ("an id with blanks", Bytes::from_static(b"{\"id\":\"a b\\u0000\",\"status\":\"succeeded\"}")),
    ]
}
