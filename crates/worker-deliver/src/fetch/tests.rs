//! Fetching from servers that cut, lie and lead astray.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use songmill_core::time::Span;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A server that answers one request a connection, in this order; what it was asked is kept.
async fn server(replies: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", socket.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    tokio::spawn(async move {
        for reply in replies {
            let (mut stream, _) = socket.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            kept.lock().unwrap().push(String::from_utf8_lossy(&request[..read]).into_owned());
            stream.write_all(reply.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (base, asked)
}

fn fetcher(change: impl FnOnce(&mut Settings)) -> Fetcher {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut settings = Settings { allow_http: true, allow_private: true, ..Settings::default() };
    change(&mut settings);
    Fetcher::new(&settings).unwrap()
}

async fn fetch(fetcher: &Fetcher, url: &str) -> Result<String, Fault> {
    let mut file = Incoming::new(tempfile::NamedTempFile::new().unwrap());
    fetcher.fetch(url, &mut file).await?;
    Ok(std::fs::read_to_string(file.finish().unwrap()).unwrap())
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n{body}")
}

async fn code(fetcher: &Fetcher, replies: Vec<String>) -> String {
    let (base, _) = server(replies).await;
    fetch(fetcher, &format!("{base}/a")).await.unwrap_err().code.into_owned()
}

#[tokio::test]
async fn a_cut_transfer_is_taken_up_where_it_was_cut() {
    let (base, asked) = server(vec![
        reply("200 OK", "content-length: 10\r\netag: \"v1\"\r\n", "01234"),
        reply(
            "206 Partial Content",
            "content-length: 5\r\netag: \"v1\"\r\ncontent-range: bytes 5-9/10\r\n",
            "56789",
        ),
    ])
    .await;
    assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), "0123456789");
    let second = asked.lock().unwrap()[1].clone();
    assert!(second.contains("range: bytes=5-") && second.contains("if-range: \"v1\""), "{second}");
    assert!(!second.contains("authorization"));
}

#[tokio::test]
async fn a_long_transfer_comes_in_whole_cut_or_begun_anew() {
    let whole: String = (0..90_000).map(|n| format!("{n:05}")).collect();
    let (first, rest) = whole.split_at(333_333);
    let cut = || reply("200 OK", "content-length: 450000\r\netag: \"v1\"\r\n", first);
    let range = "content-length: 116667\r\netag: \"v1\"\r\ncontent-range: bytes 333333-449999/450000\r\n";
    for second in
        [reply("206 Partial Content", range, rest), reply("200 OK", "content-length: 450000\r\n", &whole)]
    {
        let (base, _) = server(vec![cut(), second]).await;
        assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), whole);
    }
}

#[tokio::test]
async fn a_server_that_starts_over_is_followed() {
    let (base, _) = server(vec![
        reply("200 OK", "content-length: 10\r\netag: \"v1\"\r\n", "01234"),
        reply("200 OK", "content-length: 3\r\netag: \"v2\"\r\n", "new"),
    ])
    .await;
    assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), "new");
}

#[tokio::test]
async fn a_part_of_something_else_is_never_joined_to_what_is_there() {
    for (tag, range) in [("v1", "bytes 4-9/10"), ("v2", "bytes 5-9/10"), ("v1", "bytes */10")] {
        let part = format!("content-length: 5\r\netag: \"{tag}\"\r\ncontent-range: {range}\r\n");
        let replies = vec![
            reply("200 OK", "content-length: 10\r\netag: \"v1\"\r\n", "01234"),
            reply("206 Partial Content", &part, "56789"),
        ];
        assert_eq!(code(&fetcher(|_| {}), replies).await, "output_unreachable", "{tag} {range}");
    }
}

#[tokio::test]
async fn every_answer_is_sorted() {
    let fetcher = fetcher(|settings| settings.max_bytes = 8);
    for (status, expected) in [
        ("404 Not Found", "output_expired"),
        ("403 Forbidden", "output_expired"),
        ("410 Gone", "output_expired"),
        ("429 Too Many Requests", "rate_limited"),
        ("503 Unavailable", "output_unreachable"),
    ] {
        assert_eq!(code(&fetcher, vec![reply(status, "content-length: 0\r\n", "")]).await, expected);
    }
    assert_eq!(
        code(&fetcher, vec![reply("200 OK", "content-length: 9\r\n", "123456789")]).await,
        "output_too_large"
    );
    assert_eq!(code(&fetcher, vec![reply("200 OK", "", "123456789")]).await, "output_too_large");
    assert_eq!(
        code(&fetcher, vec![reply("200 OK", "content-length: 8\r\n", "1234")]).await,
        "output_unreachable"
    );
    let gone = fetch(&fetcher, "http://127.0.0.1:1/a").await.unwrap_err();
    assert_eq!(gone.code, "output_unreachable");
}

#[tokio::test]
async fn redirects_are_counted_and_checked_anew() {
    let to = |target: &str| reply("302 Found", &format!("location: {target}\r\ncontent-length: 0\r\n"), "");
    let (base, _) = server(vec![to("/b"), reply("200 OK", "content-length: 2\r\n", "ok")]).await;
    assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), "ok");
    assert_eq!(code(&fetcher(|_| {}), vec![to("/b"), to("/c"), to("/d"), to("/e")]).await, "address_refused");
    assert_eq!(code(&fetcher(|_| {}), vec![to("file:///etc/passwd")]).await, "address_refused");
    // A public address that leads into our own house: the first hop is let through by hand.
    let guarded = Fetcher { guard: Guard { allow_http: true, allow_private: false }, ..fetcher(|_| {}) };
    let (base, asked) = server(vec![to("http://169.254.169.254/latest"), reply("200 OK", "", "")]).await;
    let first = Url::parse(&format!("{base}/a")).unwrap();
    assert_eq!(guarded.open(first, 0, None).await.unwrap_err().code, "address_refused");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_name_that_leads_into_our_own_house_is_refused_when_it_is_resolved() {
    let fetcher = fetcher(|settings| settings.allow_private = false);
    assert_eq!(fetch(&fetcher, "http://localhost:1/a").await.unwrap_err().code, "address_refused");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a", socket.local_addr().unwrap());
    let fetcher = fetcher(|settings| settings.timeout = Span::millis(200));
    let waited = tokio::time::timeout(Duration::from_secs(5), fetch(&fetcher, &url)).await.unwrap();
    assert_eq!(waited.unwrap_err().code, "output_unreachable");
}
