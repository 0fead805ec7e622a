//! From a song request to the vendor's fields.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::SongRequest;
use songmill_core::song::{Field, Format, Vocal};

use super::{Generation, Settings};
use crate::draft::Draft;
use crate::lyrics::{self, Grammar, Voice};

/// `options.senseaudio`: the song call's own fields.
///
/// A field that is set here takes the place of what the neutral fields would give.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "SenseAudioOptions")]
pub struct Options {
    /// The style; takes the place of `style`, `genre`, `mood` and `prompt` joined.
    #[schemars(length(min = 1, max = 2000))]
    pub style: Option<String>,
    /// How much the style counts, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub style_weight: Option<f64>,
    /// What the style is not to have.
    #[schemars(length(min = 1, max = 2000))]
    pub negative_tags: Option<String>,
    /// The voice; takes the place of `vocal`.
    pub vocal_gender: Option<Gender>,
    /// Whether the lyrics are a prompt instead of words; for generation `v1` only.
    pub custom_mode: Option<bool>,
}

/// A voice, in the vendor's letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Gender {
    /// A woman's.
    #[serde(rename = "f")]
    Female,
    /// A man's.
    #[serde(rename = "m")]
    Male,
}

/// What a song is created with, apart from words that an earlier step gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Input {
    pub(super) lyrics: Option<String>,
    pub(super) instrumental: Option<bool>,
    pub(super) style: Option<String>,
    pub(super) style_weight: Option<f64>,
    pub(super) title: Option<String>,
    pub(super) vocal_gender: Option<Gender>,
    pub(super) negative_tags: Option<String>,
    pub(super) custom_mode: Option<bool>,
}

/// Words for an instrumental piece where the vendor wants lyrics all the same.
const INSTRUMENTAL: &str = "[intro-medium] ; [inst-medium] ; [outro-short]";

/// What the vendor's page demands of lyrics (`music_create`): sections with tags, parted by ` ; `; without them the vendor
/// answers 400. It says nothing of punctuation.
const GRAMMAR: Grammar = Grammar {
    played: &["intro-short", "intro-medium", "inst-short", "inst-medium", "outro-short", "outro-medium"],
    half_width: false,
    final_stop: false,
    tokens: None,
};

/// Makes the input and notes in the draft what is wrong and what is left out.
pub(super) fn draft(song: &SongRequest, settings: &Settings, draft: &mut Draft<'_>) -> Input {
    let own: Options = draft.options();
    draft.range("style_weight", own.style_weight, 0.0, 1.0);
    if own.vocal_gender.is_some() && song.instrumental == Some(true) {
        draft.wrong_option("vocal_gender", "stands beside instrumental: true", "leave one of the two out");
    }
    if own.custom_mode.is_some() && settings.generation == Generation::L {
        draft.wrong_option(
            "custom_mode",
            "is not known to generation l",
            "leave it out, or set vendors.senseaudio.generation to v1",
        );
    }
    if song.format.is_some_and(|format| format != Format::Mp3) {
        draft.leave_out(Field::Format, "is not mp3, and this vendor writes mp3 only");
    }
    let neutral = if own.style.is_none() { joined(song) } else { None };
    let texts = [
        (draft.path("style"), &own.style),
        (draft.path("negative_tags"), &own.negative_tags),
        ("lyrics_prompt".to_owned(), &song.lyrics_prompt),
        ("style".to_owned(), &neutral),
    ];
    for (path, text) in texts {
        let Some(text) = text else { continue };
        let (chars, most) = (text.chars().count(), settings.text_max);
        if text.trim().is_empty() {
            draft.wrong_at(&path, "is empty", "leave the field out or give it a text");
        } else if chars > most {
            draft.wrong_at(&path, format!("has {chars} characters"), format!("use at most {most}"));
        }
    }
    let style = own.style.or(neutral);
    if style.is_none() && song.lyrics.is_none() && song.lyrics_prompt.is_none() {
        draft.wrong(
            Field::Style,
            "is missing, and so are lyrics",
            "give lyrics, a lyrics_prompt, a style or a prompt",
        );
    }
    let instrumental = song.instrumental == Some(true);
    let custom_mode =
        own.custom_mode.or(settings.custom_mode).filter(|_| settings.generation == Generation::V1);
    let mut lyrics = match &song.lyrics {
        // Then they are no words, but what words should be about.
        Some(prompt) if custom_mode == Some(true) => Some(prompt.clone()),
        Some(words) => sung(words, instrumental, draft),
        None => None,
    };
    if let Some(chars) = lyrics.as_ref().map(|lyrics| lyrics.chars().count())
        && chars > settings.text_max
    {
        let most = settings.text_max;
        draft.wrong(
            Field::Lyrics,
            format!("has {chars} characters, tags included, and the vendor takes {most}"),
            format!("use at most {most}"),
        );
    }
    if settings.generation == Generation::V1 && song.lyrics.is_none() && song.lyrics_prompt.is_none() {
        if instrumental {
            lyrics = Some(INSTRUMENTAL.to_owned());
        } else {
            draft.wrong(
                Field::Lyrics,
                "is missing, which generation v1 needs",
                "give lyrics or a lyrics_prompt",
            );
        }
    }
    Input {
        lyrics,
        instrumental: song.instrumental,
        style,
        style_weight: own.style_weight,
        title: song.title.clone(),
        vocal_gender: own.vocal_gender.or(song.vocal.map(|vocal| match vocal {
            Vocal::Female => Gender::Female,
            Vocal::Male => Gender::Male,
        })),
        negative_tags: own.negative_tags,
        custom_mode,
    }
}

fn joined(song: &SongRequest) -> Option<String> {
    let parts: Vec<&str> = [&song.style, &song.genre, &song.mood, &song.prompt]
        .into_iter()
        .flatten()
        .map(|text| text.trim())
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Words in the vendor's form; nothing where they are wrong.
fn sung(words: &str, instrumental: bool, draft: &mut Draft<'_>) -> Option<String> {
    let voice = if instrumental { Voice::Silent } else { Voice::Sings };
    match lyrics::write(Field::Lyrics.as_str(), words, &GRAMMAR, voice) {
        Ok(written) => {
            draft.changed(written.changes);
            Some(written.text)
        }
        Err((fault, fix)) => {
            draft.wrong(Field::Lyrics, fault, fix);
            None
        }
    }
}
