//! Audio that comes coded, and audio of which a header says so.

use std::io::Write as _;

use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use flate2::{Compression, GzBuilder};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tokio::runtime::Runtime;

use super::*;
use crate::fetch::coding::Coding;
use crate::fetch::decode::decode;

/// Half a second of a tone.
pub(super) fn song() -> Vec<u8> {
    let samples: Vec<u8> = (0..4000).flat_map(|n| ((n * 700 % 20_011) as i16).to_le_bytes()).collect();
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + samples.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
    wav.extend((samples.len() as u32).to_le_bytes());
    wav.extend(samples);
    wav
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As an uploader's gzip writes it, with the name of the file.
fn gzip_named(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().filename("song.wav").write(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// Zstandard as it may be written by hand, in one part that is not compressed: with a window of so many bits, and this as
/// its checksum.
fn zstd_plain(bytes: &[u8], window: u8, checksum: &[u8]) -> Vec<u8> {
    let flags = if checksum.is_empty() { 0 } else { 4 };
    let block = ((bytes.len() as u32) << 3 | 1).to_le_bytes();
    [b"\x28\xb5\x2f\xfd", &[flags, (window - 10) << 3][..], &block[..3], bytes, checksum].concat()
}

/// Brotli as it may be written by hand: in parts that are not compressed.
fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, part) in bytes.chunks(1 << 16).enumerate() {
        // From the lowest bit on: the window, in the first part alone; not the last one, four digits of length, plain.
        let (shift, length) = (if n == 0 { 4 } else { 3 }, part.len() as u32 - 1);
        out.extend(&(length << shift | 1 << (shift + 16)).to_le_bytes()[..3]);
        out.extend(part);
    }
    out.push(3);
    out
}

/// As S3 clients upload it, in two chunks.
fn framed(bytes: &[u8], extension: &str, trailer: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let (first, second) = bytes.split_at(bytes.len() / 3);
    for part in [first, second] {
        out.extend(format!("{:x}{extension}\r\n", part.len()).bytes());
        out.extend(part);
        out.extend(b"\r\n");
    }
    out.extend(format!("0{extension}\r\n{trailer}\r\n").bytes());
    out
}

fn signature() -> String {
    format!(";chunk-signature={}", "0f".repeat(32))
}

fn said(headers: &[u8], body: &[u8]) -> Vec<u8> {
    let length = format!("content-length: {}\r\n\r\n", body.len());
    [b"HTTP/1.1 200 OK\r\nconnection: close\r\n", headers, length.as_bytes(), body].concat()
}

async fn bytes(fetcher: &Fetcher, replies: Vec<Vec<u8>>) -> Result<Vec<u8>, Fault> {
    let (base, _) = server(replies).await;
    let mut file = Incoming::new(tempfile::NamedTempFile::new().unwrap());
    fetcher.fetch(&format!("{base}/a"), &mut file).await?;
    Ok(std::fs::read(file.finish().unwrap()).unwrap())
}

/// What becomes of a body of which a header says that it is so coded.
async fn encoded(name: &[u8], body: &[u8]) -> Result<Vec<u8>, (FaultKind, String)> {
    let header = [b"content-encoding: ", name, b"\r\n"].concat();
    let fetched = bytes(&fetcher(|_| {}), vec![said(&header, body)]).await;
    fetched.map_err(|fault| (fault.kind, fault.code.into_owned()))
}

#[tokio::test]
async fn a_header_that_names_a_coding_by_mistake_changes_nothing() {
    let song = song();
    let known = [
        "gzip",
        "GZip",
        "x-gzip",
        "br",
        "deflate",
        "zstd",
        "gzip, br",
        "aws-chunked,gzip",
        "gzip,gzip,gzip,gzip,gzip",
    ];
    let none = [
        "aws-chunked",
        "utf-8",
        "UTF8",
        "binary",
        "none",
        "identity",
        "chunked",
        "compress",
        "base64",
        "",
        ",",
        ";",
    ];
    for name in known.iter().chain(&none) {
        assert_eq!(encoded(name.as_bytes(), &song).await.as_ref(), Ok(&song), "{name}");
    }
    assert_eq!(encoded(b"\xe9\xff", &song).await.as_ref(), Ok(&song));
    for name in known.iter().chain(&["identity"]) {
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: {name}\r\n\r\n");
        let replies = vec![[head.as_bytes(), &song].concat()];
        assert_eq!(bytes(&fetcher(|_| {}), replies).await.as_ref(), Ok(&song), "{name}");
    }
    // What is no audio and in no coding is for whoever listens to it.
    for name in none {
        assert_eq!(encoded(name.as_bytes(), b"{}").await.unwrap(), b"{}", "{name}");
    }
    assert_eq!(encoded(b"gzip", b"").await.unwrap(), b"", "nothing is not coded");
}

#[tokio::test]
async fn what_is_coded_comes_out_as_it_was() {
    let song = song();
    let (first, second) = song.split_at(1000);
    let skipped = [&b"\x5a\x2a\x4d\x18\x03\0\0\0abc"[..], &zstd(first), &zstd(second)].concat();
    let trailer = "x-amz-checksum-crc32c:sOO8/Q==\r\n";
    for (name, body) in [
        ("gzip", gzip(&song)),
        ("x-gzip", gzip_named(&song)),
        ("GZIP", [gzip(first), gzip(second)].concat()),
        ("gzip", [&gzip(&song)[..], &[0; 512]].concat()),
        ("deflate", zlib(&song)),
        ("deflate", deflate(&song)),
        ("br", brotli(&song)),
        ("Br", brotli(&song.repeat(20))),
        ("zstd", zstd(&song)),
        ("zstd", skipped),
        ("zstd", zstd_plain(&song, 25, b"")),
        ("gzip, zstd", zstd(&gzip(&song))),
        ("identity,gzip", gzip(&song)),
        // A server and a proxy, both of which say what one of them did.
        ("gzip, gzip", gzip(&song)),
        ("br,gzip", gzip(&song)),
        ("aws-chunked", framed(&song, &signature(), "")),
        ("utf-8", framed(&song, "", trailer)),
        ("aws-chunked,gzip", framed(&gzip(&song), &signature(), trailer)),
        ("", framed(&song, "", "")),
    ] {
        let whole = if name == "Br" { song.repeat(20) } else { song.clone() };
        assert!(encoded(name.as_bytes(), &body).await.as_ref() == Ok(&whole), "{name}");
    }
    // What is only compressed, and does not say so, is bytes like others.
    assert_eq!(encoded(b"", &gzip(&song)).await, Ok(gzip(&song)));
}

#[tokio::test]
async fn what_looks_like_chunks_and_is_not_stays_as_it_is() {
    let framed = framed(b"0123456789", "", "");
    for body in [
        &b"5\r\n01234"[..],
        b"5\r\n01234\r\n",
        b"5\r\n0123456\r\n0\r\n\r\n",
        b"5\r\n01234\r\n0\r\nand more\r\n",
        b"ffffffffffffffffff\r\n",
        b"+5\r\n01234\r\n0\r\n\r\n",
        &[&framed[..], b"ID3"].concat(),
    ] {
        assert_eq!(encoded(b"aws-chunked", body).await.unwrap(), body);
    }
}

#[tokio::test]
async fn what_is_coded_and_cannot_be_decoded_waits_for_an_operator() {
    let song = song();
    let mut wrong_sum = gzip(&song);
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    let half = |body: Vec<u8>| body[..body.len() / 2].to_vec();
    for (name, body) in [
        ("gzip", wrong_sum),
        ("gzip", half(gzip(&song))),
        ("deflate", half(zlib(&song))),
        ("deflate", half(deflate(&song))),
        ("br", half(brotli(&song))),
        ("br", [brotli(&song), b"more".to_vec()].concat()),
        ("zstd", half(zstd(&song))),
        ("zstd", zstd_plain(&song, 26, b"")),
        ("zstd", zstd_plain(&song, 14, b"\0\0\0\0")),
        ("gzip", b"<html>not found</html>".to_vec()),
        ("zstd, br", b"{\"error\": \"expired\"}".to_vec()),
        ("gzip, gzip, gzip, gzip, gzip", gzip(&gzip(&gzip(&gzip(&gzip(&song)))))),
    ] {
        let Err(fault) = encoded(name.as_bytes(), &body).await else {
            panic!("{name}: {} bytes are taken", body.len())
        };
        assert_eq!(fault, (FaultKind::Locked, "output_encoded".into()), "{name}");
    }
}

#[tokio::test]
async fn a_small_reply_does_not_open_into_a_very_large_file() {
    // A million zeros.
    let brotli: [u8; 14] = [91, 63, 66, 143, 127, 2, 32, 30, 11, 4, 242, 115, 30, 0];
    let zeros = vec![0; 1_000_000];
    for (name, body) in [
        ("gzip", gzip(&zeros)),
        ("gzip, gzip", gzip(&gzip(&zeros))),
        ("gzip, br", gzip(&zeros)),
        ("deflate", zlib(&zeros)),
        ("deflate", deflate(&zeros)),
        ("br", brotli.to_vec()),
        ("zstd", zstd(&zeros)),
        ("gzip", [gzip(&zeros[..600_000]), gzip(&zeros[..600_000])].concat()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let header = format!("content-encoding: {name}\r\n");
        let (base, _) = server(vec![said(header.as_bytes(), &body)]).await;
        let small = fetcher(|settings| settings.max_bytes = 999_999);
        let mut file = Incoming::new(tempfile::NamedTempFile::new_in(folder.path()).unwrap());
        let fault = small.fetch(&format!("{base}/a"), &mut file).await.unwrap_err();
        assert_eq!((fault.kind, fault.code.as_ref()), (FaultKind::Locked, "output_too_large"), "{name}");
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1, "what came out of it is removed");
        if !name.contains(',') && body.len() < 10_000 {
            let fetched = encoded(name.as_bytes(), &body).await.unwrap();
            assert!(fetched.len() >= 1_000_000 && fetched.iter().all(|byte| *byte == 0), "{name}");
        }
    }
}

#[tokio::test]
async fn a_cut_transfer_is_taken_up_in_the_bytes_that_are_sent_and_decoded_when_it_is_whole() {
    let song = song();
    let coded = gzip(&song);
    let (first, rest) = coded.split_at(coded.len() / 2);
    let start = |body: &[u8]| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"v1\"\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            coded.len()
        );
        [head.as_bytes(), body].concat()
    };
    let part = |coding: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nconnection: close\r\netag: \"v1\"\r\n{coding}content-length: {}\r\n\
             content-range: bytes {}-{}/{}\r\n\r\n",
            body.len(),
            first.len(),
            coded.len() - 1,
            coded.len()
        );
        [head.as_bytes(), body].concat()
    };
    let whole = fetcher(|_| {});
    for coding in ["content-encoding: gzip\r\n", ""] {
        let replies = vec![start(first), part(coding, rest)];
        assert_eq!(bytes(&whole, replies).await.as_ref(), Ok(&song), "{coding}");
    }
    // A part in another coding is a part of something else.
    let replies = vec![start(first), part("content-encoding: br\r\n", rest), start(&coded)];
    let (base, asked) = server(replies).await;
    let mut file = Incoming::new(tempfile::NamedTempFile::new().unwrap());
    whole.fetch(&format!("{base}/a"), &mut file).await.unwrap();
    assert!(std::fs::read(file.finish().unwrap()).unwrap() == song);
    assert_eq!(asked.lock().unwrap().len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_coded_comes_out_as_it_was_and_no_bytes_break_a_decoder(
        body in prop::collection::vec(any::<u8>(), 1..3000), times in 1..20usize,
        at in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let body = body.repeat(times);
        let coded = [
            (Coding::Gzip, gzip(&body)), (Coding::Deflate, zlib(&body)), (Coding::Deflate, deflate(&body)),
            (Coding::Brotli, brotli(&body)), (Coding::Zstd, zstd(&body)),
        ];
        for (coding, mut bytes) in coded {
            let file = tempfile::NamedTempFile::new().unwrap();
            let decoded = |bytes: &[u8]| {
                std::fs::write(file.path(), bytes).unwrap();
                let mut to = tempfile::NamedTempFile::new().unwrap();
                let ended = decode(coding, file.path(), to.as_file_mut(), 1 << 20);
                ended.map(|()| std::fs::read(to.path()).unwrap())
            };
            prop_assert!(decoded(&bytes).unwrap() == body, "{:?}", coding);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let _ = decoded(&bytes);
            let _ = decoded(&bytes[..at]);
        }
    }

    #[test]
    fn no_bytes_under_any_header_are_a_verdict_on_the_song(
        body in prop::collection::vec(any::<u8>(), 0..300),
        head in prop::sample::select(vec![&b""[..], b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"5\r\n", b"ID3\x04", b"\x78\x9c", b"\x1b"]),
        name in prop::sample::select(vec!["gzip", "br", "deflate", "zstd", "zstd,gzip", "aws-chunked", "x"]),
    ) {
        let fetched = Runtime::new().unwrap().block_on(encoded(name.as_bytes(), &[head, &body].concat()));
        if let Err((kind, code)) = fetched {
            prop_assert_eq!(kind, FaultKind::Locked);
            prop_assert!(code == "output_encoded" || code == "output_too_large", "{}", code);
        }
    }
}
