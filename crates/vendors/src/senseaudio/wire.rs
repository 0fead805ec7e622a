//! The vendor's own words.

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use songmill_core::job::StepKind;
use songmill_core::{Fault, Lyrics, Product, RawAnswer, Report};

use super::fault;
use super::input::Gender;
use crate::outputs;
use crate::tolerant::{DEPTH_MAX, Object, garbled, is_empty, text, words_of};

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
pub(super) fn report(
    body: &Object,
    step: StepKind,
    answer: impl FnOnce() -> RawAnswer,
) -> Result<Report, Fault> {
    let status = text(body, &["status"]).ok_or_else(|| garbled("a task without a status"))?;
    match status.to_ascii_uppercase().as_str() {
        "SUCCESS" => {
            let inner = body.get("response").filter(|response| !is_empty(response));
            let whole = || Value::Object(body.clone());
            let product = inner.map_or_else(|| product(&whole(), step), |inner| product(inner, step));
            Ok(product.map_or_else(|| Report::Unreadable(answer()), Report::Done))
        }
        "FAILED" => {
            let words = text(body, &["fail_reason"]).map(str::to_owned).or_else(|| words_of(body));
            Ok(Report::Failed(fault::of_task(words.as_deref())))
        }
        "PENDING" => Ok(Report::Pending),
        _ if text(body, &["task_id"]).is_some() => Ok(Report::Pending),
        _ => Err(garbled("neither a status that is known nor a task_id")),
    }
}

/// What a step gave, in whatever shape; none where nothing of it can be used (yet).
pub(super) fn product(answer: &Value, step: StepKind) -> Option<Product> {
    match step {
        StepKind::Lyrics => lyrics(answer, 0).map(Product::Lyrics),
        StepKind::Song => {
            // How long a song plays stands in seconds.
            let outputs = outputs::read_timed(answer, Some("duration"));
            outputs::is_usable(&outputs).then_some(Product::Audio(outputs))
        }
    }
}

/// The first lyrics in an answer: under a key that is known, in lists, objects and JSON as text.
fn lyrics(answer: &Value, depth: usize) -> Option<Lyrics> {
    if depth > DEPTH_MAX {
        return None;
    }
    match answer {
        Value::Object(object) => {
            let words = text(object, &["text", "lyrics", "lyric", "content"]).filter(|text| !is_json(text));
            let title = || text(object, &["title"]).map(str::to_owned);
            let found = words.map(|words| Lyrics { text: words.to_owned(), title: title() });
            found.or_else(|| object.values().find_map(|value| lyrics(value, depth + 1)))
        }
        Value::Array(items) => items.iter().find_map(|item| lyrics(item, depth + 1)),
        Value::String(text) if is_json(text) => lyrics(&serde_json::from_str(text).ok()?, depth + 1),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Whether a text is a list or an object in JSON: `[verse] …` begins like one.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}
