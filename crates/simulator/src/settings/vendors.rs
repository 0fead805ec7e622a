//! How each simulated vendor is.

use serde::{Deserialize, Serialize};

/// The secret that Replicate's callbacks are signed with by default.
pub const WEBHOOK_SECRET: &str = "whsec_c29uZ21pbGwgc2ltdWxhdG9yIHdlYmhvb2sga2V5";

/// How the simulated Replicate is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Replicate {
    /// The API token that is accepted.
    pub token: String,
    /// The secret that callbacks are signed with.
    pub webhook_secret: String,
    /// How long outputs and the prediction's data are kept after the end, in seconds.
    pub retention_s: u64,
    /// How often a terminal callback is tried in all.
    pub callback_tries: u32,
    /// Whether `output` is a list of one address instead of an address.
    pub output_list: bool,
}

impl Default for Replicate {
    fn default() -> Self {
        Self {
            token: "sim-replicate".into(),
            webhook_secret: WEBHOOK_SECRET.into(),
            retention_s: 3600,
            callback_tries: 5,
            output_list: false,
        }
    }
}

/// inference.sh's status numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbering {
    /// 9 uploading, 10 completed, 11 failed, 12 cancelled.
    #[default]
    Current,
    /// 9 completed, 10 failed, 11 cancelled.
    Legacy,
}

/// How inference.sh wraps its replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// `{"data": …, "messages": []}`.
    #[default]
    Current,
    /// `{"success": true, "status": 200, "data": …}`.
    V1,
    /// The object itself.
    V2Bare,
}

/// How inference.sh's callbacks look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookForm {
    /// The task.
    #[default]
    Flat,
    /// `{"event", "timestamp", "data"}`.
    Enveloped,
    /// `{"data", "messages"}`.
    Data,
}

/// How inference.sh names output files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputForm {
    /// An address.
    #[default]
    String,
    /// `{"uri": …}`.
    Object,
}

/// How the simulated inference.sh is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InferenceSh {
    /// The API key that is accepted.
    pub key: String,
    /// Its status numbers.
    pub numbering: Numbering,
    /// How it wraps its replies.
    pub envelope: Envelope,
    /// How its callbacks look.
    pub webhook_form: WebhookForm,
    /// How it names output files.
    pub output_form: OutputForm,
    /// How often a callback is tried in all.
    pub callback_tries: u32,
    /// Whether a warm worker keeps the first task's `max_duration`, as the real one does.
    pub sticky: bool,
}

impl Default for InferenceSh {
    fn default() -> Self {
        Self {
            key: "sim-inference".into(),
            numbering: Numbering::default(),
            envelope: Envelope::default(),
            webhook_form: WebhookForm::default(),
            output_form: OutputForm::default(),
            callback_tries: 1,
            sticky: false,
        }
    }
}

/// How Tencent's callbacks look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackForm {
    /// The job.
    #[default]
    Bare,
    /// `{"job": …}`.
    Job,
    /// `{"requestId", "getJobResponse": {"job": …}}`.
    Response,
}

/// How the simulated Tencent is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tencent {
    /// The secret id that is accepted.
    pub secret_id: String,
    /// The secret key that is accepted.
    pub secret_key: String,
    /// The store that is known.
    pub content_id: String,
    /// The bucket that the store stands for.
    pub bucket: String,
    /// How its callbacks look.
    pub callback_form: CallbackForm,
    /// How often a callback is tried in all.
    pub callback_tries: u32,
    /// Whether an emotion or genre that does not fit the type is refused instead of ignored.
    pub reject_combinations: bool,
}

impl Default for Tencent {
    fn default() -> Self {
        Self {
            secret_id: "sim-id".into(),
            secret_key: "sim-secret".into(),
            content_id: "sim".into(),
            bucket: "sim-1250000000".into(),
            callback_form: CallbackForm::default(),
            callback_tries: 1,
            reject_combinations: true,
        }
    }
}

/// How SenseAudio answers a request for lyrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LyricsMode {
    /// With the words.
    Sync,
    /// With a task.
    Async,
    /// In turns.
    #[default]
    Alternate,
}

/// How the simulated SenseAudio is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SenseAudio {
    /// The API key that is accepted.
    pub key: String,
    /// How a request for lyrics is answered.
    pub lyrics_mode: LyricsMode,
    /// How long an output's address serves, in seconds; asking for the task again gives a fresh one.
    pub url_ttl_s: u64,
}

impl Default for SenseAudio {
    fn default() -> Self {
        Self { key: "sim-senseaudio".into(), lyrics_mode: LyricsMode::default(), url_ttl_s: 3600 }
    }
}
