//! The frames of an mp3, as they stand in the file: is the last one whole, and are there as many as there should be?

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Why an mp3 seems to be cut short.
pub(super) fn cut(path: &Path) -> io::Result<Option<&'static str>> {
    let file = File::open(path)?;
    let whole = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut at, mut read) = (skip_tag(&mut reader)?, 0u64);
    let (mut frames, mut declared) = (0u64, None);
    let mut lost = 0;
    loop {
        let mut head = [0; 4];
        if at + 4 > whole {
            break;
        }
        reader.seek_relative(at.cast_signed() - read.cast_signed())?;
        reader.read_exact(&mut head)?;
        read = at + 4;
        let Some(length) = frame(head) else {
            if frames == 0 && lost < LOST_MOST {
                (at, lost) = (at + 1, lost + 1);
                continue;
            }
            if TAGS.iter().any(|tag| head.starts_with(tag)) {
                break;
            }
            // What is no frame is not ours to judge.
            return Ok(None);
        };
        if at + length > whole {
            return Ok((frames > 0).then_some("the file ends in the middle of its audio"));
        }
        if frames == 0 && declared.is_none() {
            let mut body = vec![0; (length as usize - 4).min(64)];
            reader.read_exact(&mut body)?;
            read += body.len() as u64;
            declared = Some(count(&body));
            // A frame that only says how many follow is none of them.
            frames += u64::from(declared == Some(None));
        } else {
            frames += 1;
        }
        at += length;
    }
    let fewer = declared.flatten().is_some_and(|declared| frames + SPARE < declared);
    Ok(fewer.then_some("there is less audio than the header says"))
}

/// Bytes that are searched for the first frame.
const LOST_MOST: u32 = 1 << 16;
/// What stands behind the audio: tags of all kinds, and padding.
const TAGS: [&[u8]; 5] = [b"TAG", b"APET", b"LYRI", b"ID3", b"\0\0\0\0"];
/// Frames that a header may count too many.
const SPARE: u64 = 8;

/// Where a tag at the beginning ends.
fn skip_tag(reader: &mut BufReader<File>) -> io::Result<u64> {
    let mut head = [0; 10];
    let read = reader.read(&mut head)?;
    reader.seek(SeekFrom::Start(0))?;
    if read < 10 || !head.starts_with(b"ID3") {
        return Ok(0);
    }
    let size = head[6..10].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
    Ok(10 + size)
}

/// How many frames the first one says there are: in a Xing, Info or VBRI header.
fn count(body: &[u8]) -> Option<u64> {
    let number = |at: usize| Some(u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?));
    // Behind the side information, whose length depends on version and channels.
    for at in [32, 17, 9, 34, 19, 11] {
        match body.get(at..at + 4) {
            Some(b"Xing" | b"Info") => {
                return (number(at + 4)? & 1 == 1).then(|| number(at + 8)).flatten().map(u64::from);
            }
            Some(b"VBRI") => return number(at + 14).map(u64::from),
            _ => {}
        }
    }
    None
}

/// The length of a frame of layer III, by its header; none where it is no header, or leaves its rate open.
fn frame(head: [u8; 4]) -> Option<u64> {
    const ONE: [u32; 16] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0];
    const TWO: [u32; 16] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0];
    let [a, b, c, _] = head;
    let layer = (b >> 1) & 3;
    if a != 0xff || b & 0xe0 != 0xe0 || layer != 1 {
        return None;
    }
    let rate = [44_100, 48_000, 32_000].get(usize::from((c >> 2) & 3))?;
    let (rates, rate, samples) = match (b >> 3) & 3 {
        3 => (ONE, *rate, 1152),
        2 => (TWO, rate / 2, 576),
        0 => (TWO, rate / 4, 576),
        _ => return None,
    };
    let bits = rates[usize::from(c >> 4)] * 1000;
    if bits == 0 {
        return None;
    }
    Some(u64::from(samples / 8 * bits / rate + u32::from(c >> 1 & 1)))
}
