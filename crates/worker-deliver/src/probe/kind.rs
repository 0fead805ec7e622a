//! What a file is, by its bytes: never by its name, or by what the server called it.

use std::io;

use super::bytes::Bytes;
use super::frames;
use super::other::{other, text};
use super::tag::{behind_blanks, behind_tag};

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
    let by_shape = || match () {
        () if packets => Some("ts"),
        () if is_ac3(head) => Some("ac3"),
        () if is_latm(head) => Some("latm"),
        () => None,
    };
    by_beginning.or_else(by_shape).map(Container::Foreign)
}

/// Two frames of AAC in LATM.
fn is_latm(head: &[u8]) -> bool {
    let frame = |at: usize| match head.get(at..)? {
        [0x56, b, c, ..] if b & 0xe0 == 0xe0 => Some(at + 3 + (usize::from(b & 0x1f) << 8 | usize::from(*c))),
        _ => None,
    };
    frame(0).and_then(frame).is_some()
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
        for (begins, ext) in [
            (&b"wvpk\0\0\0\0"[..], "wv"),
            (b"\x0b\x77\x12\x34\x14\x40", "ac3"),
            (b"#!AMR\n\x3c\x80\x7f", "amr"),
        ] {
            assert_eq!(kind(begins), Kind::Audio(Container::Foreign(ext), 0));
        }
    }
}
