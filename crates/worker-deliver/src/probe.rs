//! Is it audio, of which kind, how long does it play, and what is to be heard? All of it is decoded.
//!
//! Whatever common players play is audio: only the samples count, never what headers promise.

use std::path::Path;

use symphonia::core::audio::Channels;
use symphonia::core::errors::Error;

use crate::sidecar::Sound;

mod bytes;
mod caf;
mod chunks;
mod decoder;
mod ffmpeg;
mod frames;
mod head;
mod hearing;
mod kind;
mod library;
mod other;
mod pcm;
mod plain;
mod repair;
mod tag;

pub(crate) use chunks::is_exact_wav;
pub use ffmpeg::Ffmpeg;

use bytes::Bytes;
use ffmpeg::{Judgement, Refusal};
use hearing::Hearing;
use kind::{Container, Kind};

/// What a file turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// What it is, as the extension of such files: `mp3`, `wav`, `m4a` and others.
    pub format: &'static str,
    /// How long it plays, in ms: what was decoded; 0 where it is not `checked`.
    pub duration_ms: u64,
    /// Whether it was decoded. What no decoder here knows is told by its container alone.
    pub checked: bool,
    /// How it ends.
    pub end: End,
    /// What is to be heard.
    pub sound: Sound,
}

/// How audio ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With all that it should have, as far as that can be known.
    Whole,
    /// So many ms too early, by what the file says itself.
    Short(u64),
    /// Within a piece of sound, in a file that does not say how long it should be.
    Open,
}

/// Why a file is no audio that can be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAudio {
    /// It is empty.
    #[error("file is empty")]
    Empty,
    /// It is what servers give in place of a file: a page, JSON, text, zeros.
    #[error("file is not audio but {0}")]
    Placeholder(&'static str),
    /// It is certainly something else.
    #[error("file is not audio but {0}")]
    Other(&'static str),
    /// Nothing is known that begins so, and no audio was found in it.
    #[error("file is not audio: nothing in it can be played")]
    Unknown,
    /// It begins as audio and cannot be played.
    #[error("audio is damaged: {0}")]
    Damaged(String),
    /// Our own disk does not give it.
    #[error("file cannot be read: {0}")]
    Unread(String),
}

/// What callers can do about a file that is not audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAudioClass {
    /// The audio may come later at the same address.
    NotReady,
    /// It is another kind of file, and always will be.
    OtherKind,
    /// It is meant to be audio, and broken.
    Broken,
    /// Our own disk is in the way: it is no fault of the file's.
    OurDisk,
}

impl NotAudio {
    /// What callers can do about it.
    pub const fn class(&self) -> NotAudioClass {
        match self {
            Self::Empty | Self::Placeholder(_) => NotAudioClass::NotReady,
            Self::Other(_) => NotAudioClass::OtherKind,
            Self::Unknown | Self::Damaged(_) => NotAudioClass::Broken,
            Self::Unread(_) => NotAudioClass::OurDisk,
        }
    }
}

/// Why a file is not decoded here.
#[derive(Debug)]
enum Fail {
    /// No decoder here knows it; others may.
    Unsupported(String),
    /// It is not as it should be.
    Broken(String),
    /// It plays for longer than anything that is listened to.
    TooLong,
    /// Nobody can play it.
    Not(NotAudio),
}

impl From<NotAudio> for Fail {
    fn from(not: NotAudio) -> Self {
        Self::Not(not)
    }
}

impl From<std::io::Error> for Fail {
    fn from(error: std::io::Error) -> Self {
        Self::Not(unread(&error))
    }
}

/// Decodes a file, what no decoder here knows by ffmpeg where that is there. Blocks for as long as that takes; a
/// decoder's panic is a fault of the file.
pub fn probe(path: &Path, ffmpeg: Option<&Ffmpeg>) -> Result<Probed, NotAudio> {
    let (container, start) = match caught(path, found)? {
        Kind::Audio(container, start) => (container, start),
        Kind::Placeholder(name) => return Err(NotAudio::Placeholder(name)),
        Kind::Other(name) => return Err(NotAudio::Other(name)),
        Kind::Unknown => {
            let played = ffmpeg.and_then(|ffmpeg| ffmpeg.decode(path, None).ok());
            return played.map(Judgement::believed).ok_or(NotAudio::Unknown);
        }
    };
    match caught(path, move |path| decoded(path, container, start)) {
        Ok(probed) => Ok(second_opinion(path, ffmpeg, probed)),
        Err(Fail::Not(not)) => Err(not),
        Err(fail) => by_others(path, (container, start), ffmpeg, fail),
    }
}

/// Part of a file that may not be decoded before ffmpeg is asked as well.
const DOUBTED: f32 = 0.01;

/// What ffmpeg finds in a file that our decoders stumble over, if it does not.
fn second_opinion(path: &Path, ffmpeg: Option<&Ffmpeg>, probed: Probed) -> Probed {
    let Some(ffmpeg) = ffmpeg.filter(|_| probed.sound.damaged > DOUBTED) else { return probed };
    match ffmpeg.decode(path, Some(probed.format)) {
        Ok(other) if other.clean && other.probed.duration_ms >= probed.duration_ms => other.probed,
        Ok(_) | Err(_) => probed,
    }
}

/// Reads a file with what may give up on it.
fn caught<T>(
    path: &Path,
    read: impl FnOnce(&Path) -> Result<T, Fail> + std::panic::UnwindSafe,
) -> Result<T, Fail> {
    let path = path.to_owned();
    let gave_up = |_| Err(Fail::Broken("the decoder gave up on it".into()));
    std::panic::catch_unwind(move || read(&path)).unwrap_or_else(gave_up)
}

fn found(path: &Path) -> Result<Kind, Fail> {
    let mut bytes = Bytes::open(path)?;
    if bytes.len() == 0 {
        return Err(NotAudio::Empty.into());
    }
    Ok(kind::find(&mut bytes)?)
}

fn decoded(path: &Path, container: Container, start: u64) -> Result<Probed, Fail> {
    let mut bytes = Bytes::open(path)?;
    let mut hearing = Hearing::default();
    let mut format = container.format(&mut bytes, start)?;
    let plain = match container {
        Container::Wav | Container::W64 | Container::Aiff | Container::Au => {
            Some(chunks::track(&mut bytes, container, start)?)
        }
        Container::Caf => caf::track(&mut bytes, start)?,
        _ => None,
    };
    let end = match (container, plain) {
        (_, Some(track)) => plain::decode(&mut bytes, &track, &mut hearing)?,
        (Container::Frames, _) => {
            let end = bytes.len();
            frames::decode(&mut bytes, start, end, &mut hearing)?
        }
        (Container::Foreign(_), _) => return Err(Fail::Unsupported("no decoder here knows it".into())),
        _ => {
            let end = tag::before_tags(&mut bytes)?.max(start);
            let view = repair::view(&mut bytes, container, start, end)?;
            drop(bytes);
            let played = library::decode(path, container, view, &mut hearing)?;
            if played.film {
                format = container.film(format);
            }
            played.end
        }
    };
    let duration_ms = hearing.played_ms();
    if duration_ms == 0 {
        return Err(Fail::Broken("it plays for no time at all".into()));
    }
    Ok(Probed { format, duration_ms, checked: true, end, sound: hearing.heard() })
}

/// What becomes of a file that is audio and not decoded here.
fn by_others(
    path: &Path,
    (container, start): (Container, u64),
    ffmpeg: Option<&Ffmpeg>,
    fail: Fail,
) -> Result<Probed, NotAudio> {
    let format = Bytes::open(path).and_then(|mut bytes| container.format(&mut bytes, start));
    let format = format.map_err(|error| unread(&error))?;
    let ffmpeg = ffmpeg.filter(|_| !matches!(fail, Fail::TooLong));
    let refused = match ffmpeg.map(|ffmpeg| ffmpeg.decode(path, Some(format))) {
        Some(Ok(played)) => return Ok(played.believed()),
        Some(Err(Refusal::Nothing(words))) => Some(words),
        Some(Err(Refusal::Unable(words))) => {
            tracing::warn!(%words, "ffmpeg could not judge a file");
            None
        }
        None => None,
    };
    match (fail, refused) {
        (Fail::TooLong, _) => Ok(Probed::unchecked(format)),
        // Frames that follow each other are audio, whoever knows them.
        (Fail::Unsupported(_), Some(words)) if container != Container::Frames => {
            Err(NotAudio::Damaged(words))
        }
        (Fail::Unsupported(_), _) => Ok(Probed::unchecked(format)),
        (Fail::Broken(words), _) => Err(NotAudio::Damaged(words)),
        (Fail::Not(not), _) => Err(not),
    }
}

impl Probed {
    fn unchecked(format: &'static str) -> Self {
        Self { format, duration_ms: 0, checked: false, end: End::Whole, sound: Sound::default() }
    }
}

impl From<Fail> for NotAudio {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Unsupported(words) | Fail::Broken(words) => Self::Damaged(words),
            Fail::TooLong => Self::Damaged("it does not end".into()),
            Fail::Not(not) => not,
        }
    }
}

/// So many channels, wherever their loudspeakers stand.
fn channels(count: u16) -> Channels {
    Channels::Discrete(count)
}

/// Why the library does not go on.
fn unreadable(error: &Error) -> Fail {
    match error {
        Error::Unsupported(why) => Fail::Unsupported((*why).to_owned()),
        error => Fail::Broken(error.to_string()),
    }
}

fn unread(error: &std::io::Error) -> NotAudio {
    NotAudio::Unread(error.to_string())
}
