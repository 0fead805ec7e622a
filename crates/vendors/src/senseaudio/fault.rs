//! Sorting what goes wrong, by status; 429 has two meanings that only the words tell apart.

use songmill_core::{Fault, FaultKind};

use crate::contract::Cost;
use crate::failure::{self, Row};
use crate::tolerant::{Object, Reply, at, words_of};

/// The words of an error in any of the three forms that are known on this host.
pub(super) fn words(body: &Object) -> Option<String> {
    let spoken = at(body, &["base_resp", "status_msg"]).and_then(|words| words.as_str());
    spoken.map(str::trim).filter(|words| !words.is_empty()).map(str::to_owned).or_else(|| words_of(body))
}

/// What a reply that is no success means.
pub(super) fn of_reply(reply: &Reply, cost: Cost) -> Fault {
    let body = reply.object().unwrap_or_default();
    let words = words(&body).unwrap_or_else(|| reply.words());
    let quota = ["quota", "配额"].iter().any(|word| words.to_lowercase().contains(word));
    match reply.status.as_u16() {
        429 if quota => Fault::new(FaultKind::Locked, "plan_limit", &words),
        404 if cost == Cost::Creates => Fault::new(FaultKind::Locked, "address_invalid", &words),
        _ => {
            let plain = reply.fault(cost);
            let wait = plain.retry_after();
            Fault::new(plain.kind, plain.code, &words).after(wait)
        }
    }
}

/// What the vendor's `fail_reason` says; all else is in the table that holds everywhere.
///
/// The page names no reason of a failed task; what is here are its messages for the same requests elsewhere.
pub(crate) const FAILURES: &[Row] = &[
    Row::refused("task_failed")
        .has(&["无效的歌词格式", "歌词格式错误"])
        .source("the song call's 400 for lyrics without tags"),
    Row::refused("content_refused")
        .has(&["sensitive words", "敏感词"])
        .source("reasons as seen; none is documented"),
];

/// What a failed task means.
pub(super) fn of_task(reason: Option<&str>) -> Fault {
    failure::fault(FAILURES, reason, "the vendor gives no reason")
}
