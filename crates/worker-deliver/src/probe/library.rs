//! Containers that the library takes apart: FLAC, Ogg, MP4, Matroska, CAF.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_FLAC, CODEC_ID_MP3, CODEC_ID_OPUS, CODEC_ID_PCM_S16BE,
    CODEC_ID_PCM_S16LE,
};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase};
use symphonia::default::formats::{CafReader, FlacReader, IsoMp4Reader, MkvReader, OggReader};

use super::decoder::Decoder;
use super::hearing::Hearing;
use super::kind::Container;
use super::repair::View;
use super::{End, Fail, NotAudio, unreadable};

/// What a file of such a kind turned out to be.
pub(super) struct Playback {
    pub(super) end: End,
    /// Whether there are pictures beside the sound.
    pub(super) film: bool,
}

/// Decodes the first track of audio.
pub(super) fn decode(
    path: &Path,
    container: Container,
    view: View,
    hearing: &mut Hearing,
) -> Result<Playback, Fail> {
    let cut = view.cut;
    let mut reader = open(path, container, view)?;
    let film = has_film(&*reader);
    let (mut track, mut decoder) = start(&*reader, film)?;
    if container == Container::Mp4 && !is_trusted(&track) {
        return Err(Fail::Unsupported("its samples are not read here".into()));
    }
    let mut declared_ms = length(&track);
    let (mut ended_badly, mut next) = (false, 0);
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(Error::ResetRequired) => {
                // Another stream begins, as in a file that was joined.
                (track, decoder) = start(&*reader, film)?;
                declared_ms = declared_ms.zip(length(&track)).map(|(before, more)| before + more);
                continue;
            }
            Err(error) if hearing.is_empty() => return Err(unreadable(&error)),
            Err(_) => {
                ended_badly = true;
                break;
            }
        };
        if packet.track_id == track.id {
            if container == Container::Flac {
                // Damaged blocks are left out in silence.
                hearing.miss(gap(&track, &packet, next), rate(&track).unwrap_or(0));
                next = packet.pts.get().saturating_add_unsigned(packet.block_dur().get());
            }
            decoder.decode(&packet, hearing)?;
        }
        if hearing.is_too_long() {
            return Err(Fail::TooLong);
        }
    }
    if hearing.is_empty() {
        let why = "none of its audio can be decoded".to_owned();
        return Err(if hearing.missed_ms() > 0 { Fail::Unsupported(why) } else { Fail::Broken(why) });
    }
    // Pictures may go on for longer than the sound.
    let declared_ms = declared_ms.or_else(|| media_length(&*reader)).filter(|ms| !film && *ms > 0);
    let cut_ms =
        cut.map(|(missing, there)| u128::from(hearing.played_ms()) * u128::from(missing) / u128::from(there));
    if let Some(ms) = cut_ms {
        return Ok(Playback { end: End::Short((ms as u64).max(1)), film });
    }
    let lacking = declared_ms.map_or(0, |all| all.saturating_sub(hearing.played_ms() + hearing.missed_ms()));
    let end = match (lacking, ended_badly) {
        (lacking, _) if lacking > SLACK_MS => End::Short(lacking),
        // Who streams Matroska leaves its length open, and its last cluster.
        (_, true) if container == Container::Matroska => End::Whole,
        // What an Ogg says of its length is what there is of it.
        (_, true) if container == Container::Ogg || declared_ms.is_none() => End::Open,
        (lacking, true) => End::Short(lacking.max(1)),
        (_, false) => End::Whole,
    };
    Ok(Playback { end, film })
}

/// Samples between the last packet and this one, in a track that says how many it has.
fn gap(track: &Track, packet: &Packet, next: i64) -> u64 {
    let gap = u64::try_from(packet.pts.get().saturating_sub(next)).unwrap_or(0);
    if gap <= track.num_frames.unwrap_or(0) { gap } else { 0 }
}

/// By how much a container's figures may differ from its packets: by about one of them.
const SLACK_MS: u64 = 100;

fn open(path: &Path, container: Container, view: View) -> Result<Box<dyn FormatReader>, Fail> {
    let seekable = container != Container::Matroska;
    let part = Part::open(path, view, seekable)?;
    let stream = MediaSourceStream::new(Box::new(part), Default::default());
    let options = FormatOptions::default();
    let reader: Result<Box<dyn FormatReader>, Error> = match container {
        Container::Flac => FlacReader::try_new(stream, options).map(|it| Box::new(it) as _),
        Container::Ogg => OggReader::try_new(stream, options).map(|it| Box::new(it) as _),
        Container::Mp4 => IsoMp4Reader::try_new(stream, options).map(|it| Box::new(it) as _),
        // It is played from its beginning on: what it says of places elsewhere may be cut off.
        Container::Matroska => MkvReader::try_new(stream, options).map(|it| Box::new(it) as _),
        Container::Caf => CafReader::try_new(stream, options).map(|it| Box::new(it) as _),
        _ => Err(Error::Unsupported("this container")),
    };
    reader.map_err(|error| match error {
        // It may be our reader that does not know all of it: others judge whether it is broken.
        Error::DecodeError(why) if container != Container::Flac => Fail::Unsupported(why.to_owned()),
        error => unreadable(&error),
    })
}

fn has_film(reader: &dyn FormatReader) -> bool {
    reader.first_track(TrackType::Video).is_some()
}

/// Whether the library reads such samples as they are meant: of plain ones in QuickTime it mistakes the order of bytes.
fn is_trusted(track: &Track) -> bool {
    let codec = track.codec_params.as_ref().and_then(|params| params.audio()).map(|params| params.codec);
    codec.is_some_and(|codec| {
        let packed = [CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_FLAC, CODEC_ID_MP3, CODEC_ID_OPUS];
        packed.contains(&codec) || [CODEC_ID_PCM_S16BE, CODEC_ID_PCM_S16LE].contains(&codec)
    })
}

/// The track that is listened to, and its decoder.
fn start(reader: &dyn FormatReader, film: bool) -> Result<(Track, Decoder), Fail> {
    let Some(track) = reader.default_track(TrackType::Audio) else {
        // A track of a codec that is not known may still be audio.
        return Err(match film && reader.tracks().len() == 1 {
            true => NotAudio::Other("a film without sound").into(),
            false => Fail::Unsupported("no track of audio is known here".into()),
        });
    };
    let params = track.codec_params.as_ref().and_then(|params| params.audio());
    let params = params.ok_or_else(|| Fail::Unsupported("its codec is not known here".into()))?;
    Ok((track.clone(), Decoder::new(params)?))
}

fn rate(track: &Track) -> Option<u32> {
    track.codec_params.as_ref()?.audio()?.sample_rate.filter(|rate| *rate > 0)
}

/// How long a track plays, by what its container says, in ms.
fn length(track: &Track) -> Option<u64> {
    if let (Some(frames), Some(rate)) = (track.num_frames, rate(track)) {
        return Some((u128::from(frames) * 1000 / u128::from(rate)) as u64);
    }
    span(track.time_base?, track.duration?)
}

/// How long all plays, by what the container says of itself.
fn media_length(reader: &dyn FormatReader) -> Option<u64> {
    let info = reader.media_info();
    span(info.time_base?, info.duration?)
}

/// So many ticks, in ms.
fn span(base: TimeBase, duration: Duration) -> Option<u64> {
    let ticks = u128::from(duration.get()) * u128::from(base.numer.get()) * 1000;
    u64::try_from(ticks / u128::from(base.denom.get())).ok()
}

/// A part of a file. Reading ends in an error when far more was read than there is: a file may lead its reader in circles.
struct Part {
    file: File,
    view: View,
    /// Whether it is read elsewhere than in order.
    seekable: bool,
    at: u64,
    budget: u64,
}

/// So many times a part may be read, and bytes besides.
const AGAIN: u64 = 4;
const BESIDES: u64 = 64 << 20;
/// Bytes that every single reading counts for, at least.
const READING: u64 = 512;

impl Part {
    fn open(path: &Path, view: View, seekable: bool) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(view.start))?;
        let budget = (view.end - view.start).saturating_mul(AGAIN).saturating_add(BESIDES);
        Ok(Self { file, view, seekable, at: 0, budget })
    }

    const fn len(&self) -> u64 {
        self.view.end - self.view.start
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.len().saturating_sub(self.at);
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.file.read(&mut buffer[..most])?;
        if let Some((from, patch)) = &self.view.patch {
            for (at, byte) in (*from..).zip(patch) {
                let within = at.checked_sub(self.at).filter(|within| *within < read as u64);
                if let Some(within) = within {
                    buffer[within as usize] = *byte;
                }
            }
        }
        self.at += read as u64;
        self.budget = self
            .budget
            .checked_sub((read as u64).max(READING))
            .ok_or_else(|| io::Error::other("it is read in circles"))?;
        Ok(read)
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.at, by),
            SeekFrom::End(by) => (self.len(), by),
        };
        let at = from.checked_add_signed(by).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // Behind the end there is nothing, however far.
        self.file.seek(SeekFrom::Start(self.view.start + at.min(self.len())))?;
        self.at = at;
        Ok(at)
    }
}

impl MediaSource for Part {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.seekable.then(|| self.len())
    }
}
