//! What is booked for a submission is what it asks for, whatever field says so.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use songmill_core::flow::Size;
use songmill_vendors::Vendor;

use crate::bytes::{song, submit};
use crate::registry::configured;

/// Numbers in the vendor's own fields that say how much it is to make.
fn own_numbers(vendor: &str) -> &'static [&'static str] {
    match vendor {
        "replicate" => &["duration"],
        "inference_sh" => &["max_duration"],
        "tencent" => &["song_quantity"],
        "senseaudio" => &[],
        other => panic!("{other}: say here which of its fields say how much is made"),
    }
}

/// The first number under one of these keys, however deep, in what is sent.
fn sent(body: &Value, keys: &[&str]) -> Option<u64> {
    match body {
        Value::Object(fields) => {
            let own = keys.iter().find_map(|key| fields.get(*key)?.as_u64());
            own.or_else(|| fields.values().find_map(|value| sent(value, keys)))
        }
        Value::Array(items) => items.iter().find_map(|item| sent(item, keys)),
        _ => None,
    }
}

/// What the body of a submission asks for.
fn asked_for(body: &Value) -> Size {
    let number = |keys: &[&str]| sent(body, keys).map(|number| u32::try_from(number).unwrap());
    let seconds = number(&["duration", "max_duration", "duration_s", "duration_seconds", "length"]);
    let songs = number(&["songQuantity", "song_quantity", "count", "n", "num_songs"]);
    Size { seconds: seconds.unwrap_or(0), songs: songs.unwrap_or(1) }
}

fn request(vendor: &dyn Vendor, duration_s: Option<u32>, count: Option<u32>, own: Option<u32>) -> String {
    let name = vendor.card().name.as_str();
    let mut request =
        json!({ "prompt": "海边的清晨", "style": "pop", "duration_s": duration_s, "count": count });
    if !vendor.card().honours.contains(&songmill_core::song::Field::Prompt) || name == "inference_sh" {
        request["lyrics"] = "[verse]\nsnow on the hill".into();
    }
    let fields: Map<String, Value> =
        own_numbers(name).iter().filter_map(|field| Some((field.to_string(), own?.into()))).collect();
    if !fields.is_empty() {
        request["options"] = json!({ name: fields });
    }
    request.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    request.to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_asks_for_what_is_booked(
        duration_s in prop::option::of(1u32..601),
        count in prop::option::of(1u32..101),
        own in prop::option::of(1u32..700),
    ) {
        for vendor in configured().iter() {
            let json = request(&**vendor, duration_s, count, own);
            let Ok(plan) = vendor.plan(&song(&json)) else { continue };
            let body = submit(&**vendor, &json).request.into_body();
            let body: Value = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(plan.size, asked_for(&body), "{}: {} is sent for {}", vendor.card().name, body, json);
        }
    }
}

#[test]
fn a_field_of_the_vendors_own_is_booked_where_it_takes_the_place_of_a_neutral_one() {
    for (vendor, own, size) in [
        ("replicate", 600, Size { seconds: 600, songs: 1 }),
        ("inference_sh", 150, Size { seconds: 150, songs: 1 }),
        ("tencent", 100, Size { seconds: 0, songs: 100 }),
    ] {
        let vendors = configured();
        let vendor = vendors.iter().find(|known| known.card().name.as_str() == vendor).unwrap();
        let plan = vendor.plan(&song(&request(&**vendor, Some(5), None, Some(own)))).unwrap();
        assert_eq!(plan.size, size, "{}", vendor.card().name);
    }
}
