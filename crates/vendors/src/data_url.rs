//! Audio that stands in a request as a `data:` address.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// Audio that stands in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataUrl {
    /// Its media type without parameters, such as `audio/wav`.
    pub(crate) media_type: String,
    /// Its bytes.
    pub(crate) bytes: Bytes,
}

impl DataUrl {
    /// Reads `data:audio/…;base64,…`; `None` when it is another address, no audio, no base 64, or empty.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
        let media_type = head.strip_suffix(";base64")?.split(';').next()?.to_ascii_lowercase();
        let subtype = media_type.strip_prefix("audio/")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
        if subtype.is_empty() || subtype.len() > 60 || !subtype.chars().all(plain) {
            return None;
        }
        let bytes = STANDARD.decode(data.trim()).ok().filter(|bytes| !bytes.is_empty())?;
        Some(Self { media_type, bytes: bytes.into() })
    }

    /// The file name extension that goes with the media type.
    pub(crate) fn extension(&self) -> &'static str {
        match self.media_type.trim_start_matches("audio/").trim_start_matches("x-") {
            "wav" | "wave" | "vnd.wave" => "wav",
            "mpeg" | "mp3" => "mp3",
            "flac" => "flac",
            "ogg" | "opus" => "ogg",
            "mp4" | "m4a" | "aac" => "m4a",
            _ => "audio",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_is_read_and_everything_else_is_not() {
        let audio = DataUrl::parse("data:audio/x-wav;codecs=1;base64,UklGRg==").unwrap();
        assert_eq!(
            (&*audio.media_type, audio.extension(), &audio.bytes[..]),
            ("audio/x-wav", "wav", &b"RIFF"[..])
        );
        for bad in [
            "https://a/b.wav",
            "data:audio/wav;base64,",
            "data:audio/wav;base64,???",
            "data:audio/wav,UklGRg==",
            "data:text/html;base64,UklGRg==",
            "data:audio/a\r\nb;base64,UklGRg==",
        ] {
            assert_eq!(DataUrl::parse(bad), None, "{bad}");
        }
    }
}
