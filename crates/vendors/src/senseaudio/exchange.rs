//! Lyrics and songs: created, then asked for until they are there.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use songmill_core::job::StepKind;
use songmill_core::{Fault, FaultKind, Report, TaskId};

use super::input::Input;
use super::wire::{CreateLyrics, CreateSong, product, report};
use super::{Generation, Settings, WeightForm, fault};
use crate::contract::{Accepted, Cost, Exchange, Next, Order, TaskRef};
use crate::tolerant::{Object, Reply, garbled, get, post_json, text};

/// Has lyrics written.
pub(super) fn create_lyrics(
    settings: &Arc<Settings>,
    order: &Order<'_>,
) -> Result<Exchange<Accepted>, Fault> {
    let Some(prompt) = order.song.lyrics_prompt.as_deref() else {
        return Err(Fault::new(FaultKind::Rejected, "request_refused", "lyrics_prompt is missing"));
    };
    let provider = or(&settings.lyrics_provider, settings.own_model());
    let path: &[&str] = match settings.generation {
        Generation::L => &["v1", "song", "lyrics", "create"],
        Generation::V1 => &["v1", "music", "lyrics", "create"],
    };
    let request =
        post_json(settings.base_url.at(path), Some(&settings.key), &CreateLyrics { prompt, provider });
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
    let path: &[&str] = match settings.generation {
        Generation::L => &["v1", "song", "music", "create"],
        Generation::V1 => &["v1", "music", "song", "create"],
    };
    let request = post_json(settings.base_url.at(path), Some(&settings.key), &song);
    Ok(creating(settings, request, StepKind::Song))
}

fn creating(settings: &Arc<Settings>, request: http::Request<Bytes>, step: StepKind) -> Exchange<Accepted> {
    let settings = settings.clone();
    Exchange::creating(request, move |response| {
        Next::Done(answer(response, Cost::Creates, &settings).and_then(|body| accepted(&body, step)))
    })
}

/// Lyrics may come at once; whatever has a task is followed.
fn accepted(body: &Object, step: StepKind) -> Result<Accepted, Fault> {
    if step == StepKind::Lyrics
        && let Some(lyrics) = product(body, step)?
    {
        return Ok(Accepted::Done(lyrics));
    }
    let id = text(body, &["task_id"]).ok_or_else(|| garbled("an answer without a task_id"))?;
    TaskId::new(id).map(Accepted::Task).map_err(|error| garbled(&error.to_string()))
}

/// Asks how a task is.
pub(super) fn poll(settings: &Arc<Settings>, task: &TaskRef<'_>) -> Exchange<Report> {
    let kind = match (settings.generation, task.step) {
        (Generation::L, StepKind::Lyrics) => ["song", "lyrics"],
        (Generation::L, StepKind::Song) => ["song", "music"],
        (Generation::V1, StepKind::Lyrics) => ["music", "lyrics"],
        (Generation::V1, StepKind::Song) => ["music", "song"],
    };
    let uri = settings.base_url.at(&["v1", kind[0], kind[1], "pending", task.id.as_str()]);
    let (settings, step) = (settings.clone(), task.step);
    Exchange::free(get(uri, Some(&settings.key)), move |response| {
        Next::Done(answer(response, Cost::Free, &settings).and_then(|body| report(&body, step)))
    })
}

fn answer(response: Response<Bytes>, cost: Cost, settings: &Settings) -> Result<Object, Fault> {
    let reply = Reply::from(response);
    if reply.status.is_success() { reply.object() } else { Err(fault::of_reply(&reply, cost, settings)) }
}

fn or<'a>(set: &'a str, own: &'a str) -> &'a str {
    if set.trim().is_empty() { own } else { set }
}

impl Settings {
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
