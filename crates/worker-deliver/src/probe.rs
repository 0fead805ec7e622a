//! Is it audio, of which kind, and how long does it play?

use std::fs::File;
use std::path::Path;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// `mp3`, `wav` or `flac`.
    pub format: &'static str,
    /// How long it plays, in ms; counted, not taken from the header.
    pub duration_ms: u64,
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
    /// Nothing can be heard of it.
    #[error("audio plays for no time at all")]
    Silent,
}

/// Packets that are decoded, as a sample; the others are only counted.
const DECODED: u64 = 8;
/// The most packets that are looked at: hours of audio.
const PACKETS_MOST: u64 = 2_000_000;

/// Reads a file's beginning, counts its packets and decodes the first of them. Blocks; a decoder's panic is a
/// fault of the file.
pub fn probe(path: &Path) -> Result<Probed, NotAudio> {
    let path = path.to_owned();
    std::panic::catch_unwind(move || probed(&path))
        .unwrap_or_else(|_| Err(NotAudio::Damaged("the decoder gave up on it".into())))
}

fn probed(path: &Path) -> Result<Probed, NotAudio> {
    let damaged = |error: &dyn std::fmt::Display| NotAudio::Damaged(error.to_string());
    let mut head = [0u8; 64];
    let mut file = File::open(path).map_err(|error| damaged(&error))?;
    let read = std::io::Read::read(&mut file, &mut head).map_err(|error| damaged(&error))?;
    let format = sniff(&head[..read])?;
    let file = File::open(path).map_err(|error| damaged(&error))?;
    let stream = MediaSourceStream::new(Box::new(file), Default::default());
    let mut hint = Hint::new();
    hint.with_extension(format);
    let mut reader = symphonia::default::get_probe()
        .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|error| damaged(&error))?;
    let track = reader.default_track(TrackType::Audio).ok_or_else(|| damaged(&"it has no audio track"))?;
    let id = track.id;
    let params = track
        .codec_params
        .as_ref()
        .and_then(|params| params.audio())
        .ok_or_else(|| damaged(&"its codec is not known"))?;
    let rate =
        params.sample_rate.filter(|rate| *rate > 0).ok_or_else(|| damaged(&"it has no sample rate"))?;
    let base = track.time_base;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())
        .map_err(|error| damaged(&error))?;
    let (mut ticks, mut packets) = (0u64, 0u64);
    while packets < PACKETS_MOST {
        // What comes after a clean part of the file may be cut: what was counted until then stands.
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(error) if packets == 0 => return Err(damaged(&error)),
            Err(_) => break,
        };
        if packet.track_id != id {
            continue;
        }
        if packets < DECODED {
            decoder.decode(&packet).map_err(|error| damaged(&error))?;
        }
        ticks = ticks.saturating_add(packet.dur.get());
        packets += 1;
    }
    let (numer, denom) = base.map_or((1, rate), |base| (base.numer.get(), base.denom.get()));
    let duration_ms = (u128::from(ticks) * u128::from(numer) * 1000 / u128::from(denom.max(1))) as u64;
    if duration_ms == 0 { Err(NotAudio::Silent) } else { Ok(Probed { format, duration_ms }) }
}

/// By the first bytes, never by the name or what the server called it.
fn sniff(head: &[u8]) -> Result<&'static str, NotAudio> {
    if head.is_empty() {
        return Err(NotAudio::Empty);
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE") {
        return Ok("wav");
    }
    if head.starts_with(b"fLaC") {
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
