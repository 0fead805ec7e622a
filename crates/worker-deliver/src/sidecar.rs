//! What is written beside each piece of audio: where it comes from, what was asked for, and what was found.

use serde::{Deserialize, Serialize};
use songmill_core::{Asset, BatchName, JobId, TaskId, Tenant, VendorName};

/// The file beside a piece of audio, at its path with `.json` behind it. Fields are only ever added; moments are RFC 3339.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sidecar {
    /// The form of this file.
    pub version: u32,
    /// The job.
    pub job: JobId,
    /// Whose it is.
    pub tenant: Tenant,
    /// The batch it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchName>,
    /// The caller's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_id: Option<String>,
    /// The number of the audio within the job, from 1.
    pub n: usize,
    /// The audio: `path`, `bytes`, `sha256` and what else results say of it.
    #[serde(flatten)]
    pub asset: Asset,
    /// Who made it, and of what.
    pub origin: Origin,
    /// What was asked for, as it was enqueued.
    pub request: serde_json::Value,
    /// What can be heard.
    pub sound: Sound,
}

/// Who made a piece of audio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The vendor.
    pub vendor: VendorName,
    /// The model, as the vendor names it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// The vendor's id of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Which submission of the job it came of, from 1.
    pub attempt: u32,
    /// The seed that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// What the job has cost so far, all attempts together.
    pub cost: f64,
    /// In which currency.
    pub currency: String,
    /// When the job was enqueued.
    pub created: String,
    /// When the submission began.
    pub submitted: String,
    /// When the audio was stored.
    pub stored: String,
    /// SHA-256 of what the vendor gave, where tags or a conversion have changed it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What can be heard in a piece of audio, as the vendor gave it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// Channels.
    pub channels: u16,
    /// The loudest sample, in dB below full scale; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_db: Option<f32>,
    /// The mean (RMS), in dB below full scale; absent where all is silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_db: Option<f32>,
    /// Which part of it is silent (below -60 dB for a twentieth of a second), from 0 to 1.
    pub silent: f32,
    /// Which part of its samples is clipped, from 0 to 1.
    pub clipped: f32,
    /// Which part of it could not be decoded, from 0 to 1.
    pub damaged: f32,
    /// Its waveform: the loudest sample of each of up to 200 equal parts, 00 to ff in hex.
    pub peaks: String,
}
