//! Addresses that expire as real vendors have them.

use serde_json::{Value, json};

use crate::sim::{Sim, receiver, until};
use crate::tasks::{is_audio, places, report};

#[tokio::test]
async fn a_refused_address_is_replaced_only_for_who_asks_for_its_task() {
    let sim = Sim::with_faults(json!({ "output_expired_once_rate": 1.0 })).await;
    for vendor in ["replicate", "inference_sh", "senseaudio"] {
        let id = sim.create(vendor, None).await;
        let old = places(&sim.done(vendor, &id).await)[0].clone();
        let again = places(&sim.ask(vendor, &id).await.output)[0].clone();
        assert_eq!(path(&again), path(&old), "{vendor}: the address stays while nobody used it");
        for _ in 0..3 {
            let status = sim.fetch(vendor, &old).await.status().as_u16();
            assert!([403, 404].contains(&status), "{vendor}: {status}");
        }
        if vendor != "senseaudio" {
            for _ in 0..3 {
                let listed = sim.listed(vendor, &id).await;
                assert_eq!(
                    places(&listed.output),
                    std::slice::from_ref(&old),
                    "{vendor}: lists show the old address"
                );
            }
        }
        let fresh = places(&sim.ask(vendor, &id).await.output)[0].clone();
        assert_ne!(path(&fresh), path(&old), "{vendor}");
        assert!(is_audio(&sim.bytes(vendor, &fresh).await), "{vendor}");
        assert!(!sim.fetch(vendor, &old).await.status().is_success(), "{vendor}: the old one is over");
        if vendor != "senseaudio" {
            assert_eq!(places(&sim.listed(vendor, &id).await.output), [fresh], "{vendor}");
        }
        let stats = sim.stats(vendor).await;
        assert_eq!(stats["faults"]["output_expired_once"], 1, "{vendor}");
        assert_eq!((&stats["downloads"], &stats["downloads_refused"]), (&json!(1), &json!(4)), "{vendor}");
    }
}

/// An address without the moment until which it serves.
fn path(address: &str) -> Vec<&str> {
    address.split('/').enumerate().filter(|(n, _)| *n != 7).map(|(_, part)| part).collect()
}

#[tokio::test]
async fn callbacks_carry_the_address_that_is_refused() {
    let sim = Sim::with_faults(json!({ "output_expired_once_rate": 1.0 })).await;
    for vendor in ["replicate", "inference_sh"] {
        let (url, received) = receiver().await;
        let id = sim.create(vendor, Some(&url)).await;
        until(async || !received.lock().unwrap().is_empty()).await;
        let body: Value = serde_json::from_slice(&received.lock().unwrap()[0].1).unwrap();
        let old = places(&report(vendor, &body).output)[0].clone();
        assert!(!sim.fetch(vendor, &old).await.status().is_success(), "{vendor}");
        let fresh = places(&sim.ask(vendor, &id).await.output)[0].clone();
        assert!(is_audio(&sim.bytes(vendor, &fresh).await), "{vendor}");
    }
}

#[tokio::test]
async fn an_object_appears_once_its_job_was_asked_for_again() {
    let sim = Sim::with_faults(json!({ "output_expired_once_rate": 1.0 })).await;
    let id = sim.create("tencent", None).await;
    let key = places(&sim.done("tencent", &id).await)[0].clone();
    for _ in 0..2 {
        let response = sim.fetch("tencent", &key).await;
        assert_eq!(response.status(), 404);
        assert!(response.text().await.unwrap().contains("NoSuchKey"));
        assert_eq!(places(&sim.listed("tencent", &id).await.output), std::slice::from_ref(&key));
    }
    assert_eq!(places(&sim.ask("tencent", &id).await.output), std::slice::from_ref(&key));
    assert!(is_audio(&sim.bytes("tencent", &key).await));
    assert_eq!(sim.applied("tencent", "output_expired_once").await, 1);
}

#[tokio::test]
async fn objects_are_there_when_their_job_is_done_and_not_before() {
    let sim = Sim::with_faults(json!({})).await;
    let key = places(&sim.made("tencent").await)[0].clone();
    sim.set(json!({ "hold": true })).await;
    let id = sim.create("tencent", None).await;
    let (_, rest) = key.split_once('-').unwrap();
    let later = format!("{id}-{}", rest.splitn(5, '-').nth(4).unwrap());
    assert_eq!(sim.fetch("tencent", &later).await.status(), 404, "{later}");
    sim.set(json!({ "hold": false })).await;
    sim.done("tencent", &id).await;
    assert!(is_audio(&sim.bytes("tencent", &later).await));
}

#[tokio::test]
async fn outputs_that_are_withheld_come_at_the_same_address() {
    let sim = Sim::with_faults(json!({ "output_expired_rate": 1.0 })).await;
    for vendor in ["replicate", "inference_sh"] {
        let id = sim.create(vendor, None).await;
        let place = places(&sim.done(vendor, &id).await)[0].clone();
        assert_eq!(sim.fetch(vendor, &place).await.status(), 404, "{vendor}");
        until(async || {
            assert_eq!(places(&sim.ask(vendor, &id).await.output), std::slice::from_ref(&place), "{vendor}");
            sim.fetch(vendor, &place).await.status() == 200
        })
        .await;
        assert_eq!(sim.applied(vendor, "output_expired").await, 1, "{vendor}");
    }
}
