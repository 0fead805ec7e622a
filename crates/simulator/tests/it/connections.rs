//! Connections that a vendor closes just as a request arrives.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stand outside test functions")]

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::sim::{Sim, until};

/// One connection, whatever becomes of it.
struct Wire(TcpStream);

impl Wire {
    async fn open(sim: &Sim) -> Self {
        Self(TcpStream::connect(sim.base.trim_start_matches("http://")).await.unwrap())
    }

    /// Sends a request; the status of the answer, or none when the connection was closed instead.
    async fn send(&mut self, method: &str, path: &str, key: &str, body: &str) -> Option<u16> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: sim\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).await.ok()?;
        let mut read = Vec::new();
        let mut part = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&read).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length =
                    head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().ok()?;
                if body.len() >= length {
                    return head.split(' ').nth(1)?.parse().ok();
                }
            }
            match self.0.read(&mut part).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => read.extend_from_slice(&part[..count]),
            }
        }
    }
}

const SONG: &str = r#"{"model":"sensesong","lyrics":"[verse] la"}"#;
const RUN: &str = r#"{"app":"infsh/tencent-song-generation","input":{"lyrics":"[verse] la."}}"#;
const JOB: &str = r#"{"action":"CreateJob","secretId":"sim-id","secretKey":"sim-secret","createJobRequest":{"inputs":[{"sourceData":"海"}],"outputs":[{"contentId":"sim","destination":"/a","inputSelectors":[0],"smartContentDescriptor":{"textBgmGeneration":{"songQuantity":1}}}]}}"#;
const LIST: &str = r#"{"action":"ListJobs","secretId":"sim-id","secretKey":"sim-secret","listJobsRequest":{"customId":"c"}}"#;

/// What each vendor is paid for, and a harmless request.
fn creates() -> [(&'static str, &'static str, &'static str, String); 4] {
    let prediction = json!({
        "version": "531c1fadb581d760235dca418ce027bb8af642716ced08b2cd805e99a25c52e0", "input": { "prompt": "x" }
    });
    [
        ("replicate", "/v1/predictions", "sim-replicate", prediction.to_string()),
        ("inference_sh", "/apps/run", "sim-inference", RUN.into()),
        ("senseaudio", "/v1/song/music/create", "sim-senseaudio", SONG.into()),
        ("tencent", "/release/job", "", JOB.into()),
    ]
}

#[tokio::test]
async fn a_request_on_a_connection_idle_for_too_long_is_not_answered() {
    let sim = Sim::with_faults(json!({ "close_idle_ms": 60_000 })).await;
    for (vendor, path, key, body) in creates() {
        let mut wire = Wire::open(&sim).await;
        for _ in 0..2 {
            assert!(wire.send("POST", path, key, &body).await.is_some_and(|status| status < 300), "{vendor}");
        }
        sim.set(json!({ "vendor": vendor, "close_idle_ms": 1 })).await;
        // To be idle is what this is about.
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(wire.send("POST", path, key, &body).await, None, "{vendor}");
        let stats = sim.stats(vendor).await;
        assert_eq!(
            (&stats["tasks_created"], &stats["connections"]["closed_idle"]),
            (&json!(2), &json!(1)),
            "{vendor}"
        );
    }
}

#[tokio::test]
async fn other_vendors_connections_stay_open() {
    let sim = Sim::with_faults(json!({})).await;
    sim.set(json!({ "vendor": "tencent", "close_idle_ms": 1, "cut_reused": true })).await;
    let mut wire = Wire::open(&sim).await;
    for (vendor, path, key, body) in &creates()[..3] {
        assert!(wire.send("POST", path, key, body).await.is_some_and(|status| status < 300), "{vendor}");
    }
    assert_eq!(wire.send("GET", "/_sim/health", "", "").await, Some(200));
}

#[tokio::test]
async fn submissions_on_a_used_connection_are_cut_where_that_is_set() {
    let sim = Sim::with_faults(json!({ "cut_reused": true })).await;
    for (vendor, path, key, body) in creates() {
        let mut wire = Wire::open(&sim).await;
        assert!(wire.send("POST", path, key, &body).await.is_some_and(|status| status < 300), "{vendor}");
        let harmless = match vendor {
            "tencent" => wire.send("POST", "/job", key, LIST).await,
            "inference_sh" => wire.send("POST", "/tasks/list", key, "{}").await,
            _ => wire.send("GET", "/v1/predictions", "sim-replicate", "").await,
        };
        assert_eq!(harmless, Some(200), "{vendor}: what costs nothing goes on");
        assert_eq!(wire.send("POST", path, key, &body).await, None, "{vendor}");
        let mut wire = Wire::open(&sim).await;
        assert!(wire.send("POST", path, key, &body).await.is_some_and(|status| status < 300), "{vendor}");
        until(async || sim.stats(vendor).await["connections"]["cut_reused"] == 1).await;
        assert_eq!(sim.stats(vendor).await["tasks_created"], 2, "{vendor}");
    }
}
