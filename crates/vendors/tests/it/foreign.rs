//! Callbacks that are about another submission than the one whose address they came to.

use http::HeaderMap;
use serde_json::{Value, json};
use songmill_core::{JobId, Timestamp};
use songmill_vendors::replicate::Unsigned;
use songmill_vendors::{Delivery, Secret, Settings, Vendors};

/// How each vendor's body shows a task that has ended well, with the callback address it was created with.
fn ended(vendor: &str, address: Option<&str>) -> Value {
    match vendor {
        "replicate" => {
            json!({ "id": "t", "status": "succeeded", "output": "https://a.example/1.wav", "webhook": address })
        }
        "inference_sh" => {
            json!({ "id": "t", "status": 10, "output": { "output_audio": "https://a.example/1.mp3" }, "webhook": address })
        }
        "tencent" => json!({ "getJobResponse": { "job": {
            "id": "t", "state": 3, "customId": "c", "callback": address,
            "outputs": [{ "contentId": "store", "destination": "/x/",
                "smartContentResult": { "textBgmGeneration": [{ "songName": "a.mp3" }] } }],
        } } }),
        other => panic!("{other} calls back: say here how"),
    }
}

#[test]
fn a_callback_shows_whose_task_it_is_about() {
    let mut settings = Settings::default();
    settings.replicate.token = Secret::new("k");
    settings.replicate.unsigned = Unsigned::Accept;
    settings.inference_sh.key = Secret::new("k");
    settings.tencent.secret_id = Secret::new("k");
    settings.tencent.secret_key = Secret::new("k");
    settings.tencent.content_id = "store".to_owned();
    let vendors = Vendors::from_settings(&settings, Timestamp::default);
    let (ours, other) = (JobId::derive("test", "ours"), JobId::derive("test", "other"));
    let mut tried = 0;
    for vendor in vendors.iter().filter(|vendor| vendor.card().calls_back) {
        let name = &vendor.card().name;
        let is_of_another = |address: Option<&str>| {
            let body = ended(name.as_str(), address).to_string();
            let delivery = Delivery { headers: &HeaderMap::new(), body: body.as_bytes() };
            let reading = vendor.read_delivery(&delivery, Timestamp::default()).unwrap();
            reading.is_of_another(name, ours, 1)
        };
        let address = |job, attempt: u32| format!("https://s.example/callbacks/{name}/{job}/{attempt}/k.mac");
        assert!(!is_of_another(None), "{name} does not say");
        assert!(!is_of_another(Some(&address(ours, 1))), "{name}");
        assert!(is_of_another(Some(&address(ours, 2))), "{name}: another attempt");
        assert!(is_of_another(Some(&address(other, 1))), "{name}: another job");
        assert!(is_of_another(Some("https://else.example/hook")), "{name}: somebody else's");
        tried += 1;
    }
    assert_eq!(tried, 3);
}
