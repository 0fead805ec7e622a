//! Fetching from servers that cut, lie and lead astray.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use songmill_core::time::Span;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

mod addresses;
mod answers;
mod astray;
mod coded;
mod limits;
mod resuming;
mod sealed;

/// A server that answers one request a connection, in this order; what it was asked is kept.
async fn server<R: AsRef<[u8]> + Send + 'static>(replies: Vec<R>) -> (String, Arc<Mutex<Vec<String>>>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", socket.local_addr().unwrap());
    (base, answering(socket, replies))
}

fn answering<R: AsRef<[u8]> + Send + 'static>(
    socket: TcpListener,
    replies: Vec<R>,
) -> Arc<Mutex<Vec<String>>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    tokio::spawn(async move {
        for reply in replies {
            let (mut stream, _) = socket.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            kept.lock().unwrap().push(String::from_utf8_lossy(&request[..read]).into_owned());
            stream.write_all(reply.as_ref()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    asked
}

fn fetcher(change: impl FnOnce(&mut Settings)) -> Fetcher {
    fetcher_with(Arc::new(SystemNames), WINDOW, change)
}

fn fetcher_with(names: Arc<dyn Resolve>, window: Duration, change: impl FnOnce(&mut Settings)) -> Fetcher {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut settings = Settings { allow_http: true, allow_private: true, ..Settings::default() };
    change(&mut settings);
    Fetcher::with(&settings, names, tls().unwrap(), window)
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
