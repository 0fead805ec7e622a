//! Connections on which nothing happens: what they cost, and what the others notice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use songmill_tests::{Process, World, api};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::report::{Mark, Report, percentile};
use crate::{Scale, machine};

/// Connections that say nothing, and that say a byte a second, at each door.
const SILENT: usize = 10_000;
const SLOW: usize = 2_000;
/// How long they are there.
const FLOOD: Duration = Duration::from_secs(25);

pub(crate) async fn run(report: &mut Report, scale: Scale) -> Result<()> {
    songmill_tests::raise_open_files();
    let world = World::start_plain(&[])?.with("api.requests_per_minute=0");
    let (process, api) = world.serve_api(&[], &[])?;
    flooded(report, "api", &process, api.addr, "/v1/jobs", scale).await?;
    drop(process);
    let process = world.serve(&["listener"])?;
    flooded(report, "listener", &process, world.listener, "/health", scale).await?;
    drop(process);
    let (process, api) = world.serve_api(&["listener"], &[])?;
    let listener = flood(world.listener, scale);
    flooded(report, "both in one process", &process, api.addr, "/v1/jobs", Scale { quick: true }).await?;
    drop(listener);
    Ok(())
}

/// Measures a door beside a flood.
async fn flooded(
    report: &mut Report,
    name: &str,
    process: &Process,
    addr: SocketAddr,
    path: &'static str,
    scale: Scale,
) -> Result<()> {
    let at_rest = machine::resident(process.id()).context("it runs")?;
    let calm = asked(addr, path, Duration::from_secs(3)).await?;
    let flood = flood(addr, scale);
    while flood.opened.load(Ordering::Relaxed) < scale.of(SILENT + SLOW) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let beside = asked(addr, path, if scale.quick { FLOOD / 3 } else { FLOOD }).await?;
    let used = machine::most_resident(process.id()).context("it runs")?;
    drop(flood);
    report.add(format!("{name}: resident memory at rest"), at_rest, "MiB");
    report.add(format!("{name}: most resident memory beside the flood"), used, "MiB").mark(Mark::Most(100.0));
    for (when, mut times) in [("before", calm), ("beside the flood", beside)] {
        report.add(format!("{name}: GET {path} {when}, p50"), percentile(&mut times, 50.0), "ms");
        let p99 = percentile(&mut times, 99.0);
        report.add(format!("{name}: GET {path} {when}, p99"), p99, "ms").mark(Mark::Most(500.0));
    }
    Ok(())
}

/// Asks over a new connection each time; how long each answer took, in milliseconds. An answer that is none is an error.
async fn asked(addr: SocketAddr, path: &'static str, during: Duration) -> Result<Vec<f64>> {
    tokio::task::spawn_blocking(move || {
        let (begun, mut times) = (Instant::now(), Vec::new());
        let door = api::Api { addr, key: None };
        while begun.elapsed() < during {
            let asked = Instant::now();
            let status = door.get(path)?.status;
            ensure!(status == 200, "{path} answers {status}");
            times.push(asked.elapsed().as_secs_f64() * 1000.0);
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(times)
    })
    .await?
}

/// Connections that are opened again whenever they are closed, until this is dropped.
struct Flood {
    opened: Arc<AtomicUsize>,
    _connections: JoinSet<()>,
}

fn flood(to: SocketAddr, scale: Scale) -> Flood {
    let (opened, mut connections) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for n in 0..scale.of(SILENT + SLOW) {
        let (opened, is_slow) = (opened.clone(), n < scale.of(SLOW));
        connections.spawn(async move {
            // Not all in the same moment: the system completes only so many at once.
            tokio::time::sleep(Duration::from_micros(300 * n as u64)).await;
            loop {
                if let Ok(stream) = TcpStream::connect(to).await {
                    opened.fetch_add(1, Ordering::Relaxed);
                    if is_slow { slow(stream).await } else { silent(stream).await }
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }
    Flood { opened, _connections: connections }
}

/// Until the other side closes.
async fn silent(mut stream: TcpStream) {
    // However it ends, it has ended.
    let _ = stream.read(&mut [0]).await;
}

/// A head that never ends, a byte a second.
async fn slow(mut stream: TcpStream) {
    for byte in b"GET /health HTTP/1.1\r\nx-padding: ".iter().chain(std::iter::repeat(&b'x')) {
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
