//! Workers that collect audio and send notices.
//!
//! A job's outputs are fetched from where the address policy lets them, found to be audio, and written once into the operator's storage.
//! Only then is the job told that they are stored.

mod collect;
mod convert;
mod fetch;
mod formats;
mod incoming;
mod kept;
mod library;
mod listeners;
#[cfg(test)]
mod names;
mod naming;
mod notices;
mod objects;
mod probe;
mod provenance;
mod retention;
mod run;
mod settings;
mod sidecar;
mod storage;
mod tags;
mod verdict;

pub use convert::{Convert, Target};
pub use formats::{audio_types, content_type, is_audio};
pub use library::{Chunks, Entry, Library, Shelved, Stat};
pub use naming::{BadLayout, Layout};
pub use notices::{NoticeSettings, moment};
pub use probe::{End, Ffmpeg, NotAudio, NotAudioClass, Probed, probe};
pub use retention::{RetentionSettings, Swept, sweep};
pub use run::{Error, run};
pub use settings::{Cloud, ObjectSettings, Settings, StorageUrl};
pub use sidecar::{Origin, Sidecar, Sound};
pub use storage::{Mode, Storage, StorageError, Stored, is_storage_option};
pub use verdict::{Asked, Assessment, Checks, Finding, Verdict};
