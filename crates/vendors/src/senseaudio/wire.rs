//! The vendor's own words.

use serde::Serialize;
use serde_json::Value;
use songmill_core::job::StepKind;
use songmill_core::{Fault, FaultKind, Lyrics, Output, Product, Report};

use super::input::Gender;
use crate::tolerant::{Object, address, garbled, text, words_of};

/// A request for lyrics.
#[derive(Serialize)]
pub(super) struct CreateLyrics<'a> {
    pub(super) prompt: &'a str,
    pub(super) provider: &'a str,
}

/// A request for a song.
#[derive(Serialize)]
pub(super) struct CreateSong<'a> {
    pub(super) model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lyrics: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instrumental: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) style: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) style_weight: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vocal_gender: Option<Gender>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) negative_tags: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) custom_mode: Option<bool>,
}

/// What an answer to a poll means. A status that is not known counts as pending.
pub(super) fn report(body: &Object, step: StepKind) -> Result<Report, Fault> {
    let status = text(body, &["status"]).ok_or_else(|| garbled("a task without a status"))?;
    match status.to_ascii_uppercase().as_str() {
        "SUCCESS" => {
            let inner = body.get("response").and_then(Value::as_object).unwrap_or(body);
            Ok(product(inner, step)?.map_or_else(missing, Report::Done))
        }
        "FAILED" => {
            let words = text(body, &["fail_reason"]).map(str::to_owned).or_else(|| words_of(body));
            let words = words.unwrap_or_else(|| "the vendor gives no reason".to_owned());
            Ok(Report::Failed(Fault::new(FaultKind::Unavailable, "task_failed", words)))
        }
        "PENDING" => Ok(Report::Pending),
        _ if text(body, &["task_id"]).is_some() => Ok(Report::Pending),
        _ => Err(garbled("neither a status that is known nor a task_id")),
    }
}

fn missing() -> Report {
    Report::Failed(Fault::new(
        FaultKind::Unavailable,
        "output_missing",
        "the task ended without what was asked for",
    ))
}

/// What stands in `data`; none when nothing usable does.
pub(super) fn product(body: &Object, step: StepKind) -> Result<Option<Product>, Fault> {
    let items = body.get("data").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    match step {
        StepKind::Lyrics => {
            let item = items.into_iter().find(|item| text(item, &["text"]).is_some());
            Ok(item.and_then(|item| {
                let title = text(item, &["title"]).map(str::to_owned);
                Some(Product::Lyrics(Lyrics { text: text(item, &["text"])?.to_owned(), title }))
            }))
        }
        StepKind::Song => {
            let mut outputs = Vec::new();
            for item in items {
                let Some(url) = text(item, &["audio_url"]) else { continue };
                // Addresses have been seen with raw blanks.
                let url = url.replace(' ', "%20");
                address(&url).ok_or_else(|| garbled("an audio_url that is no http or https address"))?;
                outputs.push(Output {
                    title: text(item, &["title"]).map(str::to_owned),
                    duration_ms: duration_ms(item),
                    ..Output::at(url)
                });
            }
            Ok((!outputs.is_empty()).then_some(Product::Audio(outputs)))
        }
    }
}

/// How long a song plays, in ms: `duration` has seconds, as a number or as text.
fn duration_ms(item: &Object) -> Option<u64> {
    let seconds = match item.get("duration")? {
        Value::Number(seconds) => seconds.as_f64()?,
        Value::String(seconds) => seconds.trim().parse().ok()?,
        _ => return None,
    };
    // More than any song has: it would be ms, and says nothing.
    (seconds > 0.0 && seconds < 1000.0).then(|| (seconds * 1000.0).round() as u64)
}
