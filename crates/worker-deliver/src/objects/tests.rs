//! Objects of a vendor's bucket: by any key, over a way that is cut, and what a bucket says that gives none.

use std::io::Read as _;

use songmill_core::time::Span;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::names::Names;

#[expect(dead_code, reason = "what others need it for")]
#[path = "../../tests/it/s3.rs"]
mod s3;

use self::s3::{Server, Trouble, Way};

fn objects(address: &str, max_bytes: u64) -> Objects {
    let bucket = serde_json::json!({
        "endpoint": address, "bucket": "songs", "access_key_id": "a", "secret_access_key": "b",
        "path_style": true, "allow_http": true,
    });
    let objects = BTreeMap::from([("content".to_owned(), serde_json::from_value(bucket).unwrap())]);
    let _ = rustls::crypto::ring::default_provider().install_default();
    Objects::new(&Settings { objects, max_bytes, timeout: Span::secs(60), ..Settings::default() }).unwrap()
}

async fn fetch(objects: &Objects, key: &str) -> Result<Vec<u8>, Fault> {
    let mut file = Incoming::new(tempfile::NamedTempFile::new().unwrap());
    objects.fetch("content", key, &mut file).await?;
    let mut whole = vec![];
    std::fs::File::open(file.finish().unwrap()).unwrap().read_to_end(&mut whole).unwrap();
    Ok(whole)
}

#[tokio::test]
async fn an_object_that_is_cut_often_comes_in_whole_and_one_that_changes_is_read_anew() {
    let Some(server) = Server::start().await else { return };
    let way = Way::to(&server).await;
    let whole: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let put = async |key: &str, bytes: &[u8]| {
        let address = format!("{}/songs/{key}", server.address);
        let put = reqwest::Client::new().put(address).body(bytes.to_vec()).send().await.unwrap();
        assert!(put.status().is_success(), "{put:?}");
    };
    put("songmill/1/a.wav", &whole).await;
    let bucket = objects(&way.address, 10_000_000);
    way.trouble("GET", 5, Trouble::CutReply(400_000));
    assert!(fetch(&bucket, "songmill/1/a.wav").await.unwrap() == whole);
    let asked = way.clear();
    assert_eq!(asked.len(), 6, "{asked:?}");
    assert!(asked[1..].iter().all(|head| head.contains("range: bytes=")), "{asked:?}");
    assert!(asked.iter().any(|head| head.contains("if-range: ")), "{asked:?}");
    way.trouble("GET", 99, Trouble::CutReply(400));
    assert_eq!(fetch(&bucket, "songmill/1/a.wav").await.unwrap_err().code, "output_unreachable");
    way.clear();

    // It is another object by the time it is taken up.
    way.trouble("GET", 3, Trouble::CutReply(400_000));
    way.trouble("GET", 1, Trouble::Answer("412 Precondition Failed"));
    assert!(fetch(&bucket, "songmill/1/a.wav").await.unwrap() == whole);
    way.clear();

    assert_eq!(
        fetch(&objects(&way.address, 2_999_999), "songmill/1/a.wav").await.unwrap_err().code,
        "output_too_large"
    );
    let fault = fetch(&bucket, "songmill/1/none.wav").await.unwrap_err();
    assert_eq!((fault.kind, &*fault.code), (FaultKind::Rejected, "output_expired"));
    way.trouble("GET", 1, Trouble::Answer("403 Forbidden"));
    let fault = fetch(&bucket, "songmill/1/a.wav").await.unwrap_err();
    assert_eq!((fault.kind, &*fault.code), (FaultKind::Locked, "store_refused"));
    let mut file = Incoming::new(tempfile::NamedTempFile::new().unwrap());
    assert_eq!(bucket.fetch("other", "a", &mut file).await.unwrap_err().code, "store_unknown");
}

/// A server that answers one request a connection with this, and keeps what it was asked.
async fn answering(reply: Vec<u8>) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let (heads, asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let mut head = vec![0; 8192];
            let read = stream.read(&mut head).await.unwrap();
            heads.send(String::from_utf8_lossy(&head[..read]).into_owned()).unwrap();
            stream.write_all(&reply).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (port, asked)
}

/// Keys that are legal, with the paths that are asked for.
const KEYS: [(&str, &str); 14] = [
    ("a.mp3", "a.mp3"),
    ("songs/a b.mp3", "songs/a%20b.mp3"),
    ("a//b.mp3", "a//b.mp3"),
    ("/a.mp3", "/a.mp3"),
    ("//a///b.mp3", "//a///b.mp3"),
    ("a/", "a/"),
    ("a/./b/../c.mp3", "a/./b/../c.mp3"),
    ("../a.mp3", "../a.mp3"),
    ("100% pure.mp3", "100%25%20pure.mp3"),
    ("a%2Fb.mp3", "a%252Fb.mp3"),
    ("夜曲/é✨.mp3", "%E5%A4%9C%E6%9B%B2/%C3%A9%E2%9C%A8.mp3"),
    ("a?b#c&d=e+f.mp3", "a%3Fb%23c%26d%3De%2Bf.mp3"),
    ("a\\b[c]{d}|'e\".mp3", "a%5Cb%5Bc%5D%7Bd%7D%7C%27e%22.mp3"),
    ("a\n\u{7f}~-_.mp3", "a%0A%7F~-_.mp3"),
];

#[tokio::test]
async fn any_text_is_the_key_of_an_object() {
    let whole = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\naudio".to_vec();
    let (port, mut asked) = answering(whole).await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    for path_style in [true, false] {
        for signed in ["a", ""] {
            let settings = cos(format!("http://cos.example:{port}"), path_style, signed);
            let objects = Objects::with(&settings, Names::new(&[&["127.0.0.1"][..]; 99]), tls().unwrap());
            for (key, path) in KEYS {
                assert_eq!(fetch(&objects, key).await.unwrap(), b"audio", "{key}");
                let head = asked.recv().await.unwrap();
                let (bucket, host) = if path_style { ("songs/", "") } else { ("", "songs.") };
                assert!(head.starts_with(&format!("GET /{bucket}{path} HTTP/1.1\r\n")), "{key}: {head}");
                assert!(head.contains(&format!("host: {host}cos.example:{port}\r\n")), "{key}: {head}");
                assert_eq!(head.contains("authorization: AWS4-HMAC-SHA256"), !signed.is_empty(), "{head}");
            }
        }
    }
}

fn cos(endpoint: String, path_style: bool, key: &str) -> Settings {
    let bucket = serde_json::json!({
        "endpoint": endpoint, "bucket": "songs", "access_key_id": key, "secret_access_key": "b",
        "path_style": path_style, "allow_http": true,
    });
    let objects = BTreeMap::from([("content".to_owned(), serde_json::from_value(bucket).unwrap())]);
    Settings { objects, ..Settings::default() }
}

#[tokio::test]
async fn a_real_server_gives_objects_by_their_keys_whatever_these_are() {
    let Some(server) = Server::start().await else { return };
    let bucket = objects(&server.address, 1000);
    // Its routes take no line feeds.
    let keys = KEYS.into_iter().filter(|(key, _)| !key.contains('\n'));
    for (n, (key, path)) in keys.enumerate() {
        // Clients of HTTP put paths in order: it is put as it is fetched.
        let body = format!("object {n}");
        let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).await.unwrap();
        let put = format!(
            "PUT /songs/{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, Signature=0\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(put.as_bytes()).await.unwrap();
        let mut put = String::new();
        stream.read_to_string(&mut put).await.unwrap();
        assert!(put.starts_with("HTTP/1.1 200"), "{key}: {put}");
        assert_eq!(fetch(&bucket, key).await.unwrap(), body.as_bytes(), "{key}");
    }
    let fault = fetch(&bucket, "a//none.mp3").await.unwrap_err();
    assert_eq!((fault.kind, &*fault.code), (FaultKind::Locked, "store_refused"), "{fault}");
    let elsewhere = objects(&format!("{}/none", server.address), 1000);
    assert!(fetch(&elsewhere, "a.mp3").await.is_err());
}

#[tokio::test]
async fn what_a_bucket_refuses_is_for_the_operator_unless_it_is_the_object_that_is_not_there() {
    use FaultKind::{Locked, Rejected, Throttled, Unavailable};
    let _ = rustls::crypto::ring::default_provider().install_default();
    for (status, code, key, kind, expected) in [
        ("404 Not Found", "NoSuchKey", "a.mp3", Rejected, "output_expired"),
        ("404 Not Found", "", "a.mp3", Rejected, "output_expired"),
        ("410 Gone", "", "a.mp3", Rejected, "output_expired"),
        ("404 Not Found", "NoSuchKey", "a//b.mp3", Locked, "store_refused"),
        ("404 Not Found", "NoSuchKey", "../b.mp3", Locked, "store_refused"),
        ("404 Not Found", "NoSuchBucket", "a.mp3", Locked, "store_refused"),
        ("403 Forbidden", "AccessDenied", "a.mp3", Locked, "store_refused"),
        ("403 Forbidden", "", "a.mp3", Locked, "store_refused"),
        ("401 Unauthorized", "", "a.mp3", Locked, "store_refused"),
        ("400 Bad Request", "AuthorizationHeaderMalformed", "a.mp3", Locked, "store_refused"),
        ("400 Bad Request", "KeyTooLongError", "a.mp3", Locked, "store_refused"),
        ("400 Bad Request", "RequestTimeout", "a.mp3", Unavailable, "output_unreachable"),
        ("301 Moved Permanently", "PermanentRedirect", "a.mp3", Locked, "store_refused"),
        ("307 Temporary Redirect", "TemporaryRedirect", "a.mp3", Unavailable, "output_unreachable"),
        ("429 Too Many Requests", "", "a.mp3", Throttled, "rate_limited"),
        ("503 Slow Down", "SlowDown", "a.mp3", Unavailable, "output_unreachable"),
        ("500 Internal Server Error", "InternalError", "a.mp3", Unavailable, "output_unreachable"),
        ("202 Accepted", "", "a.mp3", Unavailable, "output_unreachable"),
        ("206 Partial Content", "", "a.mp3", Unavailable, "output_unreachable"),
        ("416 Range Not Satisfiable", "InvalidRange", "a.mp3", Unavailable, "output_unreachable"),
    ] {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
        let reply = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\nretry-after: 7.5\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let (port, _asked) = answering(reply.into_bytes()).await;
        let settings = cos(format!("http://127.0.0.1:{port}"), true, "a");
        let fault = fetch(&Objects::new(&settings).unwrap(), key).await.unwrap_err();
        assert_eq!((fault.kind, &*fault.code), (kind, expected), "{status} {code} {key}");
        let waits = matches!(kind, Throttled | Unavailable);
        assert_eq!(fault.retry_after().map(|wait| wait.as_secs()), waits.then_some(8), "{status} {code}");
    }
}

#[tokio::test]
async fn what_the_settings_do_not_allow_waits_for_the_operator() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for endpoint in ["", "nonsense", "ftp://127.0.0.1", "http://", "http://a b", "127.0.0.1:1"] {
        let fault = fetch(&Objects::new(&cos(endpoint.into(), true, "")).unwrap(), "a").await.unwrap_err();
        assert_eq!((fault.kind, &*fault.code), (FaultKind::Locked, "store_refused"), "{endpoint}");
    }
    let mut settings = cos("http://127.0.0.1:1".into(), true, "");
    let fault = fetch(&Objects::new(&settings).unwrap(), "").await.unwrap_err();
    assert_eq!((fault.kind, &*fault.code), (FaultKind::Locked, "address_refused"));
    settings.objects.values_mut().for_each(|bucket| bucket.allow_http = false);
    let fault = fetch(&Objects::new(&settings).unwrap(), "a").await.unwrap_err();
    assert!(fault.kind == FaultKind::Locked && fault.message.contains("allow_http"), "{fault}");
}

#[test]
fn the_bucket_stands_in_the_host_unless_it_shall_not() {
    let mut cos = ObjectSettings {
        endpoint: "https://cos.ap-guangzhou.myqcloud.com/".into(),
        bucket: "songs-1250000000".into(),
        region: "ap-guangzhou".into(),
        access_key_id: String::new(),
        secret_access_key: String::new(),
        path_style: false,
        allow_http: false,
    };
    assert_eq!(base(&cos), "https://songs-1250000000.cos.ap-guangzhou.myqcloud.com/");
    cos.path_style = true;
    assert_eq!(base(&cos), "https://cos.ap-guangzhou.myqcloud.com/songs-1250000000/");
}
