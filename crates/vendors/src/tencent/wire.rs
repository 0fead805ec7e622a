//! The vendor's own words: jobs as they are sent and shown.

use serde::Serialize;
use serde_json::Value;
use songmill_core::{Extra, ExtraReason, Fault, Output, Outputs, Source, TaskId};

use crate::address::normalized;
use crate::outputs;
use crate::tolerant::{Object, garbled, garbled_id, int, is_empty, masked, text};

/// The body of every request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call<'a> {
    pub(super) action: &'static str,
    pub(super) secret_id: &'a str,
    pub(super) secret_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) create_job_request: Option<Create<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) get_job_request: Option<Get<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) list_jobs_request: Option<List<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create<'a> {
    pub(super) custom_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) callback: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<u64>,
    pub(super) inputs: [Input<'a>; 1],
    pub(super) outputs: [Target<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Input<'a> {
    pub(super) source_data: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Target<'a> {
    pub(super) content_id: &'a str,
    pub(super) destination: String,
    pub(super) input_selectors: [u32; 1],
    pub(super) smart_content_descriptor: Descriptor<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_prefix: Option<&'a str>,
    /// The key of the music type is a setting, so this is no struct.
    pub(super) text_bgm_generation: Object,
}

#[derive(Serialize)]
pub(super) struct Get<'a> {
    pub(super) id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<'a> {
    pub(super) custom_id: &'a str,
}

/// Where a job is: a number, a number in text, or a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Live,
    Completed,
    Error,
    Canceled,
}

/// A job as the vendor shows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    pub(super) id: TaskId,
    pub(super) state: Option<State>,
    pub(super) created: u64,
    pub(super) outputs: Outputs,
    pub(super) words: Option<String>,
}

impl Job {
    /// Reads a job; one without an id is `garbled`, one without a state may still be followed.
    pub(super) fn read(job: &Object, content_id: &str) -> Result<Self, Fault> {
        let id = text(job, &["id"]).ok_or_else(|| garbled("a job without an id"))?;
        let id = TaskId::new(id).map_err(|error| garbled_id(&error))?;
        let created =
            job.get("timing").and_then(Value::as_object).and_then(|timing| int(timing, &["createdAt"]));
        Ok(Self {
            id,
            state: state(job),
            created: created.and_then(|created| u64::try_from(created).ok()).unwrap_or(0),
            outputs: outputs(job, content_id),
            words: text(job, &["message", "errorMessage", "error"]).map(str::to_owned),
        })
    }
}

/// States that are not known count as live: they are looked at again until the job's own deadline.
fn state(job: &Object) -> Option<State> {
    if let Some(number) = int(job, &["state"]) {
        return Some(match number {
            3 => State::Completed,
            4 => State::Error,
            5 => State::Canceled,
            _ => State::Live,
        });
    }
    Some(match text(job, &["state"])?.to_ascii_uppercase().as_str() {
        "COMPLETED" => State::Completed,
        "ERROR" => State::Error,
        "CANCELED" | "CANCELLED" => State::Canceled,
        _ => State::Live,
    })
}

/// Songs lie in the bucket under destination and name; the name carries the prefix already.
fn outputs(job: &Object, content_id: &str) -> Outputs {
    let mut found = Outputs::default();
    for output in
        job.get("outputs").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
    {
        let store = text(output, &["contentId"]).unwrap_or(content_id);
        let folder = text(output, &["destination"]).unwrap_or_default().trim_matches('/');
        let result = output.get("smartContentResult").unwrap_or(&Value::Null);
        songs(result.get("textBgmGeneration").unwrap_or(result), &mut |song| {
            let output = placed(song, store, folder);
            let reason = if outputs::is_no_audio(output.source.as_str()) {
                ExtraReason::NotAudio
            } else if found.audio.len() < outputs::MOST {
                return found.audio.push(output);
            } else {
                ExtraReason::NotRequested
            };
            found.extra.push(Extra::new(&masked(output.source.as_str()), None, reason));
        });
    }
    found
}

/// The songs of a result: objects with a name, in a list, alone, or as JSON in a text.
fn songs(result: &Value, found: &mut dyn FnMut(&str)) {
    const NAMES: [&str; 7] = ["songName", "song_name", "fileName", "name", "key", "path", "url"];
    match result {
        Value::Array(items) => items.iter().for_each(|item| songs(item, found)),
        Value::String(text) => match outputs::json(text) {
            Some(inner) => songs(&inner, found),
            None => found(text),
        },
        Value::Object(song) => match text(song, &NAMES) {
            Some(name) => found(name),
            // It has the place of a name, which is not there yet.
            None if song.iter().any(|(key, value)| NAMES.contains(&&**key) && is_empty(value)) => found(""),
            None => {
                let may_hold =
                    |value: &&Value| value.as_str().is_none_or(|text| outputs::json(text).is_some());
                song.values().filter(may_hold).for_each(|value| songs(value, found));
            }
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Where a song lies: in the bucket, or at an address of its own.
fn placed(song: &str, store: &str, folder: &str) -> Output {
    let song = song.trim();
    if song.len() > outputs::ADDRESS_MAX {
        return Output::unusable(&outputs::shown(song));
    }
    if let Some(url) = normalized(song) {
        return Output::at(url);
    }
    let name = song.trim_matches('/');
    if name.is_empty() || store.is_empty() {
        return Output::unusable(song);
    }
    let key = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    Output::from(Source::Object { store: store.to_owned(), key })
}
