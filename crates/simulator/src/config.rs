//! Settings of the simulator.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The secret that Replicate's callbacks are signed with by default.
pub const WEBHOOK_SECRET: &str = "whsec_c29uZ21pbGwgc2ltdWxhdG9yIHdlYmhvb2sga2V5";

/// All settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; port 0 for a free one.
    pub listen: SocketAddr,
    /// What all chance follows from.
    pub seed: u64,
    /// How long a task takes, at least and at most, in ms.
    pub generation_ms: [u64; 2],
    /// The longest audio that is made, in seconds; more is asked for in vain.
    pub audio_seconds_most: u32,
    /// How many tasks of a vendor are remembered; the oldest are forgotten first.
    pub tasks_most: usize,
    /// What goes wrong.
    pub faults: Faults,
    /// Replicate.
    pub replicate: Replicate,
    /// inference.sh.
    pub inference_sh: InferenceSh,
    /// Tencent.
    pub tencent: Tencent,
    /// SenseAudio.
    pub senseaudio: SenseAudio,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            seed: 1,
            generation_ms: [300, 1500],
            audio_seconds_most: 30,
            tasks_most: 1_000_000,
            faults: Faults::default(),
            replicate: Replicate::default(),
            inference_sh: InferenceSh::default(),
            tencent: Tencent::default(),
            senseaudio: SenseAudio::default(),
        }
    }
}

/// What goes wrong, and how often. Rates are from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// How long replies are held back, at least and at most, in ms; what was asked for is done before.
    pub latency_ms: [u64; 2],
    /// Requests refused with 429.
    pub throttle_rate: f64,
    /// What `Retry-After` says then, in seconds.
    pub retry_after_s: u64,
    /// Tasks under way at the same time before more are refused with 429; 0 for any number.
    pub in_flight_most: usize,
    /// Submissions in a window of time before more are refused with 429; 0 for any number.
    pub creates_most: usize,
    /// The same for all other requests.
    pub reads_most: usize,
    /// How long that window is.
    pub window_ms: u64,
    /// Requests refused with 5xx before anything is done.
    pub server_error_rate: f64,
    /// Requests that nothing is done for and that are cut after `timeout_ms`.
    pub timeout_rate: f64,
    /// How long such requests hang.
    pub timeout_ms: u64,
    /// Submissions that are taken but whose reply is lost.
    pub reply_lost_rate: f64,
    /// Tasks that end badly.
    pub fail_rate: f64,
    /// Replies that are cut short or are a page of HTML.
    pub garble_rate: f64,
    /// Outputs that cannot be had until the task is asked for again.
    pub output_expired_rate: f64,
    /// What is wrong with the audio of tasks.
    pub audio: OddAudio,
    /// Of how many tasks it is.
    pub audio_rate: f64,
    /// How long a new task is missing from look-ups, in ms.
    pub lookup_lag_ms: u64,
    /// Every key is refused.
    pub locked: bool,
    /// Tasks do not end until this is false again.
    pub hold: bool,
    /// inference.sh speaks the numbering that it is not set to.
    pub wrong_numbering: bool,
    /// Callbacks never sent.
    pub callback_drop_rate: f64,
    /// Callbacks sent twice.
    pub callback_double_rate: f64,
    /// Callbacks sent late by `callback_delay_ms`.
    pub callback_late_rate: f64,
    /// How late.
    pub callback_delay_ms: u64,
    /// Tasks that end at once, and whose callback is sent before the reply to their submission.
    pub callback_early_rate: f64,
    /// Callbacks whose body is garbled.
    pub callback_garble_rate: f64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            latency_ms: [0, 0],
            throttle_rate: 0.0,
            retry_after_s: 1,
            in_flight_most: 0,
            creates_most: 0,
            reads_most: 0,
            window_ms: 60_000,
            server_error_rate: 0.0,
            timeout_rate: 0.0,
            timeout_ms: 60_000,
            reply_lost_rate: 0.0,
            fail_rate: 0.0,
            garble_rate: 0.0,
            output_expired_rate: 0.0,
            audio: OddAudio::default(),
            audio_rate: 1.0,
            lookup_lag_ms: 0,
            locked: false,
            hold: false,
            wrong_numbering: false,
            callback_drop_rate: 0.0,
            callback_double_rate: 0.0,
            callback_late_rate: 0.0,
            callback_delay_ms: 2000,
            callback_early_rate: 0.0,
            callback_garble_rate: 0.0,
        }
    }
}

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

/// What is wrong with audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OddAudio {
    /// Nothing.
    #[default]
    None,
    /// Its end is missing.
    Cut,
    /// It is silent.
    Silent,
    /// It is far too loud.
    Clipped,
    /// It is a page of HTML, called audio.
    Page,
    /// It has no bytes.
    Empty,
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
