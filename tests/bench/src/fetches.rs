//! Many songs fetched at the same time: what the process that fetches them has resident, and how fast they come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use songmill_core::job::{Accepted, StateName};
use songmill_core::{Event, Output, Product, TaskId};
use songmill_core::{Report as Reported, job::Via};
use songmill_store::Store;
use songmill_tests::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use crate::report::{Mark, Report};
use crate::{Scale, machine, queues};

/// Songs under way at the same time, and how many bytes each has.
const SONGS: usize = 500;
const BYTES: usize = 5_000_000;
/// How long all of them may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The deliver role alone. The server is in this process, so that its memory does not count; it lets no transfer past
/// its half before all of them are there.
pub(crate) async fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let count = scale.of(SONGS);
    let world = World::start_plain(&[])?.with(format!("deliver.queue.concurrency={count}"));
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", socket.local_addr()?);
    let server = tokio::spawn(serve(socket, count));
    let store = queues::store(&world.redis).await?;
    to_collect(&store, &base, count).await?;
    let deliver = world.serve(&["deliver"])?;
    let begun = Instant::now();
    loop {
        let batch = store.batch(&queues::batch()?).await?.context("the batch is there")?;
        if batch.counts.of(StateName::Completed) == count as u64 {
            break;
        }
        if begun.elapsed() > PATIENCE {
            bail!("songs are not fetched: {batch:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = begun.elapsed().as_secs_f64();
    let memory = machine::most_resident(deliver.id()).context("deliver runs")?;
    let cpu = machine::cpu(deliver.id()).context("deliver runs")?;
    server.abort();
    let megabytes = (count * BYTES) as f64 / 1e6;
    report
        .add(format!("{count} fetches of 5 MB at once: deliver's memory, at most"), memory, "MiB")
        .mark(Mark::Most(200.0));
    report.add("  fetched, found to be audio and stored", megabytes / took, "MB/s");
    report.add("  deliver's CPU per GB", cpu * 1000.0 / megabytes, "CPU s");
    Ok(())
}

/// Jobs whose songs are to be had from here.
async fn to_collect(store: &Store, base: &str, count: usize) -> Result<()> {
    queues::fill(store, count).await?;
    let vendor = queues::vendor()?;
    let move_on = queues::jobs(store, 0..count)?.into_iter().map(async |new| {
        let id = new.job.id;
        let task = TaskId::new(&format!("t{id}"))?;
        let report = Reported::Done(Product::Audio(vec![Output::at(format!("{base}/{id}.wav"))].into()));
        store.apply(id, &Event::Claimed).await?;
        let accepted = Accepted::Task(task.clone());
        store.apply(id, &Event::Accepted { attempt: 1, accepted }).await?;
        let (vendor, task) = (vendor.clone(), Some(task));
        store.apply(id, &Event::Reported { attempt: 1, vendor, task, report, via: Via::Callback }).await?;
        anyhow::Ok(())
    });
    futures_util::future::try_join_all(move_on).await?;
    Ok(())
}

/// Sends a song to each of so many connections at once.
async fn serve(socket: TcpListener, count: usize) -> Result<()> {
    let (song, half_way) = (Arc::new(wav()), Arc::new(Barrier::new(count)));
    let mut sending: Vec<JoinHandle<Result<()>>> = Vec::new();
    loop {
        let (stream, _) = socket.accept().await?;
        sending.push(tokio::spawn(send(stream, song.clone(), half_way.clone())));
    }
}

async fn send(mut stream: TcpStream, song: Arc<Vec<u8>>, half_way: Arc<Barrier>) -> Result<()> {
    let mut request = [0; 2048];
    if stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        song.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let (first, rest) = song.split_at(song.len() / 2);
    stream.write_all(first).await?;
    half_way.wait().await;
    stream.write_all(rest).await?;
    Ok(stream.shutdown().await?)
}

/// A song of 44.1 kHz, 16 bits, one channel.
fn wav() -> Vec<u8> {
    let data = (BYTES - 44) as u32;
    let mut out = b"RIFF".to_vec();
    out.extend((36 + data).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16u32.to_le_bytes());
    out.extend([1, 0, 1, 0]);
    out.extend(44_100u32.to_le_bytes());
    out.extend(88_200u32.to_le_bytes());
    out.extend([2, 0, 16, 0]);
    out.extend(b"data");
    out.extend(data.to_le_bytes());
    out.extend((0..data / 2).flat_map(|n| ((n % 100) as i16 * 100).to_le_bytes()));
    out
}
