//! Signed callbacks: how many a second, and how long each takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use songmill_core::callback::{CallbackKey, CallbackKeys};
use songmill_core::job::{Accepted, StateName};
use songmill_core::{Event, JobId, TaskId};
use songmill_tests::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::report::{Mark, Report, percentile};
use crate::{Scale, limit, machine, queues};

/// Replicate's signing key in the settings that the simulator writes.
const SECRET: &str = "c29uZ21pbGwgc2ltdWxhdG9yIHdlYmhvb2sga2V5";
const KEY: &str = "a key of sixteen bytes or more";
const CONNECTIONS: usize = 128;

/// The listener alone with jobs whose tasks are under way; each callback ends one.
pub(crate) async fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let count = scale.of(60_000);
    let world = World::start_plain(&[])?.with(format!("callbacks.keys=[{{id=\"a\", secret=\"{KEY}\"}}]"));
    let limit = limit::read_and_commit(&world.redis, scale.of(500_000))?;
    world.redis.cli(&["flushall"])?;
    let store = queues::store(&world.redis).await?;
    queues::fill(&store, 2 * count).await?;
    let ids: Vec<JobId> = queues::jobs(&store, 0..2 * count)?.iter().map(|new| new.job.id).collect();
    for chunk in ids.chunks(256) {
        let accept = chunk.iter().map(async |id| {
            let accepted = Accepted::Task(TaskId::new(&format!("t{id}"))?);
            store.apply(*id, &Event::Claimed).await?;
            store.apply(*id, &Event::Accepted { attempt: 1, accepted }).await?;
            anyhow::Ok(())
        });
        futures_util::future::try_join_all(accept).await?;
    }
    let listener = world.serve(&["listener"])?;
    let keys = CallbackKeys::new(CallbackKey::new("a", KEY.as_bytes())?, vec![]);
    let requests: Vec<Vec<u8>> = ids.iter().map(|id| request(&keys, *id, &world)).collect::<Result<_>>()?;

    let cpu = machine::cpu(listener.id()).context("the listener runs")?;
    let (full, mut taken) = send(&world, requests[..count].to_vec(), None).await?;
    let used = machine::cpu(listener.id()).context("the listener runs")? - cpu;
    report.add("callbacks, signed, state updated", full, "/s").limit(limit).mark(Mark::ShareOfLimit(0.6));
    report.add("callbacks at full load, p50", percentile(&mut taken, 50.0), "ms");
    report.add("callbacks at full load, p99", percentile(&mut taken, 99.0), "ms");
    report.add("listener's CPU per 1,000 callbacks", used * 1000.0 / count as f64, "CPU s");

    let (_, mut taken) = send(&world, requests[count..].to_vec(), Some(full / 2.0)).await?;
    report.add("callbacks at half load, p50", percentile(&mut taken, 50.0), "ms");
    report.add("callbacks at half load, p99", percentile(&mut taken, 99.0), "ms").mark(Mark::Most(10.0));

    let batch = store.batch(&queues::batch()?).await?.context("the batch is there")?;
    if batch.counts.of(StateName::Collecting) != 2 * count as u64 {
        bail!("not every callback was written down: {batch:?}");
    }
    Ok(())
}

/// The callback of a job's task, as Replicate sends it, as bytes on the wire.
fn request(keys: &CallbackKeys, id: JobId, world: &World) -> Result<Vec<u8>> {
    let path = format!("/callbacks/{}", keys.path(&queues::vendor()?, id, 1));
    let body = format!(
        r#"{{"id":"t{id}","model":"datasci888/musicgen_8songs","version":"531c1fadb581d760235dca418ce027bb8af642716ced08b2cd805e99a25c52e0","input":{{"prompt":"tune","duration":8}},"logs":"","output":"http://{}/_files/{id}.wav","data_removed":false,"error":null,"source":"api","status":"succeeded","created_at":"2026-01-01T00:00:00.000Z","started_at":"2026-01-01T00:00:01.000Z","completed_at":"2026-01-01T00:00:09.000Z","metrics":{{"predict_time":8.0,"total_time":9.0}}}}"#,
        world.sim
    );
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(SECRET)?)?;
    mac.update(format!("msg_{id}.{stamp}.{body}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    Ok(format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nwebhook-id: msg_{id}\r\nwebhook-timestamp: {stamp}\r\nwebhook-signature: v1,{signature}\r\ncontent-length: {}\r\n\r\n{body}",
        world.listener,
        body.len()
    )
    .into_bytes())
}

/// Sends requests over a few connections, as fast as answers come or so many a second; the rate, and how long each
/// took in ms, waiting for its turn included.
async fn send(world: &World, requests: Vec<Vec<u8>>, rate: Option<f64>) -> Result<(f64, Vec<f64>)> {
    let (requests, next, begun) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)), Instant::now());
    let count = requests.len();
    let connections = (0..CONNECTIONS).map(|_| {
        let (requests, next, addr) = (requests.clone(), next.clone(), world.listener);
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            let (mut taken, mut reply) = (Vec::new(), vec![0; 2048]);
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(n) else { return anyhow::Ok(taken) };
                let turn =
                    rate.map_or(Instant::now(), |rate| begun + Duration::from_secs_f64(n as f64 / rate));
                tokio::time::sleep_until(turn.into()).await;
                stream.write_all(request).await?;
                let mut read = 0;
                while !ended(&reply[..read]) {
                    match stream.read(&mut reply[read..]).await? {
                        0 => bail!("the listener hung up"),
                        more => read += more,
                    }
                }
                if !reply.starts_with(b"HTTP/1.1 204") {
                    bail!("the listener answered {}", String::from_utf8_lossy(&reply[..read]));
                }
                taken.push(turn.elapsed().as_secs_f64() * 1000.0);
            }
        })
    });
    let connections: Vec<_> = connections.collect();
    let mut taken = Vec::with_capacity(count);
    for connection in connections {
        taken.extend(connection.await??);
    }
    Ok((count as f64 / begun.elapsed().as_secs_f64(), taken))
}

/// Whether a whole reply is there.
fn ended(reply: &[u8]) -> bool {
    let Some(head) = reply.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&reply[..head]).to_lowercase();
    let length =
        text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    reply.len() >= head + 4 + length.unwrap_or(0usize)
}
