//! The model's own input fields, as its page lists them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `options.replicate`: the fourteen input fields of `datasci888/musicgen_8songs`.
///
/// A field that is set here takes the place of what the neutral fields would give; one that is not set and has
/// no neutral counterpart is left to the model's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "ReplicateOptions")]
pub struct Options {
    /// A description of the music; takes the place of `prompt`, `style`, `mood` and `genre` joined.
    #[schemars(length(min = 1, max = 4000))]
    pub prompt: Option<String>,
    /// Audio whose melody is taken up, or that is continued: an `https:` or `data:` address.
    pub input_audio: Option<String>,
    /// The length in seconds; the model's default is 8.
    #[schemars(range(min = 1, max = 600))]
    pub duration: Option<i64>,
    /// True continues `input_audio`, false takes up its melody; the default is false.
    pub continuation: Option<bool>,
    /// Where in `input_audio` the continuation starts, in whole seconds; the default is 0.
    #[schemars(range(min = 0))]
    pub continuation_start: Option<i64>,
    /// Where in `input_audio` the continuation ends, in whole seconds; -1, like leaving it out, is the end.
    #[schemars(range(min = -1))]
    pub continuation_end: Option<i64>,
    /// True decodes with MultiBand Diffusion; the default is false.
    pub multi_band_diffusion: Option<bool>,
    /// How the audio's loudness is normalized; the default is `loudness`.
    pub normalization_strategy: Option<Normalization>,
    /// Sampling from the so many likeliest tokens; the default is 250.
    #[schemars(range(min = 0, max = 2048))]
    pub top_k: Option<i64>,
    /// Sampling from tokens that together have this probability; 0, the default, uses `top_k`.
    #[schemars(range(min = 0, max = 1))]
    pub top_p: Option<f64>,
    /// How daring the sampling is; the default is 1.
    #[schemars(range(min = 0, max = 100))]
    pub temperature: Option<f64>,
    /// How closely the output follows the inputs; the default is 3.
    #[schemars(range(min = 0, max = 100))]
    pub classifier_free_guidance: Option<i64>,
    /// The file format; the default is `wav`.
    pub output_format: Option<OutputFormat>,
    /// A seed; -1, like leaving it out, is random. 0 is random too and therefore refused.
    #[schemars(range(min = -1, max = 4294967295_i64))]
    pub seed: Option<i64>,
}

/// How the audio's loudness is normalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// To a loudness.
    Loudness,
    /// By clipping.
    Clip,
    /// To a peak.
    Peak,
    /// To a root mean square.
    Rms,
}

/// A file format that the model writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// RIFF with PCM.
    Wav,
    /// MPEG layer 3.
    Mp3,
}
