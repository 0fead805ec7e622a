//! The vendor's own words: jobs as they are sent and shown.

use serde::Serialize;
use serde_json::Value;
use songmill_core::{Fault, Output, Source, TaskId};

use crate::tolerant::{Object, garbled, int, text};

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
    pub(super) outputs: Vec<Output>,
    pub(super) words: Option<String>,
}

impl Job {
    /// Reads a job; one without an id is `garbled`, one without a state may still be followed.
    pub(super) fn read(job: &Object, content_id: &str) -> Result<Self, Fault> {
        let id = text(job, &["id"]).ok_or_else(|| garbled("a job without an id"))?;
        let id = TaskId::new(id).map_err(|error| garbled(&error.to_string()))?;
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
fn outputs(job: &Object, content_id: &str) -> Vec<Output> {
    let mut found = Vec::new();
    for output in
        job.get("outputs").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
    {
        let store = text(output, &["contentId"]).unwrap_or(content_id);
        let folder = text(output, &["destination"]).unwrap_or_default().trim_matches('/');
        let songs = output
            .get("smartContentResult")
            .and_then(|result| result.get("textBgmGeneration"))
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|song| text(song.as_object()?, &["songName"]));
        for song in songs {
            let key = [folder, song.trim_matches('/')]
                .iter()
                .filter(|part| !part.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join("/");
            let source = Source::Object { store: store.to_owned(), key };
            found.push(Output { source, ..Output::at("") });
        }
    }
    found
}
