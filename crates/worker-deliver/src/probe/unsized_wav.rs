//! A wav that was written as a stream, and does not know its length: where its sizes should stand is nothing, or 0 bytes
//! of audio with more behind it. It is read as if they were as large as can be, which decoders take for that.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

/// A file, with sizes in it that are left open.
pub(super) struct UnsizedWav {
    file: File,
    at: u64,
    /// Where sizes stand that are read as 0xffffffff.
    open: [u64; 2],
}

/// Where the size of the whole stands, and the first part.
const WHOLE: u64 = 4;
const FIRST: u64 = 12;
/// Parts that are looked at until that of the audio.
const PARTS: u32 = 64;

/// Where the size of a wav's audio stands, if it says nothing though there is audio, or the whole's does.
pub(super) fn open_size(file: &mut File) -> io::Result<Option<u64>> {
    let end = file.metadata()?.len();
    let mut part = [0; 8];
    file.seek(SeekFrom::Start(WHOLE))?;
    file.read_exact(&mut part[..4])?;
    let is_open = part[..4] == [0; 4];
    let mut at = FIRST;
    for _ in 0..PARTS {
        if at + 8 > end {
            break;
        }
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut part)?;
        let [a, b, c, d, size @ ..] = part;
        let size = u64::from(u32::from_le_bytes(size));
        if [a, b, c, d] == *b"data" {
            return Ok(((is_open || size == 0) && at + 8 < end).then_some(at + 4));
        }
        at += 8 + size + size % 2;
    }
    Ok(None)
}

impl UnsizedWav {
    /// Of a file at its beginning.
    pub(super) fn new(file: File, size_at: u64) -> Self {
        Self { file, at: 0, open: [WHOLE, size_at] }
    }
}

impl Read for UnsizedWav {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        for (at, byte) in (self.at..).zip(&mut buffer[..read]) {
            if self.open.iter().any(|size| (*size..size + 4).contains(&at)) {
                *byte = 0xff;
            }
            if at > self.open[1] + 4 {
                break;
            }
        }
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for UnsizedWav {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

impl MediaSource for UnsizedWav {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        self.file.byte_len()
    }
}
