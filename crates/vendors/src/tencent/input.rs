//! From a song request to the vendor's fields.

use songmill_core::SongRequest;
use songmill_core::flow::Size;
use songmill_core::song::{Field, Format};
use songmill_core::time::Span;

use super::Settings;
use super::options::{Emotion, Genre, Kind, Options};
use crate::draft::Draft;

/// What a job is created with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Input {
    pub(super) text: String,
    pub(super) quantity: u32,
    pub(super) emotion: Option<Emotion>,
    pub(super) genre: Option<Genre>,
    pub(super) kind: Option<Kind>,
    pub(super) prefix: Option<String>,
    /// The folder that holds the attempts' own.
    pub(super) folder: String,
    pub(super) timeout_s: Option<u64>,
}

impl Input {
    pub(super) fn size(&self) -> Size {
        Size { seconds: 0, songs: self.quantity.max(1) }
    }
}

/// Makes the input and notes in the draft what is wrong and what is left out.
pub(super) fn draft(song: &SongRequest, settings: &Settings, draft: &mut Draft<'_>) -> Input {
    let own: Options = draft.options();
    draft.range("song_quantity", own.song_quantity, 1, 100);
    draft.range("timeout", own.timeout, 1, 86_400);
    if let Some(prefix) = &own.output_prefix {
        check_prefix(prefix, draft);
    }
    if own.destination.as_deref().is_some_and(|folder| folder.trim().is_empty() || !is_folder(folder)) {
        draft.wrong_option("destination", "is no folder", FOLDER);
    }
    if song.instrumental == Some(false) {
        draft.leave_out(Field::Instrumental, "is false, and this music has no voice");
    }
    if song.format.is_some_and(|format| format != Format::Mp3) {
        draft.leave_out(Field::Format, "is not mp3, and this vendor writes mp3 only");
    }
    if settings.content_id.trim().is_empty() {
        let fix = "set vendors.tencent.content_id, and the bucket it stands for in deliver.objects";
        draft.wrong_at("vendor", "names tencent, whose content_id is not set", fix);
    }
    if !is_folder(&settings.destination) {
        let fault = "names tencent, whose destination is no folder";
        draft.wrong_at("vendor", fault, format!("set vendors.tencent.destination: {FOLDER}"));
    }
    let kind = own.kind;
    let multitrack = kind == Some(Kind::Multitrack);
    let emotion = own.emotion.or_else(|| mood(song, multitrack, draft));
    if own.emotion.is_some_and(needs_multitrack) && !multitrack {
        draft.wrong_option(
            "emotion",
            "is warm or angry without type multitrack",
            "set type to multitrack, or choose another emotion",
        );
    }
    let genre = own.genre.or_else(|| genre(song, multitrack, draft));
    if own.genre.is_some() && multitrack {
        draft.wrong_option(
            "genre",
            "stands beside type multitrack",
            "leave the genre out, or set type to large_model",
        );
    }
    Input {
        text: text(song, settings, draft),
        quantity: own.song_quantity.unwrap_or_else(|| song.songs()),
        emotion,
        genre,
        kind,
        prefix: own.output_prefix,
        folder: own.destination.unwrap_or_else(|| settings.destination.clone()),
        timeout_s: own.timeout.map(u64::from).or(settings.timeout.map(whole_seconds)),
    }
}

fn text(song: &SongRequest, settings: &Settings, draft: &mut Draft<'_>) -> String {
    let parts: Vec<&str> =
        [&song.prompt, &song.style].into_iter().flatten().map(|text| text.trim()).collect();
    if parts.is_empty() {
        draft.wrong(Field::Prompt, "is missing", "say in Chinese what the music should be");
        return String::new();
    }
    let text = parts.join("，");
    let chars = text.chars().count();
    if chars > settings.text_max {
        let fault = format!("has {chars} characters with the style");
        draft.wrong(Field::Prompt, fault, format!("use at most {}", settings.text_max));
    }
    if settings.require_chinese && !text.chars().any(is_han) {
        draft.wrong(
            Field::Prompt,
            "has no Chinese characters",
            "write it in Chinese: this vendor understands nothing else",
        );
    }
    text
}

const fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

fn needs_multitrack(emotion: Emotion) -> bool {
    matches!(emotion, Emotion::Warm | Emotion::Angry)
}

fn mood(song: &SongRequest, multitrack: bool, draft: &mut Draft<'_>) -> Option<Emotion> {
    let mood = song.mood.as_deref()?;
    match Emotion::of_name(mood) {
        Some(emotion) if needs_multitrack(emotion) && !multitrack => {
            draft.leave_out(Field::Mood, "is warm or angry, which needs options.tencent.type multitrack");
            None
        }
        Some(emotion) => Some(emotion),
        None => {
            draft.leave_out(Field::Mood, &format!("is {mood:?}, which is no emotion of this vendor"));
            None
        }
    }
}

fn genre(song: &SongRequest, multitrack: bool, draft: &mut Draft<'_>) -> Option<Genre> {
    let genre = song.genre.as_deref()?;
    match Genre::of_name(genre) {
        Some(_) if multitrack => {
            draft.leave_out(Field::Genre, "stands beside options.tencent.type multitrack");
            None
        }
        Some(genre) => Some(genre),
        None => {
            draft.leave_out(Field::Genre, &format!("is {genre:?}, which is no genre of this vendor"));
            None
        }
    }
}

const FOLDER: &str = "use at most 200 characters of names between slashes, without . and ..";

/// Whether a text is a folder that stays in its place: names between slashes, or the root.
fn is_folder(text: &str) -> bool {
    let fits = |name: &str| {
        !matches!(name, "" | "." | "..") && !name.contains(|c: char| c.is_control() || c == '\\')
    };
    let names = text.trim_matches('/');
    text.chars().count() <= 200 && (names.is_empty() || names.split('/').all(fits))
}

/// Rounded up: no time at all would end every job.
fn whole_seconds(span: Span) -> u64 {
    u64::try_from(span.get().as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}

fn check_prefix(prefix: &str, draft: &mut Draft<'_>) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if prefix.len() > 19 || !prefix.chars().all(fits) {
        let fix = "use at most 19 ASCII letters, digits, - and _";
        draft.wrong_option("output_prefix", format!("is {prefix:?}"), fix);
    }
}
