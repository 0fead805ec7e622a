//! The four vendors' HTTP APIs on their real paths, with real audio and faults on demand.
//!
//! Written from what is known of the vendors' wire forms and strict about what it is sent. It shares no code with
//! the crates that talk to the vendors: a form misread in one must not be misread the same way in the other.

mod audio;
mod callback;
mod control;
mod files;
mod gate;
mod inference_sh;
mod outputs;
mod quoting;
mod replicate;
mod reply;
mod senseaudio;
mod server;
mod settings;
mod tencent;
mod world;

pub use server::{Error, Simulator};
pub use settings::{
    AddressForm, CallbackForm, Config, Doom, Envelope, Faults, InferenceSh, LyricsMode, NotReady, Numbering,
    OddAudio, OutputForm, OutputShape, Refusal, Refused, Replicate, SenseAudio, Tencent, WEBHOOK_SECRET,
    WebhookForm,
};

/// The audio that a file name of the simulator's stands for, such as `00000000000000aa-3000.mp3`; none for other names.
pub fn audio(name: &str) -> Option<Vec<u8>> {
    Some(audio::make(&audio::Recipe::of_name(name)?, 1))
}
