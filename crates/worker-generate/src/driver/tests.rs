//! What becomes of requests whose connections break, at every point at which they can.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use songmill_core::FaultKind::{self, Locked, Unavailable, Unknown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use songmill_egress::Settings as Egress;

use super::*;

mod http1;
mod http2;
mod proxy;

/// A server that does this with each connection; connections are numbered from 0, and counted.
async fn server<F: Future<Output = std::io::Result<()>> + Send>(
    answer: impl Fn(TcpStream, usize) -> F + Send + 'static,
) -> (String, Arc<AtomicUsize>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = socket.accept().await.unwrap();
            let connection = answer(stream, counted.fetch_add(1, Ordering::SeqCst));
            // A connection that breaks is what this is for.
            drop(connection.await);
        }
    });
    (format!("http://{address}/create"), count)
}

fn request(url: &str) -> Request<Bytes> {
    Request::post(url).body(Bytes::from_static(b"{\"prompt\": \"rain\"}")).unwrap()
}

fn driver() -> Driver {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Driver::new(DriverSettings::default(), &Egress::default()).unwrap()
}

/// What comes of a request that costs money, under a lease that lasts.
async fn paid(driver: &Driver, url: &str) -> Result<u16, (FaultKind, String)> {
    outlasted(driver, url, true).await
}

async fn outlasted(driver: &Driver, url: &str, outlasts: bool) -> Result<u16, (FaultKind, String)> {
    let answered = driver.send_paid(request(url), || outlasts).await;
    answered
        .map(|reply| reply.status().as_u16())
        .map_err(|fault| (fault.kind, format!("{}: {}", fault.code, fault.message)))
}

/// The kind and the code of a fault.
fn sorted(answered: Result<u16, (FaultKind, String)>) -> Result<u16, (FaultKind, String)> {
    answered.map_err(|(kind, text)| (kind, text.split(':').next().unwrap_or_default().to_owned()))
}

fn unreachable() -> Result<u16, (FaultKind, String)> {
    Err((Unavailable, "vendor_unreachable".to_owned()))
}

fn reply_lost() -> Result<u16, (FaultKind, String)> {
    Err((Unknown, "reply_lost".to_owned()))
}

/// Has whoever waits for the network see what has come by now.
async fn round_trip() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut here, there) = tokio::join!(TcpStream::connect(socket.local_addr().unwrap()), socket.accept());
    there.unwrap().0.write_u8(1).await.unwrap();
    here.as_mut().unwrap().read_u8().await.unwrap();
}
