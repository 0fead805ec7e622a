//! The manifest of an export: a line for each job.

use serde::{Deserialize, Serialize};
use songmill_core::view::FaultView;
use songmill_core::{JobId, VendorName};

/// Its name.
pub(super) const MANIFEST: &str = "manifest.jsonl";

/// A line of the manifest.
#[derive(Serialize)]
pub(super) struct Line {
    pub(super) batch: String,
    pub(super) id: JobId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) custom_id: Option<String>,
    pub(super) state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vendor: Option<VendorName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt: Option<String>,
    pub(super) files: Vec<FileLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<FaultView>,
}

/// A piece of audio in the manifest.
#[derive(Serialize)]
pub(super) struct FileLine {
    pub(super) n: usize,
    /// Its name in the export.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) format: String,
    pub(super) duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    pub(super) flags: Vec<String>,
    /// Why it is not in the export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missing: Option<String>,
}

/// A line of an earlier manifest.
#[derive(Deserialize)]
pub(super) struct Earlier {
    #[serde(default)]
    pub(super) batch: Option<String>,
    pub(super) id: JobId,
    pub(super) files: Vec<EarlierFile>,
}

/// A piece of audio there.
#[derive(Deserialize)]
pub(super) struct EarlierFile {
    pub(super) n: usize,
    pub(super) path: String,
    #[serde(default)]
    pub(super) missing: Option<String>,
}
