//! Files that are not audio.

use songmill_worker_deliver::Instead::{AnotherKind, Broken, PerhapsLater};

use super::made::{Wav, junk, picture};
use super::{Becomes, Bytes, File};

pub(super) fn files() -> Vec<File> {
    let file =
        |name, bytes, instead| File { name, bytes: Bytes::Made(bytes), becomes: Becomes::Refused(instead) };
    vec![
        file("nothing", Vec::new, PerhapsLater),
        file("a page of HTML", || b"<!doctype html><html><body>404".to_vec(), PerhapsLater),
        file("XML", || b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey".to_vec(), PerhapsLater),
        file("JSON", || br#"{"detail": "being processed"}"#.to_vec(), PerhapsLater),
        file("text", || "生成中，请稍候".into(), PerhapsLater),
        file("zeros", || vec![0; 300_000], PerhapsLater),
        file("a PNG picture", || [&b"\x89PNG\r\n\x1a\n"[..], &junk(5000, 3)].concat(), AnotherKind),
        file("a JPEG picture", || picture(50_000), AnotherKind),
        file("a GIF picture", || [&b"GIF89a"[..], &junk(5000, 4)].concat(), AnotherKind),
        file("a WebP picture", || [&b"RIFF\x08\0\0\0WEBPVP8 "[..], &junk(500, 5)].concat(), AnotherKind),
        file(
            "a BMP picture",
            || [&b"BM\x36\x10\0\0\0\0\0\0\x36\0\0\0"[..], &junk(500, 6)].concat(),
            AnotherKind,
        ),
        file("an AVIF picture", || b"\0\0\0\x1cftypavif\0\0\0\0avifmif1".to_vec(), AnotherKind),
        file("MIDI", || b"MThd\0\0\0\x06\0\x01\0\x01\0\x60MTrk\0\0\0\x04\0\xff\x2f\0".to_vec(), AnotherKind),
        file("a PDF", || b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj".to_vec(), AnotherKind),
        file("a zip archive", || [&b"PK\x03\x04\x14\0"[..], &junk(900, 8)].concat(), AnotherKind),
        file("a gzip archive", || [&b"\x1f\x8b\x08\0"[..], &junk(900, 9)].concat(), AnotherKind),
        file("a program", || [&b"\x7fELF\x02\x01"[..], &junk(900, 10)].concat(), AnotherKind),
        file("a NumPy array", || [&b"\x93NUMPY\x01\0"[..], &junk(900, 11)].concat(), AnotherKind),
        file("bytes without an order", || junk(300_000, 12), Broken),
        file("a wav of a header alone", || Wav::tone().bytes()[..44].to_vec(), Broken),
        file(
            "an mp4 without its index",
            || b"\0\0\0\x18ftypM4A \0\0\0\0\0\0\0\x10mdat12345678".to_vec(),
            Broken,
        ),
    ]
}
