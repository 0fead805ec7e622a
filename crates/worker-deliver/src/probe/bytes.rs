//! The bytes of a file, at any place of it; read once where they are wanted in order.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// A file with the last piece of it that was read.
pub(super) struct Bytes {
    file: File,
    len: u64,
    /// Where the piece stands in the file.
    start: u64,
    piece: Vec<u8>,
}

/// Bytes that are read at once.
const PIECE: usize = 128 << 10;

impl Bytes {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len, start: 0, piece: Vec::new() })
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// So many bytes at a place; fewer at the end of the file, none behind it.
    pub(super) fn at(&mut self, at: u64, most: usize) -> io::Result<&[u8]> {
        let wanted = self.len.saturating_sub(at).min(most as u64);
        let held = at >= self.start && at + wanted <= self.start + self.piece.len() as u64;
        if wanted > 0 && !held {
            self.read(at, wanted as usize)?;
        }
        if wanted == 0 {
            return Ok(&[]);
        }
        let from = (at - self.start) as usize;
        // A file that became shorter meanwhile gives less.
        let to = (from + wanted as usize).min(self.piece.len());
        Ok(self.piece.get(from..to).unwrap_or_default())
    }

    /// Reads on from a place, and keeps what is held of it.
    fn read(&mut self, at: u64, wanted: usize) -> io::Result<()> {
        let end = self.start + self.piece.len() as u64;
        if at >= self.start && at < end {
            self.piece.drain(..(at - self.start) as usize);
        } else {
            self.piece.clear();
        }
        self.start = at;
        let more = wanted.max(PIECE) - self.piece.len();
        self.file.seek(SeekFrom::Start(at + self.piece.len() as u64))?;
        (&self.file).take(more as u64).read_to_end(&mut self.piece)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    proptest::proptest! {
        #[test]
        fn every_place_gives_what_the_file_has_there(
            looks in proptest::collection::vec((0..400_000_u64, 0..40_000_usize), 1..20),
        ) {
            let whole: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&whole).unwrap();
            let mut bytes = Bytes::open(file.path()).unwrap();
            for (at, most) in looks {
                let from = (at as usize).min(whole.len());
                let to = (from + most).min(whole.len());
                assert_eq!(bytes.at(at, most).unwrap(), &whole[from..to], "{at} {most}");
            }
        }
    }
}
