//! The song request: one form that fits all vendors.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod change;
mod check;
mod ignored;

pub use change::{Change, ChangeExample, ChangeKind, PlannedChange, summary};
pub use ignored::IgnoredField;

use crate::flow::Priority;
use crate::id::{JobId, VendorName};
use crate::time::Timestamp;

/// One song (or `count` songs) as the caller asks for it, in words no vendor owns.
///
/// A field that the chosen vendor cannot honour is left out and reported in the job's result, unless the
/// caller named it in `require`: then the request is refused for that vendor. `lyrics` and `count` are left out only where
/// `allow_ignored` names them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SongRequest {
    /// The caller's own id of this song, unique within its batch. Sending it again creates nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub custom_id: Option<String>,
    /// The vendor to use, or several in order of preference. `auto` takes all that can, the best one first: by health,
    /// price and expected time.
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
    /// The words to sing. Plain text will do: blank lines divide sections, and headings such as `[Verse 1]` or
    /// `Chorus:` are understood. What is sent differs only where the vendor's page demands it, and every difference
    /// is shown by the plan and by the job (`docs/lyrics.md`).
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
    /// The language of the words that are sung, as ISO 639 has it, such as `zh` or `en`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z]{2,3}$"))]
    pub language: Option<String>,
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
    /// Names of fields that a vendor may ignore although it is another song then, or another number of songs: `lyrics`,
    /// `count`. Without it such a vendor is not asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_ignored: Vec<Field>,
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
    Several(#[schemars(with = "VendorNames")] Vec<VendorName>),
}

/// Vendors in order of preference.
// A type of its own, since generators of clients cannot name a list that stands within a choice.
#[derive(JsonSchema)]
#[schemars(transparent)]
struct VendorNames(
    #[expect(dead_code, reason = "only its schema is used")]
    #[schemars(length(min = 1, max = 8))]
    Vec<VendorName>,
);

impl VendorChoice {
    /// Whether a name leaves the choice to us.
    pub fn is_auto(name: &VendorName) -> bool {
        name.as_str() == "auto"
    }

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
#[schemars(rename = "SongField")]
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
    Language,
}

impl Field {
    /// Every field, in the order of the form.
    pub const ALL: [Self; 15] = [
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
        Self::Language,
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
            Self::Language => "language",
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
            Field::Language => self.language.is_some(),
        }
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
        (content.title, content.content_key, content.allow_ignored) = (None, None, Vec::new());
        let json = serde_json::to_string(&content).expect("a song request is always JSON");
        Some(format!("auto-{}", JobId::derive("content", &json)))
    }

    /// The same song, whatever may be ignored of it: submitted with leave it is no other than without.
    pub fn without_leave(&self) -> Cow<'_, Self> {
        match self.allow_ignored.is_empty() {
            true => Cow::Borrowed(self),
            false => Cow::Owned(Self { allow_ignored: Vec::new(), ..self.clone() }),
        }
    }

    /// How many songs are asked for: `count`, or one.
    pub fn songs(&self) -> u32 {
        self.count.unwrap_or(1)
    }
}
