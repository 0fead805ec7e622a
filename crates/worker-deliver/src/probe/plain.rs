//! Decodes samples that stand in chunks.

use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoderOptions};
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};

use super::bytes::Bytes;
use super::chunks::{Coding, Track};
use super::hearing::Hearing;
use super::pcm::Sample;
use super::{End, Fail, channels, frames, unreadable};

/// Bytes that are decoded at a time, about.
const PIECE: usize = 32 << 10;
/// Samples of each channel that are decoded at a time where they stand in blocks.
const BLOCKS: u64 = 4096;

/// Decodes all samples of a track.
pub(super) fn decode(bytes: &mut Bytes, track: &Track, hearing: &mut Hearing) -> Result<End, Fail> {
    if track.rate == 0 || track.channels == 0 {
        return Err(Fail::Broken("it has no sample rate or no channels".into()));
    }
    let (size, of) = match track.coding {
        Coding::Foreign(why) => return Err(Fail::Unsupported(why.into())),
        Coding::Frames => {
            let (start, end) = (track.data.start, track.data.end);
            let first = frames::first(bytes, start, end - start)?.filter(|first| *first < end);
            let ended = frames::decode(bytes, first.unwrap_or(start), end, hearing)?;
            if track.missing == 0 || matches!(ended, End::Short(_)) {
                return Ok(ended);
            }
            let ms = u128::from(hearing.played_ms()) * u128::from(track.missing)
                / u128::from((end - start).max(1));
            return Ok(End::Short((ms as u64).max(1)));
        }
        Coding::Plain(sample) => {
            plain(bytes, track, sample, hearing)?;
            (sample.bytes() as u64 * u64::from(track.channels), 1)
        }
        Coding::Blocks { codec, bytes: size, frames } => {
            blocks(bytes, track, (codec, size, frames), hearing)?;
            (size as u64, frames)
        }
    };
    if track.missing == 0 {
        return Ok(End::Whole);
    }
    let ms = u128::from(track.missing) * u128::from(of) * 1000 / u128::from(size * u64::from(track.rate));
    Ok(End::Short((ms as u64).max(1)))
}

fn plain(bytes: &mut Bytes, track: &Track, sample: Sample, hearing: &mut Hearing) -> Result<(), Fail> {
    let frame = sample.bytes() * usize::from(track.channels);
    let piece = (PIECE / frame).max(1) * frame;
    let (mut at, mut samples) = (track.data.start, Vec::new());
    while at < track.data.end {
        let most = piece.min((track.data.end - at) as usize);
        let read = bytes.at(at, most)?;
        if read.is_empty() {
            break;
        }
        at += read.len() as u64;
        sample.read(read, &mut samples);
        hearing.hear(&samples, usize::from(track.channels), track.rate);
        if hearing.is_too_long() {
            return Err(Fail::TooLong);
        }
    }
    Ok(())
}

fn blocks(
    bytes: &mut Bytes,
    track: &Track,
    (codec, size, frames): (AudioCodecId, usize, u64),
    hearing: &mut Hearing,
) -> Result<(), Fail> {
    let count = (BLOCKS / frames).max(1);
    let mut params = AudioCodecParameters::new();
    params
        .for_codec(codec)
        .with_sample_rate(track.rate)
        .with_channels(channels(track.channels))
        .with_max_frames_per_packet(count * frames)
        .with_frames_per_block(frames);
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(&params, &AudioDecoderOptions::default())
        .map_err(|error| unreadable(&error))?;
    let mut at = track.data.start;
    loop {
        let left = track.data.end.saturating_sub(at) / size as u64;
        let piece = bytes.at(at, left.min(count) as usize * size)?;
        let whole = piece.len() / size;
        if whole == 0 {
            return Ok(());
        }
        let duration = Duration::from(whole as u64 * frames);
        match decoder.decode_ref(&PacketRef::new(0, Timestamp::ZERO, duration, &piece[..whole * size])) {
            Ok(buffer) => hearing.hear_buffer(&buffer),
            Err(_) => hearing.miss(whole as u64 * frames, track.rate),
        }
        if hearing.is_too_long() {
            return Err(Fail::TooLong);
        }
        at += (whole * size) as u64;
    }
}
