//! Settings of the simulator.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

mod faults;
mod vendors;

pub use faults::{AddressForm, Doom, Faults, NotReady, OddAudio, OutputShape, Refusal, Refused};
pub use vendors::{
    CallbackForm, Envelope, InferenceSh, LyricsMode, Numbering, OutputForm, Replicate, SenseAudio, Tencent,
    WEBHOOK_SECRET, WebhookForm,
};

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
