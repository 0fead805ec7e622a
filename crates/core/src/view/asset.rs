//! What a job delivered, and what it did not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::JobId;
use crate::report::{Asset, Extra, ExtraReason, Flag};

/// A piece of audio in storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Asset")]
pub struct AssetView {
    /// Its number within the job, from 1.
    pub n: usize,
    /// Where the API serves it, relative to the API's own address.
    pub url: String,
    /// Where it lies in the operator's storage, relative to its root.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hex.
    pub sha256: String,
    /// `mp3`, `wav`, `flac`, `m4a`, `ogg`, `opus` or others, as the extension of such files: what the bytes are.
    pub format: String,
    /// How long it plays; 0 where it is `unchecked`.
    pub duration_ms: u64,
    /// What it is besides the song itself, such as `vocal` or `bgm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is odd about it; it was taken all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
}

impl AssetView {
    pub(super) fn of(job: JobId, n: usize, asset: &Asset) -> Self {
        Self {
            n: n + 1,
            url: format!("/v1/jobs/{job}/assets/{}", n + 1),
            path: asset.path.clone(),
            bytes: asset.bytes,
            sha256: asset.sha256.clone(),
            format: asset.format.clone(),
            duration_ms: asset.duration_ms,
            part: asset.part.clone(),
            title: asset.title.clone(),
            flags: asset.flags.clone(),
        }
    }
}

/// An output of a task that is not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ExtraOutput")]
pub struct ExtraView {
    /// Its address, or what stands in its place, shortened.
    pub value: String,
    /// What the vendor calls it, such as `cover_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why it is not delivered.
    pub reason: ExtraReason,
}

impl From<&Extra> for ExtraView {
    fn from(extra: &Extra) -> Self {
        let Extra { value, name, reason } = extra;
        Self { value: value.clone(), name: name.clone(), reason: *reason }
    }
}
