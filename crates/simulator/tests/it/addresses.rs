//! Addresses as real buckets have them.

use serde_json::json;

use crate::sim::Sim;
use crate::tasks::{VENDORS, is_audio, places};

const FORMS: [(&str, &str); 8] = [
    ("blanks", "my song (final) [v2] "),
    ("percent", "100% pure|mix "),
    ("slashes", "//"),
    ("line_feed", "\n"),
    ("upper_case", "HTTP://"),
    ("non_ascii", "雪の夜 é "),
    ("query", "&"),
    ("host_name", "http://LOCALHOST:"),
];

#[tokio::test]
async fn addresses_of_every_form_are_served() {
    let sim = Sim::with_faults(json!({})).await;
    for vendor in VENDORS {
        for (form, part) in FORMS {
            if vendor == "tencent" && ["upper_case", "host_name"].contains(&form) {
                continue;
            }
            sim.set(json!({ "address_form": form })).await;
            let places = places(&sim.made(vendor).await);
            let after = places[0].split_once("://").map_or(&*places[0], |(_, rest)| rest);
            let shown = if form == "slashes" { after } else { &places[0] };
            assert!(shown.contains(part), "{vendor} {form}: {places:?}");
            assert!(is_audio(&sim.bytes(vendor, &places[0]).await), "{vendor} {form}: {places:?}");
        }
        let applied = sim.applied(vendor, "address_form").await;
        assert_eq!(applied, if vendor == "tencent" { 6 } else { 8 }, "{vendor}");
    }
}

#[tokio::test]
async fn keys_are_served_whether_or_not_blanks_around_them_were_cut() {
    let sim = Sim::with_faults(json!({ "address_form": "line_feed" })).await;
    let key = places(&sim.made("tencent").await)[0].clone();
    assert_ne!(key, key.trim());
    for key in [&*key, key.trim()] {
        assert!(is_audio(&sim.bytes("tencent", key).await), "{key:?}");
    }
}

#[tokio::test]
async fn any_form_comes_up_where_they_are_mixed() {
    let sim = Sim::with_faults(json!({ "address_form": "mixed", "address_form_rate": 0.8 })).await;
    let mut usual = 0;
    for _ in 0..20 {
        let place = places(&sim.made("replicate").await)[0].clone();
        assert!(is_audio(&sim.bytes("replicate", &place).await), "{place:?}");
        usual += u64::from(
            FORMS
                .iter()
                .all(|(_, part)| !place.split_once("://").map_or("", |(_, rest)| rest).contains(part)),
        );
    }
    assert!(usual < 15, "{usual}");
    assert!((8..=20).contains(&sim.applied("replicate", "address_form").await));
}
