//! The server over real sockets.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stand outside test functions")]

mod limits;
mod requests;
mod timeouts;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use songmill_http_server::{Limits, RequestBody, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// A server that runs until the test ends.
struct Running {
    addr: SocketAddr,
    shutdown: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

fn limits() -> Limits {
    Limits {
        header_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(900),
        write_timeout: Duration::from_millis(300),
        ..Limits::default()
    }
}

fn serve(limits: Limits) -> Running {
    let server = Server::bind("test", ([127, 0, 0, 1], 0).into(), limits).unwrap();
    let (addr, shutdown) = (server.addr(), CancellationToken::new());
    let handler = tower::service_fn(handle);
    let ended = tokio::spawn(server.run(handler, shutdown.clone(), Duration::from_millis(600)));
    Running { addr, shutdown, ended }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// `/refuse` reads no body, `/echo` reads it, `/slow` takes 400 ms, `/endless` sends for ever, `/hang` never answers.
async fn handle(request: Request<RequestBody>) -> Result<Response<Body>, Infallible> {
    let text = |text: &'static str| Full::new(Bytes::from(text)).boxed_unsync();
    let body = match request.uri().path() {
        "/refuse" => text("refused"),
        "/echo" => Full::new(request.into_body().collect().await.unwrap().to_bytes()).boxed_unsync(),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(400)).await;
            text("slow")
        }
        "/endless" => {
            let chunk = Bytes::from(vec![b'x'; 64 << 10]);
            StreamBody::new(stream::repeat(chunk).map(|chunk| Ok(Frame::data(chunk)))).boxed_unsync()
        }
        "/hang" => std::future::pending().await,
        _ => text("hello"),
    };
    Ok(Response::new(body))
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// What one request is answered, over a connection of its own.
    async fn ask(&self, text: &str) -> String {
        let mut stream = self.send(text).await;
        to_end(&mut stream).await
    }
}

/// All that is sent until the other side closes; a reset counts as the end.
async fn to_end(stream: &mut TcpStream) -> String {
    let (mut all, mut some) = (Vec::new(), vec![0; 64 << 10]);
    while let Ok(read @ 1..) = stream.read(&mut some).await {
        all.extend_from_slice(&some[..read]);
    }
    String::from_utf8(all).unwrap()
}

/// Reads until this text has come.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut all = String::new();
    while !all.ends_with(end) {
        let mut one = [0];
        assert_eq!(stream.read(&mut one).await.unwrap(), 1, "closed after {all:?}");
        all.push(one[0].into());
    }
    all
}

/// How long until the other side has closed.
async fn closed_after(stream: &mut TcpStream) -> Duration {
    let begun = Instant::now();
    to_end(stream).await;
    begun.elapsed()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}
