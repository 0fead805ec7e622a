//! A simulator on a port of its own, and how it is asked.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stand outside test functions")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use songmill_simulator::{Config, Simulator};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub(crate) const VERSION: &str = "531c1fadb581d760235dca418ce027bb8af642716ced08b2cd805e99a25c52e0";

pub(crate) struct Sim {
    pub(crate) base: String,
    pub(crate) client: Client,
    _serving: AbortOnDropHandle<()>,
}

impl Sim {
    pub(crate) async fn start(config: Value) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config: Config = serde_json::from_value(config).unwrap();
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.generation_ms = [50, 100];
        let simulator = Simulator::bind(config).await.unwrap();
        let base = format!("http://{}", simulator.addr());
        let serving = tokio::spawn(async move {
            let _ = simulator.serve(CancellationToken::new()).await;
        });
        Self { base, client: Client::new(), _serving: AbortOnDropHandle::new(serving) }
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> (u16, Value) {
        read(self.client.get(format!("{}{path}", self.base)).bearer_auth(key).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let request =
            self.client.post(format!("{}{path}", self.base)).bearer_auth(key).body(body.to_string());
        match request.send().await {
            Ok(response) => read(response).await,
            Err(_) => (0, Value::Null),
        }
    }

    pub(crate) async fn stats(&self, vendor: &str) -> Value {
        self.get("/_sim/stats?tokens=1", "").await.1["vendors"][vendor].clone()
    }

    pub(crate) async fn replicate(&self, input: Value, webhook: Option<&str>) -> (u16, Value) {
        let mut body = json!({ "version": VERSION, "input": input });
        if let Some(webhook) = webhook {
            body["webhook"] = webhook.into();
            body["webhook_events_filter"] = json!(["completed"]);
        }
        self.post("/v1/predictions", "sim-replicate", &body).await
    }

    pub(crate) async fn audio(&self, url: &str, magic: &[u8]) {
        let response = self.client.get(url).send().await.unwrap();
        assert_eq!(response.status(), 200, "{url}");
        let bytes = response.bytes().await.unwrap();
        assert!(bytes.starts_with(magic) && bytes.len() > 1000, "{url}");
        let part = self.client.get(url).header("range", "bytes=10-19").send().await.unwrap();
        assert_eq!((part.status().as_u16(), part.bytes().await.unwrap()), (206, bytes.slice(10..20)));
    }
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap_or_default();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

pub(crate) async fn until(mut so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never came to be");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Receives callbacks.
pub(crate) async fn receiver() -> (String, Arc<Mutex<Vec<(HeaderMap, Bytes)>>>) {
    let received = Arc::new(Mutex::new(Vec::new()));
    let kept = received.clone();
    let take =
        move |headers: HeaderMap, body: Bytes| async move { kept.lock().unwrap().push((headers, body)) };
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/callback", socket.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(socket, Router::new().route("/callback", post(take))).await });
    (url, received)
}
