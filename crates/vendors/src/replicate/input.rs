//! From a song request to the model's input.

use serde::Serialize;
use songmill_core::SongRequest;
use songmill_core::flow::Size;
use songmill_core::song::{Field, Format};

use super::Settings;
use super::options::{Normalization, Options, OutputFormat};
use crate::draft::Draft;

/// The model's input as it goes over the wire; what is not set is left to the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Input {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input_audio: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuation: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuation_start: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuation_end: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_band_diffusion: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    normalization_strategy: Option<Normalization>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classifier_free_guidance: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_format: Option<OutputFormat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
}

impl Input {
    pub(super) fn size(&self) -> Size {
        Size::one_song(self.duration)
    }
}

/// Makes the input and notes in the draft what is wrong and what is left out.
pub(super) fn draft(song: &SongRequest, settings: &Settings, draft: &mut Draft<'_>) -> Input {
    let own: Options = draft.options();
    check_ranges(&own, settings, draft);
    if song.instrumental == Some(false) {
        draft.leave_out(Field::Instrumental, "is false, and the model never sings");
    }
    let input = Input {
        prompt: own.prompt.filter(|prompt| !prompt.trim().is_empty()).or_else(|| prompt(song)),
        duration: own.duration.or_else(|| duration(song, settings, draft)),
        continuation: own.continuation,
        continuation_start: own.continuation_start,
        continuation_end: own.continuation_end.filter(|&end| end != -1),
        multi_band_diffusion: own.multi_band_diffusion,
        normalization_strategy: own.normalization_strategy,
        top_k: own.top_k,
        top_p: own.top_p,
        temperature: own.temperature,
        classifier_free_guidance: own.classifier_free_guidance,
        output_format: own.output_format.or_else(|| output_format(song, draft)),
        seed: own.seed.or(song.seed.map(i64::from)).filter(|&seed| seed != -1),
        input_audio: match (own.input_audio, &song.reference_audio) {
            (Some(own), _) => {
                draft.reference(&draft.path("input_audio"), &own);
                Some(own)
            }
            (None, Some(audio)) => {
                draft.reference(Field::ReferenceAudio.as_str(), audio);
                Some(audio.clone())
            }
            (None, None) => None,
        },
    };
    check_together(&input, draft);
    input
}

fn check_ranges(own: &Options, settings: &Settings, draft: &mut Draft<'_>) {
    draft.range("duration", own.duration, 1, i64::from(settings.longest_s));
    draft.range("continuation_start", own.continuation_start, 0, i64::from(u32::MAX));
    draft.range("continuation_end", own.continuation_end, -1, i64::from(u32::MAX));
    draft.range("top_k", own.top_k, 0, 2048);
    draft.range("top_p", own.top_p, 0.0, 1.0);
    draft.range("temperature", own.temperature, 0.0, 100.0);
    draft.range("classifier_free_guidance", own.classifier_free_guidance, 0, 100);
    if own.seed == Some(0) {
        draft.wrong_option(
            "seed",
            "is 0, which the model takes for random",
            "use 1 or more, or -1 for random",
        );
    } else {
        draft.range("seed", own.seed, -1, i64::from(u32::MAX));
    }
    if own.prompt.as_deref().is_some_and(|prompt| prompt.trim().is_empty()) {
        draft.wrong_option("prompt", "is empty", "leave it out or give it a text");
    }
}

fn check_together(input: &Input, draft: &mut Draft<'_>) {
    if input.prompt.is_none() && input.input_audio.is_none() {
        draft.wrong(
            Field::Prompt,
            "is missing, and the model sings no lyrics",
            "give a prompt, style, mood, genre or reference_audio",
        );
    }
    if input.continuation == Some(true) && input.input_audio.is_none() {
        draft.wrong_option("continuation", "is true without audio to continue", "give reference_audio");
    }
    let start = input.continuation_start.unwrap_or(0);
    if let Some(end) = input.continuation_end.filter(|&end| end < start) {
        let fix = "use a later end, or leave it out for the end of the audio";
        draft.wrong_option("continuation_end", format!("is {end}, before the start at {start}"), fix);
    }
}

fn prompt(song: &SongRequest) -> Option<String> {
    let parts = [&song.prompt, &song.style, &song.mood, &song.genre];
    let parts: Vec<_> = parts.into_iter().flatten().map(|part| part.trim()).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn duration(song: &SongRequest, settings: &Settings, draft: &mut Draft<'_>) -> Option<i64> {
    let wanted = song.duration_s?;
    if wanted > settings.longest_s {
        draft.leave_out(
            Field::DurationS,
            &format!("is {wanted}, and at most {} s can be had", settings.longest_s),
        );
        return None;
    }
    Some(i64::from(wanted))
}

fn output_format(song: &SongRequest, draft: &mut Draft<'_>) -> Option<OutputFormat> {
    match song.format? {
        Format::Wav => Some(OutputFormat::Wav),
        Format::Mp3 => Some(OutputFormat::Mp3),
        Format::Flac => {
            draft.leave_out(Field::Format, "is flac, and the model writes wav or mp3");
            None
        }
    }
}
