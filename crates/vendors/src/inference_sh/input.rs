//! From a song request to the app's input.

use serde::Serialize;
use songmill_core::SongRequest;
use songmill_core::flow::Size;
use songmill_core::song::{Field, Format, Vocal};

use super::lyrics::{GRAMMAR, INSTRUMENTAL};
use super::options::{AutoPrompt, GenerateType, Options};
use crate::draft::Draft;
use crate::lyrics::{self, Voice};

/// The shortest and longest that the app's model can do, in seconds.
const DURATION: std::ops::RangeInclusive<i64> = 5..=150;

/// The app's input as it goes over the wire; what is not set is left to the app.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Input {
    pub(super) lyrics: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    descriptions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt_audio: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auto_prompt_type: Option<AutoPrompt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generate_type: Option<GenerateType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cfg_coef: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_duration: Option<i64>,
}

impl Input {
    pub(super) fn size(&self) -> Size {
        Size::one_song(self.max_duration)
    }
}

/// Makes the input and notes in the draft what is wrong and what is left out.
pub(super) fn draft(song: &SongRequest, draft: &mut Draft<'_>) -> Input {
    let own: Options = draft.options();
    draft.range("temperature", own.temperature, 0.0, 2.0);
    draft.range("cfg_coef", own.cfg_coef, 0.0, 3.0);
    draft.range("top_k", own.top_k, 1, 100);
    draft.range("top_p", own.top_p, 0.0, 1.0);
    draft.range("max_duration", own.max_duration, *DURATION.start(), *DURATION.end());
    if matches!(song.format, Some(Format::Mp3 | Format::Wav)) {
        draft.leave_out(Field::Format, "is not flac, which is all that the app writes");
    }
    let generate_type = generate_type(song, own.generate_type, draft);
    let prompt_audio = prompt_audio(song, own.prompt_audio, draft);
    Input {
        lyrics: lyrics(song, own.lyrics.as_deref(), generate_type, draft),
        descriptions: own.descriptions.filter(|text| !text.trim().is_empty()).or_else(|| descriptions(song)),
        auto_prompt_type: own.auto_prompt_type.or_else(|| {
            let genre = song.genre.as_deref().filter(|_| prompt_audio.is_none())?;
            AutoPrompt::of_genre(genre)
        }),
        prompt_audio,
        generate_type,
        temperature: own.temperature,
        cfg_coef: own.cfg_coef,
        top_k: own.top_k,
        top_p: own.top_p,
        max_duration: own.max_duration.or_else(|| max_duration(song, draft)),
    }
}

fn generate_type(
    song: &SongRequest,
    own: Option<GenerateType>,
    draft: &mut Draft<'_>,
) -> Option<GenerateType> {
    match (song.instrumental, own) {
        (Some(true), None) => Some(GenerateType::Bgm),
        (Some(true), Some(GenerateType::Mixed | GenerateType::Vocal | GenerateType::Separate)) => {
            let fix = "use bgm, or leave one of the two out";
            draft.wrong_option("generate_type", "has a voice, beside instrumental: true", fix);
            own
        }
        (Some(false), Some(GenerateType::Bgm)) => {
            let fix = "use mixed, or leave one of the two out";
            draft.wrong_option("generate_type", "is bgm, beside instrumental: false", fix);
            own
        }
        _ => own,
    }
}

fn lyrics(
    song: &SongRequest,
    own: Option<&str>,
    generate_type: Option<GenerateType>,
    draft: &mut Draft<'_>,
) -> String {
    let voice = if generate_type == Some(GenerateType::Bgm) { Voice::Silent } else { Voice::Sings };
    let (words, field) = match (own, &song.lyrics) {
        (Some(own), _) => (own, draft.path("lyrics")),
        (None, Some(lyrics)) => (lyrics.as_str(), Field::Lyrics.as_str().to_owned()),
        (None, None) if voice == Voice::Silent => return INSTRUMENTAL.to_owned(),
        (None, None) => {
            let fix =
                "give lyrics, set instrumental: true, or put a vendor before this one that writes words";
            draft.wrong(Field::Lyrics, "is missing, and the app writes no words of its own", fix);
            return String::new();
        }
    };
    match lyrics::write(&field, words, &GRAMMAR, voice) {
        Ok(written) => {
            draft.changed(written.changes);
            written.text
        }
        Err((fault, fix)) => {
            draft.wrong_at(&field, fault, fix);
            String::new()
        }
    }
}

fn prompt_audio(song: &SongRequest, own: Option<String>, draft: &mut Draft<'_>) -> Option<String> {
    let field =
        if own.is_some() { draft.path("prompt_audio") } else { Field::ReferenceAudio.as_str().to_owned() };
    let audio = own.or_else(|| song.reference_audio.clone())?;
    draft.reference(&field, &audio);
    Some(audio)
}

/// The comma tags of the neutral fields, each once, in the order the model was taught.
fn descriptions(song: &SongRequest) -> Option<String> {
    let vocal = song.vocal.map(|vocal| match vocal {
        Vocal::Female => "female",
        Vocal::Male => "male",
    });
    let texts = [&song.genre, &song.mood, &song.style, &song.prompt];
    let mut tags: Vec<String> = Vec::new();
    for text in vocal.into_iter().chain(texts.into_iter().flatten().map(String::as_str)) {
        for tag in text.split([',', '，', '、', ';', '；', '\n']) {
            let tag = tag.split_whitespace().collect::<Vec<_>>().join(" ");
            if !tag.is_empty() && !tags.iter().any(|known| known.eq_ignore_ascii_case(&tag)) {
                tags.push(tag);
            }
        }
    }
    (!tags.is_empty()).then(|| tags.join(", "))
}

fn max_duration(song: &SongRequest, draft: &mut Draft<'_>) -> Option<i64> {
    let wanted = i64::from(song.duration_s?);
    if !DURATION.contains(&wanted) {
        let (least, most) = DURATION.into_inner();
        draft.leave_out(Field::DurationS, &format!("is {wanted}, and the app makes {least} to {most} s"));
        return None;
    }
    Some(wanted)
}
