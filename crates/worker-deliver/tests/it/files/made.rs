//! Audio files made by hand: so that every byte of a header is what a test wants it to be.

use std::f32::consts::TAU;

use shine_rs::{Mp3Encoder, Mp3EncoderConfig, StereoMode};

/// Four seconds of a tone as ffmpeg and LAME write them: 22,050 Hz, mono, 32 kbit, an Info header that counts all frames.
pub(super) const TONE_MP3: &[u8] = include_bytes!("../../fixtures/tone.mp3");

/// A tone at half of full scale; 16 bits.
pub(super) fn tone(rate: u32, channels: u32, millis: u32) -> Vec<i16> {
    let frames = u64::from(rate) * u64::from(millis) / 1000;
    (0..frames)
        .flat_map(|n| {
            let sample = (n as f32 * 440.0 / rate as f32 * TAU).sin() * 16_000.0;
            std::iter::repeat_n(sample as i16, channels as usize)
        })
        .collect()
}

pub(super) fn little(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

pub(super) fn big(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_be_bytes()).collect()
}

/// A WAVE file, of which everything can be otherwise.
#[derive(Clone)]
pub(super) struct Wav {
    pub(super) form: [u8; 4],
    pub(super) riff_size: Option<u32>,
    pub(super) fmt: Vec<u8>,
    /// Chunks before the samples.
    pub(super) before: Vec<u8>,
    pub(super) data: Vec<u8>,
    pub(super) data_size: Option<u32>,
    /// Chunks behind them.
    pub(super) behind: Vec<u8>,
}

impl Wav {
    /// Samples of this tag, rate, channels and bits.
    pub(super) fn of(tag: u16, rate: u32, channels: u16, bits: u16, data: Vec<u8>) -> Self {
        let block = channels * bits / 8;
        let mut fmt = tag.to_le_bytes().to_vec();
        fmt.extend(channels.to_le_bytes());
        fmt.extend(rate.to_le_bytes());
        fmt.extend((rate * u32::from(block)).to_le_bytes());
        fmt.extend(block.to_le_bytes());
        fmt.extend(bits.to_le_bytes());
        Self { form: *b"RIFF", riff_size: None, fmt, before: vec![], data, data_size: None, behind: vec![] }
    }

    /// Two seconds of 16-bit mono at 11,025 Hz.
    pub(super) fn tone() -> Self {
        Self::of(1, 11_025, 1, 16, little(&tone(11_025, 1, 2000)))
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = self.form.to_vec();
        out.extend([0; 4]);
        out.extend(b"WAVE");
        out.extend(chunk(b"fmt ", &self.fmt));
        out.extend(&self.before);
        out.extend(b"data");
        out.extend(self.data_size.unwrap_or(self.data.len() as u32).to_le_bytes());
        out.extend(&self.data);
        out.extend(&self.behind);
        let size = self.riff_size.unwrap_or(out.len() as u32 - 8);
        out[4..8].copy_from_slice(&size.to_le_bytes());
        out
    }
}

/// A chunk, with its pad byte where it needs one.
pub(super) fn chunk(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = unpadded(id, body);
    out.extend(vec![0; body.len() % 2]);
    out
}

/// A chunk whose pad byte was forgotten.
pub(super) fn unpadded(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&id[..], &(body.len() as u32).to_le_bytes(), body].concat()
}

/// A picture, which sounds dreadful.
pub(super) fn picture(bytes: usize) -> Vec<u8> {
    [&b"\xff\xd8\xff\xe0"[..], &junk(bytes, 7)].concat()
}

/// Bytes without an order.
pub(super) fn junk(bytes: usize, seed: u64) -> Vec<u8> {
    let mut dice = seed | 1;
    let mut roll = || {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 24) as u8
    };
    (0..bytes).map(|_| roll()).collect()
}

/// A Wave64 file.
pub(super) fn w64(data: &[u8], rate: u32) -> Vec<u8> {
    let part = |id: &[u8; 4], rest: &[u8; 12], body: &[u8]| {
        let mut out = [&id[..], rest].concat();
        out.extend((24 + body.len() as u64).to_le_bytes());
        out.extend(body);
        out.resize(out.len().next_multiple_of(8), 0);
        out
    };
    let rest = b"\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a";
    let fmt = Wav::of(1, rate, 1, 16, vec![]).fmt;
    let parts = [part(b"fmt ", rest, &fmt), part(b"data", rest, data)].concat();
    let mut out = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0".to_vec();
    out.extend((40 + parts.len() as u64).to_le_bytes());
    out.extend([&b"wave"[..], rest].concat());
    out.extend(parts);
    out
}

/// An RF64 file: its sizes stand in a chunk of their own.
pub(super) fn rf64(data: Vec<u8>, rate: u32) -> Vec<u8> {
    let size = data.len() as u64;
    let mut ds64 = (size + 72).to_le_bytes().to_vec();
    ds64.extend(size.to_le_bytes());
    ds64.extend((size / 2).to_le_bytes());
    ds64.extend([0; 4]);
    let mut wav = Wav::of(1, rate, 1, 16, data);
    (wav.form, wav.riff_size, wav.data_size) = (*b"RF64", Some(u32::MAX), Some(u32::MAX));
    let mut out = wav.bytes();
    out.splice(12..12, chunk(b"ds64", &ds64));
    out
}

/// An AIFF file; AIFF-C where there is a kind of compression.
pub(super) fn aiff(data: &[u8], rate: u32, bits: u16, kind: Option<&[u8; 4]>, before: &[u8]) -> Vec<u8> {
    let be = |id: &[u8; 4], body: &[u8]| {
        let pad = vec![0; body.len() % 2];
        [&id[..], &(body.len() as u32).to_be_bytes(), body, &pad].concat()
    };
    let mut comm = 1u16.to_be_bytes().to_vec();
    comm.extend((data.len() as u32 * 8 / u32::from(bits)).to_be_bytes());
    comm.extend(bits.to_be_bytes());
    let zeros = u64::from(rate).leading_zeros();
    comm.extend((16_383 + 63 - zeros as u16).to_be_bytes());
    comm.extend((u64::from(rate) << zeros).to_be_bytes());
    if let Some(kind) = kind {
        comm.extend(kind);
        comm.extend([0, 0]);
    }
    let parts = [&be(b"COMM", &comm)[..], before, &be(b"SSND", &[&[0; 8], data].concat())].concat();
    let form = if kind.is_some() { b"AIFC" } else { b"AIFF" };
    [&b"FORM"[..], &(4 + parts.len() as u32).to_be_bytes(), form, &parts].concat()
}

/// An AU file.
pub(super) fn au(data: &[u8], rate: u32, coding: u32, size: u32) -> Vec<u8> {
    let numbers = [24, size, coding, rate, 1].map(u32::to_be_bytes).concat();
    [&b".snd"[..], &numbers, data].concat()
}

/// A CAF file with plain samples of 16 bits, big-endian.
pub(super) fn caf(data: &[u8], rate: f64, size: i64) -> Vec<u8> {
    let mut out = b"caff\0\x01\0\0desc".to_vec();
    out.extend(32i64.to_be_bytes());
    out.extend(rate.to_be_bytes());
    out.extend(b"lpcm");
    out.extend([0, 2, 1, 1, 16].map(u32::to_be_bytes).concat());
    out.extend(b"data");
    out.extend(size.to_be_bytes());
    out.extend([0; 4]);
    out.extend(data);
    out
}

/// MPEG-1 layer III without a header, by an encoder of its own.
pub(super) fn mp3(samples: &[i16], rate: u32, channels: u8, kbit: u32) -> Vec<u8> {
    let mode = if channels == 1 { StereoMode::Mono } else { StereoMode::Stereo };
    let config = Mp3EncoderConfig::new().sample_rate(rate).bitrate(kbit).channels(channels).stereo_mode(mode);
    let mut encoder = Mp3Encoder::new(config).unwrap();
    let mut out = encoder.encode_interleaved(samples).unwrap().concat();
    out.extend(encoder.finish().unwrap());
    out
}

/// The same with a Xing header that says how many frames and bytes there are, or as many more.
pub(super) fn headed(frames: &[u8], more: u32) -> Vec<u8> {
    // 44,100 Hz, 64 kbit, mono: 208 bytes.
    let mut out = b"\xff\xfb\x50\xc0".to_vec();
    out.resize(4 + 17, 0);
    out.extend(b"Xing\0\0\0\x01");
    out.extend((count(frames) + more).to_be_bytes());
    out.resize(208, 0);
    out.extend(frames);
    out
}

/// How many frames there are of 44,100 Hz.
fn count(frames: &[u8]) -> u32 {
    const RATES: [u32; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    let (mut at, mut count) = (0, 0);
    while at + 4 <= frames.len() {
        let bits = RATES[usize::from(frames[at + 2] >> 4)] * 1000;
        at += (144 * bits / 44_100 + u32::from(frames[at + 2] >> 1 & 1)) as usize;
        count += 1;
    }
    count
}

/// An ID3v2 tag of about so many bytes, with a picture in it.
pub(super) fn id3(bytes: usize) -> Vec<u8> {
    let body = [&b"APIC\0\0\0\0\0\0\0image/jpeg\0\x03\0"[..], &picture(bytes)].concat();
    let size = body.len();
    let size = [size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127].map(|part| part as u8);
    [&b"ID3\x03\0\0"[..], &size, &body].concat()
}

/// An APEv2 tag with a header and a footer.
pub(super) fn ape(header: bool, footer: bool) -> Vec<u8> {
    let item = [&9u32.to_le_bytes()[..], &[0; 4], b"Title\0", b"Lights on"].concat();
    let frame = |flags: u32| {
        let numbers = [2000, item.len() as u32 + 32, 1, flags].map(u32::to_le_bytes).concat();
        [&b"APETAGEX"[..], &numbers, &[0; 8]].concat()
    };
    let first = if header { frame(0xa000_0000) } else { vec![] };
    let last = if footer { frame(if header { 0x8000_0000 } else { 0 }) } else { vec![] };
    [&first[..], &item, &last].concat()
}

/// An ID3v1 tag.
pub(super) fn id3v1() -> Vec<u8> {
    [&b"TAG"[..], &[b' '; 125]].concat()
}
