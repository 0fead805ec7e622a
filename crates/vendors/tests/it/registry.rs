//! All vendors together.

use songmill_core::{Timestamp, VendorName};
use songmill_vendors::{Secret, Settings, Vendors};

/// Every vendor with the key `key-of-ours`, as far as it is set below.
pub(crate) fn configured() -> Vendors {
    let mut settings = Settings::default();
    let key = Secret::new("key-of-ours");
    settings.replicate.token = key.clone();
    settings.replicate.version =
        "531c1fadb581d760235dca418ce027bb8af642716ced08b2cd805e99a25c52e0".to_owned();
    settings.inference_sh.key = key.clone();
    settings.senseaudio.key = key.clone();
    settings.tencent.secret_id = key.clone();
    settings.tencent.secret_key = key;
    settings.tencent.content_id = "store".to_owned();
    Vendors::from_settings(&settings, Timestamp::default)
}

#[test]
fn the_suite_of_all_vendors_runs_over_all() {
    let names = |vendors: &Vendors| vendors.names().cloned().collect::<Vec<_>>();
    assert_eq!(names(&configured()), names(Vendors::catalogue()));
}

#[test]
fn a_vendor_can_be_used_when_it_has_a_key_and_is_not_switched_off() {
    let mut settings = Settings::default();
    assert!(Vendors::from_settings(&settings, Timestamp::default).is_empty());
    settings.replicate.token = Secret::new("r8_x");
    settings.inference_sh.key = Secret::new("inf_x");
    settings.inference_sh.enabled = false;
    let vendors = Vendors::from_settings(&settings, Timestamp::default);
    assert_eq!(vendors.names().map(VendorName::as_str).collect::<Vec<_>>(), ["replicate"]);
    assert!(vendors.get(&VendorName::new("inference_sh").unwrap()).is_none());
    assert!(Vendors::catalogue().len() == 4);
}

#[test]
fn settings_can_be_read_and_written_without_secrets() {
    let mut settings: Settings = serde_json::from_str(
        r#"{"replicate":{"token":"r8_x","cancel_after":"30m"},
            "inference_sh":{"key":"inf_x","base_url":"http://127.0.0.1:8080/","infra":"private_first"}}"#,
    )
    .unwrap();
    let shown = serde_json::to_string(&settings).unwrap();
    assert!(shown.contains(r#""base_url":"http://127.0.0.1:8080","#) && !shown.contains("r8_x"), "{shown}");
    settings.replicate.token = Secret::default();
    assert!(serde_json::from_str::<Settings>(r#"{"replicat":{}}"#).is_err());
}

#[test]
fn every_card_says_what_its_vendor_can_do() {
    for card in Vendors::catalogue().cards() {
        let schema = serde_json::to_value(&card.options).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        assert!(!properties.is_empty(), "{}", card.name);
        assert_eq!(schema["additionalProperties"], false, "{}", card.name);
        for (name, property) in properties {
            assert!(
                property["description"].is_string() || property["$ref"].is_string(),
                "{} {name}",
                card.name
            );
        }
        assert!(card.most_songs >= 1 && card.policy.attempts >= 1 && !card.honours.is_empty());
    }
}

#[test]
fn no_vendor_names_another() {
    let names: Vec<String> = Vendors::catalogue().names().map(ToString::to_string).collect();
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for name in &names {
        let folder = std::fs::read_dir(sources.join(name)).unwrap().map(|entry| entry.unwrap().path());
        for file in folder.chain([sources.join(format!("{name}.rs"))]).filter(|path| path.is_file()) {
            let text = std::fs::read_to_string(&file).unwrap().to_lowercase();
            // The name of an app there, not of a vendor here.
            let text = text.replace("infsh/tencent-song-generation", "");
            for other in names.iter().filter(|other| *other != name) {
                let word = other.replace('_', ".");
                assert!(
                    !text.contains(other.as_str()) && !text.contains(&word),
                    "{} names {other}",
                    file.display()
                );
            }
        }
    }
}
