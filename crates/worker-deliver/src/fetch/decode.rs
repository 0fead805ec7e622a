//! Takes codings off a file: streamed, and bounded in what comes out and in what is held in memory.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use brotli_decompressor::{BrotliDecoderParameter, Decompressor};
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::coding::Coding;

/// Why a file cannot be decoded.
#[derive(Debug)]
pub(super) enum Undecoded {
    /// Its bytes are not in the coding, or not all of them.
    Other(String),
    /// What comes out is larger than allowed.
    TooLarge,
    /// Our own disk.
    Disk(io::Error),
}

/// Bytes that are read, and written, at once.
const PIECE: usize = 64 << 10;
/// The largest window that is held in memory for zstd. RFC 9659 has 8 MiB for the web; who compressed a file once may
/// have had more.
const WINDOW: u64 = 32 << 20;

/// Decodes a file into an empty one; at most so many bytes come out. Blocks.
pub(super) fn decode(coding: Coding, from: &Path, to: &mut File, most: u64) -> Result<(), Undecoded> {
    let mut from = BufReader::with_capacity(PIECE, File::open(from).map_err(Undecoded::Disk)?);
    let to = &mut Bounded { to, left: most };
    match coding {
        Coding::Gzip => gzip(&mut from, to),
        Coding::Deflate => deflate(&mut from, to, most),
        Coding::Brotli => brotli(from, to),
        Coding::Zstd => zstd(&mut from, to),
    }
}

fn gzip(from: &mut BufReader<File>, to: &mut Bounded<'_>) -> Result<(), Undecoded> {
    loop {
        to.take(&mut GzDecoder::new(&mut *from))?;
        // Another member, or the end. What else comes there is padding: the members have checksums.
        if from.fill_buf().map_err(Undecoded::Disk)?.first() != Some(&0x1f) {
            return Ok(());
        }
    }
}

/// As the standard has it in the zlib format; as some servers send it, without.
fn deflate(from: &mut BufReader<File>, to: &mut Bounded<'_>, most: u64) -> Result<(), Undecoded> {
    match to.take(&mut ZlibDecoder::new(&mut *from)).and_then(|()| at_end(from)) {
        Err(Undecoded::Other(_)) => {}
        decoded => return decoded,
    }
    from.rewind().map_err(Undecoded::Disk)?;
    to.restart(most)?;
    to.take(&mut DeflateDecoder::new(&mut *from))?;
    at_end(from)
}

fn brotli(from: BufReader<File>, to: &mut Bounded<'_>) -> Result<(), Undecoded> {
    let mut decoder = Decompressor::new(from, PIECE);
    // Windows of up to a gigabyte are no part of what `br` means.
    decoder.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
    to.take(&mut decoder)?;
    // Read once more, it tells of bytes that it has and did not need.
    to.take(&mut decoder)?;
    at_end(decoder.get_mut())
}

fn zstd(from: &mut BufReader<File>, to: &mut Bounded<'_>) -> Result<(), Undecoded> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW);
    loop {
        match StreamingDecoder::new_with_decoder(&mut *from, &mut decoder) {
            Ok(mut frame) => {
                to.take(&mut frame)?;
                let (said, is) = (decoder.get_checksum_from_data(), decoder.get_calculated_checksum());
                if said.is_some_and(|said| Some(said) != is) {
                    return Err(Undecoded::Other("the checksum of a frame does not match".into()));
                }
            }
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                from.seek(SeekFrom::Current(length.into())).map_err(Undecoded::Disk)?;
            }
            Err(error) => return Err(Undecoded::Other(error.to_string())),
        }
        if from.fill_buf().map_err(Undecoded::Disk)?.is_empty() {
            return Ok(());
        }
    }
}

/// Nothing may follow: what has no checksum is known by its end.
fn at_end(from: &mut BufReader<File>) -> Result<(), Undecoded> {
    match from.fill_buf() {
        Ok([]) => Ok(()),
        Ok(_) => Err(Undecoded::Other("something follows the end".into())),
        Err(error) => Err(Undecoded::Disk(error)),
    }
}

/// A file that takes so many bytes and no more.
struct Bounded<'a> {
    to: &'a mut File,
    left: u64,
}

impl Bounded<'_> {
    /// Takes all that comes out of a decoder.
    fn take(&mut self, decoder: &mut dyn Read) -> Result<(), Undecoded> {
        let mut piece = vec![0; PIECE];
        loop {
            let read = match decoder.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Undecoded::Other(error.to_string())),
            };
            self.left = self.left.checked_sub(read as u64).ok_or(Undecoded::TooLarge)?;
            self.to.write_all(&piece[..read]).map_err(Undecoded::Disk)?;
        }
    }

    fn restart(&mut self, most: u64) -> Result<(), Undecoded> {
        self.left = most;
        self.to.set_len(0).and_then(|()| self.to.rewind()).map_err(Undecoded::Disk)
    }
}
