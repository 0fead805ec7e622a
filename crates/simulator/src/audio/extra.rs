//! What stands beside songs: a picture and a score.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A picture of one pixel.
const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
/// One track of one note.
const SCORE: &[u8] =
    b"MThd\0\0\0\x06\0\0\0\x01\0\x60MTrk\0\0\0\x0c\0\x90\x3c\x40\x60\x80\x3c\x40\0\xff\x2f\0";

/// A file that is no audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// PNG.
    Picture,
    /// MIDI.
    Score,
}

impl Extra {
    pub(crate) const ALL: [Self; 2] = [Self::Picture, Self::Score];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Picture => "cover.png",
            Self::Score => "score.mid",
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Picture => "image/png",
            Self::Score => "audio/midi",
        }
    }

    /// # Panics
    /// Never: the picture is written in Base64 here.
    pub(crate) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Picture => STANDARD.decode(PICTURE).expect("the picture is Base64"),
            Self::Score => SCORE.to_vec(),
        }
    }
}
