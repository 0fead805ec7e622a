//! Addresses that no song may give a vendor.

use serde_json::json;

use super::*;

#[path = "../../../egress/tests/it/hostile.rs"]
mod hostile;

/// What is wrong with a song in which one field has this address.
fn problems(song: &serde_json::Value, addresses: AddressPolicy) -> Vec<String> {
    let vendors = Vendors::catalogue();
    let planner = Planner { vendors, default_vendor: None, addresses };
    let planned = SongRequest::from_json(song.to_string().as_bytes())
        .and_then(|song| plan(&song, &planner, &Outlook::default()));
    planned.err().map_or_else(Vec::new, |wrong| wrong.problems.into_iter().map(|one| one.field).collect())
}

#[test]
fn no_field_of_any_vendor_takes_an_address_that_audio_is_not_fetched_from() {
    let policy = AddressPolicy { allow_http: true, allow_private: false };
    let all = AddressPolicy { allow_http: true, allow_private: true };
    let song = |vendor: &str| json!({ "vendor": vendor, "prompt": "一首歌", "lyrics": "[verse]\n一首歌", "allow_ignored": ["lyrics"] });
    let neutral = |vendor: &str, url: &str| {
        let mut song = song(vendor);
        song["reference_audio"] = url.into();
        song
    };
    let own = |vendor: &str, field: &str, url: &str| {
        let mut song = song(vendor);
        song["options"] = json!({ vendor: { field: url } });
        song
    };
    let fields = [("replicate", "input_audio"), ("inference_sh", "prompt_audio")];
    // Blank fields count as left out, and `data:` leads nowhere.
    let hostile = hostile::HOSTILE.iter().filter(|url| !url.trim().is_empty() && !url.starts_with("data:"));
    for url in hostile {
        for vendor in Vendors::catalogue().names().map(VendorName::as_str) {
            assert_eq!(problems(&neutral(vendor, url), policy), ["reference_audio"], "{vendor} {url:?}");
        }
        for (vendor, field) in fields {
            let path = format!("options.{vendor}.{field}");
            let named = problems(&own(vendor, field, url), policy);
            assert!(!named.is_empty() && named.iter().all(|field| *field == path), "{url:?}: {named:?}");
        }
    }
    for url in ["https://cdn.example.com/a.wav", "data:audio/wav;base64,UklGRg=="] {
        for (vendor, field) in fields {
            assert!(problems(&neutral(vendor, url), AddressPolicy::default()).is_empty(), "{vendor} {url}");
            assert!(
                problems(&own(vendor, field, url), AddressPolicy::default()).is_empty(),
                "{vendor} {url}"
            );
        }
    }
    assert!(problems(&neutral("replicate", "http://10.0.0.1/a.wav"), all).is_empty(), "a simulator's");
}
