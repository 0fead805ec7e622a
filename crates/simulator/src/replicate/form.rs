//! What a prediction may be created with, refused in the words of its JSON Schema validator.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::{NAME, OWNER, VERSION};
use crate::reply;

/// A prediction that was found good.
pub(super) struct Order {
    pub(super) input: Map<String, Value>,
    pub(super) webhook: Option<String>,
    /// What it will fail with as soon as it runs.
    pub(super) doomed: Option<String>,
    /// What the prediction echoes.
    pub(super) echo: Value,
}

#[derive(Clone, Copy)]
enum Is {
    Text,
    Uri,
    Int,
    IntFromZero,
    Number,
    Truth,
    OneOf(&'static [&'static str]),
}

/// All fourteen fields of the model's input.
const INPUT: [(&str, Is); 14] = [
    ("prompt", Is::Text),
    ("input_audio", Is::Uri),
    ("duration", Is::Int),
    ("continuation", Is::Truth),
    ("continuation_start", Is::IntFromZero),
    ("continuation_end", Is::IntFromZero),
    ("multi_band_diffusion", Is::Truth),
    ("normalization_strategy", Is::OneOf(&["loudness", "clip", "peak", "rms"])),
    ("top_k", Is::Int),
    ("top_p", Is::Number),
    ("temperature", Is::Number),
    ("classifier_free_guidance", Is::Int),
    ("output_format", Is::OneOf(&["wav", "mp3"])),
    ("seed", Is::Int),
];

#[derive(Default)]
struct Faults(Vec<(&'static str, String, String)>);

impl Faults {
    fn note(&mut self, kind: &'static str, field: impl Into<String>, words: impl Into<String>) {
        self.0.push((kind, field.into(), words.into()));
    }

    fn answer(self) -> Response {
        let line = |(_, field, words): &(&str, String, String)| {
            if field.is_empty() { format!("- {words}\n") } else { format!("- {field}: {words}\n") }
        };
        let detail: String = self.0.iter().map(line).collect();
        let fields: Vec<Value> = self
            .0
            .iter()
            .map(|(kind, field, words)| json!({ "type": kind, "field": field, "description": words }))
            .collect();
        reply::problem(
            422,
            &json!({ "detail": detail, "status": 422, "title": "Input validation failed", "invalid_fields": fields }),
        )
    }
}

pub(super) fn order(body: &Bytes) -> Result<Order, Response> {
    let sent: Map<String, Value> = match serde_json::from_slice(body) {
        Ok(sent) => sent,
        Err(error) => {
            let detail = format!("Failed to parse request body as JSON: {error}");
            return Err(reply::problem(400, &json!({ "detail": detail, "status": 400 })));
        }
    };
    let mut faults = Faults::default();
    for required in ["version", "input"] {
        if !sent.contains_key(required) {
            faults.note("required", "", format!("{required} is required"));
        }
    }
    const KNOWN: [&str; 6] =
        ["version", "input", "webhook", "webhook_events_filter", "webhook_completed", "stream"];
    for key in sent.keys().filter(|key| !KNOWN.contains(&key.as_str())) {
        faults.note(
            "additional_property_not_allowed",
            "",
            format!("Additional property {key} is not allowed"),
        );
    }
    let input = sent.get("input").and_then(Value::as_object).cloned();
    if sent.contains_key("input") && input.is_none() {
        faults.note("invalid_type", "input", "Invalid type. Expected: object, given: other");
    }
    let input = input.unwrap_or_default();
    for (name, is) in INPUT {
        if let Some(value) = input.get(name) {
            check(name, is, value, &mut faults);
        }
    }
    let webhook = webhook(&sent, &mut faults);
    if !faults.0.is_empty() {
        return Err(faults.answer());
    }
    let version = sent["version"].as_str().unwrap_or_default();
    if version != VERSION && version != format!("{OWNER}/{NAME}:{VERSION}") {
        let detail = "The specified version does not exist (or perhaps you don't have permission to use it?)";
        return Err(reply::problem(
            422,
            &json!({ "title": "Invalid version or not permitted", "detail": detail, "status": 422 }),
        ));
    }
    let doomed = doomed(&input);
    let mut echo = json!({ "input": input });
    for field in ["webhook", "webhook_events_filter"] {
        if let Some(value) = sent.get(field) {
            echo[field] = value.clone();
        }
    }
    Ok(Order { input, webhook, doomed, echo })
}

fn check(name: &str, is: Is, value: &Value, faults: &mut Faults) {
    let field = format!("input.{name}");
    let expected = match is {
        Is::Text if !value.is_string() => "string",
        Is::Uri if !value.is_string() => "string",
        Is::Int | Is::IntFromZero if !value.is_i64() && !value.is_u64() => "integer",
        Is::Number if !value.is_number() => "number",
        Is::Truth if !value.is_boolean() => "boolean",
        Is::Uri => {
            let text = value.as_str().unwrap_or_default();
            if !["http://", "https://", "data:"].iter().any(|scheme| text.starts_with(scheme)) {
                faults.note("format", field, "Does not match format 'uri'");
            }
            return;
        }
        Is::IntFromZero => {
            if value.as_i64().is_some_and(|value| value < 0) {
                faults.note("number_gte", field, "Must be greater than or equal to 0");
            }
            return;
        }
        Is::OneOf(known) => {
            if !value.as_str().is_some_and(|value| known.contains(&value)) {
                let known = known.iter().map(|known| format!("\"{known}\"")).collect::<Vec<_>>().join(", ");
                faults.note("enum", field, format!("{name} must be one of the following: {known}"));
            }
            return;
        }
        Is::Text | Is::Int | Is::Number | Is::Truth => return,
    };
    let given = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    faults.note("invalid_type", field, format!("Invalid type. Expected: {expected}, given: {given}"));
}

fn webhook(sent: &Map<String, Value>, faults: &mut Faults) -> Option<String> {
    if let Some(filter) = sent.get("webhook_events_filter") {
        let known = |event: &Value| matches!(event.as_str(), Some("start" | "output" | "logs" | "completed"));
        if !filter.as_array().is_some_and(|events| events.iter().all(known)) {
            faults.note("enum", "webhook_events_filter", "must be a list of start, output, logs, completed");
        }
    }
    let url = sent.get("webhook")?;
    match url.as_str() {
        Some(url) if url.starts_with("https://") || url.starts_with("http://") => Some(url.to_owned()),
        _ => {
            faults.note("format", "webhook", "Does not match format 'uri'");
            None
        }
    }
}

/// Faults that the model itself finds, when it runs.
fn doomed(input: &Map<String, Value>) -> Option<String> {
    let given = |field: &str| {
        input.get(field).is_some_and(|value| value.as_str().is_some_and(|text| !text.is_empty()))
    };
    if !given("prompt") && !given("input_audio") {
        return Some("Must provide either prompt or input_audio".into());
    }
    if input.get("continuation") == Some(&Value::Bool(true)) && !given("input_audio") {
        return Some("Must provide `input_audio` if continuation is `True`.".into());
    }
    None
}

/// `Prefer: wait` or `wait=N` with N of 1 to 60.
pub(super) fn prefer_wait(headers: &HeaderMap) -> Option<u64> {
    let prefer = headers.get("prefer")?.to_str().ok()?.trim();
    match prefer.strip_prefix("wait")? {
        "" => Some(60),
        secs => secs.strip_prefix('=')?.parse().ok().filter(|secs| (1..=60).contains(secs)),
    }
}
