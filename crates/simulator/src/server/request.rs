//! What the first bytes of a request tell: whose it is, and whether it is paid for.

use crate::world::Vendor;

/// A request by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    pub(super) vendor: Vendor,
    /// Whether it creates a task.
    pub(super) creates: bool,
}

impl Beginning {
    /// None where it is for no vendor.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let line = bytes.split(|byte| *byte == b'\r').next()?;
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let path = target.split('?').next()?;
        let is_post = method == "POST";
        let (vendor, creates) = match path {
            "/v1/predictions" => (Vendor::Replicate, is_post),
            "/apps/run" | "/run" => (Vendor::InferenceSh, is_post),
            "/release/job" | "/job" => (Vendor::Tencent, contains(bytes, b"\"CreateJob\"")),
            _ => (vendor_of(path)?, is_post && path.starts_with("/v1/") && path.ends_with("/create")),
        };
        Some(Self { vendor, creates })
    }
}

fn vendor_of(path: &str) -> Option<Vendor> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    match parts.next()? {
        "_cos" => Some(Vendor::Tencent),
        "_files" => {
            let name = parts.next()?;
            Vendor::ALL.into_iter().find(|vendor| vendor.name() == name)
        }
        "v1" => match parts.next()? {
            "song" | "music" => Some(Vendor::SenseAudio),
            _ => Some(Vendor::Replicate),
        },
        "apps" | "run" | "tasks" | "files" | "usage" => Some(Vendor::InferenceSh),
        _ => None,
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_known_by_their_first_bytes() {
        let job = "POST /release/job HTTP/1.1\r\n\r\n{\"action\":\"CreateJob\"}";
        for (bytes, vendor, creates) in [
            ("POST /v1/predictions HTTP/1.1\r\n", Vendor::Replicate, true),
            ("GET /v1/predictions?cursor=1 HTTP/1.1\r\n", Vendor::Replicate, false),
            ("POST /v1/predictions/a/cancel HTTP/1.1\r\n", Vendor::Replicate, false),
            ("POST /apps/run HTTP/1.1\r\n", Vendor::InferenceSh, true),
            ("POST /tasks/list HTTP/1.1\r\n", Vendor::InferenceSh, false),
            ("POST /v1/song/music/create HTTP/1.1\r\n", Vendor::SenseAudio, true),
            ("GET /v1/song/music/pending/a HTTP/1.1\r\n", Vendor::SenseAudio, false),
            (job, Vendor::Tencent, true),
            ("GET /_files/senseaudio/a/0/0/b HTTP/1.1\r\n", Vendor::SenseAudio, false),
            ("GET /_cos/bucket/a HTTP/1.1\r\n", Vendor::Tencent, false),
        ] {
            assert_eq!(Beginning::of(bytes.as_bytes()), Some(Beginning { vendor, creates }), "{bytes}");
        }
        assert_eq!(Beginning::of(b"GET /_sim/stats HTTP/1.1\r\n"), None);
        assert_eq!(Beginning::of(b"{\"half\": \"a body\"}"), None);
    }
}
