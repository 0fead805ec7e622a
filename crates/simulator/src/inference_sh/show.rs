//! Tasks as they are shown and called back.

use serde_json::{Value, json};

use super::{APP_ID, V};
use crate::outputs::{self, Outputs, Shown};
use crate::settings::{Numbering, OutputForm, OutputShape, WebhookForm};
use crate::world::{Phase, Task, World, now, rfc3339};

/// The status in the numbering that is set, or in the other one when that goes wrong.
pub(super) fn number(world: &World, task: &Task, phase: Phase) -> u8 {
    let legacy =
        (world.config.inference_sh.numbering == Numbering::Legacy) != world.faults(V).wrong_numbering;
    let age = now().saturating_sub(task.created);
    match (phase, legacy) {
        (Phase::Starting, _) => 1,
        (Phase::Running, _) if age < 100 => 2,
        (Phase::Running, _) => 7,
        (Phase::Done, false) => 10,
        (Phase::Done, true) => 9,
        (Phase::Failed, false) => 11,
        (Phase::Failed, true) => 10,
        (Phase::Canceled, false) => 12,
        (Phase::Canceled, true) => 11,
    }
}

fn output(world: &World, task: &Task, phase: Phase) -> Value {
    if phase != Phase::Done {
        return Value::Null;
    }
    let shown = match outputs::of(world, V, task) {
        Outputs::Missing(form) => {
            return [Value::Null, json!({}), json!({ "generated_audio": null, "vocal_audio": null })]
                [form % 3]
                .clone();
        }
        Outputs::Shown(shown) => shown,
    };
    let file = |uri: &str| match world.config.inference_sh.output_form {
        OutputForm::String => json!(uri),
        OutputForm::Object => json!({ "uri": uri, "content_type": "audio/flac" }),
    };
    let mut output = shaped(&shown, file);
    let info = format!("Generated song with ID: gen_{}\n", task.created / 1000);
    if let Some(fields) = output.as_object_mut() {
        fields.insert("generation_info".into(), json!(info));
    }
    output
}

/// The usual keys of a song and its stems, and others for the same.
const KEYS: [&str; 3] = ["generated_audio", "vocal_audio", "bgm_audio"];
const OTHER_KEYS: [&str; 3] = ["audio", "vocals", "accompaniment"];

fn shaped(shown: &Shown, file: impl Fn(&str) -> Value) -> Value {
    let songs = shown.addresses();
    let under = |keys: [&str; 3], value: &dyn Fn(&str) -> Value| {
        let field = |(n, key): (usize, &&str)| {
            ((*key).to_owned(), songs.get(n).map_or(Value::Null, |song| value(song)))
        };
        Value::Object(keys.iter().enumerate().map(field).collect())
    };
    match shown.shape {
        OutputShape::None | OutputShape::Mixed => under(KEYS, &file),
        OutputShape::Named => under(OTHER_KEYS, &|song| json!({ "url": song })),
        OutputShape::Objects => under(KEYS, &|song| json!([{ "url": song }])),
        OutputShape::Nested => under(KEYS, &|song| json!([[file(song)]])),
        OutputShape::OtherKey => under(OTHER_KEYS, &file),
        OutputShape::Text => json!(under(KEYS, &file).to_string()),
        OutputShape::Beside => {
            let mut output = under(KEYS, &file);
            output["cover_image"] = file(&shown.beside[0]);
            output["midi"] = file(&shown.beside[1]);
            output
        }
        OutputShape::Many | OutputShape::Unusable => {
            json!({ "generated_audio": songs.into_iter().map(file).collect::<Vec<_>>() })
        }
    }
}

/// What a run answers, and what is called back.
pub(super) fn slim(world: &World, task: &Task, phase: Phase) -> Value {
    let legacy = world.config.inference_sh.numbering == Numbering::Legacy;
    let text = match phase {
        Phase::Done if !legacy => "completed",
        Phase::Failed if !legacy => "failed",
        Phase::Canceled if !legacy => "cancelled",
        _ => "",
    };
    let mut shown = json!({
        "id": task.id, "short_id": &task.id[..8], "status": number(world, task, phase), "status_text": text,
        "output": output(world, task, phase), "created_at": rfc3339(task.created),
        "updated_at": rfc3339(task.ended.or(task.canceled).unwrap_or(task.created)),
    });
    if phase == Phase::Failed {
        shown["error"] = json!(task.failure);
    }
    shown
}

/// The whole task.
pub(super) fn full(world: &World, task: &Task, phase: Phase) -> Value {
    let mut shown = slim(world, task, phase);
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("status_text");
        if !phase.has_ended() {
            fields.insert("output".into(), json!({}));
        }
    }
    shown["app_id"] = json!(APP_ID);
    shown["function"] = json!("run");
    shown["infra"] = json!("cloud");
    shown["webhook"] = json!(task.webhook);
    shown["input"] = task.request["input"].clone();
    shown["logs"] = json!([]);
    shown["events"] = json!([]);
    shown
}

pub(super) fn callback_body(world: &World, id: &str) -> Option<Value> {
    let (task, phase) = world.task(V, id)?;
    let mut flat = slim(world, &task, phase);
    if let Some(fields) = flat.as_object_mut() {
        fields.remove("status_text");
        fields.entry("error").or_insert_with(|| "".into());
        fields.insert("session_id".into(), Value::Null);
    }
    Some(match world.config.inference_sh.webhook_form {
        WebhookForm::Flat => flat,
        WebhookForm::Enveloped => json!({ "event": "task.ended", "timestamp": rfc3339(now()), "data": flat }),
        WebhookForm::Data => json!({ "data": flat, "messages": [] }),
    })
}
