//! Sorting what goes wrong: replies by the problem's code, failed tasks by the platform's own sentences.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use songmill_core::{Fault, FaultKind};

use super::Settings;
use crate::contract::Cost;
use crate::failure::{self, Row};
use crate::tolerant::{Object, Reply, at, blot, child, int, text, words_of};

/// How long an app's owner pauses it for, where the reply does not say.
const MAINTENANCE: Duration = Duration::from_secs(3600);
/// The wait after a task that found no machine; the vendor had looked for ten minutes.
const NO_CAPACITY: Duration = Duration::from_secs(600);

/// What a reply that is no success, or says `success: false`, means.
pub(super) fn of_reply(reply: &Reply, cost: Cost, settings: &Settings) -> Fault {
    blot(sort(reply, cost), &[&settings.key])
}

fn sort(reply: &Reply, cost: Cost) -> Fault {
    let body = reply.object().unwrap_or_default();
    let problem = child(&body, "error").unwrap_or(&body);
    let words = words(reply, problem);
    let fault = |kind, code: &'static str| Fault::from_vendor(kind, code, &words);
    let said =
        int(&body, &["status"]).and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
    let status = if reply.status.is_success() { said.unwrap_or(reply.status) } else { reply.status };
    match (code(problem), status.as_u16()) {
        (Some("limit_exceeded"), _) => match at(problem, &["meta", "resource"]).and_then(Value::as_str) {
            Some("rate_per_min") => fault(FaultKind::Throttled, "rate_limited").after(reply.wait_at_limit()),
            // Ends by itself when tasks do: no operator is needed.
            Some("concurrency") => fault(FaultKind::Throttled, "plan_limit").after(reply.wait()),
            _ => fault(FaultKind::Locked, "plan_limit"),
        },
        (Some("feature_not_available"), _) => fault(FaultKind::Locked, "plan_limit"),
        (Some("payment_required" | "payment_method_required"), _) => {
            fault(FaultKind::Locked, "balance_empty")
        }
        (Some("unauthorized" | "insufficient_scope"), _) => fault(FaultKind::Locked, "key_refused"),
        (Some("account_banned" | "account_deactivated"), _) => fault(FaultKind::Locked, "key_refused"),
        (Some("entitlement_unavailable"), _) => {
            fault(FaultKind::Unavailable, "vendor_error").after(reply.wait())
        }
        (Some("app_maintenance"), _) => {
            fault(FaultKind::Unavailable, "vendor_maintenance").after(reply.wait().or(Some(MAINTENANCE)))
        }
        (Some("precondition_failed" | "requirements_not_met"), _) => {
            fault(FaultKind::Locked, "requirements_not_met")
        }
        // Only the app is named in a submission: every other one would fail as well.
        (Some("not_found" | "app_retired"), _) if cost == Cost::Creates => {
            fault(FaultKind::Locked, "app_refused")
        }
        (_, 404 | 410) if cost == Cost::Creates => Fault::suspecting("app_refused", &words),
        (_, 412) => Fault::suspecting("requirements_not_met", &words),
        (_, 451) => Fault::suspecting("region_refused", &words),
        (_, 410) => fault(FaultKind::Rejected, "task_gone"),
        (_, number) => {
            let plain = Reply { status, ..reply.clone() }.fault(cost);
            if number == 422 { fault(plain.kind, "request_refused") } else { plain }
        }
    }
}

/// The last part of the problem's type, or its code.
fn code(problem: &Object) -> Option<&str> {
    let of_type = text(problem, &["type"]).and_then(|kind| kind.rsplit('/').next());
    of_type.filter(|code| !code.is_empty()).or_else(|| text(problem, &["code"]))
}

/// The problem's words, and those of each field it names.
fn words(reply: &Reply, problem: &Object) -> String {
    let mut words = reply.words();
    let nested = [problem.get("data"), at(problem, &["meta", "errors"])];
    for item in
        nested.into_iter().flatten().filter_map(Value::as_array).flatten().filter_map(Value::as_object)
    {
        let said = [text(item, &["path", "field", "loc", "key"]).map(str::to_owned), words_of(item)];
        words = format!("{words}; {}", said.into_iter().flatten().collect::<Vec<_>>().join(": "));
    }
    words
}

/// The platform's sentences, and the app's own exceptions; all others are in the table that holds everywhere.
///
/// Sources: `inference.sh/docs/api/rest/tasks` for the platform's sentences; the source of the app
/// (`inference.py` and `generate_utils.py`) for the others.
pub(crate) const FAILURES: &[Row] = &[
    // Every task fails like this until the app's owner has mended it.
    Row::again("vendor_setup_failed")
        .of_all()
        .starts(&["setup failed:", "cuda is required", "model checkpoint not found"])
        .source("the app's setup(), in which nothing depends on the request"),
    Row::locked("requirements_not_met")
        .starts(&["failed to prepare secrets for this app"])
        .source("tasks page"),
    Row::again("no_capacity")
        .after(NO_CAPACITY)
        .has(&["no active workers with matching resources", "no available workers"])
        .source("tasks page; the platform has looked for ten minutes by then"),
    Row::again("task_interrupted")
        .starts(&[
            "task interrupted",
            "task could not be dispatched",
            "task could not be processed after multiple attempts",
            "task expired while waiting for available capacity",
            "session worker busy too long",
            "session worker offline",
            "session expired or not found",
        ])
        .source("tasks page"),
    Row::refused("task_failed")
        .has(&["auto_prompt_audio_type", "gen_type", "cannot stride by more than max generation duration"])
        .source("the app's assertions about its input"),
];

/// What the failure of a task means.
pub(super) fn of_task(error: Option<&str>) -> Fault {
    failure::fault(FAILURES, error, "the task failed without a word")
}

/// What status 13 means: the account had no means when the task was to run.
pub(super) fn admission(error: Option<&str>) -> Fault {
    Fault::from_vendor(
        FaultKind::Locked,
        "balance_empty",
        error.unwrap_or("the account may not run the task"),
    )
}
