//! Containers of chunks: WAVE in RIFF, RF64 and Wave64, AIFF, and the header of AU. They are read as players do: sizes
//! may be wrong, pad bytes be forgotten, unknown chunks stand anywhere; what counts is where the samples are.

use std::io;
use std::ops::Range;
use std::path::Path;

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_ADPCM_IMA_QT, CODEC_ID_ADPCM_IMA_WAV, CODEC_ID_ADPCM_MS,
};

use super::Fail;
use super::bytes::Bytes;
use super::kind::Container;
use super::pcm::{Order, Sample};

/// Where the samples of a file are, and how they are written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Track {
    pub(super) coding: Coding,
    pub(super) rate: u32,
    pub(super) channels: u16,
    pub(super) data: Range<u64>,
    /// Bytes that the file says there are, and that are not there.
    pub(super) missing: u64,
}

/// How samples are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Coding {
    /// As they are.
    Plain(Sample),
    /// In blocks of so many bytes with so many samples of each channel.
    Blocks { codec: AudioCodecId, bytes: usize, frames: u64 },
    /// As frames of MPEG audio or AAC.
    Frames,
    /// In a way that is not read here.
    Foreign(&'static str),
}

/// What the format chunk says.
#[derive(Clone, Copy)]
struct Format {
    coding: Coding,
    rate: u32,
    channels: u16,
}

/// A part of a file with a name and a size.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    id: [u8; 4],
    body: u64,
    size: u64,
}

/// How chunks are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Riff,
    Wave64,
    Aiff,
}

/// Chunks that are looked at.
const CHUNKS: u32 = 4096;
/// A size from here on says that nobody knew it.
const OPEN: u64 = 0x7fff_0000;
/// Bytes at the end of samples of unknown length that are searched for chunks.
const TAIL: u64 = 4 << 20;

/// Finds the samples of a file of this kind, which begins at a place.
pub(super) fn track(bytes: &mut Bytes, container: Container, start: u64) -> Result<Track, Fail> {
    let (form, mut at) = match container {
        Container::Au => return au(bytes, start),
        Container::W64 => (Form::Wave64, start + 40),
        Container::Aiff => (Form::Aiff, start + 12),
        _ => (Form::Riff, start + 12),
    };
    let whole = is_whole(bytes, form, start)?;
    let (mut format, mut large, mut samples) = (None, None, None);
    for _ in 0..CHUNKS {
        let Some(chunk) = chunk(bytes, form, at)? else { break };
        let body = bytes.at(chunk.body, chunk.size.min(64) as usize)?.to_vec();
        match &chunk.id {
            b"fmt " if format.is_none() => format = wave_format(&body),
            b"COMM" if format.is_none() => format = aiff_format(&body),
            b"ds64" => large = body.get(8..16).and_then(u64_le),
            b"data" | b"SSND" if samples.is_none() => samples = data(bytes, form, chunk, start, large)?,
            _ => {}
        }
        if let (Some(format), Some((data, missing))) = (format, &samples) {
            let Format { coding, rate, channels } = format;
            let missing = if whole { 0 } else { *missing };
            return Ok(Track { coding, rate, channels, data: data.clone(), missing });
        }
        at = behind(bytes, form, chunk)?;
    }
    Err(Fail::Broken(if format.is_some() { "it has no samples" } else { "it has no format" }.into()))
}

/// Whether the size of the whole says that nothing is missing, whatever that of the samples is: it is that of the file,
/// or was never written.
fn is_whole(bytes: &mut Bytes, form: Form, start: u64) -> io::Result<bool> {
    let there = bytes.len() - start;
    let size = bytes.at(start + 4, 4)?;
    let size = match form {
        Form::Riff => u32_le(size),
        Form::Aiff => u32_be(size),
        Form::Wave64 => None,
    };
    Ok(size.map(u64::from).is_some_and(|size| {
        let is_open = form == Form::Riff && (size == 0 || (OPEN..u64::from(u32::MAX)).contains(&size));
        is_open || there.abs_diff(size + 8) <= 1
    }))
}

/// Whether all sizes of a wav are right: its chunks fill it to its last byte.
pub(crate) fn is_exact_wav(path: &Path) -> io::Result<bool> {
    let mut bytes = Bytes::open(path)?;
    let len = bytes.len();
    let head = bytes.at(0, 8)?;
    if !head.starts_with(b"RIFF")
        || head.get(4..).and_then(u32_le).is_none_or(|size| u64::from(size) + 8 != len)
    {
        return Ok(false);
    }
    let mut at = 12;
    for _ in 0..CHUNKS {
        let Some(chunk) = chunk(&mut bytes, Form::Riff, at)? else { break };
        at = (chunk.body + chunk.size).next_multiple_of(2);
    }
    Ok(at == len)
}

/// The chunk at a place.
fn chunk(bytes: &mut Bytes, form: Form, at: u64) -> io::Result<Option<Chunk>> {
    let head = bytes.at(at, if form == Form::Wave64 { 24 } else { 8 })?;
    let Some(id) = head.first_chunk().copied() else { return Ok(None) };
    let size = head.get(4..).and_then(|size| match form {
        Form::Riff => u32_le(size).map(u64::from),
        Form::Aiff => u32_be(size).map(u64::from),
        Form::Wave64 => size.get(12..).and_then(u64_le).map(|size| size.saturating_sub(24)),
    });
    Ok(size.map(|size| Chunk { id, body: at + head.len() as u64, size }))
}

/// Where the next chunk stands. The byte that makes an odd one even is forgotten by some.
fn behind(bytes: &mut Bytes, form: Form, chunk: Chunk) -> io::Result<u64> {
    let end = chunk.body.saturating_add(chunk.size);
    if form == Form::Wave64 {
        return Ok(end.next_multiple_of(8));
    }
    if end % 2 == chunk.body % 2 {
        return Ok(end);
    }
    let next = bytes.at(end, 5)?;
    let known = |id: Option<&[u8]>| id.is_some_and(|id| KNOWN.iter().any(|known| known.as_slice() == id));
    let padded = known(next.get(1..5)) || !known(next.get(..4)) && !is_id(next) || next.first() == Some(&0);
    Ok(if padded { end + 1 } else { end })
}

/// Chunks that stand in most files.
const KNOWN: [&[u8; 4]; 19] = [
    b"fmt ", b"data", b"LIST", b"fact", b"bext", b"cue ", b"smpl", b"id3 ", b"ID3 ", b"JUNK", b"PEAK",
    b"inst", b"iXML", b"COMM", b"SSND", b"NAME", b"ANNO", b"AUTH", b"MARK",
];

/// Whether bytes may be a chunk's name.
fn is_id(bytes: &[u8]) -> bool {
    bytes.first_chunk::<4>().is_some_and(|id| id.iter().all(|byte| matches!(byte, b' '..=b'~')))
}

/// Where the samples of a chunk are, and how many bytes of them are missing; none where it is empty.
fn data(
    bytes: &mut Bytes,
    form: Form,
    chunk: Chunk,
    start: u64,
    large: Option<u64>,
) -> io::Result<Option<(Range<u64>, u64)>> {
    let Chunk { mut body, mut size, .. } = chunk;
    let end = bytes.len();
    if form == Form::Riff && size == u64::from(u32::MAX) {
        size = large.unwrap_or(size);
    }
    if form == Form::Aiff {
        // Samples may stand a while behind the chunk's own head.
        let offset = u32_be(bytes.at(body, 4)?).map_or(0, u64::from);
        let head = 8 + if offset < 1 << 16 { offset } else { 0 };
        size = if size == 0 { 0 } else { size.saturating_sub(head) };
        body += head;
    }
    let there = end.saturating_sub(body);
    if size == 0 && there > 0 {
        let next = bytes.at(body, 4)?;
        if KNOWN.iter().any(|known| known.as_slice() == next) {
            return Ok(None);
        }
    }
    if size == 0 || (size > there && size >= OPEN && size <= u64::from(u32::MAX)) {
        return Ok((there > 0).then_some((body..before_chunks(bytes, form, body)?, 0)));
    }
    // Some writers count the header of the chunk, of the file, or all of the file.
    let missing = match size.saturating_sub(there) {
        8 => 0,
        more if more == body - start || more + 8 == body - start => 0,
        more => more,
    };
    Ok(Some((body..end.min(body.saturating_add(size)), missing)))
}

/// The end of samples of unknown length: chunks that end with the file are none of them.
fn before_chunks(bytes: &mut Bytes, form: Form, body: u64) -> io::Result<u64> {
    let len = bytes.len();
    if form == Form::Wave64 {
        return Ok(len);
    }
    let from = body.max(len.saturating_sub(TAIL));
    let tail = {
        let mut tail = Vec::new();
        while from + (tail.len() as u64) < len {
            let piece = bytes.at(from + tail.len() as u64, 64 << 10)?;
            if piece.is_empty() {
                break;
            }
            tail.extend_from_slice(piece);
        }
        tail
    };
    let size = |at: usize| {
        let size = tail.get(at + 4..at + 8)?;
        if form == Form::Aiff { u32_be(size) } else { u32_le(size) }
    };
    let mut end = tail.len();
    // Backwards: what ends where the one behind it begins, with its pad byte or without.
    while let Some(at) = (0..end.saturating_sub(8)).rev().find(|at| {
        is_id(&tail[*at..])
            && size(*at).is_some_and(|size| {
                let reach = at + 8 + size as usize;
                size > 0 && (reach == end || reach + size as usize % 2 == end)
            })
    }) {
        end = at;
    }
    Ok(from + end as u64)
}

/// What a `fmt ` chunk says, of 16 bytes or more.
fn wave_format(body: &[u8]) -> Option<Format> {
    const EXTENSIBLE: u16 = 0xfffe;
    let word = |at: usize| body.get(at..at + 2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    let (channels, rate) = (word(2)?, u32_le(body.get(4..8)?)?);
    let (block, bits) = (word(12)?, word(14).unwrap_or(8));
    // The rest of the format's name is the same for all.
    let tag = match word(0)? {
        EXTENSIBLE => word(24).unwrap_or(1),
        tag => tag,
    };
    // Samples may stand in more bytes than their bits need.
    let written = match block / channels.max(1) {
        bytes @ 1..=8 if block % channels.max(1) == 0 && bytes * 8 >= bits => bytes * 8,
        _ => bits,
    };
    // Blocks begin with a head of so many bytes for each channel; then a byte has two samples.
    let behind_head =
        |head: u64| u64::from(block).checked_sub(head * u64::from(channels)).filter(|left| *left > 0);
    let per_channel = |left: u64| left * 2 / u64::from(channels.max(1));
    let blocks = |codec, head, first| match behind_head(head) {
        Some(left) if bits == 4 => {
            Coding::Blocks { codec, bytes: usize::from(block), frames: per_channel(left) + first }
        }
        _ => Coding::Foreign("another size of blocks"),
    };
    let plain =
        |sample: Option<Sample>| sample.map_or(Coding::Foreign("samples of another size"), Coding::Plain);
    let coding = match tag {
        1 if written <= 8 => Coding::Plain(Sample::U8),
        1 => plain(Sample::int(written, Order::Little)),
        2 => blocks(CODEC_ID_ADPCM_MS, 7, 2),
        3 => plain(Sample::float(written, Order::Little)),
        6 => Coding::Plain(Sample::ALaw),
        7 => Coding::Plain(Sample::MuLaw),
        0x11 => blocks(CODEC_ID_ADPCM_IMA_WAV, 4, 1),
        0x50 | 0x55 | 0x1600 => Coding::Frames,
        _ => Coding::Foreign("another codec"),
    };
    Some(Format { coding, rate, channels })
}

/// What a `COMM` chunk says.
fn aiff_format(body: &[u8]) -> Option<Format> {
    let word = |at: usize| body.get(at..at + 2).map(|word| u16::from_be_bytes([word[0], word[1]]));
    let (channels, bits) = (word(0)?, word(6)?);
    let rate = extended(body.get(8..18)?)?;
    let int =
        |order| Sample::int(bits, order).map_or(Coding::Foreign("samples of another size"), Coding::Plain);
    let coding = match body.get(18..22) {
        None | Some(b"NONE" | b"twos" | b"in24" | b"in32") => int(Order::Big),
        Some(b"sowt") => int(Order::Little),
        Some(b"raw ") => Coding::Plain(Sample::U8),
        Some(b"fl32" | b"FL32") => Coding::Plain(Sample::F32(Order::Big)),
        Some(b"fl64" | b"FL64") => Coding::Plain(Sample::F64(Order::Big)),
        Some(b"alaw" | b"ALAW") => Coding::Plain(Sample::ALaw),
        Some(b"ulaw" | b"ULAW") => Coding::Plain(Sample::MuLaw),
        Some(b"ima4") => {
            Coding::Blocks { codec: CODEC_ID_ADPCM_IMA_QT, bytes: 34 * usize::from(channels), frames: 64 }
        }
        Some(_) => Coding::Foreign("another codec"),
    };
    Some(Format { coding, rate, channels })
}

/// A whole number in the extended precision of 80 bits.
fn extended(bytes: &[u8]) -> Option<u32> {
    let exponent = u16::from_be_bytes([bytes[0], bytes[1]]).checked_sub(16_383)?;
    let mantissa = u64::from_be_bytes(bytes[2..].first_chunk().copied()?);
    u32::try_from(mantissa >> 63_u16.checked_sub(exponent)?).ok()
}

/// The header of AU: offset, size, coding, rate, channels.
fn au(bytes: &mut Bytes, start: u64) -> Result<Track, Fail> {
    let head = bytes.at(start, 24)?.to_vec();
    let number = |n: usize| head.get(n * 4..n * 4 + 4).and_then(u32_be);
    let (Some(offset), Some(size), Some(coding), Some(rate), Some(channels)) =
        (number(1), number(2), number(3), number(4), number(5))
    else {
        return Err(Fail::Broken("its header is cut".into()));
    };
    let coding = match coding {
        1 => Coding::Plain(Sample::MuLaw),
        bytes @ 2..=5 => Coding::Plain(Sample::Int((bytes - 1) as u8, Order::Big)),
        6 => Coding::Plain(Sample::F32(Order::Big)),
        7 => Coding::Plain(Sample::F64(Order::Big)),
        27 => Coding::Plain(Sample::ALaw),
        _ => Coding::Foreign("another codec"),
    };
    let (body, len) = (start + u64::from(offset.max(24)), bytes.len());
    let (size, there) = (u64::from(size), len.saturating_sub(body));
    let is_open = size == 0 || (size > there && size >= OPEN);
    let (end, missing) = if is_open { (len, 0) } else { (len.min(body + size), size.saturating_sub(there)) };
    let missing = if missing == u64::from(offset) || missing == 8 { 0 } else { missing };
    let channels = u16::try_from(channels).unwrap_or(u16::MAX);
    Ok(Track { coding, rate, channels, data: body.min(end)..end, missing })
}

fn u32_le(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u32_be(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn u64_le(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}
