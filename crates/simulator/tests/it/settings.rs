//! What can be set, and where it is written down.

use serde_json::{Value, json};
use songmill_simulator::Config;

use crate::sim::Sim;

const PAGE: &str = include_str!("../../../../docs/simulator.md");

#[test]
fn every_setting_is_on_the_page() {
    let all = json!(Config::default());
    let Value::Object(fields) = &all else { panic!("settings are an object: {all}") };
    for (name, value) in fields {
        assert!(PAGE.contains(&format!("`{name}")), "{name}");
        for inner in value.as_object().into_iter().flat_map(|fields| fields.keys()) {
            assert!(PAGE.contains(&format!("`{inner}`")), "{name}.{inner}");
        }
    }
}

#[tokio::test]
async fn every_fault_of_a_kind_is_counted_from_zero() {
    let sim = Sim::start(json!({})).await;
    for vendor in ["tencent", "inference_sh", "replicate", "senseaudio"] {
        sim.made(vendor).await;
        let stats = sim.stats(vendor).await;
        let faults = stats["faults"].as_object().unwrap();
        assert!(faults.len() > 10 && faults.values().all(|count| count == 0), "{vendor}: {faults:?}");
        assert_eq!(stats["connections"], json!({ "closed_idle": 0, "cut_reused": 0 }), "{vendor}");
    }
}
