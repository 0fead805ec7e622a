//! The head of a frame: of MPEG audio (ISO 11172-3, 13818-3) in its three layers, and of AAC in ADTS (ISO 13818-7).

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3};

/// What the head of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) codec: AudioCodecId,
    /// Samples a second.
    pub(super) rate: u32,
    pub(super) channels: u16,
    /// Samples of each channel in the frame.
    pub(super) samples: u32,
    /// Bytes of the frame, head included.
    pub(super) len: usize,
    /// Bytes before what the decoder takes.
    pub(super) skipped: usize,
    /// Whether decoders here know this kind: of AAC the low complexity alone.
    known: bool,
    /// Bytes from the frame's beginning to where a Xing header may stand; 0 for none.
    xing: usize,
}

/// Bytes that a head has at most.
pub(super) const HEAD: usize = 9;
/// The longest frame.
pub(super) const LONGEST: usize = 8191;

/// What a frame says that stands before others and has no sound: how many follow, and in how many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Announcement {
    pub(super) frames: Option<u64>,
    pub(super) bytes: Option<u64>,
    /// Samples that the encoder has put before and behind the audio.
    pub(super) padding: u64,
}

impl Head {
    /// Reads the head at the beginning of some bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [0xff, b, c, d, ..] = *bytes else { return None };
        if b & 0xf6 == 0xf0 { Self::adts(bytes) } else { Self::mpeg(b, c, d) }
    }

    fn mpeg(b: u8, c: u8, d: u8) -> Option<Self> {
        let rate = *[44_100, 48_000, 32_000].get(usize::from(c >> 2 & 3))?;
        let (is_one, rate) = match (b & 0xe0 == 0xe0, b >> 3 & 3) {
            (true, 3) => (true, rate),
            (true, 2) => (false, rate / 2),
            (true, 0) => (false, rate / 4),
            _ => return None,
        };
        let bits = usize::from(c >> 4);
        let padding = usize::from(c >> 1 & 1);
        let channels = if d >> 6 == 3 { 1 } else { 2 };
        // Of the kilobits a second: the layers of MPEG-1, then of MPEG-2 and 2.5.
        let (codec, samples, table) = match (b >> 1 & 3, is_one) {
            (3, true) => (CODEC_ID_MP1, 384, &RATES[0]),
            (2, true) => (CODEC_ID_MP2, 1152, &RATES[1]),
            (1, true) => (CODEC_ID_MP3, 1152, &RATES[2]),
            (3, false) => (CODEC_ID_MP1, 384, &RATES[3]),
            (2, false) => (CODEC_ID_MP2, 1152, &RATES[4]),
            (1, false) => (CODEC_ID_MP3, 576, &RATES[4]),
            _ => return None,
        };
        let bits = *table.get(bits)? as usize * 1000;
        if bits == 0 {
            return None;
        }
        let len = match codec {
            CODEC_ID_MP1 => (12 * bits / rate as usize + padding) * 4,
            _ => samples as usize / 8 * bits / rate as usize + padding,
        };
        // Side information, whose length depends on version and channels, stands before a Xing header.
        let side = match (is_one, channels) {
            (true, 2) => 32,
            (false, 1) => 9,
            _ => 17,
        };
        let xing = if codec == CODEC_ID_MP3 { 4 + side } else { 0 };
        Some(Self { codec, rate, channels, samples, len, skipped: 0, known: true, xing })
    }

    fn adts(bytes: &[u8]) -> Option<Self> {
        const RATES: [u32; 13] = [
            96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000,
            7350,
        ];
        let [_, b, c, d, e, f, g, ..] = *bytes else { return None };
        let rate = *RATES.get(usize::from(c >> 2 & 0x0f))?;
        let channels = match (c & 1) << 2 | d >> 6 {
            7 => 8,
            channels => u16::from(channels),
        };
        let len = usize::from(d & 3) << 11 | usize::from(e) << 3 | usize::from(f >> 5);
        let skipped = if b & 1 == 0 { 9 } else { 7 };
        let samples = 1024 * (u32::from(g & 3) + 1);
        let known = c >> 6 == 1 && samples == 1024 && matches!(channels, 1 | 2);
        let head = Self { codec: CODEC_ID_AAC, rate, channels, samples, len, skipped, known, xing: 0 };
        (len > skipped).then_some(head)
    }

    /// Whether a frame with this head may follow another one in the same stream.
    pub(super) fn follows(&self, other: &Self) -> bool {
        (self.codec, self.rate) == (other.codec, other.rate)
    }

    pub(super) const fn is_decoded_here(&self) -> bool {
        self.known
    }

    /// What a frame announces, if it does nothing else.
    pub(super) fn announced(&self, frame: &[u8]) -> Option<Announcement> {
        if self.xing == 0 {
            return None;
        }
        let number =
            |at: usize| frame.get(at..)?.first_chunk().map(|bytes| u64::from(u32::from_be_bytes(*bytes)));
        // There is no sound in it: behind its head and checksum stands nothing.
        let is_empty = |to: usize| frame.get(6..to).is_some_and(|side| side.iter().all(|byte| *byte == 0));
        if frame.get(36..40) == Some(b"VBRI") && is_empty(36) {
            return Some(Announcement { frames: number(50), bytes: number(46), padding: 0 });
        }
        let at = self.xing;
        if !matches!(frame.get(at..at + 4), Some(b"Xing" | b"Info")) || !is_empty(at) {
            return None;
        }
        let flags = number(at + 4)?;
        let mut next = at + 8;
        let mut field = |bit: u64, len: usize| {
            let here = next;
            (flags & bit != 0).then(|| next += len).map(|()| here)
        };
        let frames = field(1, 4).and_then(number);
        let bytes = field(2, 4).and_then(number);
        let _seeking = field(4, 100);
        let _quality = field(8, 4);
        let encoder =
            frame.get(next..next + 24).filter(|it| ENCODERS.iter().any(|name| it.starts_with(name)));
        let padding = encoder.map_or(0, |lame| {
            let [.., a, b, c] = [lame[21], lame[22], lame[23]];
            (u64::from(a) << 4 | u64::from(b) >> 4) + (u64::from(b & 0x0f) << 8 | u64::from(c))
        });
        Some(Announcement { frames, bytes, padding })
    }
}

/// Encoders that say how much they have put before and behind the audio.
const ENCODERS: [&[u8]; 3] = [b"LAME", b"Lavf", b"Lavc"];

/// Kilobits a second of each layer; 0 leaves them open, which is not read here.
const RATES: [[u32; 15]; 5] = [
    [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// Whether it is the head of a frame that leaves its rate, and with it its length, open ("free format").
pub(super) fn is_free(bytes: &[u8]) -> bool {
    let [0xff, b, c, ..] = *bytes else { return false };
    let with_rate = [0xff, b, c | 0x10, 0];
    b & 0xf6 != 0xf0 && c >> 4 == 0 && Head::read(&with_rate).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_all_layers_and_of_adts_say_how_long_their_frames_are() {
        let read =
            |bytes: &[u8]| Head::read(bytes).map(|head| (head.codec, head.rate, head.samples, head.len));
        assert_eq!(read(&[0xff, 0xfb, 0x90, 0x64]), Some((CODEC_ID_MP3, 44_100, 1152, 417)));
        assert_eq!(read(&[0xff, 0xf3, 0x42, 0xc4]), Some((CODEC_ID_MP3, 22_050, 576, 105)));
        assert_eq!(read(&[0xff, 0xe3, 0x48, 0xc4]), Some((CODEC_ID_MP3, 8000, 576, 288)));
        assert_eq!(read(&[0xff, 0xfd, 0xa4, 0x00]), Some((CODEC_ID_MP2, 48_000, 1152, 576)));
        assert_eq!(read(&[0xff, 0xff, 0xc4, 0x00]), Some((CODEC_ID_MP1, 48_000, 384, 384)));
        assert_eq!(
            read(&[0xff, 0xf1, 0x50, 0x80, 0x2e, 0x9f, 0xfc]),
            Some((CODEC_ID_AAC, 44_100, 1024, 372))
        );
    }

    #[test]
    fn what_is_no_head_is_none() {
        for bytes in [
            [0xff, 0xfb, 0xf0, 0x64],
            [0xff, 0xfb, 0x9c, 0x64],
            [0xff, 0xeb, 0x90, 0x64],
            [0xff, 0xf9, 0x90, 0x64],
            [0xff, 0xfe, 0x6f, 0x00],
            [0xfe, 0xfb, 0x90, 0x64],
        ] {
            assert_eq!(Head::read(&bytes).filter(|head| head.codec != CODEC_ID_MP1), None, "{bytes:?}");
        }
        assert!(is_free(&[0xff, 0xfb, 0x04, 0x00]) && !is_free(&[0xff, 0xfb, 0x94, 0x00]));
    }
}
