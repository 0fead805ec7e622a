//! What goes wrong.

use serde::{Deserialize, Serialize};

mod quoting;

pub use quoting::{Doom, Refusal, Refused};

/// What goes wrong, and how often. Rates are from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// How long replies are held back, at least and at most, in ms; what was asked for is done before.
    pub latency_ms: [u64; 2],
    /// Requests refused with 429.
    pub throttle_rate: f64,
    /// What `Retry-After` and fields of the body say then, in seconds; 0 to name no wait anywhere.
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
    /// What they say then; empty for each vendor's own words.
    pub fail_message: String,
    /// Whether only the first task of a job ends badly; a job is known by what marks its tasks, or else by its words.
    pub fail_first_only: bool,
    /// Requests that are refused by what they contain, before anything is done; the first that fits counts.
    pub refuse: Vec<Refusal>,
    /// Tasks that end badly by what their submissions contain; the first that fits counts.
    pub doom: Vec<Doom>,
    /// Replies that are cut short or are a page of HTML.
    pub garble_rate: f64,
    /// Outputs that cannot be had until the task is asked for again; their address stays the same.
    pub output_expired_rate: f64,
    /// Tasks whose first address is refused for ever. Once it was refused, a request for that very task gets a fresh
    /// address; lists and callbacks show the old one until then. In Tencent's bucket the object appears then.
    pub output_expired_once_rate: f64,
    /// Tasks that are reported as successful, without output until `output_late_ms` after their end.
    pub output_late_rate: f64,
    /// How late the output of such tasks is.
    pub output_late_ms: u64,
    /// Tasks that are reported as successful and never show an output.
    pub output_never_rate: f64,
    /// The shape that the output of tasks has.
    pub output_shape: OutputShape,
    /// Of how many tasks it has.
    pub output_shape_rate: f64,
    /// How many outputs the shape `many` has.
    pub output_many: usize,
    /// The form that addresses and keys of outputs have.
    pub address_form: AddressForm,
    /// Of how many tasks they have.
    pub address_form_rate: f64,
    /// What downloads name as `Content-Encoding`, such as `aws-chunked`; empty for nothing, `mixed` for any by chance.
    pub content_encoding: String,
    /// How many files name it.
    pub content_encoding_rate: f64,
    /// Whether the bytes are encoded where the name is `gzip` or `deflate`; intact otherwise.
    pub encode_bytes: bool,
    /// What an address answers instead of the audio until `not_ready_ms` after the end of its task.
    pub not_ready: NotReady,
    /// How long it does.
    pub not_ready_ms: u64,
    /// For how many files it does.
    pub not_ready_rate: f64,
    /// What SenseAudio's `duration` is multiplied by; 1 for the real length.
    pub wrong_duration: f64,
    /// How long a connection may be idle: a request that comes later is not read, and the connection is closed without
    /// an answer. 0 for any time.
    pub close_idle_ms: u64,
    /// Whether submissions on a connection that was used before meet the same.
    pub cut_reused: bool,
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
            fail_message: String::new(),
            fail_first_only: false,
            refuse: Vec::new(),
            doom: Vec::new(),
            garble_rate: 0.0,
            output_expired_rate: 0.0,
            output_expired_once_rate: 0.0,
            output_late_rate: 0.0,
            output_late_ms: 3000,
            output_never_rate: 0.0,
            output_shape: OutputShape::default(),
            output_shape_rate: 1.0,
            output_many: 100_000,
            address_form: AddressForm::default(),
            address_form_rate: 1.0,
            content_encoding: String::new(),
            content_encoding_rate: 1.0,
            encode_bytes: true,
            not_ready: NotReady::default(),
            not_ready_ms: 3000,
            not_ready_rate: 1.0,
            wrong_duration: 1.0,
            close_idle_ms: 0,
            cut_reused: false,
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

/// The shape of an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputShape {
    /// The vendor's usual one.
    #[default]
    None,
    /// An object of named files.
    Named,
    /// A list of objects.
    Objects,
    /// A list in a list.
    Nested,
    /// The usual one under another key.
    OtherKey,
    /// JSON as text.
    Text,
    /// A picture and a MIDI file stand beside the song.
    Beside,
    /// `output_many` files.
    Many,
    /// Two songs, one of which has an address that nobody can use.
    Unusable,
    /// Any of them, by chance.
    Mixed,
}

impl OutputShape {
    /// All that `Mixed` may come to.
    pub(crate) const ODD: [Self; 8] = [
        Self::Named,
        Self::Objects,
        Self::Nested,
        Self::OtherKey,
        Self::Text,
        Self::Beside,
        Self::Many,
        Self::Unusable,
    ];
}

/// The form of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressForm {
    /// The usual one.
    #[default]
    None,
    /// Blanks and brackets in the file's name.
    Blanks,
    /// A percent sign that encodes nothing, and a pipe.
    Percent,
    /// Two slashes in the path.
    Slashes,
    /// Blanks and a line feed around it.
    LineFeed,
    /// The scheme in upper case.
    UpperCase,
    /// Letters beyond ASCII in the path.
    NonAscii,
    /// A query of odd characters.
    Query,
    /// The name of this machine, in upper case, in place of its number.
    HostName,
    /// Any of them, by chance.
    Mixed,
}

impl AddressForm {
    /// All that `Mixed` may come to.
    pub(crate) const ODD: [Self; 8] = [
        Self::Blanks,
        Self::Percent,
        Self::Slashes,
        Self::LineFeed,
        Self::UpperCase,
        Self::NonAscii,
        Self::Query,
        Self::HostName,
    ];
}

/// What an address answers while its file is not ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotReady {
    /// The file is ready.
    #[default]
    None,
    /// 200 with a page of HTML.
    Page,
    /// 200 with a JSON object.
    Json,
    /// 200 with no bytes.
    Empty,
    /// 200 with the first third of the bytes.
    FirstThird,
    /// 404.
    NotFound,
    /// Any of them, by chance.
    Mixed,
}

impl NotReady {
    /// All that `Mixed` may come to.
    pub(crate) const ODD: [Self; 5] = [Self::Page, Self::Json, Self::Empty, Self::FirstThird, Self::NotFound];
}
