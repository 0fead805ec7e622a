//! Files that need no encoder, or one of ours.

use songmill_core::Flag::{Damaged, Silent, TooShort};

use super::Becomes::{self, Stored, Unusable};
use super::made::{
    TONE_MP3, Wav, aiff, ape, au, big, caf, chunk, headed, id3, id3v1, junk, little, mp3 as encoded, picture,
    rf64, tone, unpadded, w64,
};
use super::{Bytes, File};

fn file(name: &'static str, bytes: fn() -> Vec<u8>, becomes: Becomes) -> File {
    File { name, bytes: Bytes::Made(bytes), becomes }
}

/// An mp3 behind something else.
fn behind(before: &[u8]) -> Vec<u8> {
    [before, TONE_MP3].concat()
}

fn before(behind: &[u8]) -> Vec<u8> {
    [TONE_MP3, behind].concat()
}

fn short_of(bytes: usize) -> Vec<u8> {
    TONE_MP3[..TONE_MP3.len() - bytes].to_vec()
}

/// Seconds of a tone at 44,100 Hz, mono, without a header.
fn frames(seconds: u32) -> Vec<u8> {
    encoded(&tone(44_100, 1, seconds * 1000), 44_100, 1, 64)
}

fn silence(seconds: usize) -> Vec<u8> {
    encoded(&vec![0; 44_100 * seconds], 44_100, 1, 64)
}

/// Loud and large at first, then quiet and small, as a variable rate makes it.
fn variable() -> Vec<u8> {
    let loud = encoded(&tone(44_100, 1, 5000), 44_100, 1, 320);
    let quiet: Vec<i16> = tone(44_100, 1, 25_000).iter().map(|sample| sample / 64).collect();
    [loud, encoded(&quiet, 44_100, 1, 32)].concat()
}

/// Frames whose heads leave the rate open: each is as long as the first.
fn free() -> Vec<u8> {
    let mut frames = encoded(&tone(48_000, 1, 3000), 48_000, 1, 128);
    for frame in frames.chunks_mut(384) {
        frame[2] &= 0x0f;
    }
    frames
}

/// With a part in the middle overwritten.
fn overwritten(mut whole: Vec<u8>, part: usize, with: &[u8]) -> Vec<u8> {
    let at = whole.len() / 2;
    for (n, byte) in whole[at..at + part].iter_mut().enumerate() {
        *byte = with[n % with.len()];
    }
    whole
}

pub(super) fn mp3() -> Vec<File> {
    let whole = Stored("mp3", 4000, &[]);
    let flagged = Stored("mp3", 4000, &[Damaged]);
    vec![
        file("mp3", || TONE_MP3.to_vec(), whole),
        file("mp3 behind an ID3v2 tag", || behind(&id3(2000)), whole),
        file("mp3 behind an ID3v2 tag with a picture of 1.1 MB", || behind(&id3(1_100_000)), whole),
        file("mp3 behind an ID3v2 tag of 20 MB", || behind(&id3(20_000_000)), whole),
        file("mp3 behind two ID3v2 tags", || behind(&[id3(3000), id3(50)].concat()), whole),
        file(
            "mp3 behind an ID3v2 tag with a wrong size",
            || {
                let mut tag = id3(300_000);
                tag[6..10].copy_from_slice(&300_000u32.to_be_bytes());
                behind(&tag)
            },
            whole,
        ),
        file("mp3 behind an APEv2 tag", || behind(&ape(true, true)), whole),
        file("mp3 behind an ID3v1 tag", || behind(&id3v1()), whole),
        file("mp3 behind a line end", || behind(b"\r\n"), whole),
        file("mp3 behind 512 zeros", || behind(&[0; 512]), whole),
        file("mp3 behind 20 bytes of junk", || behind(&junk(20, 1)), whole),
        file("mp3 behind 7 MiB of junk", || behind(&junk(7 << 20, 2)), whole),
        file("mp3 behind the head of an HTTP answer", || behind(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"), whole),
        file("mp3 and an ID3v1 tag", || before(&id3v1()), whole),
        file(
            "mp3 and APEv2, Lyrics3 and ID3v1 tags",
            || before(&[&ape(true, true)[..], b"LYRICSBEGININD0000300000026LYRICS200", &id3v1()].concat()),
            whole,
        ),
        file("mp3 and 4 KiB of zeros", || before(&[0; 4096]), whole),
        file("mp3 and 5 kB of junk", || before(&junk(5000, 3)), whole),
        file("mp3 without a header", || frames(4), whole),
        file("mp3 whose header counts itself", || headed(&frames(4), 1), whole),
        file(
            "mp3 whose header counts a first part of it",
            || [headed(&frames(2), 0), frames(2)].concat(),
            whole,
        ),
        file("mp3 of a variable rate without a header, loud at first", variable, Stored("mp3", 30_000, &[])),
        file(
            "mp3 joined of three, the first one silent, each with a header",
            || [headed(&silence(3), 0), headed(&frames(4), 0), headed(&frames(4), 0)].concat(),
            Stored("mp3", 11_000, &[]),
        ),
        file(
            "mp3 joined of other rates and channels, with tags between",
            || {
                let stereo = encoded(&tone(48_000, 2, 3000), 48_000, 2, 128);
                [&frames(2)[..], &id3v1(), &id3(900), &stereo, TONE_MP3].concat()
            },
            Stored("mp3", 9000, &[]),
        ),
        file("mp3 with a last frame 20 bytes short", || short_of(20), flagged),
        file("mp3 with a last frame 60 bytes short", || short_of(60), flagged),
        file(
            "mp3 without a header, with a last frame 20 bytes short",
            || {
                let mut frames = frames(4);
                frames.truncate(frames.len() - 20);
                frames
            },
            flagged,
        ),
        file("mp3 whose header counts six frames more", || headed(&frames(4), 6), flagged),
        file("mp3 with a frame overwritten", || overwritten(TONE_MP3.to_vec(), 104, &[0]), flagged),
        file("mp3 of free format", free, Becomes::Unchecked("mp3", 0)),
        file(
            "mp1 of silence",
            || [&b"\xff\xff\xc4\xc0"[..], &[0; 380]].concat().repeat(500),
            Unusable("mp1", Silent),
        ),
        file("the first third of an mp3", || short_of(TONE_MP3.len() * 2 / 3), Unusable("mp3", Damaged)),
        file(
            "mp3 with a tenth overwritten",
            || overwritten(TONE_MP3.to_vec(), TONE_MP3.len() / 10, &junk(977, 4)),
            Unusable("mp3", Damaged),
        ),
        file("mp3 of silence", || silence(4), Unusable("mp3", Silent)),
        file("mp3 of 0.1 s", || encoded(&tone(44_100, 1, 100), 44_100, 1, 64), Unusable("mp3", TooShort)),
    ]
}

fn wav_with(change: impl FnOnce(&mut Wav)) -> Vec<u8> {
    let mut wav = Wav::tone();
    change(&mut wav);
    wav.bytes()
}

/// Two seconds at 8000 Hz with other samples.
fn samples<const N: usize>(tag: u16, bits: u16, write: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
    let levels = tone(8000, 1, 2000).into_iter().map(|sample| f32::from(sample) / 32_768.0);
    Wav::of(tag, 8000, 1, bits, levels.flat_map(write).collect()).bytes()
}

/// A law's samples: loud, and quiet, of both signs.
fn law(tag: u16, levels: [u8; 4]) -> Vec<u8> {
    Wav::of(tag, 8000, 1, 8, levels.repeat(4000)).bytes()
}

fn extensible(sub: u16) -> Vec<u8> {
    wav_with(|wav| {
        wav.fmt[..2].copy_from_slice(&[0xfe, 0xff]);
        wav.fmt.extend([22, 0, 16, 0, 4, 0, 0, 0]);
        wav.fmt.extend(sub.to_le_bytes());
        wav.fmt.extend(b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
    })
}

pub(super) fn wav() -> Vec<File> {
    let whole = Stored("wav", 2000, &[]);
    vec![
        file("wav", || Wav::tone().bytes(), whole),
        file("wav of 8 bits", || samples(1, 8, |level| [(level * 127.0 + 128.0) as u8]), whole),
        file(
            "wav of 24 bits",
            || {
                samples(1, 24, |level| {
                    let [_, a, b, c] = ((level * 2e9) as i32).to_le_bytes();
                    [a, b, c]
                })
            },
            whole,
        ),
        file("wav of 32 bits", || samples(1, 32, |level| ((level * 2e9) as i32).to_le_bytes()), whole),
        file("wav of floats", || samples(3, 32, f32::to_le_bytes), whole),
        file("wav of long floats", || samples(3, 64, |level| f64::from(level).to_le_bytes()), whole),
        file("wav of A-law", || law(6, [0xba, 0x3a, 0xd5, 0x55]), whole),
        file("wav of µ-law", || law(7, [0x90, 0x10, 0xff, 0x7f]), whole),
        file("wav with an extensible format", || extensible(1), whole),
        file("wav with a format of 18 bytes", || wav_with(|wav| wav.fmt.extend([0; 2])), whole),
        file("wav with a format of 20 bytes", || wav_with(|wav| wav.fmt.extend([0; 4])), whole),
        file("wav with a format of 40 bytes", || wav_with(|wav| wav.fmt.extend([0; 24])), whole),
        file(
            "wav with a size 8 too large",
            || wav_with(|wav| wav.data_size = Some(wav.data.len() as u32 + 8)),
            whole,
        ),
        file(
            "wav with the size of the file",
            || wav_with(|wav| wav.data_size = Some(wav.data.len() as u32 + 44)),
            whole,
        ),
        file(
            "wav with a size twice too large in a RIFF of the right size",
            || wav_with(|wav| wav.data_size = Some(wav.data.len() as u32 * 2)),
            whole,
        ),
        file("wav with the RIFF size of an empty file", || wav_with(|wav| wav.riff_size = Some(36)), whole),
        file(
            "wav with sizes of 0",
            || wav_with(|wav| (wav.riff_size, wav.data_size) = (Some(0), Some(0))),
            whole,
        ),
        file(
            "wav with sizes of 0xffffffff",
            || wav_with(|wav| (wav.riff_size, wav.data_size) = (Some(u32::MAX), Some(u32::MAX))),
            whole,
        ),
        file("wav with a size of 0x7ffff000", || wav_with(|wav| wav.data_size = Some(0x7fff_f000)), whole),
        file(
            "wav with an odd chunk",
            || wav_with(|wav| wav.before = chunk(b"LIST", b"INFOISFT\x05\0\0\0Song\0")),
            whole,
        ),
        file(
            "wav with an odd chunk without its pad byte",
            || wav_with(|wav| wav.before = unpadded(b"LIST", b"INFOISFT\x05\0\0\0Song\0")),
            whole,
        ),
        file(
            "wav with an unknown odd chunk without its pad byte",
            || wav_with(|wav| wav.before = unpadded(b"zzzz", &junk(301, 5))),
            whole,
        ),
        file(
            "wav with a picture before its samples",
            || wav_with(|wav| wav.before = chunk(b"PICT", &picture(30_000))),
            whole,
        ),
        file(
            "wav with a picture behind its samples",
            || wav_with(|wav| wav.behind = chunk(b"PICT", &picture(90_000))),
            whole,
        ),
        file(
            "wav with a picture behind, and an open RIFF size",
            || wav_with(|wav| (wav.behind, wav.riff_size) = (chunk(b"PICT", &picture(90_000)), Some(0))),
            whole,
        ),
        file(
            "wav with a picture behind samples of unknown length",
            || {
                wav_with(|wav| {
                    wav.behind = [chunk(b"PICT", &picture(90_001)), chunk(b"LIST", b"INFO")].concat();
                    (wav.data_size, wav.riff_size) = (Some(u32::MAX), Some(u32::MAX));
                })
            },
            whole,
        ),
        file(
            "wav with its format behind its samples",
            || {
                let wav = Wav::tone();
                let parts = [chunk(b"data", &wav.data), chunk(b"fmt ", &wav.fmt)].concat();
                [&b"RIFF"[..], &(parts.len() as u32 + 4).to_le_bytes(), b"WAVE", &parts].concat()
            },
            whole,
        ),
        file("wav behind a line end", || [&b"\r\n"[..], &Wav::tone().bytes()].concat(), whole),
        file("RF64", || rf64(little(&tone(11_025, 1, 2000)), 11_025), whole),
        file(
            "wav with mp3 in it",
            || {
                let mut wav = Wav::of(0x55, 22_050, 1, 0, TONE_MP3.to_vec());
                wav.fmt.extend([12, 0, 1, 0, 2, 0, 0, 0, 105, 0, 1, 0, 113, 5]);
                wav.bytes()
            },
            Stored("wav", 4000, &[]),
        ),
        file(
            "wav with its last 0.1 s missing",
            || {
                let wav = Wav::tone().bytes();
                wav[..wav.len() - 2206].to_vec()
            },
            Stored("wav", 1900, &[Damaged]),
        ),
        file(
            "the first third of a wav",
            || {
                let wav = Wav::tone().bytes();
                wav[..wav.len() / 3].to_vec()
            },
            Unusable("wav", Damaged),
        ),
        file(
            "wav of 0.03 s",
            || Wav::of(1, 11_025, 1, 16, little(&tone(11_025, 1, 30))).bytes(),
            Unusable("wav", TooShort),
        ),
    ]
}

fn flac() -> Vec<u8> {
    songmill_simulator::audio("00000000000000aa-3000.flac").unwrap()
}

pub(super) fn others() -> Vec<File> {
    let aiff_of = Stored("aiff", 2000, &[]);
    vec![
        file("Sony Wave64", || w64(&little(&tone(11_025, 1, 2000)), 11_025), Stored("w64", 2000, &[])),
        file("AIFF", || aiff(&big(&tone(11_025, 1, 2000)), 11_025, 16, None, &[]), aiff_of),
        file(
            "AIFF with an odd chunk without its pad byte",
            || aiff(&big(&tone(44_100, 1, 2000)), 44_100, 16, None, b"NAME\0\0\0\x03abc"),
            aiff_of,
        ),
        file(
            "AIFF-C, little-endian",
            || aiff(&little(&tone(8000, 1, 2000)), 8000, 16, Some(b"sowt"), &[]),
            aiff_of,
        ),
        file(
            "AIFF-C of floats",
            || {
                let floats = tone(8000, 1, 2000).into_iter().map(|sample| f32::from(sample) / 32_768.0);
                aiff(&floats.flat_map(f32::to_be_bytes).collect::<Vec<u8>>(), 8000, 32, Some(b"fl32"), &[])
            },
            aiff_of,
        ),
        file(
            "AU",
            || {
                let data = big(&tone(8000, 1, 2000));
                au(&data, 8000, 3, data.len() as u32)
            },
            Stored("au", 2000, &[]),
        ),
        file(
            "AU of unknown length, µ-law",
            || au(&[0x90, 0x10, 0xff, 0x7f].repeat(4000), 8000, 1, u32::MAX),
            Stored("au", 2000, &[]),
        ),
        file(
            "CAF",
            || {
                let data = big(&tone(8000, 1, 2000));
                caf(&data, 8000.0, data.len() as i64 + 4)
            },
            Stored("caf", 2000, &[]),
        ),
        file(
            "CAF of unknown length",
            || caf(&big(&tone(8000, 1, 2000)), 8000.0, -1),
            Stored("caf", 2000, &[]),
        ),
        file("flac", flac, Stored("flac", 3000, &[])),
        file("flac behind an ID3v2 tag", || [id3(4000), flac()].concat(), Stored("flac", 3000, &[])),
        file(
            "flac and APEv2 and ID3v1 tags",
            || [flac(), ape(true, true), id3v1()].concat(),
            Stored("flac", 3000, &[]),
        ),
        file("flac behind a line end", || [&b"\r\n"[..], &flac()].concat(), Stored("flac", 3000, &[])),
        file(
            "the first third of a flac",
            || {
                let flac = flac();
                flac[..flac.len() / 3].to_vec()
            },
            Unusable("flac", Damaged),
        ),
    ]
}
