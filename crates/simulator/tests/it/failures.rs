//! How tasks fail.

use serde_json::{Value, json};

use crate::sim::{Sim, until};

/// The reason that a failed task of each vendor names.
async fn reason(sim: &Sim, vendor: &str, id: &str) -> Value {
    let (path, key, field) = match vendor {
        "replicate" => (format!("/v1/predictions/{id}"), "sim-replicate", "/error"),
        "inference_sh" => (format!("/tasks/{id}"), "sim-inference", "/data/error"),
        _ => (format!("/v1/song/music/pending/{id}"), "sim-senseaudio", "/fail_reason"),
    };
    let read = async || sim.get(&path, key).await.1.pointer(field).cloned().unwrap_or_default();
    until(async || !read().await.is_null()).await;
    read().await
}

#[tokio::test]
async fn failed_tasks_say_what_is_set() {
    let sim = Sim::with_faults(json!({ "fail_rate": 1.0, "fail_message": "CUDA out of memory" })).await;
    for vendor in ["replicate", "inference_sh", "senseaudio"] {
        let id = sim.create(vendor, None).await;
        assert_eq!(reason(&sim, vendor, &id).await, "CUDA out of memory", "{vendor}");
        assert_eq!(sim.applied(vendor, "failed").await, 1, "{vendor}");
    }
    sim.set(json!({ "fail_message": "" })).await;
    let id = sim.create("inference_sh", None).await;
    assert_eq!(reason(&sim, "inference_sh", &id).await, "task interrupted, please retry");
}

#[tokio::test]
async fn only_the_first_task_of_a_job_fails_where_that_is_set() {
    let sim = Sim::with_faults(json!({ "fail_rate": 1.0, "fail_first_only": true })).await;
    let status =
        async |id: &str| sim.get(&format!("/v1/predictions/{id}"), "sim-replicate").await.1["status"].clone();
    for (job, attempt, end) in [
        ("01KA0000000000000000000001", 1, "failed"),
        ("01KA0000000000000000000001", 2, "succeeded"),
        ("01KA0000000000000000000002", 1, "failed"),
    ] {
        let webhook = format!("https://songs.invalid/callbacks/replicate/{job}/{attempt}/mac");
        let id = sim.create("replicate", Some(&webhook)).await;
        until(async || status(&id).await == end).await;
    }
    // SenseAudio knows no marks: there the words tell jobs apart.
    let first = sim.create("senseaudio", None).await;
    reason(&sim, "senseaudio", &first).await;
    sim.made("senseaudio").await;
    assert_eq!((sim.applied("replicate", "failed").await, sim.applied("senseaudio", "failed").await), (2, 1));
}
