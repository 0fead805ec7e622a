//! The song request: one form that fits all vendors.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::flow::{Asked, Priority};
use crate::id::{JobId, VendorName};
use crate::time::Timestamp;

/// One song (or `count` songs) as the caller asks for it, in words no vendor owns.
///
/// A field that the chosen vendor cannot honour is left out and reported in the job's result, unless the
/// caller named it in `require`: then the request is refused for that vendor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SongRequest {
    /// The caller's own id of this song, unique within its batch. Sending it again creates nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub custom_id: Option<String>,
    /// The vendor to use, or several in order of preference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<VendorChoice>,
    /// What the music should be, in plain words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4000))]
    pub prompt: Option<String>,
    /// Style tags such as `pop, female vocal, 110 bpm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub style: Option<String>,
    /// The words to sing: sections joined by ` ; `, each opened by a tag such as `[verse]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10000))]
    pub lyrics: Option<String>,
    /// What the words should be about, for a vendor that writes them first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4000))]
    pub lyrics_prompt: Option<String>,
    /// True for music without a voice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instrumental: Option<bool>,
    /// The voice that sings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocal: Option<Vocal>,
    /// The mood, such as `happy` or `quiet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub mood: Option<String>,
    /// The genre, such as `pop` or `jazz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub genre: Option<String>,
    /// How long the song should be, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600))]
    pub duration_s: Option<u32>,
    /// A seed for vendors whose work can be repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4294967295_u32))]
    pub seed: Option<u32>,
    /// How many songs to make of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub count: Option<u32>,
    /// The song's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
    /// Audio to take after: an `https:` address, or a `data:audio/…;base64,` address of at most 512 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_audio: Option<String>,
    /// The file format to deliver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// How urgent it is beside its tenant's others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Not to be submitted before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Moment>,
    /// Not to be submitted after this moment: then it fails instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Moment>,
    /// What makes this song the same as another of its tenant, whatever their ids: the second one is refused. `auto`
    /// is made of the request itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub content_key: Option<String>,
    /// Names of fields that the vendor must honour; the others are preferences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<Field>,
    /// Each vendor's own fields, by vendor name, in that vendor's own words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<VendorName, serde_json::Map<String, serde_json::Value>>,
}

/// A moment in RFC 3339, such as `2026-12-24T18:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub struct Moment(#[schemars(with = "String", extend("format" = "date-time"))] pub Timestamp);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX);
        write!(f, "{}", jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX))
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        let read =
            text.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
        let wrong =
            || serde::de::Error::custom(format!("{text:?} is no moment such as 2026-12-24T18:00:00Z"));
        read.map(|millis| Self(Timestamp::from_millis(millis))).ok_or_else(wrong)
    }
}

/// A vendor, or several in order of preference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum VendorChoice {
    /// This one.
    One(VendorName),
    /// The first that can, in this order.
    Several(#[schemars(length(min = 1, max = 8))] Vec<VendorName>),
}

impl VendorChoice {
    /// The vendors in order of preference.
    pub fn names(&self) -> &[VendorName] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

/// The voice that sings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Vocal {
    /// A woman's.
    Female,
    /// A man's.
    Male,
}

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// MPEG layer 3.
    Mp3,
    /// RIFF with PCM.
    Wav,
    /// Free lossless audio codec.
    Flac,
}

/// A field of a song request that a vendor may or may not honour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the field of the same name, documented there")]
pub enum Field {
    Prompt,
    Style,
    Lyrics,
    LyricsPrompt,
    Instrumental,
    Vocal,
    Mood,
    Genre,
    DurationS,
    Seed,
    Count,
    Title,
    ReferenceAudio,
    Format,
}

impl Field {
    /// Every field, in the order of the form.
    pub const ALL: [Self; 14] = [
        Self::Prompt,
        Self::Style,
        Self::Lyrics,
        Self::LyricsPrompt,
        Self::Instrumental,
        Self::Vocal,
        Self::Mood,
        Self::Genre,
        Self::DurationS,
        Self::Seed,
        Self::Count,
        Self::Title,
        Self::ReferenceAudio,
        Self::Format,
    ];

    /// The field's name in the request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Style => "style",
            Self::Lyrics => "lyrics",
            Self::LyricsPrompt => "lyrics_prompt",
            Self::Instrumental => "instrumental",
            Self::Vocal => "vocal",
            Self::Mood => "mood",
            Self::Genre => "genre",
            Self::DurationS => "duration_s",
            Self::Seed => "seed",
            Self::Count => "count",
            Self::Title => "title",
            Self::ReferenceAudio => "reference_audio",
            Self::Format => "format",
        }
    }
}

/// What is wrong with one field of a request, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The field's path, such as `options.tencent.emotion`.
    pub field: String,
    /// What is wrong with its value.
    pub fault: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.field, self.fault, self.fix)
    }
}

/// A request that cannot be taken: everything that is wrong with it, at least one problem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Invalid {
    /// What is wrong, in the order of the form.
    pub problems: Vec<Problem>,
}

impl Invalid {
    /// Notes a problem.
    pub fn push(&mut self, field: impl Into<String>, fault: impl Into<String>, fix: impl Into<String>) {
        self.problems.push(Problem { field: field.into(), fault: fault.into(), fix: fix.into() });
    }

    /// One problem alone.
    pub fn one(field: impl Into<String>, fault: impl Into<String>, fix: impl Into<String>) -> Self {
        let mut invalid = Self::default();
        invalid.push(field, fault, fix);
        invalid
    }

    /// `Ok` when nothing is wrong.
    pub fn none_or_err(self) -> Result<(), Self> {
        if self.problems.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if i > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// The longest `data:` address taken as reference audio, in characters: 512 KiB of base 64.
pub const REFERENCE_DATA_MAX: usize = 512 * 1024;

impl SongRequest {
    /// Reads a request from JSON and checks what can be checked without a vendor.
    pub fn from_json(json: &[u8]) -> Result<Self, Invalid> {
        // A list of values would be taken for the fields in their order.
        if json.trim_ascii_start().first() == Some(&b'[') {
            return Err(Invalid::one("(line)", "is a list", "put one JSON object on a line"));
        }
        let mut from = serde_json::Deserializer::from_slice(json);
        let song: Self = serde_path_to_error::deserialize(&mut from).map_err(|error| {
            let (path, cause) = (error.path().to_string(), error.inner().to_string());
            let field = match (path.as_str(), unknown_field(&cause)) {
                (".", Some(name)) => name.to_owned(),
                (_, Some(name)) if !path.ends_with(name) => format!("{path}.{name}"),
                (".", None) => "(line)".to_owned(),
                _ => path,
            };
            let mut cause = cause.split(" at line ").next().unwrap_or_default().to_owned();
            if error.inner().is_syntax() || error.inner().is_eof() {
                cause = format!("is not JSON ({cause})");
            }
            Invalid::one(field, cause, "see `songmill schema` for the form of a song request")
        })?;
        from.end().map_err(|_| {
            Invalid::one("(line)", "there is more after the request", "put one JSON object on a line")
        })?;
        song.check()?;
        Ok(song)
    }

    /// Checks what can be checked without a vendor: lengths, ranges and fields that exclude each other.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut wrong = Invalid::default();
        let texts = [
            ("custom_id", &self.custom_id, 128),
            ("prompt", &self.prompt, 4000),
            ("style", &self.style, 1000),
            ("lyrics", &self.lyrics, 10_000),
            ("lyrics_prompt", &self.lyrics_prompt, 4000),
            ("mood", &self.mood, 100),
            ("genre", &self.genre, 100),
            ("title", &self.title, 200),
            ("content_key", &self.content_key, 128),
        ];
        for (field, text, most) in texts {
            let Some(text) = text else { continue };
            let chars = text.chars().count();
            if text.trim().is_empty() {
                wrong.push(field, "is empty", "leave the field out or give it a text");
            } else if chars > most {
                wrong.push(field, format!("has {chars} characters"), format!("use at most {most}"));
            }
        }
        if self.custom_id.as_deref().is_some_and(|id| id.chars().any(char::is_control)) {
            wrong.push("custom_id", "has control characters", "use printable characters");
        }
        let numbers = [
            ("duration_s", self.duration_s, 1, 600),
            ("seed", self.seed, 1, u32::MAX),
            ("count", self.count, 1, 100),
        ];
        for (field, value, least, most) in numbers {
            if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
                wrong.push(field, format!("is {value}"), format!("use {least} to {most}"));
            }
        }
        if let (Some(from), Some(to)) = (self.not_before, self.deadline)
            && from > to
        {
            wrong.push(
                "deadline",
                format!("is before not_before ({from})"),
                "set it later, or leave one out",
            );
        }
        if self.lyrics.is_some() && self.lyrics_prompt.is_some() {
            wrong.push(
                "lyrics_prompt",
                "stands beside lyrics",
                "give the words or what they are about, not both",
            );
        }
        if self.instrumental == Some(true) {
            for (field, set) in
                [("lyrics_prompt", self.lyrics_prompt.is_some()), ("vocal", self.vocal.is_some())]
            {
                if set {
                    wrong.push(field, "stands beside instrumental: true", "leave one of the two out");
                }
            }
        }
        let words = [&self.prompt, &self.style, &self.lyrics, &self.lyrics_prompt];
        if words.iter().all(|text| text.is_none()) && self.reference_audio.is_none() {
            wrong.push(
                "prompt",
                "is missing",
                "give at least one of prompt, style, lyrics, lyrics_prompt, reference_audio",
            );
        }
        if let Some(audio) = &self.reference_audio {
            check_reference(audio, &mut wrong);
        }
        match self.vendor.as_ref().map(VendorChoice::names) {
            Some([]) => wrong.push("vendor", "is an empty list", "name at least one vendor"),
            Some(names) if names.len() > 8 => {
                wrong.push("vendor", "names more than 8 vendors", "name at most 8")
            }
            Some(names) => {
                if let Some(twice) = (1..names.len()).find(|&i| names[..i].contains(&names[i])) {
                    wrong.push("vendor", format!("names {} twice", names[twice]), "name each vendor once");
                }
            }
            None => {}
        }
        for field in &self.require {
            if !self.has(*field) {
                wrong.push(
                    "require",
                    format!("names {}, which is not set", field.as_str()),
                    "set the field or leave it out of require",
                );
            }
        }
        wrong.none_or_err()
    }

    /// Whether the caller set this field to something that asks for anything.
    pub fn has(&self, field: Field) -> bool {
        match field {
            Field::Prompt => self.prompt.is_some(),
            Field::Style => self.style.is_some(),
            Field::Lyrics => self.lyrics.is_some(),
            Field::LyricsPrompt => self.lyrics_prompt.is_some(),
            Field::Instrumental => self.instrumental.is_some(),
            Field::Vocal => self.vocal.is_some(),
            Field::Mood => self.mood.is_some(),
            Field::Genre => self.genre.is_some(),
            Field::DurationS => self.duration_s.is_some(),
            Field::Seed => self.seed.is_some(),
            Field::Count => self.count.is_some(),
            Field::Title => self.title.is_some(),
            Field::ReferenceAudio => self.reference_audio.is_some(),
            Field::Format => self.format.is_some(),
        }
    }

    /// What is asked for, as far as it decides what it costs and how long it takes.
    pub fn asked(&self) -> Asked {
        Asked { seconds: self.duration_s.unwrap_or(0), songs: self.songs() }
    }

    /// What makes two requests of a tenant the same, where the caller cares.
    pub fn content(&self) -> Option<String> {
        let key = self.content_key.as_deref()?;
        if key != "auto" {
            return Some(key.to_owned());
        }
        let mut content = self.clone();
        (content.custom_id, content.priority, content.not_before, content.deadline) =
            (None, None, None, None);
        (content.title, content.content_key) = (None, None);
        let json = serde_json::to_string(&content).expect("a song request is always JSON");
        Some(format!("auto-{}", JobId::derive("content", &json)))
    }

    /// How many songs are asked for: `count`, or one.
    pub fn songs(&self) -> u32 {
        self.count.unwrap_or(1)
    }
}

fn unknown_field(cause: &str) -> Option<&str> {
    cause.strip_prefix("unknown field `")?.split('`').next()
}

fn check_reference(audio: &str, wrong: &mut Invalid) {
    let field = "reference_audio";
    if let Some(data) = audio.strip_prefix("data:") {
        if !data.starts_with("audio/") || !data.contains(";base64,") {
            wrong.push(field, "is a data address of no audio", "use data:audio/wav;base64,… (or mpeg, flac)");
        } else if audio.len() > REFERENCE_DATA_MAX {
            let fix =
                format!("use at most {REFERENCE_DATA_MAX}, or put the file where it has an https address");
            wrong.push(field, format!("has {} characters", audio.len()), fix);
        }
    } else if !audio.starts_with("https://") && !audio.starts_with("http://") {
        wrong.push(field, "is no address", "use an https: or a data: address");
    } else if audio.len() > 2000 || audio.chars().any(|c| c.is_whitespace() || c.is_control()) {
        wrong.push(field, "is too long or has blanks", "use at most 2000 characters, percent-encoded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: &str) -> Vec<String> {
        match SongRequest::from_json(json.as_bytes()) {
            Ok(_) => vec![],
            Err(invalid) => invalid.problems.iter().map(|problem| problem.field.clone()).collect(),
        }
    }

    #[test]
    fn a_good_request_is_taken() {
        let song = SongRequest::from_json(
            r#"{"vendor":["replicate","tencent"],"prompt":"一首歌","seed":7}"#.as_bytes(),
        );
        assert_eq!(song.unwrap().vendor.unwrap().names().len(), 2);
    }

    #[test]
    fn every_fault_names_its_field() {
        assert_eq!(problems("{}"), ["prompt"]);
        assert_eq!(problems(r#"{"promt":"x"}"#), ["promt"]);
        assert_eq!(problems(r#"{"prompt":7}"#), ["prompt"]);
        assert_eq!(problems(r#"{"prompt":"x","count":0,"duration_s":601}"#), ["duration_s", "count"]);
        assert_eq!(problems(r#"{"lyrics":"a","lyrics_prompt":"b"}"#), ["lyrics_prompt"]);
        assert_eq!(problems(r#"{"prompt":"x","instrumental":true,"vocal":"male"}"#), ["vocal"]);
        assert_eq!(problems(r#"{"prompt":"x","vendor":"Bad Name"}"#), ["vendor"]);
        assert_eq!(problems(r#"{"prompt":"x","require":["seed"]}"#), ["require"]);
        assert_eq!(problems(r#"{"prompt":"x","reference_audio":"ftp://a"}"#), ["reference_audio"]);
        assert_eq!(problems(r#"{"prompt":"x"} {}"#), ["(line)"]);
        assert_eq!(problems("not json"), ["(line)"]);
        assert_eq!(problems(r#"{"prompt":"  "}"#), ["prompt"]);
    }
}
