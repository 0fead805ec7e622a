//! What is untrusted: addresses, and the bytes behind them.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stand outside test functions")]

mod buckets;
mod retention;
mod s3;

use std::net::IpAddr;

use proptest::prelude::*;
use songmill_worker_deliver::{Guard, NotAudio, Refused, Settings, StorageUrl, probe};

/// Addresses that lead into our own house, in every disguise.
const HOSTILE: &[&str] = &[
    "http://127.0.0.1/a",
    "http://127.1/a",
    "http://2130706433/a",
    "http://0x7f000001/a",
    "http://0177.0.0.1/a",
    "http://017700000001/a",
    "http://0x7f.1/a",
    "http://127.0.0.1.:80/a",
    "http://0/a",
    "http://0.0.0.0/a",
    "http://10.0.0.1/a",
    "http://10.255.255.255/a",
    "http://172.16.0.1/a",
    "http://172.31.255.254/a",
    "http://192.168.0.1/a",
    "http://3232235521/a",
    "http://169.254.169.254/latest/meta-data",
    "http://2852039166/latest/meta-data",
    "http://100.64.0.1/a",
    "http://100.100.100.200/latest/meta-data",
    "http://100.127.255.255/a",
    "http://192.0.0.192/opc",
    "http://168.63.129.16/metadata",
    "http://[::ffff:168.63.129.16]/metadata",
    "http://[64:ff9b:1::a00:1]/a",
    "http://192.0.2.1/a",
    "http://198.18.0.1/a",
    "http://198.19.255.255/a",
    "http://198.51.100.1/a",
    "http://203.0.113.1/a",
    "http://192.88.99.1/a",
    "http://224.0.0.1/a",
    "http://239.255.255.255/a",
    "http://240.0.0.1/a",
    "http://255.255.255.255/a",
    "http://[::1]/a",
    "http://[::]/a",
    "http://[::ffff:127.0.0.1]/a",
    "http://[::ffff:7f00:1]/a",
    "http://[::127.0.0.1]/a",
    "http://[0:0:0:0:ffff:0:a00:1]/a",
    "http://[64:ff9b::10.0.0.1]/a",
    "http://[64:ff9b::a9fe:a9fe]/a",
    "http://[2002:7f00:1::]/a",
    "http://[2002:a9fe:a9fe::1]/a",
    "http://[2001::1]/a",
    "http://[2001:2::1]/a",
    "http://[2001:db8::1]/a",
    "http://[3fff::1]/a",
    "http://[fc00::1]/a",
    "http://[fd00:ec2::254]/a",
    "http://[fe80::1]/a",
    "http://[fec0::1]/a",
    "http://[ff02::1]/a",
    "http://[100::1]/a",
    "http://①②⑦.⓪.⓪.①/a",
    "http://user:secret@example.com/a",
    "http://127.0.0.1@example.com/a",
    "file:///etc/passwd",
    "ftp://example.com/a",
    "gopher://example.com/a",
    "data:audio/wav;base64,AAAA",
    "//example.com/a",
    "http://",
    "",
];

const OPEN: Guard = Guard { allow_http: true, allow_private: false };

#[test]
fn no_address_leads_into_our_own_house() {
    assert!(HOSTILE.len() >= 40);
    for address in HOSTILE {
        assert!(OPEN.check(address).is_err(), "{address} must be refused");
    }
}

#[test]
fn public_addresses_pass_and_http_only_when_it_is_allowed() {
    for address in [
        "https://cdn.example.com/a b.mp3?sig=%2F",
        "https://93.184.216.34/a",
        "https://[2606:2800:220:1::1]/a",
        "http://[64:ff9b::8.8.8.8]/a",
    ] {
        assert!(OPEN.check(address).is_ok(), "{address}");
    }
    assert_eq!(Guard::default().check("http://cdn.example.com/a"), Err(Refused::Scheme("http".into())));
    let simulator = Guard { allow_http: true, allow_private: true };
    assert!(simulator.check("http://127.0.0.1:9090/a").is_ok());
}

#[test]
fn where_a_name_leads_is_checked_too() {
    for ip in ["127.0.0.1", "::ffff:10.0.0.1", "169.254.169.254", "fd00::1"] {
        let ip: IpAddr = ip.parse().unwrap();
        assert_eq!(OPEN.check_ip(ip), Err(Refused::Private(ip)));
    }
}

fn probed(bytes: &[u8]) -> Result<songmill_worker_deliver::Probed, NotAudio> {
    let folder = std::env::temp_dir().join(format!("songmill-probe-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = tempfile::Builder::new().tempfile_in(&folder).unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    probe(file.path())
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
    assert_eq!(probed(b"<!doctype html><html>404"), Err(NotAudio::Other("a page of HTML or XML")));
    assert_eq!(probed(br#"{"error":"expired"}"#), Err(NotAudio::Other("JSON")));
    assert_eq!(probed(b"not found\n"), Err(NotAudio::Other("text")));
    assert_eq!(probed(b"PK\x03\x04zip"), Err(NotAudio::Other("a zip archive")));
    assert!(matches!(probed(&wav(1500)[..44]), Err(NotAudio::Damaged(_) | NotAudio::Silent)));
    assert!(probed(b"fLaC but nothing more").is_err());
    assert!(probed(b"ID3\x04\0\0\0\0\0\0").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_the_probe(
        head in prop::sample::select(vec![&b"RIFF\0\0\0\0WAVEfmt "[..], b"fLaC\0\0\0\x22", b"ID3\x04", b"\xff\xfb\x90\x64", b""]),
        tail in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let _ = probed(&[head, &tail].concat());
    }

    #[test]
    fn no_text_breaks_the_guard(text in ".{0,80}") {
        let _ = OPEN.check(&text);
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
