//! What vendors say of tasks, and what becomes of it: reports, outputs, assets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::callback::masked;
use crate::fault::Fault;
use crate::time::Timestamp;

/// What a vendor says of a task, by poll or by callback.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Not ended yet.
    Pending,
    /// Ended well.
    Done(Product),
    /// Ended well, it is said, but the answer shows no output that can be read (yet).
    Unreadable(RawAnswer),
    /// Ended badly; the fault says whether another attempt makes sense.
    Failed(Fault),
    /// Stopped at the vendor's, by us or by somebody else.
    Canceled,
}

/// What a finished step gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Product {
    /// Audio at the vendor, one or more pieces.
    Audio(Outputs),
    /// Words for a song, the input of a later step.
    Lyrics(Lyrics),
}

/// A vendor's answer as it came, shortened: kept for an operator where nothing in it can be read. Never for logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawAnswer(String);

/// How many bytes of an answer are kept.
const ANSWER_BYTES: usize = 4096;

impl RawAnswer {
    /// An answer without the secret part of our own callback addresses; control characters but line ends and tabs are
    /// blanks, and what goes past 4 KiB is cut off.
    pub fn new(text: &str) -> Self {
        let text = masked(text.trim());
        let mut end = text.len().min(ANSWER_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let plain = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c };
        let mut kept: String = text[..end].chars().map(plain).collect();
        if end < text.len() {
            kept.push('…');
        }
        Self(kept)
    }

    /// The answer, for its job's owner and for operators.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for RawAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawAnswer({} bytes)", self.0.len())
    }
}

/// Everything that a finished task gives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outputs {
    /// Songs and parts of songs, in the vendor's order. One that cannot be downloaded keeps its place.
    pub audio: Vec<Output>,
    /// What there is beside them.
    #[serde(default, skip_serializing_if = "Extras::is_none")]
    pub extra: Extras,
}

impl From<Vec<Output>> for Outputs {
    fn from(audio: Vec<Output>) -> Self {
        Self { audio, extra: Extras::default() }
    }
}

/// Outputs that are not delivered: listed, so that nothing is dropped silently.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extras {
    /// The first 100.
    #[serde(rename = "f", default)]
    pub files: Vec<Extra>,
    /// How many more there are.
    #[serde(rename = "m", default)]
    pub more: u32,
}

/// An output that is not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    /// Its address, or what stands in its place, shortened.
    #[serde(rename = "v")]
    pub value: String,
    /// What the vendor calls it, such as `cover_url`.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why it is not delivered.
    #[serde(rename = "r")]
    pub reason: ExtraReason,
}

/// Why an output is not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExtraReason {
    /// It is a picture, a score or another file that is not audio.
    NotAudio,
    /// It is another address of a song that is delivered.
    Alternative,
    /// It is a song beyond those that were requested.
    NotRequested,
    /// It is a song whose address cannot be used.
    Unusable,
    /// It is a song that was requested, and that the task does not show.
    Missing,
}

impl ExtraReason {
    /// Whether audio that belongs to the task is not delivered.
    pub const fn is_missing_audio(self) -> bool {
        match self {
            Self::NotRequested | Self::Unusable | Self::Missing => true,
            Self::NotAudio | Self::Alternative => false,
        }
    }

    /// Its name in records and views.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAudio => "not_audio",
            Self::Alternative => "alternative",
            Self::NotRequested => "not_requested",
            Self::Unusable => "unusable",
            Self::Missing => "missing",
        }
    }
}

/// How many bytes of all of them together at full length; the others are cut shorter.
const EXTRAS_BYTES: usize = 16_000;
/// How many extra outputs are listed.
const EXTRAS: usize = 100;
/// How many characters of each.
const EXTRA_CHARS: usize = 500;
/// How many characters of its name.
const NAME_CHARS: usize = 64;

impl Extra {
    /// An output that is not delivered; what goes past 500 characters is cut off.
    pub fn new(value: &str, name: Option<&str>, reason: ExtraReason) -> Self {
        let short = |text: &str, most| text.chars().take(most).collect();
        Self { value: short(value, EXTRA_CHARS), name: name.map(|name| short(name, NAME_CHARS)), reason }
    }
}

impl Extras {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.files.is_empty() && self.more == 0
    }

    /// Lists one more, or counts it.
    pub fn push(&mut self, extra: Extra) {
        let size = |extra: &Extra| extra.value.len() + extra.name.as_ref().map_or(0, String::len);
        let has_room = || self.files.iter().map(size).sum::<usize>() < EXTRAS_BYTES;
        if self.files.len() < EXTRAS {
            // What is listed no more at full length still stands for itself.
            let most = if has_room() { EXTRA_CHARS } else { NAME_CHARS };
            let value = extra.value.chars().take(most).collect();
            self.files.push(Extra { value, ..extra });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Whether audio that belongs to the task is not delivered.
    pub fn lacks_audio(&self) -> bool {
        self.more > 0 || self.files.iter().any(|extra| extra.reason.is_missing_audio())
    }
}

/// Lyrics that a vendor wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lyrics {
    /// The words with their section tags.
    pub text: String,
    /// A title, where the vendor gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// Audio at the vendor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Where it can be had.
    pub source: Source,
    /// What it is besides the song itself, such as `vocal` or `bgm` stems.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// A title, where the vendor gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// When the vendor stops serving it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// How long it plays by the vendor's own account, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// How long the vendor worked on the task, in ms, where it says and charges by it; on one output of a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worked_ms: Option<u64>,
}

impl Output {
    /// An output at an address, with nothing else known of it.
    pub fn at(url: impl Into<String>) -> Self {
        Self::from(Source::Url(url.into()))
    }

    /// An output that is said to be there but cannot be downloaded, and what stands in its place.
    pub fn unusable(text: &str) -> Self {
        Self::from(Source::Unusable(text.chars().take(EXTRA_CHARS).collect()))
    }

    /// Whether it can be downloaded.
    pub const fn is_usable(&self) -> bool {
        !matches!(self.source, Source::Unusable(_))
    }
}

impl From<Source> for Output {
    fn from(source: Source) -> Self {
        Self { source, part: None, title: None, expires: None, duration_ms: None, worked_ms: None }
    }
}

/// Where audio can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An address to GET, without our credentials.
    Url(String),
    /// An object in a bucket that the operator's settings know by the name `store` (Tencent's contentId).
    Object {
        /// The store's name in the settings.
        store: String,
        /// The object's key, without a leading slash.
        key: String,
    },
    /// Nothing that can be downloaded, and what stands in the address's place: empty where nothing does (yet).
    Unusable(String),
}

impl Source {
    /// The address, the key, or what stands in its place.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Url(text) | Self::Object { key: text, .. } | Self::Unusable(text) => text,
        }
    }
}

/// Audio in our storage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asset {
    /// Where it lies in the operator's storage, relative to its root.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hex.
    pub sha256: String,
    /// `mp3`, `wav`, `flac`, `m4a`, `ogg`, `opus` or others, as the extension of such files: what the bytes are, not
    /// what the address said.
    pub format: String,
    /// How long it plays, in milliseconds; 0 where it is `unchecked`.
    pub duration_ms: u64,
    /// What it is besides the song itself, such as `vocal` or `bgm` stems.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// A title, where the vendor gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is odd about it; it was taken all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
}

/// What is odd about a piece of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// It plays for much less than was asked for.
    TooShort,
    /// It plays for much longer than was asked for.
    TooLong,
    /// Much of it is silence.
    Silent,
    /// Much of it is as loud as can be written down, and distorted.
    Clipped,
    /// It ends before its own header says, or parts of it cannot be decoded.
    Damaged,
    /// It is audio that could not be decoded here: its length, and what is to be heard, are not known.
    Unchecked,
    /// It could not be converted, and is as it came.
    NotConverted,
    /// It is good, but other audio of the same task was not, or could not be had.
    Incomplete,
}

impl Flag {
    /// Its name in records and views.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::Silent => "silent",
            Self::Clipped => "clipped",
            Self::Damaged => "damaged",
            Self::Unchecked => "unchecked",
            Self::NotConverted => "not_converted",
            Self::Incomplete => "incomplete",
        }
    }
}
