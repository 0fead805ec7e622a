//! What is not audio: other kinds of files, and text.

/// What is certainly no audio, though it is no text either.
pub(super) fn other(head: &[u8]) -> Option<&'static str> {
    const BEGINNINGS: [(&[u8], &str); 35] = [
        (b"\x89PNG\r\n", "a PNG picture"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"GIF8", "a GIF picture"),
        (b"II*\0", "a TIFF picture"),
        (b"MM\0*", "a TIFF picture"),
        (b"8BPS", "a Photoshop picture"),
        (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
        (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
        (b"MThd", "MIDI"),
        (b"\xd0\xcf\x11\xe0", "an office document"),
        (b"PK\x03\x04", "a zip archive"),
        (b"PK\x05\x06", "a zip archive"),
        (b"\x1f\x8b", "compressed by gzip"),
        (b"BZh", "compressed by bzip2"),
        (b"\xfd7zXZ\0", "compressed by xz"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
        (b"\x04\x22\x4d\x18", "compressed by lz4"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!", "a rar archive"),
        (b"!<arch>", "an archive"),
        (b"MSCF", "an archive"),
        (b"\x7fELF", "a program"),
        (b"MZ", "a program"),
        (b"\0asm", "a program"),
        (b"\xcf\xfa\xed\xfe", "a program"),
        (b"\xca\xfe\xba\xbe", "a program"),
        (b"SQLite format 3\0", "a database"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x89HDF", "an HDF5 file"),
        (b"PAR1", "a Parquet file"),
        (b"wOFF", "a font"),
        (b"wOF2", "a font"),
        (b"OTTO\0", "a font"),
        (b"FWS", "a Flash film"),
        (b"CWS", "a Flash film"),
    ];
    // These may be nothing but text.
    const DOCUMENTS: [(&[u8], &str); 4] = [
        (b"%PDF", "a PDF"),
        (b"{\\rtf", "a text document"),
        (b"%!PS", "a PostScript document"),
        (b"#EXTM3U", "a playlist"),
    ];
    let beginnings = if text(head).is_some() { &DOCUMENTS[..] } else { &BEGINNINGS[..] };
    let form = head.get(8..12).unwrap_or_default();
    match head.get(..4).unwrap_or_default() {
        b"RIFF" if form == b"WEBP" => return Some("a WebP picture"),
        b"RIFF" if form == b"RMID" => return Some("MIDI"),
        _ => {}
    }
    if head.get(4..8) == Some(b"ftyp") {
        return Some("an HEIF or AVIF picture");
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some("a tar archive");
    }
    if let [0, 0, 1, 0, 1..=64, 0, _, _, _, 0, ..] = head {
        return Some("an icon");
    }
    // A BMP says its own size and keeps four bytes free.
    if head.starts_with(b"BM") && head.get(6..10) == Some(&[0; 4]) {
        return Some("a BMP picture");
    }
    let mut known = beginnings.iter().chain(&DOCUMENTS);
    known.find(|(begins, _)| head.starts_with(begins)).map(|(_, name)| *name)
}

/// Which text it is, if it is one.
pub(super) fn text(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Some("text");
    }
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return None,
    };
    let valid = valid.trim_start_matches('\u{feff}').trim_start();
    if valid.is_empty() || valid.chars().any(|c| c.is_control() && !c.is_whitespace() && c != '\u{1b}') {
        return None;
    }
    Some(match valid.as_bytes()[0] {
        b'<' => "a page of HTML or XML",
        b'{' | b'[' if is_json(valid) => "JSON",
        _ => "text",
    })
}

/// Bytes of a text from which on it may be cut anywhere.
const SHOWN: usize = 4000;

/// Whether it is JSON as far as it goes.
fn is_json(text: &str) -> bool {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => true,
        Err(error) => error.is_eof() || text.len() >= SHOWN,
    }
}
