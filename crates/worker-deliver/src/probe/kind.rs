//! What a file is, by its bytes: never by its name, or by what the server called it.

use std::io;

use super::bytes::Bytes;
use super::frames;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Audio, or what may hold some, from this place on.
    Audio(Container, u64),
    /// What servers give in place of a file that is not ready.
    Placeholder(&'static str),
    /// Certainly something else.
    Other(&'static str),
    /// Nothing that is known.
    Unknown,
}

/// How audio is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    /// RIFF, RF64 or BW64 with WAVE in it.
    Wav,
    /// Sony Wave64.
    W64,
    /// AIFF or AIFF-C.
    Aiff,
    /// Sun or NeXT.
    Au,
    /// Apple Core Audio.
    Caf,
    /// Native FLAC.
    Flac,
    /// Ogg.
    Ogg,
    /// MP4, M4A or QuickTime.
    Mp4,
    /// Matroska or WebM.
    Matroska,
    /// Frames of MPEG audio or of AAC (ADTS), one behind the other.
    Frames,
    /// One that is played elsewhere but not decoded here, by the extension of its files.
    Foreign(&'static str),
}

impl Container {
    /// The extension of such files.
    pub(super) fn format(self, bytes: &mut Bytes, start: u64) -> io::Result<&'static str> {
        Ok(match self {
            Self::Wav => "wav",
            Self::W64 => "w64",
            Self::Aiff => "aiff",
            Self::Au => "au",
            Self::Caf => "caf",
            Self::Flac => "flac",
            Self::Ogg => {
                let head = bytes.at(start, HEAD)?;
                let has = |name: &[u8]| head.windows(name.len()).any(|part| part == name);
                match () {
                    () if has(b"OpusHead") => "opus",
                    () if has(b"Speex   ") => "spx",
                    () if has(b"\x80theora") => "ogv",
                    () => "ogg",
                }
            }
            Self::Mp4 if bytes.at(start + 8, 2)? == b"3g" => "3gp",
            Self::Mp4 => "m4a",
            Self::Matroska => {
                let head = bytes.at(start, 64)?;
                if head.windows(4).any(|part| part == b"webm") { "webm" } else { "mka" }
            }
            Self::Frames => frames::format(bytes.at(start, frames::SHOWN)?),
            Self::Foreign(format) => format,
        })
    }

    /// The extension of such files where there are pictures beside the sound.
    pub(super) const fn film(self, format: &'static str) -> &'static str {
        match (self, format.as_bytes()) {
            (Self::Mp4, b"m4a") => "mp4",
            (Self::Matroska, b"mka") => "mkv",
            _ => format,
        }
    }
}

/// Where the audio ends, and tags of other formats begin that stand behind it.
pub(super) fn before_tags(bytes: &mut Bytes) -> io::Result<u64> {
    let mut end = bytes.len();
    if let Some(at) = end.checked_sub(128)
        && bytes.at(at, 3)? == b"TAG"
    {
        end = at;
    }
    if let Some(at) = end.checked_sub(32)
        && let foot = bytes.at(at, 32)?.to_vec()
        && foot.starts_with(b"APETAGEX")
    {
        let size = u64::from(u32::from_le_bytes([foot[12], foot[13], foot[14], foot[15]]));
        // The size is that of items and footer; a header stands before them where it says so.
        let header = if foot[23] & 0x80 == 0 { 0 } else { 32 };
        end = (at + 32).saturating_sub(size + header);
    }
    Ok(end)
}

/// Bytes that are searched for a beginning of audio.
pub(super) const SEARCHED: u64 = 8 << 20;
/// Tags and runs of blanks that may stand before the audio.
const BEFORE: u32 = 64;
/// Bytes of a beginning.
const HEAD: usize = 4096;

/// Finds out what a file is.
pub(super) fn find(bytes: &mut Bytes) -> io::Result<Kind> {
    let mut at = 0;
    for _ in 0..BEFORE {
        let head = bytes.at(at, HEAD)?;
        if let Some(container) = container(head) {
            return Ok(Kind::Audio(container, at));
        }
        if let Some(other) = other(head) {
            return Ok(Kind::Other(other));
        }
        match behind_tag(bytes, at)? {
            Some(next) if next < bytes.len() => at = next,
            _ => break,
        }
    }
    let mut first = frames::first(bytes, at, SEARCHED)?;
    if first.is_none() && at > 0 {
        // A tag whose size is wrong may end behind the first frames, or beyond the file.
        first = frames::first(bytes, 0, SEARCHED)?;
    }
    if let Some(first) = first {
        return Ok(Kind::Audio(Container::Frames, first));
    }
    if behind_blanks(bytes, at)? >= bytes.len() {
        return Ok(Kind::Placeholder("nothing but blanks or zeros"));
    }
    Ok(text(bytes.at(at, HEAD)?).map_or(Kind::Unknown, Kind::Placeholder))
}

/// Where a tag ends, or blanks and zeros do, that stand before audio.
pub(super) fn behind_tag(bytes: &mut Bytes, at: u64) -> io::Result<Option<u64>> {
    let head = bytes.at(at, 32)?;
    if let Some(size) = id3_size(head) {
        return Ok(Some(at + size));
    }
    if head.starts_with(b"APETAGEX") && head.len() == 32 {
        let size = u64::from(u32::from_le_bytes([head[12], head[13], head[14], head[15]]));
        // The size is that of what follows the header; a footer has its items before it.
        let is_header = head[23] & 0x20 != 0;
        return Ok(Some(at + 32 + if is_header { size } else { 0 }));
    }
    if head.starts_with(b"TAG") {
        return Ok(Some(at + 128));
    }
    let next = behind_blanks(bytes, at)?;
    Ok((next > at).then_some(next))
}

/// The size of an ID3v2 tag, header and footer included.
fn id3_size(head: &[u8]) -> Option<u64> {
    let [b'I', b'D', b'3', 0..=0xfe, _, flags, size @ ..] = head.first_chunk::<10>()? else { return None };
    let size = size.iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
    let footer = if flags & 0x10 == 0 { 0 } else { 10 };
    Some(10 + size + footer)
}

/// Where blanks, line ends and zeros end.
fn behind_blanks(bytes: &mut Bytes, from: u64) -> io::Result<u64> {
    let mut at = from;
    if bytes.at(at, 3)? == b"\xef\xbb\xbf" {
        at += 3;
    }
    while at - from < SEARCHED {
        let piece = bytes.at(at, 64 << 10)?;
        match piece.iter().position(|byte| !matches!(byte, 0 | b'\r' | b'\n' | b' ' | b'\t')) {
            Some(0) => break,
            Some(n) => return Ok(at + n as u64),
            None if piece.is_empty() => break,
            None => at += piece.len() as u64,
        }
    }
    Ok(at)
}

/// What begins so, if it is known to hold audio.
fn container(head: &[u8]) -> Option<Container> {
    const GUID: &[u8] = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0";
    let form = head.get(8..12).unwrap_or_default();
    Some(match head.get(..4)? {
        b"RIFF" | b"RF64" | b"BW64" if form == b"WAVE" => Container::Wav,
        b"RIFF" if form == b"AVI " => Container::Foreign("avi"),
        b"RIFX" if form == b"WAVE" => Container::Foreign("wav"),
        b"FORM" if form == b"AIFF" || form == b"AIFC" => Container::Aiff,
        b"FORM" if form == b"8SVX" => Container::Foreign("8svx"),
        b"riff" if head.starts_with(GUID) => Container::W64,
        b".snd" => Container::Au,
        b"caff" => Container::Caf,
        b"fLaC" => Container::Flac,
        b"OggS" => Container::Ogg,
        b"\x1a\x45\xdf\xa3" => Container::Matroska,
        _ => return mp4(head).or_else(|| foreign(head)),
    })
}

/// MP4 begins with its brand, old QuickTime with any of its parts.
fn mp4(head: &[u8]) -> Option<Container> {
    let (kind, brand) = (head.get(4..8)?, head.get(8..12)?);
    let is_picture = matches!(brand, b"heic" | b"heix" | b"mif1" | b"msf1" | b"avif" | b"avis" | b"crx ");
    let is_part = matches!(kind, b"moov" | b"mdat" | b"wide" | b"free" | b"skip" | b"pnot")
        && (head[0] == 0 || kind == b"mdat");
    ((kind == b"ftyp" && !is_picture) || is_part).then_some(Container::Mp4)
}

/// Containers that are played elsewhere.
fn foreign(head: &[u8]) -> Option<Container> {
    const BEGINNINGS: [(&[u8], &str); 22] = [
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wma"),
        (b"#!AMR", "amr"),
        (b"wvpk", "wv"),
        (b"MAC ", "ape"),
        (b"TTA1", "tta"),
        (b"TTA2", "tta"),
        (b"MPCK", "mpc"),
        (b"MP+", "mpc"),
        (b"DSD ", "dsf"),
        (b"FRM8", "dff"),
        (b".ra\xfd", "ra"),
        (b".RMF", "rm"),
        (b"FLV\x01", "flv"),
        (b"\0\0\x01\xba", "mpg"),
        (b"\x7f\xfe\x80\x01", "dts"),
        (b"OFR ", "ofr"),
        (b"tBaK", "tak"),
        (b"Creative Voice File\x1a", "voc"),
        (b"qoaf", "qoa"),
        (b"ADIF", "aac"),
        (b"NIST_1A\n", "sph"),
        (b"ajkg", "shn"),
    ];
    if text(head).is_some() {
        // "MAC address unknown" is no song.
        return None;
    }
    let by_beginning = BEGINNINGS.iter().find(|(begins, _)| head.starts_with(begins)).map(|(_, ext)| *ext);
    let packets = [0, 188, 376].iter().all(|at| head.get(*at) == Some(&0x47));
    let by_shape = || if packets { Some("ts") } else { is_ac3(head).then_some("ac3") };
    by_beginning.or_else(by_shape).map(Container::Foreign)
}

/// A frame of AC-3 or E-AC-3, by its sync word and what follows it.
fn is_ac3(head: &[u8]) -> bool {
    let [0x0b, 0x77, _, _, codes, stream, ..] = head else { return false };
    let (rate, size, stream) = (codes >> 6, codes & 0x3f, stream >> 3);
    match stream {
        0..=10 => rate != 3 && size < 38,
        11..=16 => true,
        _ => false,
    }
}

/// What is certainly no audio, though it is no text either.
fn other(head: &[u8]) -> Option<&'static str> {
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
fn text(head: &[u8]) -> Option<&'static str> {
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

/// Whether it is JSON as far as it goes.
fn is_json(text: &str) -> bool {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => true,
        Err(error) => error.is_eof() || text.len() >= HEAD - 4,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn kind(whole: &[u8]) -> Kind {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(whole).unwrap();
        find(&mut Bytes::open(file.path()).unwrap()).unwrap()
    }

    #[test]
    fn what_stands_before_audio_is_left_out_in_any_order_and_number() {
        let id3 = [&b"ID3\x04\0\0\0\0\x01\x00"[..], &[7; 128]].concat();
        let footed = [&b"ID3\x04\0\x10\0\0\0\x04"[..], &[7; 14]].concat();
        let ape = [&b"APETAGEX\xd0\x07\0\0\x20\0\0\0\x01\0\0\0\0\0\0\xa0"[..], &[0; 8], &[7; 32]].concat();
        let v1 = [&b"TAG"[..], &[b' '; 125]].concat();
        for before in [
            vec![],
            id3.clone(),
            [&id3[..], &footed].concat(),
            [&b"\r\n"[..], &ape, &[0; 5000], &id3].concat(),
            [&v1[..], b"\xef\xbb\xbf"].concat(),
        ] {
            let found = kind(&[&before[..], b"fLaC\0\0\0\x22"].concat());
            assert_eq!(found, Kind::Audio(Container::Flac, before.len() as u64));
        }
    }

    #[test]
    fn what_is_no_audio_is_called_by_its_name() {
        for (begins, kind_of) in [
            (&b"<!doctype html>"[..], Kind::Placeholder("a page of HTML or XML")),
            (b"\xef\xbb\xbf{\"status\": \"processing\"}", Kind::Placeholder("JSON")),
            (b"MAC address unknown", Kind::Placeholder("text")),
            (b"[1, 2", Kind::Placeholder("JSON")),
            (b"[00:12.00] la la", Kind::Placeholder("text")),
            ("音频生成中".as_bytes(), Kind::Placeholder("text")),
            (b"\xff\xfeo\0k\0", Kind::Placeholder("text")),
            (b"\r\n\r\n", Kind::Placeholder("nothing but blanks or zeros")),
            (&[0; 70_000], Kind::Placeholder("nothing but blanks or zeros")),
            (b"\x89PNG\r\n\x1a\n", Kind::Other("a PNG picture")),
            (b"RIFF\0\0\0\0WEBPVP8 ", Kind::Other("a WebP picture")),
            (b"\0\0\0\x1cftypavif\0\0\0\0", Kind::Other("an HEIF or AVIF picture")),
            (b"MThd\0\0\0\x06", Kind::Other("MIDI")),
            (b"\x9d\x01\x02\x80", Kind::Unknown),
        ] {
            assert_eq!(kind(begins), kind_of);
        }
    }

    #[test]
    fn what_is_played_elsewhere_is_audio() {
        for (begins, ext) in
            [(&b"wvpk\0\0\0\0"[..], "wv"), (b"\x0b\x77\x12\x34\x14\x40", "ac3"), (b"#!AMR\n\x3c\x80\x7f", "amr")]
        {
            assert_eq!(kind(begins), Kind::Audio(Container::Foreign(ext), 0));
        }
    }
}
