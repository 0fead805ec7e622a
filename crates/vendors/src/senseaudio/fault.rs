//! Sorting what goes wrong, by status and by the codes and messages that are documented.

use songmill_core::{Fault, FaultKind};

use crate::contract::Cost;
use crate::failure::{self, Row};
use crate::tolerant::{Object, Reply, at, text, words_of};

/// The message of 429 that says that the key has no quota left (SenseAudio's page of models). As a whole: what stands in
/// a longer one may be quoted.
const NO_QUOTA: &str = "API Key 配额不足";

/// The words of an error in any of the three forms that are known on this host.
pub(super) fn words(body: &Object) -> Option<String> {
    let spoken = at(body, &["base_resp", "status_msg"]).and_then(|words| words.as_str());
    spoken.map(str::trim).filter(|words| !words.is_empty()).map(str::to_owned).or_else(|| words_of(body))
}

/// What a reply that is no success means.
pub(super) fn of_reply(reply: &Reply, cost: Cost) -> Fault {
    let body = reply.object().unwrap_or_default();
    let words = words(&body).unwrap_or_else(|| reply.words());
    let code = text(&body, &["code"]);
    match reply.status.as_u16() {
        401 if code == Some("authentication_error") => {
            Fault::from_vendor(FaultKind::Locked, "key_refused", &words)
        }
        401 | 403 => Fault::suspecting("key_refused", &words),
        429 if words == NO_QUOTA => Fault::from_vendor(FaultKind::Locked, "plan_limit", &words),
        404 if cost == Cost::Creates => Fault::suspecting("address_invalid", &words),
        _ => reply.fault(cost).with_vendor_message(&words),
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
