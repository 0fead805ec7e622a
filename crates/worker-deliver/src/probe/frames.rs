//! Frames one behind the other: MPEG audio and AAC in ADTS. A stream has no header that must be believed; it ends and
//! begins anew where files were joined, and anything may stand before, between and behind the frames.

use std::io;

use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_MP1, CODEC_ID_MP2};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};

use super::bytes::Bytes;
use super::head::{Announcement, HEAD, Head, LONGEST, is_free};
use super::hearing::Hearing;
use super::tag::behind_tag;
use super::{End, Fail, channels, unreadable};

/// Heads that must follow each other before bytes are taken for frames.
const IN_A_ROW: usize = 3;
/// Bytes that hold so many frames.
const ROW: usize = 32 << 10;
/// Bytes that are searched at a time.
const STEP: usize = 64 << 10;
/// Tags that may stand between two frames.
const TAGS_MOST: u32 = 64;
/// Frames that a header may count too many: some count the one that the header stands in.
const SPARE: u64 = 1;

/// Bytes that show what kind of frames there are.
pub(super) const SHOWN: usize = HEAD;

/// The extension of files with such frames.
pub(super) fn format(bytes: &[u8]) -> &'static str {
    match Head::read(bytes).map(|head| head.codec) {
        Some(CODEC_ID_AAC) => "aac",
        Some(CODEC_ID_MP1) => "mp1",
        Some(CODEC_ID_MP2) => "mp2",
        _ => "mp3",
    }
}

/// Where frames begin, in so many bytes from a place on.
pub(super) fn first(bytes: &mut Bytes, from: u64, most: u64) -> io::Result<Option<u64>> {
    search(bytes, from, from.saturating_add(most), bytes.len())
}

fn search(bytes: &mut Bytes, from: u64, until: u64, end: u64) -> io::Result<Option<u64>> {
    let mut at = from;
    while at < until.min(end) {
        let window = window(bytes, at, end, STEP + ROW)?;
        let ends = at + window.len() as u64 >= end;
        let last = if ends { window.len() } else { STEP };
        let begins = at == from;
        let found = (0..last).find(|n| window[*n] == 0xff && is_row(&window[*n..], ends, begins && *n == 0));
        if let Some(n) = found {
            return Ok(Some(at + n as u64));
        }
        if begins && is_free_row(window) {
            return Ok(Some(at));
        }
        at += last as u64;
    }
    Ok(None)
}

/// Bytes of the audio at a place.
fn window(bytes: &mut Bytes, at: u64, end: u64, most: usize) -> io::Result<&[u8]> {
    bytes.at(at, end.saturating_sub(at).min(most as u64) as usize)
}

/// Whether frames follow each other here, up to three; fewer only where the audio `ends` behind them.
fn is_row(window: &[u8], ends: bool, begins: bool) -> bool {
    let (mut at, mut before) = (0, None);
    for n in 0..IN_A_ROW {
        let rest = &window[at..];
        let Some(head) = Head::read(rest).filter(|head| before.is_none_or(|before| head.follows(&before)))
        else {
            return n > 0 && (is_tag(rest) || (begins && ends && rest.len() < HEAD));
        };
        if head.len >= rest.len() {
            // One frame alone is one only where it fills the file.
            return ends && (n > 0 || (begins && head.len == rest.len()));
        }
        (at, before) = (at + head.len, Some(head));
    }
    true
}

/// Whether frames without a rate follow each other, all of one length.
fn is_free_row(window: &[u8]) -> bool {
    let same = |at: usize| {
        window
            .get(at..at + 3)
            .is_some_and(|head| is_free(head) && (head[1], head[2] & 0xfd) == (window[1], window[2] & 0xfd))
    };
    let near = |at: usize| (at - 1..at + 2).find(|at| same(*at));
    let mut lengths = (48..4096.min(window.len())).filter(|len| same(*len));
    same(0) && lengths.any(|len| near(2 * len).is_some_and(|second| near(second + len).is_some()))
}

fn is_tag(bytes: &[u8]) -> bool {
    [&b"TAG"[..], b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI"].iter().any(|tag| bytes.starts_with(tag))
}

/// Decodes all frames between two places, and says how they end.
pub(super) fn decode(bytes: &mut Bytes, from: u64, end: u64, hearing: &mut Hearing) -> Result<End, Fail> {
    let mut stream = Stream { hearing, decoder: None, part: Part::default(), missing_ms: 0, open: false };
    let (mut at, mut cut) = (from, false);
    loop {
        let here = window(bytes, at, end, LONGEST + HEAD)?;
        let Some(head) =
            Head::read(here).filter(|head| stream.part.head.is_none_or(|last| head.follows(&last)))
        else {
            let Some((next, head, lost)) = behind_gap(bytes, at, end)? else { break };
            stream.lose(lost);
            if stream.part.head.is_some_and(|last| !head.follows(&last)) {
                stream.end_part(false);
            }
            stream.part.head = Some(head);
            at = next;
            continue;
        };
        if here.len() < head.len {
            cut = true;
            break;
        }
        let next = Head::read(&here[head.len..]).is_some_and(|next| next.follows(&head));
        if !next
            && at + (head.len as u64) < end
            && let Some(other) = begins_within(bytes, at, end, &head)?
        {
            // It was cut where another stream was joined to it.
            stream.lose(head.len as u64);
            at = other;
            continue;
        }
        stream.take(&head, &window(bytes, at, end, head.len)?[..head.len])?;
        at += head.len as u64;
    }
    stream.end_part(cut);
    if stream.hearing.is_empty() {
        return Err(if is_free(bytes.at(from, HEAD)?) {
            Fail::Unsupported("its frames leave their rate open".into())
        } else {
            Fail::Broken("none of its frames can be decoded".into())
        });
    }
    Ok(match (stream.missing_ms, stream.open) {
        (0, true) => End::Open,
        (0, false) => End::Whole,
        (missing, _) => End::Short(missing),
    })
}

/// Where frames go on behind what is none of them, and how many bytes of audio are lost in between.
fn behind_gap(bytes: &mut Bytes, at: u64, end: u64) -> io::Result<Option<(u64, Head, u64)>> {
    let (mut here, mut tagged) = (at, false);
    for _ in 0..TAGS_MOST {
        tagged |= is_tag(window(bytes, here, end, HEAD)?);
        match behind_tag(bytes, here)? {
            Some(next) if next < end => here = next,
            _ => break,
        }
    }
    let found = match search(bytes, here, end, end)? {
        None if here > at => search(bytes, at + 1, end, end)?,
        found => found,
    };
    let Some(next) = found else { return Ok(None) };
    let frame = window(bytes, next, end, LONGEST)?;
    let Some(head) = Head::read(frame) else { return Ok(None) };
    // What stands between two files that were joined is none of their audio.
    let lost = if tagged || head.announced(frame).is_some() { 0 } else { next - at };
    Ok(Some((next, head, lost)))
}

/// Where other frames begin within one.
fn begins_within(bytes: &mut Bytes, at: u64, end: u64, head: &Head) -> io::Result<Option<u64>> {
    let window = window(bytes, at, end, head.len + ROW)?;
    let ends = at + window.len() as u64 >= end;
    let within = HEAD.min(head.len)..head.len;
    let found = within.into_iter().find(|n| window[*n] == 0xff && is_row(&window[*n..], ends, false));
    Ok(found.map(|n| at + n as u64))
}

/// A decoder of such frames.
fn new_decoder(head: &Head) -> Result<Box<dyn AudioDecoder>, Fail> {
    if !head.is_decoded_here() {
        return Err(Fail::Unsupported("this kind of AAC is not decoded here".into()));
    }
    let mut params = AudioCodecParameters::new();
    params.for_codec(head.codec).with_sample_rate(head.rate).with_channels(channels(head.channels));
    symphonia::default::get_codecs()
        .make_audio_decoder(&params, &AudioDecoderOptions::default())
        .map_err(|error| unreadable(&error))
}

/// Frames that are decoded.
struct Stream<'a> {
    hearing: &'a mut Hearing,
    decoder: Option<(Head, Box<dyn AudioDecoder>)>,
    part: Part,
    missing_ms: u64,
    /// Whether it ends within a frame, and nothing says how many more there were.
    open: bool,
}

/// A file that is joined to others, or the only one.
#[derive(Default)]
struct Part {
    head: Option<Head>,
    announced: Announcement,
    frames: u64,
    bytes: u64,
}

impl Stream<'_> {
    fn take(&mut self, head: &Head, frame: &[u8]) -> Result<(), Fail> {
        if let Some(announced) = head.announced(frame) {
            self.end_part(false);
            self.part = Part { head: Some(*head), announced, frames: 0, bytes: frame.len() as u64 };
            return Ok(());
        }
        self.part.head = Some(*head);
        self.part.frames += 1;
        self.part.bytes += frame.len() as u64;
        let samples = Duration::from(u64::from(head.samples));
        let packet = PacketRef::new(0, Timestamp::ZERO, samples, &frame[head.skipped..]);
        let fits = |(last, _): &(Head, _)| head.follows(last) && head.channels == last.channels;
        let decoder = match &mut self.decoder {
            Some(decoder) if fits(decoder) => decoder,
            decoder => decoder.insert((*head, new_decoder(head)?)),
        };
        match decoder.1.decode_ref(&packet) {
            Ok(buffer) => self.hearing.hear_buffer(&buffer),
            Err(Error::Unsupported(why)) if self.hearing.is_empty() => {
                return Err(Fail::Unsupported(why.to_owned()));
            }
            Err(_) => self.hearing.miss(u64::from(head.samples), head.rate),
        }
        if self.hearing.is_too_long() { Err(Fail::TooLong) } else { Ok(()) }
    }

    /// Takes in that so many bytes of audio are not there.
    fn lose(&mut self, bytes: u64) {
        if let Some(head) = self.part.head {
            self.hearing.miss(bytes / head.len.max(1) as u64 * u64::from(head.samples), head.rate);
        }
    }

    /// Compares what a part announced with what there was.
    fn end_part(&mut self, cut: bool) {
        let Part { head, announced, frames, bytes } = std::mem::take(&mut self.part);
        let Some(head) = head else { return };
        if let Some(decoder) = &mut self.decoder {
            decoder.1.reset();
        }
        if frames * u64::from(head.samples) > announced.padding {
            self.hearing.trim(announced.padding);
        }
        let spare = if cut { 0 } else { SPARE };
        let short = announced.frames.filter(|frames| *frames > 0).map(|all| all.saturating_sub(frames));
        let whole = !cut && announced.bytes.is_some_and(|all| all > 0 && bytes >= all);
        match short {
            Some(short) if short > spare && !whole => {
                let ms = u128::from(short) * u128::from(head.samples) * 1000 / u128::from(head.rate);
                self.missing_ms += ms as u64;
            }
            None => self.open |= cut,
            Some(_) if cut => self.missing_ms += 1 + u64::from(head.samples) * 1000 / u64::from(head.rate),
            Some(_) => {}
        }
    }
}
