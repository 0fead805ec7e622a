//! The four vendors' HTTP APIs on their real paths, with real audio and faults on demand.
//!
//! Written from what is known of the vendors' wire forms and strict about what it is sent. It shares no code with
//! the crates that talk to the vendors: a form misread in one must not be misread the same way in the other.

mod audio;
mod callback;
mod config;
mod control;
mod door;
mod files;
mod gate;
mod inference_sh;
mod replicate;
mod reply;
mod senseaudio;
mod server;
mod stats;
mod tencent;
mod world;

pub use config::{
    CallbackForm, Config, Envelope, Faults, InferenceSh, LyricsMode, Numbering, OutputForm, Replicate,
    SenseAudio, Tencent, WEBHOOK_SECRET, WebhookForm,
};
pub use server::{Error, Simulator};

/// The audio that a file name of the simulator's stands for, such as `00000000000000aa-3000.mp3`; none for other names.
pub fn audio(name: &str) -> Option<Vec<u8>> {
    Some(audio::make(&audio::Recipe::of_name(name)?, 1))
}
