//! What is untrusted: the bytes behind addresses.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stand outside test functions")]

mod buckets;
mod corpora;
mod files;
mod retention;
mod s3;

use proptest::prelude::*;
use songmill_worker_deliver::{NotAudio, Settings, StorageUrl, probe};

fn probed(bytes: &[u8]) -> Result<songmill_worker_deliver::Probed, NotAudio> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    probe(file.path(), None)
}

fn wav(millis: u32) -> Vec<u8> {
    let data: Vec<u8> = (0..millis * 8).flat_map(|i| ((i % 100) as i16 * 100).to_le_bytes()).collect();
    let mut out = b"RIFF".to_vec();
    out.extend((36 + data.len() as u32).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16u32.to_le_bytes());
    out.extend([1, 0, 1, 0]);
    out.extend(8000u32.to_le_bytes());
    out.extend(16_000u32.to_le_bytes());
    out.extend([2, 0, 16, 0]);
    out.extend(b"data");
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    out
}

#[test]
fn audio_is_known_by_its_bytes_and_its_length_is_counted() {
    let probed = probed(&wav(1500)).unwrap();
    assert_eq!((probed.format, probed.duration_ms), ("wav", 1500));
}

#[test]
fn what_is_no_audio_is_refused_with_what_it_is() {
    assert_eq!(probed(b""), Err(NotAudio::Empty));
    assert_eq!(probed(b"<!doctype html><html>404"), Err(NotAudio::Placeholder("a page of HTML or XML")));
    assert_eq!(probed(br#"{"error":"expired"}"#), Err(NotAudio::Placeholder("JSON")));
    assert_eq!(probed(b"not found\n"), Err(NotAudio::Placeholder("text")));
    assert_eq!(probed(b"PK\x03\x04zip"), Err(NotAudio::Other("a zip archive")));
    assert!(matches!(probed(&wav(1500)[..44]), Err(NotAudio::Damaged(_))));
    assert!(probed(b"fLaC but nothing more").is_err());
    assert!(probed(b"ID3\x04\0\0\0\0\0\0").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_the_probe(
        head in prop::sample::select(vec![&b"RIFF\0\0\0\0WAVEfmt "[..], b"fLaC\0\0\0\x22", b"ID3\x04", b"\xff\xfb\x90\x64", b"", b"OggS\0\x02", b"\x1a\x45\xdf\xa3\x93", b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20", b"\0\0\0\x18ftypM4A ", b".snd\0\0\0\x18", b"FORM\0\0\0\0AIFFCOMM\0\0\0\x12\0\x01", b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0", b"\xff\xf1\x50\x80"]),
        tail in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let _ = probed(&[head, &tail].concat());
    }
}

#[test]
fn storage_is_a_folder_or_a_bucket_and_secrets_are_not_shown() {
    let url = |text: &str| serde_json::from_value::<StorageUrl>(text.into()).unwrap();
    assert_eq!(url("songs").local_folder(), Some("songs".into()));
    assert_eq!(url("file:///srv/songs").local_folder(), Some("/srv/songs".into()));
    assert_eq!(url("s3://bucket/a/b/").bucket(), Some(("bucket", "a/b")));
    let mut settings = Settings::default();
    settings.storage_options.insert("secret_access_key".into(), "hunter2".into());
    assert!(!serde_json::to_string(&settings).unwrap().contains("hunter2"));
}
