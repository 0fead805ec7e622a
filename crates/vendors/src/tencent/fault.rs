//! Sorting what goes wrong: the gateway by status, the API by its words, for it has no codes.

use songmill_core::{Fault, FaultKind};

use super::Settings;
use crate::contract::Cost;
use crate::failure::{self, Row};
use crate::tolerant::{Reply, blot};

/// What a reply of the gateway means, which is not in the API's envelope.
pub(super) fn of_gateway(reply: &Reply, cost: Cost) -> Fault {
    by_status(reply, &reply.words(), cost)
}

/// What the API's `errorResponse` means: no job was made, or the question was not answered.
///
/// Under a status that says the answer was lost on its way, a job may have been made all the same; only the
/// operator's own rules are believed against that.
pub(super) fn of_error(reply: &Reply, words: &str, cost: Cost, settings: &Settings) -> Fault {
    let lower = words.to_lowercase();
    let own = settings.faults.iter().find(|rule| lower.contains(&rule.contains.to_lowercase()));
    let lost = cost == Cost::Creates && matches!(reply.status.as_u16(), 408 | 499 | 500..);
    let sorted = match own {
        Some(rule) => Fault::new(rule.kind, rule.code.clone(), words),
        None if lost => Fault::new(FaultKind::Unknown, "vendor_error", words),
        None => match by_words(&lower, cost) {
            Some((kind, code)) => Fault::new(kind, code, words),
            // Words that nobody knows do not say that no job was made; looking it up costs nothing.
            None if reply.status.is_success() && cost == Cost::Creates => {
                Fault::new(FaultKind::Unknown, "vendor_error", words)
            }
            None if reply.status.is_success() => Fault::new(FaultKind::Unavailable, "vendor_error", words),
            None => by_status(reply, words, cost),
        },
    };
    let wait = sorted.retry_after().or_else(|| reply.wait());
    sorted.after(wait)
}

fn by_status(reply: &Reply, words: &str, cost: Cost) -> Fault {
    let fault = |kind, code: &'static str| Fault::new(kind, code, words);
    match reply.status.as_u16() {
        401 | 403 => fault(FaultKind::Locked, "key_refused"),
        // No API is at this address: every request would fail as well.
        404 | 405 | 426 | 481 => fault(FaultKind::Locked, "address_invalid"),
        429 if words.to_lowercase().contains("quota") => fault(FaultKind::Locked, "plan_limit"),
        499 if cost == Cost::Creates => fault(FaultKind::Unknown, "vendor_error"),
        499 => fault(FaultKind::Unavailable, "vendor_error"),
        _ => {
            let plain = reply.fault(cost);
            let wait = plain.retry_after();
            Fault::new(plain.kind, plain.code, words).after(wait)
        }
    }
}

/// What a message means, by words that are likely in it: none of the vendor's messages is documented.
fn by_words(lower: &str, cost: Cost) -> Option<(FaultKind, &'static str)> {
    // The blank in front lets a word be asked for by its beginning: "rate", but not "generate".
    let lower = format!(" {lower}");
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let creates = cost == Cost::Creates;
    if has(&["balance", "arrear", "overdue", "欠费", "余额"]) {
        Some((FaultKind::Locked, "balance_empty"))
    } else if has(&["auth", "secret", "permission", "signature", "credential", "鉴权", "密钥"]) {
        Some((FaultKind::Locked, "key_refused"))
    } else if creates && has(&["length", "too long", "长度"]) {
        Some((FaultKind::Rejected, "request_refused"))
    } else if has(&RATE) {
        Some((FaultKind::Throttled, "rate_limited"))
    } else if !creates && has(&["not found", "not exist", "不存在"]) {
        Some((FaultKind::Rejected, "task_gone"))
    } else if has(&["contentid", "content id"]) {
        Some((FaultKind::Locked, "store_unknown"))
    } else if creates && has(&["param", "invalid", "illegal", "unsupported", "参数", "非法"]) {
        Some((FaultKind::Rejected, "request_refused"))
    } else if has(&["limit", "限制"]) {
        Some((FaultKind::Throttled, "rate_limited"))
    } else if creates && has(&["timeout", "timed out", "deadline", "超时"]) {
        // The API gave up waiting for what stands behind it, which may have gone on.
        Some((FaultKind::Unknown, "vendor_error"))
    } else {
        None
    }
}

const RATE: [&str; 13] = [
    " rate",
    "ratelimit",
    "rate_limit",
    "frequen",
    "too many",
    "throttl",
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
