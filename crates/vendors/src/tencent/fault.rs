//! Sorting what goes wrong: the gateway by status, the API by its words, for it has no codes.

use songmill_core::{Fault, FaultKind};

use super::Settings;
use crate::contract::Cost;
use crate::tolerant::{Reply, blot};

/// What a reply of the gateway means, which is not in the API's envelope.
pub(super) fn of_gateway(reply: &Reply, cost: Cost, settings: &Settings) -> Fault {
    let words = reply.words();
    let fault = |kind, code: &'static str| Fault::new(kind, code, &words);
    let lower = words.to_lowercase();
    let sorted = match reply.status.as_u16() {
        401 | 403 => fault(FaultKind::Locked, "key_refused"),
        // No API is at this address: every request would fail as well.
        404 | 405 | 426 | 481 => fault(FaultKind::Locked, "address_invalid"),
        429 if lower.contains("quota") => fault(FaultKind::Locked, "plan_limit"),
        499 if cost == Cost::Creates => fault(FaultKind::Unknown, "vendor_error"),
        499 => fault(FaultKind::Unavailable, "vendor_error"),
        _ => reply.fault(cost),
    };
    blot(sorted, &[&settings.secret_key, &settings.secret_id, &settings.gateway_key])
}

/// What the API's `errorResponse` means. No job was made, or the question was not answered.
pub(super) fn of_words(words: &str, cost: Cost, settings: &Settings) -> Fault {
    let lower = words.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let own = settings.faults.iter().find(|rule| lower.contains(&rule.contains.to_lowercase()));
    let fault = match own {
        Some(rule) => Fault::new(rule.kind, rule.code.clone(), words),
        None if has(&["balance", "arrear", "overdue", "quota", "欠费", "余额", "配额"]) => {
            Fault::new(FaultKind::Locked, "balance_empty", words)
        }
        None if has(&["auth", "secret", "permission", "signature", "credential", "鉴权", "密钥"]) => {
            Fault::new(FaultKind::Locked, "key_refused", words)
        }
        None if has(&["rate", "limit", "frequen", "too many", "busy", "频率", "繁忙"]) => {
            Fault::new(FaultKind::Throttled, "rate_limited", words)
        }
        None if has(&["not found", "not exist", "不存在"]) && cost == Cost::Free => {
            Fault::new(FaultKind::Rejected, "task_gone", words)
        }
        None if has(&["contentid", "content id"]) => Fault::new(FaultKind::Locked, "store_unknown", words),
        None if has(&["param", "invalid", "illegal", "unsupported", "参数", "非法"])
            && cost == Cost::Creates =>
        {
            Fault::new(FaultKind::Rejected, "request_refused", words)
        }
        None => Fault::new(FaultKind::Unavailable, "vendor_error", words),
    };
    blot(fault, &[&settings.secret_key, &settings.secret_id])
}
