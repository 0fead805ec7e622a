//! Lyrics and songs: created, then asked for until they are there.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, Uri};
use serde_json::Value;
use songmill_core::job::StepKind;
use songmill_core::{Fault, FaultKind, Report, TaskId};

use super::input::Input;
use super::wire::{CreateLyrics, CreateSong, product, report};
use super::{Generation, Settings, WeightForm, fault};
use crate::contract::{Accepted, Cost, Exchange, Next, Order, TaskRef};
use crate::tolerant::{Object, Reply, blot, garbled, garbled_id, get, post_json, raw_answer, text};

/// Has lyrics written.
pub(super) fn create_lyrics(
    settings: &Arc<Settings>,
    order: &Order<'_>,
) -> Result<Exchange<Accepted>, Fault> {
    let Some(prompt) = order.song.lyrics_prompt.as_deref() else {
        return Err(Fault::from_vendor(FaultKind::Rejected, "request_refused", "lyrics_prompt is missing"));
    };
    let provider = or(&settings.lyrics_provider, settings.own_model());
    let uri = settings.at(&settings.paths.lyrics_create, ["song/lyrics/create", "music/lyrics/create"], None);
    let request = post_json(uri, Some(&settings.key), &CreateLyrics { prompt, provider });
    Ok(creating(settings, request, StepKind::Lyrics))
}

/// Has a song made.
pub(super) fn create_song(
    settings: &Arc<Settings>,
    order: &Order<'_>,
    input: Input,
) -> Result<Exchange<Accepted>, Fault> {
    let written = order.lyrics.map(|lyrics| lyrics.text.as_str());
    let song = CreateSong {
        model: or(&settings.model, settings.own_model()),
        lyrics: written.or(input.lyrics.as_deref()),
        instrumental: input.instrumental,
        style: input.style.as_deref(),
        style_weight: input.style_weight.map(|weight| settings.weight(weight)),
        title: input.title.as_deref().or(order.lyrics.and_then(|lyrics| lyrics.title.as_deref())),
        vocal_gender: input.vocal_gender,
        negative_tags: input.negative_tags.as_deref(),
        custom_mode: input.custom_mode,
    };
    let uri = settings.at(&settings.paths.song_create, ["song/music/create", "music/song/create"], None);
    let request = post_json(uri, Some(&settings.key), &song);
    Ok(creating(settings, request, StepKind::Song))
}

fn creating(settings: &Arc<Settings>, request: http::Request<Bytes>, step: StepKind) -> Exchange<Accepted> {
    let settings = settings.clone();
    Exchange::creating(request, move |response| {
        let accepted = answer(response, Cost::Creates).and_then(|body| accepted(&body, step));
        Next::Done(without_key(accepted, &settings))
    })
}

/// Lyrics may come at once; whatever has a task is followed.
fn accepted(body: &Object, step: StepKind) -> Result<Accepted, Fault> {
    if step == StepKind::Lyrics {
        // Beside a task only what is said to be the answer: words elsewhere may be of anything.
        let given =
            ["data", "response"].iter().filter_map(|key| body.get(*key)).find_map(|it| product(it, step));
        let alone = || product(&Value::Object(body.clone()), step);
        let is_task = text(body, &["task_id"]).is_some();
        if let Some(lyrics) = given.or_else(|| (!is_task).then(alone).flatten()) {
            return Ok(Accepted::Done(lyrics));
        }
    }
    let id = text(body, &["task_id"]).ok_or_else(|| {
        // Elsewhere on this host errors come with a status of success: their words are worth keeping.
        garbled("an answer without a task_id").with_vendor_message(fault::words(body).unwrap_or_default())
    })?;
    TaskId::new(id).map(Accepted::Task).map_err(|error| garbled_id(&error))
}

/// Asks how a task is.
pub(super) fn poll(settings: &Arc<Settings>, task: &TaskRef<'_>) -> Exchange<Report> {
    let (path, own) = match task.step {
        StepKind::Lyrics => (&settings.paths.lyrics_pending, ["song/lyrics/pending", "music/lyrics/pending"]),
        StepKind::Song => (&settings.paths.song_pending, ["song/music/pending", "music/song/pending"]),
    };
    let uri = settings.at(path, own, Some(task.id));
    let (settings, step) = (settings.clone(), task.step);
    Exchange::free(get(uri, Some(&settings.key)), move |response| {
        let body = response.body().clone();
        let raw = || raw_answer(&body, &[&settings.key]);
        let report = answer(response, Cost::Free).and_then(|body| report(&body, step, raw));
        Next::Done(without_key(report, &settings))
    })
}

fn without_key<T>(end: Result<T, Fault>, settings: &Settings) -> Result<T, Fault> {
    end.map_err(|fault| blot(fault, &[&settings.key]))
}

fn answer(response: Response<Bytes>, cost: Cost) -> Result<Object, Fault> {
    let reply = Reply::from(response);
    if reply.status.is_success() { reply.object() } else { Err(fault::of_reply(&reply, cost)) }
}

fn or<'a>(set: &'a str, own: &'a str) -> &'a str {
    if set.trim().is_empty() { own } else { set }
}

impl Settings {
    /// The address of a path: the operator's, or that of the generation (`l`, then `v1`), with a task's id behind it.
    fn at(&self, path: &str, [l, v1]: [&str; 2], id: Option<&TaskId>) -> Uri {
        let own = match self.generation {
            Generation::L => format!("v1/{l}"),
            Generation::V1 => format!("v1/{v1}"),
        };
        let path = or(path, &own).split('/').map(str::trim).filter(|name| !name.is_empty());
        let segments: Vec<&str> = path.chain(id.map(TaskId::as_str)).collect();
        self.base_url.at(&segments)
    }

    const fn own_model(&self) -> &'static str {
        match self.generation {
            Generation::L => "sensesong",
            Generation::V1 => "senseaudio-music-1.0-260319",
        }
    }

    fn weight(&self, weight: f64) -> serde_json::Value {
        let form = self.style_weight_form.unwrap_or(match self.generation {
            Generation::L => WeightForm::String,
            Generation::V1 => WeightForm::Number,
        });
        match form {
            WeightForm::String => weight.to_string().into(),
            WeightForm::Number => weight.into(),
        }
    }
}
