//! What downloads name as `Content-Encoding`, and what their bytes are.

use std::io::Write as _;

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

/// Names that `mixed` may come to, and whether the bytes are encoded where they can be.
const MIXED: [(&str, bool); 7] = [
    ("aws-chunked", false),
    ("utf-8", false),
    ("binary", false),
    ("none", false),
    ("gzip", false),
    ("gzip", true),
    ("deflate", true),
];

/// The coding that a setting names for one file, by a number that chance gave it, and whether to apply it.
pub(super) fn named(setting: &str, apply: bool, chance: usize) -> (&str, bool) {
    match setting {
        "mixed" => MIXED[chance % MIXED.len()],
        name => (name, apply),
    }
}

/// The bytes in a coding, where it is one that can be made here; intact otherwise.
pub(super) fn encoded(bytes: Bytes, name: &str) -> Bytes {
    let made = match name {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&bytes).and_then(|()| encoder.finish())
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&bytes).and_then(|()| encoder.finish())
        }
        _ => return bytes,
    };
    made.map_or(bytes, Bytes::from)
}
