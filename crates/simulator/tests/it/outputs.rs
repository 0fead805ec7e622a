//! Outputs that are late, missing or of another shape.

use serde_json::{Value, json};

use crate::sim::{Sim, receiver, until};
use crate::tasks::{VENDORS, is_audio, places, report};

#[tokio::test]
async fn late_outputs_are_missing_in_every_report_until_their_time() {
    let sim = Sim::with_faults(json!({ "output_late_rate": 1.0, "output_late_ms": 60_000 })).await;
    for vendor in VENDORS {
        let (url, received) = receiver().await;
        let id = sim.create(vendor, Some(&url)).await;
        assert_eq!(places(&sim.done(vendor, &id).await), [""; 0], "{vendor}: by its id");
        if vendor != "senseaudio" {
            let listed = sim.listed(vendor, &id).await;
            assert!(listed.is_done && places(&listed.output).is_empty(), "{vendor}: by the list");
            until(async || !received.lock().unwrap().is_empty()).await;
            let body: Value = serde_json::from_slice(&received.lock().unwrap()[0].1).unwrap();
            let called = report(vendor, &body);
            assert!(called.is_done && places(&called.output).is_empty(), "{vendor}: by callback");
        }
        assert_eq!(sim.applied(vendor, "output_late").await, 1, "{vendor}");
        sim.set(json!({ "output_late_ms": 0 })).await;
        let place = places(&sim.ask(vendor, &id).await.output)[0].clone();
        assert!(is_audio(&sim.bytes(vendor, &place).await), "{vendor}");
        sim.set(json!({ "output_late_ms": 60_000 })).await;
    }
}

#[tokio::test]
async fn late_outputs_come_by_themselves() {
    let sim = Sim::with_faults(json!({ "output_late_rate": 1.0, "output_late_ms": 300 })).await;
    for vendor in VENDORS {
        let id = sim.create(vendor, None).await;
        sim.done(vendor, &id).await;
        until(async || !places(&sim.ask(vendor, &id).await.output).is_empty()).await;
        assert_eq!(sim.applied(vendor, "output_late").await, 1, "{vendor}");
    }
}

#[tokio::test]
async fn lyrics_can_be_late_too() {
    let sim = Sim::start(json!({ "senseaudio": { "lyrics_mode": "async" }, "faults": { "output_late_rate": 1.0, "output_late_ms": 300 } })).await;
    let ask = json!({ "prompt": "夏天", "provider": "sensesong" });
    let (_, made) = sim.post("/v1/song/lyrics/create", "sim-senseaudio", &ask).await;
    let path = format!("/v1/song/lyrics/pending/{}", made["task_id"].as_str().unwrap());
    let words = async || {
        let shown = sim.get(&path, "sim-senseaudio").await.1;
        (shown["status"] == "SUCCESS")
            .then(|| shown["response"]["data"][0]["text"].as_str().unwrap_or("").to_owned())
    };
    let mut first = None;
    until(async || {
        first = words().await;
        first.is_some()
    })
    .await;
    assert_eq!(first.unwrap(), "");
    until(async || words().await.unwrap().contains("[verse]")).await;
}

#[tokio::test]
async fn outputs_can_be_missing_for_ever() {
    let sim = Sim::with_faults(json!({ "output_never_rate": 1.0 })).await;
    for vendor in VENDORS {
        assert_eq!(places(&sim.made(vendor).await), [""; 0], "{vendor}");
        assert_eq!(sim.applied(vendor, "output_never").await, 1, "{vendor}");
    }
}

#[tokio::test]
async fn every_shape_of_every_vendor_leads_to_its_song() {
    let sim = Sim::with_faults(json!({ "output_many": 20 })).await;
    for vendor in VENDORS {
        let usual = sim.made(vendor).await;
        let shapes = ["named", "objects", "nested", "other_key", "text", "beside", "many", "unusable"];
        for (n, shape) in shapes.into_iter().enumerate() {
            sim.set(json!({ "output_shape": shape })).await;
            let output = sim.made(vendor).await;
            let places: Vec<_> =
                places(&output).into_iter().filter(|place| !place.starts_with("ftp:")).collect();
            let expected = match shape {
                "beside" => 3,
                "many" => 20,
                _ => 1,
            };
            assert_eq!(places.len(), expected, "{vendor} {shape}: {output}");
            assert_ne!(keys(&output), keys(&usual), "{vendor} {shape}: {output}");
            let mut songs = 0;
            for place in &places {
                let bytes = sim.bytes(vendor, place).await;
                songs += usize::from(is_audio(&bytes));
                assert!(
                    is_audio(&bytes) || bytes.starts_with(b"\x89PNG\r\n") || bytes.starts_with(b"MThd"),
                    "{vendor} {shape}: {place}"
                );
            }
            assert_eq!(songs, if shape == "beside" { 1 } else { expected }, "{vendor} {shape}");
            assert_eq!(sim.applied(vendor, "output_shape").await, n as u64 + 1, "{vendor} {shape}");
        }
        sim.set(json!({ "output_shape": "none" })).await;
    }
}

/// An output with every text but a key replaced by what kind of text it is.
fn keys(output: &Value) -> Value {
    match output {
        Value::String(text) if text.starts_with(['{', '[']) => json!("JSON"),
        Value::String(_) => json!("text"),
        Value::Array(parts) => parts.iter().map(keys).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), keys(value))).collect())
        }
        other => other.clone(),
    }
}

#[tokio::test]
async fn of_two_songs_one_can_have_an_address_of_no_use() {
    let sim = Sim::with_faults(json!({ "output_shape": "unusable" })).await;
    for vendor in VENDORS {
        let output = sim.made(vendor).await;
        let songs = match vendor {
            "replicate" | "senseaudio" => &output,
            "inference_sh" => &output["generated_audio"],
            _ => &output["textBgmGeneration"],
        };
        assert_eq!(songs.as_array().map(Vec::len), Some(2), "{vendor}: {output}");
    }
}

#[tokio::test]
async fn a_hundred_thousand_outputs_are_shown_and_served() {
    let sim = Sim::with_faults(json!({ "output_shape": "many" })).await;
    let output = sim.made("replicate").await;
    let songs = output.as_array().unwrap();
    assert_eq!(songs.len(), 100_000);
    assert!(is_audio(&sim.bytes("replicate", songs[99_999].as_str().unwrap()).await));
}

#[tokio::test]
async fn a_share_of_tasks_has_another_shape_and_keeps_it() {
    let faults = json!({ "output_shape": "mixed", "output_shape_rate": 0.5, "output_many": 3 });
    let sim = Sim::with_faults(faults).await;
    for _ in 0..20 {
        let id = sim.create("replicate", None).await;
        let first = sim.done("replicate", &id).await;
        assert_eq!(sim.ask("replicate", &id).await.output, first);
    }
    let applied = sim.applied("replicate", "output_shape").await;
    assert!((3..18).contains(&applied), "{applied}");
}

#[tokio::test]
async fn senseaudio_names_the_real_length_unless_it_is_to_be_wrong() {
    let sim = Sim::start(json!({})).await;
    let song = sim.made("senseaudio").await[0].clone();
    let bytes = sim.bytes("senseaudio", song["audio_url"].as_str().unwrap()).await;
    // 96 kbit/s throughout.
    let seconds = bytes.len() as f64 / 12_000.0;
    let named = song["duration"].as_f64().unwrap();
    assert!((named - seconds).abs() < 0.2, "{named} for {seconds}");
    sim.set(json!({ "wrong_duration": 2.5 })).await;
    let song = sim.made("senseaudio").await[0].clone();
    let seconds = sim.bytes("senseaudio", song["audio_url"].as_str().unwrap()).await.len() as f64 / 12_000.0;
    let named = song["duration"].as_f64().unwrap();
    assert!((named / seconds - 2.5).abs() < 0.2, "{named} for {seconds}");
    assert_eq!(sim.applied("senseaudio", "wrong_duration").await, 1);
}
