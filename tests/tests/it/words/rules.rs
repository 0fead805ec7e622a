//! One tenant's songs, with a mark in everything that it may write, and how vendors answer them in words that quote it.

use serde_json::{Value, json};
use songmill_tests::VENDORS;

/// Stands in every text of its songs.
pub(super) const WRITTEN: &str = "quibblewort";
/// Stands in whatever vendors say of them.
pub(super) const SAID: &str = "narwhal";
/// Stands in the names that it gives: its own, its batch's, its requests'.
pub(super) const NAMED: &str = "wobbegong";

/// How a vendor answers a song whose text names this kind; `{quoted}` is that text.
const REFUSALS: &[(&str, u16, &str, &str)] = &[
    ("page", 403, "text/html", "<html><title>narwhal {quoted}</title><body>{quoted}</body></html>"),
    ("unsigned", 401, "application/json", r#"{"message": "narwhal {quoted}"}"#),
    ("invalid", 422, "application/json", r#"{"message": "narwhal {quoted}"}"#),
    ("nowhere", 404, "application/json", r#"{"title": "narwhal {quoted}"}"#),
    ("broken", 500, "application/json", r#"{"error": "narwhal {quoted}"}"#),
    ("maintained", 200, "text/html", "<html><title>narwhal {quoted}</title></html>"),
    ("cut", 200, "application/json", r#"{"data": {"id": "narwhal {quoted}"#),
    ("odd", 200, "application/json", r#"{"narwhal": "{quoted}", "message": "narwhal {quoted}"}"#),
    ("throttled", 429, "application/json", r#"{"message": "narwhal {quoted}, wait 86400 seconds"}"#),
];

/// The kind that is answered as if our account were locked.
pub(super) const LOCKED: &str = "locked";

/// The same in the words of each vendor: that our account is locked, and what is no id of a task.
const OWN_REFUSALS: &[(&str, &str, u16, &str)] = &[
    ("replicate", LOCKED, 401, r#"{"title": "Unauthenticated", "detail": "narwhal {quoted}"}"#),
    (
        "inference_sh",
        "locked",
        402,
        r#"{"type": "https://api.inference.sh/errors/payment_required", "detail": "narwhal {quoted}"}"#,
    ),
    ("tencent", LOCKED, 401, r#"{"message": "HMAC signature does not match: narwhal {quoted}"}"#),
    ("senseaudio", LOCKED, 401, r#"{"code": "authentication_error", "message": "narwhal {quoted}"}"#),
    ("replicate", "nameless", 201, r#"{"id": "narwhal {quoted}\u0007", "status": "starting"}"#),
    ("inference_sh", "nameless", 200, r#"{"data": {"id": "narwhal {quoted}\u0007", "status": 1}}"#),
    ("tencent", "nameless", 200, r#"{"createJobResponse": {"job": {"id": "narwhal {quoted}\u0007"}}}"#),
    ("senseaudio", "nameless", 200, r#"{"task_id": "narwhal {quoted}\u0007"}"#),
    ("tencent", "erroneous", 200, r#"{"errorResponse": {"message": "鉴权 narwhal {quoted}"}}"#),
    (
        "inference_sh",
        "erroneous",
        200,
        r#"{"success": false, "status": 412, "error": {"message": "narwhal {quoted}"}}"#,
    ),
];

/// How a task fails whose song's text names this kind.
const DOOMS: &[(&str, &str)] = &[
    ("doomed", "narwhal {quoted}"),
    ("unready", "setup failed: narwhal {quoted}"),
    ("flagged", "flagged as sensitive (E005): narwhal {quoted}"),
    ("crowded", "CUDA out of memory: narwhal {quoted}"),
];

/// The text of a song that is to be answered in this way.
fn text(kind: &str) -> String {
    format!("{WRITTEN}-{kind}.")
}

fn refusal(kind: &str, status: u16, content_type: &str, body: &str) -> Value {
    json!({ "contains": text(kind), "status": status, "content_type": content_type, "body": body })
}

/// What goes wrong at a vendor; whether it says that our account is locked, and with which status it refuses every
/// request for a list, if it does.
pub(super) fn faults(vendor: &str, locked: bool, no_lists: Option<u16>) -> Value {
    let shared = REFUSALS.iter().map(|(kind, status, media, body)| refusal(kind, *status, media, body));
    let own = OWN_REFUSALS
        .iter()
        .filter(|(of, kind, ..)| *of == vendor && (locked || *kind != LOCKED))
        .map(|(_, kind, status, body)| refusal(kind, *status, "application/json", body));
    let words = json!({ "message": format!("{SAID} lists {WRITTEN} to nobody") }).to_string();
    let lists = no_lists.map(|status| json!({ "of": "look_ups", "status": status, "body": words }));
    let dooms = DOOMS.iter().map(|(kind, message)| json!({ "contains": text(kind), "message": message }));
    json!({
        "vendor": vendor, "refuse": shared.chain(own).chain(lists).collect::<Value>(),
        "doom": dooms.collect::<Value>(),
    })
}

/// A song for each vendor and kind but the one that locks the account, and some that are made.
pub(super) fn songs() -> Vec<Value> {
    let kinds = REFUSALS.iter().map(|(kind, ..)| *kind).chain(DOOMS.iter().map(|(kind, _)| *kind));
    let kinds: Vec<_> = kinds.chain(["well"]).collect();
    let shared = VENDORS.into_iter().flat_map(|vendor| kinds.iter().map(move |kind| song(vendor, kind)));
    let own = OWN_REFUSALS.iter().filter(|(_, kind, ..)| *kind != LOCKED);
    shared.chain(own.map(|(vendor, kind, ..)| song(vendor, kind))).collect()
}

/// A song with the mark in all that may be written freely.
pub(super) fn song(vendor: &str, kind: &str) -> Value {
    let (text, of) = (text(kind), |field: &str| format!("{WRITTEN} {field}"));
    let mut song = json!({
        "custom_id": format!("{NAMED}-{vendor}-{kind}"), "vendor": vendor, "content_key": format!("{NAMED}-{vendor}-{kind}"),
        "title": of("title"), "style": of("style"), "mood": of("mood"), "genre": of("genre"),
        "prompt": format!("海边的清晨 {text}"),
    });
    let words = format!("[verse] {WRITTEN} lyrics ; [chorus] all is still");
    match vendor {
        "inference_sh" => {
            song["lyrics"] = words.into();
            song["duration_s"] = 6.into();
            song["reference_audio"] = format!("https://{WRITTEN}.example/a.mp3").into();
            song["options"] = json!({ vendor: { "descriptions": text } });
        }
        "replicate" => {
            song["duration_s"] = 2.into();
            song["options"] = json!({ vendor: { "prompt": text } });
        }
        // Half of them have their words written first.
        "senseaudio" if kind.len().is_multiple_of(2) => {
            song["lyrics_prompt"] = format!("{text} lyrics").into();
            song["options"] = json!({ vendor: { "style": text, "negative_tags": of("negative") } });
        }
        "senseaudio" => {
            song["lyrics"] = words.into();
            song["options"] = json!({ vendor: { "style": text, "negative_tags": of("negative") } });
        }
        _ => {
            song["options"] =
                json!({ vendor: { "output_prefix": WRITTEN, "destination": format!("{WRITTEN}/songs") } })
        }
    }
    song
}
