//! What vendors say of tasks, and what becomes of it: reports, outputs, assets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::time::Timestamp;

/// What a vendor says of a task, by poll or by callback.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Not ended yet.
    Pending,
    /// Ended well.
    Done(Product),
    /// Ended badly; the fault says whether another attempt makes sense.
    Failed(Fault),
    /// Stopped at the vendor's, by us or by somebody else.
    Canceled,
}

/// What a finished step gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Product {
    /// Audio at the vendor, one or more pieces.
    Audio(Vec<Output>),
    /// Words for a song, the input of a later step.
    Lyrics(Lyrics),
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
    /// How long it plays by the vendor's own words, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// How long the vendor worked on the task, in ms, where it says and charges by it; on one output of a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worked_ms: Option<u64>,
}

impl Output {
    /// An output at an address, with nothing else known of it.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            source: Source::Url(url.into()),
            part: None,
            title: None,
            expires: None,
            duration_ms: None,
            worked_ms: None,
        }
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
