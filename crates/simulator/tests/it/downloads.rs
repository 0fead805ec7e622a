//! Headers of downloads, and downloads that are not ready.

use std::io::Read as _;

use serde_json::json;

use crate::sim::{Sim, until};
use crate::tasks::{VENDORS, is_audio, places};

#[tokio::test]
async fn intact_bytes_can_name_any_coding() {
    let sim = Sim::with_faults(json!({ "encode_bytes": false })).await;
    for vendor in VENDORS {
        for name in ["aws-chunked", "utf-8", "binary", "none", "gzip"] {
            sim.set(json!({ "content_encoding": name })).await;
            let place = places(&sim.made(vendor).await)[0].clone();
            let response = sim.fetch(vendor, &place).await;
            assert_eq!(response.headers()["content-encoding"], name, "{vendor}");
            assert!(is_audio(&response.bytes().await.unwrap()), "{vendor} {name}");
        }
        assert_eq!(sim.applied(vendor, "content_encoding").await, 5, "{vendor}");
    }
}

#[tokio::test]
async fn bytes_can_really_be_encoded() {
    let sim = Sim::with_faults(json!({})).await;
    for vendor in VENDORS {
        let place = places(&sim.made(vendor).await)[0].clone();
        let plain = sim.bytes(vendor, &place).await;
        sim.set(json!({ "content_encoding": "gzip" })).await;
        let mut decoded = Vec::new();
        let packed = sim.bytes(vendor, &place).await;
        flate2::read::GzDecoder::new(&*packed).read_to_end(&mut decoded).unwrap();
        assert_eq!(decoded, plain, "{vendor}: gzip");
        sim.set(json!({ "content_encoding": "deflate" })).await;
        let packed = sim.bytes(vendor, &place).await;
        decoded.clear();
        flate2::read::ZlibDecoder::new(&*packed).read_to_end(&mut decoded).unwrap();
        assert_eq!(decoded, plain, "{vendor}: deflate");
        sim.set(json!({ "content_encoding": "" })).await;
    }
}

#[tokio::test]
async fn files_that_are_not_ready_answer_something_else_first() {
    let sim = Sim::with_faults(json!({ "not_ready_ms": 60_000 })).await;
    for vendor in VENDORS {
        let place = places(&sim.made(vendor).await)[0].clone();
        let whole = sim.bytes(vendor, &place).await;
        for form in ["page", "json", "empty", "first_third", "not_found"] {
            sim.set(json!({ "not_ready": form })).await;
            let response = sim.fetch(vendor, &place).await;
            let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
            let status = response.status().as_u16();
            let bytes = response.bytes().await.unwrap();
            let is_so = match form {
                "page" => status == 200 && kind == "text/html" && bytes.starts_with(b"<html>"),
                "json" => status == 200 && kind == "application/json" && bytes.starts_with(b"{\"detail\""),
                "empty" => status == 200 && bytes.is_empty(),
                "first_third" => status == 200 && bytes == whole[..whole.len() / 3],
                _ => status == 404,
            };
            assert!(is_so, "{vendor} {form}: {status} {kind} {} bytes", bytes.len());
        }
        assert_eq!(sim.applied(vendor, "not_ready").await, 1, "{vendor}");
        sim.set(json!({ "not_ready": "none" })).await;
    }
}

#[tokio::test]
async fn files_become_ready_by_themselves() {
    let sim = Sim::with_faults(json!({ "not_ready": "first_third", "not_ready_ms": 1500 })).await;
    let mut early = Vec::new();
    for vendor in VENDORS {
        let place = places(&sim.made(vendor).await)[0].clone();
        early.push((vendor, sim.bytes(vendor, &place).await.len(), place));
    }
    for (vendor, early, place) in early {
        until(async || sim.bytes(vendor, &place).await.len() >= 3 * early).await;
        assert_eq!(sim.applied(vendor, "not_ready").await, 1, "{vendor}");
    }
}

#[tokio::test]
async fn odd_audio_is_counted_for_its_task() {
    let sim = Sim::with_faults(json!({ "audio": "empty" })).await;
    for vendor in VENDORS {
        let place = places(&sim.made(vendor).await)[0].clone();
        for _ in 0..2 {
            assert_eq!(sim.bytes(vendor, &place).await.len(), 0, "{vendor}");
        }
        let stats = sim.stats(vendor).await;
        assert_eq!((&stats["faults"]["audio"], &stats["downloads"]), (&json!(1), &json!(2)), "{vendor}");
    }
}
