//! Is it audio, of which kind, how long does it play, and what is to be heard? All of it is decoded.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

use crate::sidecar::Sound;

mod frames;
mod hearing;
mod unsized_wav;

use hearing::Hearing;
use unsized_wav::UnsizedWav;

/// What a file turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// `mp3`, `wav` or `flac`.
    pub format: &'static str,
    /// How long it plays, in ms; decoded, not taken from the header.
    pub duration_ms: u64,
    /// Why it seems to be cut short, as far as that can be known.
    pub cut: Option<&'static str>,
    /// What is to be heard.
    pub sound: Sound,
}

/// Why a file is no audio that can be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAudio {
    /// It is empty.
    #[error("file is empty")]
    Empty,
    /// It begins like something else.
    #[error("file is no mp3, wav or flac but {0}")]
    Other(&'static str),
    /// It begins well but cannot be read on.
    #[error("audio is damaged: {0}")]
    Damaged(String),
    /// Our own disk does not give it.
    #[error("file cannot be read: {0}")]
    Unread(String),
    /// It plays for longer than anything that is taken.
    #[error("audio plays for more than {0} s")]
    Endless(u64),
    /// Nothing can be heard of it.
    #[error("audio plays for no time at all")]
    Silent,
}

/// The longest that is decoded, in seconds, and in samples of all channels: a few bytes can stand for days of silence.
const LONGEST_S: u64 = 3600;
const SAMPLES_MOST: u64 = 2 * 48_000 * LONGEST_S;
/// Blocks of a flac that are lost where something stands behind it.
const LOST_MOST: u64 = 2 * 65_536;

/// Decodes a file. Blocks for as long as that takes; a decoder's panic is a fault of the file.
pub fn probe(path: &Path) -> Result<Probed, NotAudio> {
    let path = path.to_owned();
    std::panic::catch_unwind(move || probed(&path))
        .unwrap_or_else(|_| Err(NotAudio::Damaged("the decoder gave up on it".into())))
}

fn probed(path: &Path) -> Result<Probed, NotAudio> {
    let mut head = [0u8; 64];
    let mut file = File::open(path).map_err(|error| unread(&error))?;
    let read = file.read(&mut head).map_err(|error| unread(&error))?;
    let format = sniff(&head[..read], || behind_tag(&mut file, &head))?;
    let mut file = File::open(path).map_err(|error| unread(&error))?;
    let is_wav = format == "wav";
    let open_size =
        if is_wav { unsized_wav::open_size(&mut file).map_err(|error| unread(&error))? } else { None };
    file.rewind().map_err(|error| unread(&error))?;
    let source: Box<dyn MediaSource> = match open_size {
        Some(size_at) => Box::new(UnsizedWav::new(file, size_at)),
        None => Box::new(file),
    };
    let stream = MediaSourceStream::new(source, Default::default());
    let mut hint = Hint::new();
    hint.with_extension(format);
    let mut reader = symphonia::default::get_probe()
        .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|error| damaged(&error))?;
    let track = reader.default_track(TrackType::Audio).ok_or_else(|| damaged(&"it has no audio track"))?;
    let (id, declared) = (track.id, track.num_frames);
    let params = track
        .codec_params
        .as_ref()
        .and_then(|params| params.audio())
        .ok_or_else(|| damaged(&"its codec is not known"))?;
    let rate =
        params.sample_rate.filter(|rate| *rate > 0).ok_or_else(|| damaged(&"it has no sample rate"))?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())
        .map_err(|error| damaged(&error))?;
    let mut hearing = Hearing::new(rate);
    let ended_badly = decode(&mut *reader, &mut *decoder, id, &mut hearing)?;
    let (frames, all) = (hearing.frames(), hearing.frames() + hearing.missed());
    let lacking = declared.unwrap_or(0).saturating_sub(all);
    let duration_ms = (u128::from(frames) * 1000 / u128::from(rate)) as u64;
    if duration_ms == 0 {
        return Err(NotAudio::Silent);
    }
    let cut = match format {
        // A stream of frames: its header may only guess how many there are.
        "mp3" => frames::cut(path).map_err(|error| unread(&error))?,
        // Written as a stream, a wav does not know its length.
        "wav" if open_size.is_some() || is_unknown(&head) => None,
        // What stands behind a flac spoils its last block, no more.
        "flac" if lacking < LOST_MOST && tagged(path).map_err(|error| unread(&error))? => None,
        _ if ended_badly => Some("the file ends in the middle of its audio"),
        _ => None,
    };
    if cut.is_none() && format == "flac" {
        // Damaged blocks are left out in silence.
        hearing.miss(lacking);
    }
    Ok(Probed { format, duration_ms, cut, sound: hearing.heard() })
}

/// Decodes all packets of a track. Says whether the file ended in the middle of one.
fn decode(
    reader: &mut dyn FormatReader,
    decoder: &mut dyn AudioDecoder,
    track: u32,
    hearing: &mut Hearing,
) -> Result<bool, NotAudio> {
    let mut samples: Vec<f32> = Vec::new();
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(false),
            Err(error) if hearing.frames() == 0 => return Err(damaged(&error)),
            Err(_) => return Ok(true),
        };
        if packet.track_id != track {
            continue;
        }
        match decoder.decode(&packet) {
            Ok(buffer) => {
                let channels = buffer.num_planes();
                buffer.copy_to_vec_interleaved(&mut samples);
                hearing.hear(&samples, channels);
            }
            // Also where it is the bits of one packet that end too soon.
            Err(Error::DecodeError(_) | Error::IoError(_)) => hearing.miss(packet.dur.get()),
            Err(error) => return Err(damaged(&error)),
        }
        if hearing.samples() > SAMPLES_MOST || hearing.seconds() > LONGEST_S {
            return Err(NotAudio::Endless(LONGEST_S));
        }
    }
}

fn damaged(error: &dyn std::fmt::Display) -> NotAudio {
    NotAudio::Damaged(error.to_string())
}

fn unread(error: &std::io::Error) -> NotAudio {
    NotAudio::Unread(error.to_string())
}

/// Whether tags of other formats stand at a file's end.
fn tagged(path: &Path) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    let mut tail = [0u8; 128];
    if file.seek(SeekFrom::End(-(tail.len() as i64))).is_err() {
        return Ok(false);
    }
    file.read_exact(&mut tail)?;
    Ok(tail.starts_with(b"TAG") || tail.windows(8).any(|part| part == b"APETAGEX"))
}

/// The first bytes behind an ID3 tag.
fn behind_tag(file: &mut File, head: &[u8]) -> Option<[u8; 4]> {
    let size = head.get(6..10)?.iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
    let mut behind = [0; 4];
    file.seek(SeekFrom::Start(10 + size)).ok()?;
    file.read_exact(&mut behind).ok()?;
    Some(behind)
}

/// Whether a wav's header leaves its length open, as one that is written to a pipe does.
fn is_unknown(head: &[u8]) -> bool {
    let riff = head.get(4..8).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes);
    riff.is_none_or(|size| size == 0 || size >= 0x7fff_0000)
}

/// By the first bytes, never by the name or what the server called it.
fn sniff(head: &[u8], behind_tag: impl FnOnce() -> Option<[u8; 4]>) -> Result<&'static str, NotAudio> {
    if head.is_empty() {
        return Err(NotAudio::Empty);
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE") {
        return Ok("wav");
    }
    if head.starts_with(b"fLaC") {
        return Ok("flac");
    }
    if head.starts_with(b"ID3") && behind_tag().as_ref() == Some(b"fLaC") {
        return Ok("flac");
    }
    if head.starts_with(b"ID3") || (head.len() > 1 && head[0] == 0xff && head[1] & 0xe6 == 0xe2) {
        return Ok("mp3");
    }
    let text = head.trim_ascii_start();
    Err(NotAudio::Other(match text.first() {
        Some(b'<') => "a page of HTML or XML",
        Some(b'{' | b'[') => "JSON",
        _ if head.starts_with(b"PK") => "a zip archive",
        _ if head.starts_with(&[0x1f, 0x8b]) => "compressed",
        _ if head.starts_with(b"OggS") => "ogg",
        _ if head.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => "text",
        _ => "something unknown",
    }))
}
