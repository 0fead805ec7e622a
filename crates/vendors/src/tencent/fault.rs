//! Sorting what goes wrong: the gateway by status, the API by its words, for it has no codes.

use songmill_core::{Fault, FaultKind};

use super::Settings;
use crate::contract::Cost;
use crate::failure::{self, Row};
use crate::tolerant::{Reply, blot};

/// What a reply of the gateway means, which is not in the API's envelope: its own messages alone say for certain what is
/// wrong.
pub(super) fn of_gateway(reply: &Reply, cost: Cost) -> Fault {
    let words = reply.words();
    let locked = |code: &'static str| Fault::from_vendor(FaultKind::Locked, code, &words);
    match reply.status.as_u16() {
        401 | 403 if GATEWAY_KEY.iter().any(|known| words.starts_with(known)) => locked("key_refused"),
        // No API is at this address: every request would fail as well.
        404 if words.starts_with(GATEWAY_NO_API) => locked("address_invalid"),
        429 if words == GATEWAY_QUOTA => locked("plan_limit"),
        _ => by_status(reply, &words, cost),
    }
}

/// What the API's `errorResponse` means: no job was made, or the question was not answered.
///
/// Under a status that says the answer was lost on its way, a job may have been made all the same; only the
/// operator's own rules are believed against that. None of the messages is documented, and they quote the text of the
/// request: words about our account are a suspicion, and no words are read for waits or rates.
pub(super) fn of_error(reply: &Reply, words: &str, cost: Cost, settings: &Settings) -> Fault {
    let own = failure::without_quotations(words).to_lowercase();
    let rule = settings.faults.iter().find(|rule| own.contains(&rule.contains.to_lowercase()));
    let lost = cost == Cost::Creates && matches!(reply.status.as_u16(), 408 | 499 | 500..);
    let fault = |kind, code: &'static str| Fault::from_vendor(kind, code, words);
    let sorted = match rule {
        // Words of the operator's choice, but words all the same.
        Some(rule) if rule.kind == FaultKind::Locked => Fault::suspecting(rule.code.clone(), words),
        Some(rule) => Fault::from_vendor(rule.kind, rule.code.clone(), words),
        None if lost => fault(FaultKind::Unknown, "vendor_error"),
        None => match by_words(&own, cost) {
            Some(Meaning::Account(code)) => Fault::suspecting(code, words),
            Some(Meaning::Request(kind, code)) => fault(kind, code),
            // Words that nobody knows do not say that no job was made; looking it up costs nothing.
            None if reply.status.is_success() && cost == Cost::Creates => {
                fault(FaultKind::Unknown, "vendor_error")
            }
            None if reply.status.is_success() => fault(FaultKind::Unavailable, "vendor_error"),
            None => by_status(reply, words, cost),
        },
    };
    let wait = sorted.retry_after().or_else(|| reply.wait());
    sorted.after(wait)
}

/// The API gateway's own messages, which it sends before it reads a request's body: 401 and 403 for a signature or a usage
/// plan that is not in order, 404 where there is no API, 429 without quota (the gateway's page of errors).
const GATEWAY_KEY: [&str; 4] = [
    "HMAC signature cannot be verified",
    "HMAC signature does not match",
    "HMAC id or signature missing",
    "Found no validate usage plan",
];
const GATEWAY_NO_API: &str = "There is no api match";
const GATEWAY_QUOTA: &str = "API quota exceeded";

/// What a status means beside words that decide nothing.
fn by_status(reply: &Reply, words: &str, cost: Cost) -> Fault {
    let fault = |kind, code: &'static str| Fault::from_vendor(kind, code, words);
    match reply.status.as_u16() {
        401 | 403 => Fault::suspecting("key_refused", words),
        404 | 405 | 426 | 481 => Fault::suspecting("address_invalid", words),
        499 if cost == Cost::Creates => fault(FaultKind::Unknown, "vendor_error"),
        499 => fault(FaultKind::Unavailable, "vendor_error"),
        _ => reply.fault(cost).with_vendor_message(words),
    }
}

/// What a message speaks of.
enum Meaning {
    /// Our account, if another job is refused as well.
    Account(&'static str),
    /// This request.
    Request(FaultKind, &'static str),
}

/// What a message means, by words that are likely in it; whole ones, without what it quotes.
fn by_words(own: &str, cost: Cost) -> Option<Meaning> {
    use FaultKind::{Rejected, Unavailable, Unknown};
    use Meaning::{Account, Request};
    let has = |parts: &[&str]| parts.iter().any(|part| failure::has_phrase(own, part));
    let creates = cost == Cost::Creates;
    // What is said of the text stands first: it is what a refusal that quotes it is about.
    Some(if creates && has(&CONTENT) {
        Request(Rejected, "content_refused")
    } else if has(&["balance", "arrears", "in arrears", "overdue payment", "payment overdue", "欠费", "余额"])
    {
        Account("balance_empty")
    } else if has(&KEY) {
        Account("key_refused")
    } else if creates && has(&["length", "too long", "长度", "过长"]) {
        Request(Rejected, "request_refused")
    } else if has(&RATE) {
        Request(Unavailable, "rate_limited")
    } else if !creates && has(&["not found", "not exist", "does not exist", "不存在"]) {
        Request(Rejected, "task_gone")
    } else if has(&["contentid", "content id"]) {
        Account("store_unknown")
    } else if creates && has(&REQUEST) {
        Request(Rejected, "request_refused")
    } else if has(&["limit", "限制"]) {
        Request(Unavailable, "rate_limited")
    } else if creates && has(&["timeout", "timed out", "deadline", "超时"]) {
        // The API gave up waiting for what stands behind it, which may have gone on.
        Request(Unknown, "vendor_error")
    } else {
        return None;
    })
}

const CONTENT: [&str; 11] = [
    "sensitive",
    "not acceptable",
    "content policy",
    "violates",
    "inappropriate",
    "prohibited",
    "敏感",
    "违规",
    "违禁",
    "违法",
    "审核不通过",
];

const KEY: [&str; 13] = [
    "auth",
    "authentication",
    "authorization",
    "unauthorized",
    "secretid",
    "secretkey",
    "secret key",
    "permission",
    "signature",
    "credential",
    "credentials",
    "鉴权",
    "密钥",
];

const REQUEST: [&str; 11] = [
    "param",
    "params",
    "parameter",
    "parameters",
    "invalid",
    "invalidparameter",
    "illegal",
    "unsupported",
    "not supported",
    "参数",
    "非法",
];

const RATE: [&str; 15] = [
    "rate limit",
    "rate limited",
    "ratelimit",
    "too frequent",
    "frequency",
    "too many requests",
    "throttled",
    "throttling",
    "quota",
    "busy",
    "频率",
    "繁忙",
    "限流",
    "限频",
    "配额",
];

/// What a job in state ERROR says; all else is in the table that holds everywhere.
///
/// The page gives a failed job no reason at all, and a job that took longer than its own `timeout` fails as well.
pub(crate) const FAILURES: &[Row] = &[];

/// What a failed job means.
pub(super) fn of_job(words: Option<&str>) -> Fault {
    failure::fault(FAILURES, words, "the vendor gives no reason")
}

/// The same fault with our secrets blotted out.
pub(super) fn without_secrets(fault: Fault, settings: &Settings) -> Fault {
    let Settings { secret_id, secret_key, gateway_id, gateway_key, .. } = settings;
    blot(fault, &[secret_key, secret_id, gateway_key, gateway_id])
}
