//! Files that are not audio.

use songmill_worker_deliver::NotAudioClass::{Broken, NotReady, OtherKind};

use super::made::{Wav, junk, picture};
use super::{Becomes, Bytes, File};

pub(super) fn files() -> Vec<File> {
    let file =
        |name, bytes, class| File { name, bytes: Bytes::Made(bytes), becomes: Becomes::Refused(class) };
    vec![
        file("nothing", Vec::new, NotReady),
        file("a page of HTML", || b"<!doctype html><html><body>404".to_vec(), NotReady),
        file("XML", || b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey".to_vec(), NotReady),
        file("JSON", || br#"{"detail": "being processed"}"#.to_vec(), NotReady),
        file("text", || "生成中，请稍候".into(), NotReady),
        file("zeros", || vec![0; 300_000], NotReady),
        file("a PNG picture", || [&b"\x89PNG\r\n\x1a\n"[..], &junk(5000, 3)].concat(), OtherKind),
        file("a JPEG picture", || picture(50_000), OtherKind),
        file("a GIF picture", || [&b"GIF89a"[..], &junk(5000, 4)].concat(), OtherKind),
        file("a WebP picture", || [&b"RIFF\x08\0\0\0WEBPVP8 "[..], &junk(500, 5)].concat(), OtherKind),
        file(
            "a BMP picture",
            || [&b"BM\x36\x10\0\0\0\0\0\0\x36\0\0\0"[..], &junk(500, 6)].concat(),
            OtherKind,
        ),
        file("an AVIF picture", || b"\0\0\0\x1cftypavif\0\0\0\0avifmif1".to_vec(), OtherKind),
        file("MIDI", || b"MThd\0\0\0\x06\0\x01\0\x01\0\x60MTrk\0\0\0\x04\0\xff\x2f\0".to_vec(), OtherKind),
        file("a PDF", || b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj".to_vec(), OtherKind),
        file("a zip archive", || [&b"PK\x03\x04\x14\0"[..], &junk(900, 8)].concat(), OtherKind),
        file("a gzip archive", || [&b"\x1f\x8b\x08\0"[..], &junk(900, 9)].concat(), OtherKind),
        file("a program", || [&b"\x7fELF\x02\x01"[..], &junk(900, 10)].concat(), OtherKind),
        file("a NumPy array", || [&b"\x93NUMPY\x01\0"[..], &junk(900, 11)].concat(), OtherKind),
        file("bytes without an order", || junk(300_000, 12), Broken),
        file("a wav of a header alone", || Wav::tone().bytes()[..44].to_vec(), Broken),
        file(
            "an mp4 without its index",
            || b"\0\0\0\x18ftypM4A \0\0\0\0\0\0\0\x10mdat12345678".to_vec(),
            Broken,
        ),
    ]
}
