//! Core Audio files whose samples stand as they are; compressed ones are left to the library.

use std::io;

use symphonia::core::codecs::audio::well_known::CODEC_ID_ADPCM_IMA_QT;

use super::bytes::Bytes;
use super::chunks::{Coding, Track};
use super::pcm::{Order, Sample};

/// Chunks that are looked at.
const CHUNKS: u32 = 4096;

/// What the description says.
struct Format {
    coding: Coding,
    rate: u32,
    channels: u16,
}

/// The samples of a file, where they stand as they are.
pub(super) fn track(bytes: &mut Bytes, start: u64) -> io::Result<Option<Track>> {
    let (mut at, mut format) = (start + 8, None);
    for _ in 0..CHUNKS {
        let head = bytes.at(at, 12 + 32)?;
        let (Some(kind), Some(size)) = (head.first_chunk::<4>(), head.get(4..).and_then(<[u8]>::first_chunk))
        else {
            break;
        };
        let (size, body) = (i64::from_be_bytes(*size), at + 12);
        match (kind, &format) {
            (b"desc", _) => {
                let Some(found) = head.get(12..44).and_then(described) else { break };
                format = Some(found);
            }
            (b"data", Some(Format { coding, rate, channels })) => {
                // Four bytes of it count edits.
                let (from, end) = (body + 4, bytes.len());
                let there = end.saturating_sub(from);
                // -1 is for a length that was not known.
                let size =
                    u64::try_from(size).ok().filter(|size| *size > 0).map(|size| size.saturating_sub(4));
                let data = from.min(end)..from.saturating_add(size.unwrap_or(there)).min(end);
                let missing = size.map_or(0, |size| size.saturating_sub(there));
                return Ok(Some(Track { coding: *coding, rate: *rate, channels: *channels, data, missing }));
            }
            _ => {}
        }
        let Ok(size) = u64::try_from(size) else { break };
        at = body.saturating_add(size);
    }
    Ok(None)
}

/// Rate, kind, flags, bytes and samples of a packet, channels, bits.
fn described(body: &[u8]) -> Option<Format> {
    let number = |at: usize| body.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    let rate = f64::from_be_bytes(*body.first_chunk()?);
    let (flags, packet, channels, bits) = (number(12)?, number(16)?, number(24)?, number(28)?);
    let order = if flags & 2 == 0 { Order::Big } else { Order::Little };
    // Samples may stand in more bytes than their bits need.
    let written = match packet.checked_div(channels) {
        Some(bytes @ 1..=8) if bytes * 8 >= bits => bytes * 8,
        _ => bits,
    };
    let written = u16::try_from(written).ok()?;
    let coding = match body.get(8..12)? {
        b"lpcm" if flags & 1 != 0 => Sample::float(written, order).map(Coding::Plain),
        b"lpcm" => Sample::int(written, order).map(Coding::Plain),
        b"alaw" => Some(Coding::Plain(Sample::ALaw)),
        b"ulaw" => Some(Coding::Plain(Sample::MuLaw)),
        b"ima4" => {
            Some(Coding::Blocks { codec: CODEC_ID_ADPCM_IMA_QT, bytes: 34 * channels as usize, frames: 64 })
        }
        _ => None,
    };
    Some(Format { coding: coding?, rate: rate as u32, channels: u16::try_from(channels).ok()? })
}
