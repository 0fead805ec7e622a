//! One task of each vendor, from its creation to its files.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stand outside test functions")]

use reqwest::Response;
use serde_json::{Value, json};

use crate::sim::{Sim, until};

pub(crate) const VENDORS: [&str; 4] = ["replicate", "inference_sh", "senseaudio", "tencent"];

/// How a task is reported.
pub(crate) struct Report {
    /// Whether as successful.
    pub(crate) is_done: bool,
    pub(crate) output: Value,
}

impl Sim {
    /// Starts with faults of all vendors.
    pub(crate) async fn with_faults(faults: Value) -> Self {
        Self::start(json!({ "faults": faults, "audio_seconds_most": 2 })).await
    }

    /// Creates a task; its id.
    pub(crate) async fn create(&self, vendor: &str, webhook: Option<&str>) -> String {
        let made = match vendor {
            "replicate" => {
                self.replicate(json!({ "prompt": "x", "duration": 2 }), webhook).await.1["id"].clone()
            }
            "inference_sh" => {
                let run = json!({ "app": "infsh/tencent-song-generation", "webhook": webhook,
                    "input": { "lyrics": "[verse] la.", "max_duration": 2 } });
                self.post("/apps/run", "sim-inference", &run).await.1["data"]["id"].clone()
            }
            "senseaudio" => {
                let song = json!({ "model": "sensesong", "lyrics": "[verse] la" });
                self.post("/v1/song/music/create", "sim-senseaudio", &song).await.1["task_id"].clone()
            }
            _ => {
                let mut order = json!({ "customId": "c-1", "inputs": [{ "sourceData": "海" }], "outputs": [{
                    "contentId": "sim", "destination": "/a", "inputSelectors": [0],
                    "smartContentDescriptor": { "textBgmGeneration": { "songQuantity": 1 } } }] });
                if let Some(webhook) = webhook {
                    order["callback"] = webhook.into();
                }
                self.tencent("/release/job", "CreateJob", "createJobRequest", &order).await
                    ["createJobResponse"]["job"]["id"]
                    .clone()
            }
        };
        made.as_str().unwrap().to_owned()
    }

    async fn tencent(&self, path: &str, action: &str, field: &str, request: &Value) -> Value {
        let body =
            json!({ "action": action, "secretId": "sim-id", "secretKey": "sim-secret", field: request });
        self.post(path, "", &body).await.1
    }

    /// Asks for one task.
    pub(crate) async fn ask(&self, vendor: &str, id: &str) -> Report {
        let shown = match vendor {
            "replicate" => self.get(&format!("/v1/predictions/{id}"), "sim-replicate").await.1,
            "inference_sh" => self.get(&format!("/tasks/{id}"), "sim-inference").await.1["data"].clone(),
            "senseaudio" => self.get(&format!("/v1/song/music/pending/{id}"), "sim-senseaudio").await.1,
            _ => {
                let request = json!({ "id": id });
                self.tencent("/job", "GetJob", "getJobRequest", &request).await["getJobResponse"]["job"]
                    .clone()
            }
        };
        report(vendor, &shown)
    }

    /// Looks a task up in the vendor's list.
    pub(crate) async fn listed(&self, vendor: &str, id: &str) -> Report {
        let rows = match vendor {
            "replicate" => self.get("/v1/predictions", "sim-replicate").await.1["results"].clone(),
            "inference_sh" => {
                self.post("/tasks/list", "sim-inference", &json!({})).await.1["data"]["items"].clone()
            }
            _ => {
                let request = json!({ "customId": "c-1" });
                let list = self.tencent("/job", "ListJobs", "listJobsRequest", &request).await;
                list["listJobsResponse"]["jobs"].clone()
            }
        };
        report(vendor, rows.as_array().unwrap().iter().find(|row| row["id"] == id).unwrap())
    }

    /// The output of a task as it is reported first.
    pub(crate) async fn done(&self, vendor: &str, id: &str) -> Value {
        until(async || self.ask(vendor, id).await.is_done).await;
        self.ask(vendor, id).await.output
    }

    /// A new task's output.
    pub(crate) async fn made(&self, vendor: &str) -> Value {
        let id = self.create(vendor, None).await;
        self.done(vendor, &id).await
    }

    /// Gets a file at an address as a browser would, or by its key from the bucket.
    pub(crate) async fn fetch(&self, vendor: &str, address: &str) -> Response {
        let url = match vendor {
            "tencent" => {
                let mut key = address.replace('%', "%25");
                for (letter, code) in [("?", "%3F"), ("#", "%23"), (" ", "%20"), ("\n", "%0A")] {
                    key = key.replace(letter, code);
                }
                format!("{}/_cos/sim-1250000000/a/{key}", self.base)
            }
            _ => address.to_owned(),
        };
        self.client.get(url).send().await.unwrap()
    }

    /// The bytes of a file that must be served.
    pub(crate) async fn bytes(&self, vendor: &str, address: &str) -> Vec<u8> {
        let response = self.fetch(vendor, address).await;
        assert_eq!(response.status(), 200, "{vendor}: {address:?}");
        response.bytes().await.unwrap().into()
    }

    /// To how many tasks of a vendor a fault was applied.
    pub(crate) async fn applied(&self, vendor: &str, fault: &str) -> u64 {
        self.stats(vendor).await["faults"][fault].as_u64().unwrap()
    }

    /// Changes faults of all vendors.
    pub(crate) async fn set(&self, faults: Value) {
        assert_eq!(self.post("/_sim/faults", "", &faults).await.0, 200);
    }
}

/// What a vendor's task says.
pub(crate) fn report(vendor: &str, shown: &Value) -> Report {
    let (is_done, output) = match vendor {
        "replicate" => (shown["status"] == "succeeded", &shown["output"]),
        "inference_sh" => (shown["status"] == 10, &shown["output"]),
        "senseaudio" => (shown["status"] == "SUCCESS", &shown["response"]["data"]),
        _ => (shown["state"] == 3, &shown["outputs"][0]["smartContentResult"]),
    };
    Report { is_done, output: output.clone() }
}

/// All places that an output names, in whatever shape.
pub(crate) fn places(output: &Value) -> Vec<String> {
    match output {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(inner) if inner.is_object() || inner.is_array() => places(&inner),
            _ if [".wav", ".mp3", ".flac", ".png", ".mid"].iter().any(|end| text.contains(end)) => {
                vec![text.clone()]
            }
            _ => Vec::new(),
        },
        Value::Array(parts) => parts.iter().flat_map(places).collect(),
        Value::Object(fields) => fields.values().flat_map(places).collect(),
        _ => Vec::new(),
    }
}

/// Whether bytes are one of the vendors' kinds of audio.
pub(crate) fn is_audio(bytes: &[u8]) -> bool {
    bytes.len() > 1000 && (bytes.starts_with(b"RIFF") || bytes.starts_with(b"fLaC") || bytes[0] == 0xff)
}
