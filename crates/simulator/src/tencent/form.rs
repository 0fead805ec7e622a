//! What a CreateJob may hold.

use serde_json::{Map, Value, json};

use crate::settings::Tencent;

/// A CreateJob that was found good.
pub(super) struct Order {
    pub(super) text: String,
    pub(super) quantity: u64,
    pub(super) callback: Option<String>,
    pub(super) custom_id: Option<String>,
    pub(super) timeout_s: Option<u64>,
    /// What the job echoes.
    pub(super) echo: Value,
}

type Checked<T> = Result<T, String>;

pub(super) fn order(request: Option<&Value>, settings: &Tencent) -> Checked<Order> {
    let request = object(request, "createJobRequest")?;
    only(request, "createJobRequest", &["inputs", "outputs", "callback", "customId", "timeout"])?;
    let inputs = list(request, "inputs")?;
    let text = inputs.first().and_then(|input| input.get("sourceData")?.as_str()).unwrap_or_default();
    if text.trim().is_empty() {
        return Err("inputs[0].sourceData is required".into());
    }
    if text.chars().count() > 512 || !text.chars().any(|c| ('\u{3400}'..='\u{9fff}').contains(&c)) {
        return Err("inputs[0].sourceData: only Chinese text of at most 512 characters is supported".into());
    }
    let callback = text_of(request, "callback", 2048)?;
    let custom_id = text_of(request, "customId", 63)?;
    let timeout_s = match request.get("timeout") {
        None => None,
        Some(timeout) => {
            Some(timeout.as_u64().filter(|timeout| *timeout > 0).ok_or("timeout must be a positive int")?)
        }
    };
    let outputs = list(request, "outputs")?;
    let output = object(outputs.first(), "outputs[0]")?;
    only(output, "outputs[0]", &["contentId", "destination", "inputSelectors", "smartContentDescriptor"])?;
    if output.get("contentId").and_then(Value::as_str) != Some(&settings.content_id) {
        return Err("outputs[0].contentId does not exist".into());
    }
    text_of(output, "destination", 1024)?;
    if output.get("inputSelectors") != Some(&json!([0])) {
        return Err("outputs[0].inputSelectors must select an input".into());
    }
    let quantity = descriptor(output.get("smartContentDescriptor"), settings)?;
    let mut echo = Map::new();
    for field in ["customId", "callback", "inputs", "outputs"] {
        if let Some(value) = request.get(field) {
            echo.insert(field.into(), value.clone());
        }
    }
    Ok(Order { text: text.to_owned(), quantity, callback, custom_id, timeout_s, echo: Value::Object(echo) })
}

fn descriptor(descriptor: Option<&Value>, settings: &Tencent) -> Checked<u64> {
    let descriptor = object(descriptor, "smartContentDescriptor")?;
    only(descriptor, "smartContentDescriptor", &["outputPrefix", "textBgmGeneration"])?;
    text_of(descriptor, "outputPrefix", 19)?;
    let song = object(descriptor.get("textBgmGeneration"), "textBgmGeneration")?;
    only(song, "textBgmGeneration", &["songQuantity", "emotion", "genre", "type"])?;
    let number = |field: &str, most: u64| match song.get(field) {
        None => Ok(None),
        Some(value) => match value.as_u64().filter(|value| (1..=most).contains(value)) {
            Some(value) => Ok(Some(value)),
            None => Err(format!("textBgmGeneration.{field} must be an int of 1 to {most}")),
        },
    };
    let quantity = number("songQuantity", 100)?.ok_or("textBgmGeneration.songQuantity is required")?;
    let (emotion, genre, kind) =
        (number("emotion", 11)?, number("genre", 5)?, number("type", 2)?.unwrap_or(1));
    if settings.reject_combinations {
        if emotion.is_some_and(|emotion| emotion > 9) && kind != 2 {
            return Err("textBgmGeneration.emotion needs type MULTITRACK".into());
        }
        if genre.is_some() && kind == 2 {
            return Err("textBgmGeneration.genre needs type LARGE_MODEL".into());
        }
    }
    Ok(quantity)
}

fn object<'a>(value: Option<&'a Value>, name: &str) -> Checked<&'a Map<String, Value>> {
    value.and_then(Value::as_object).ok_or_else(|| format!("{name} must be an object"))
}

fn list<'a>(object: &'a Map<String, Value>, field: &str) -> Checked<&'a Vec<Value>> {
    let list = object.get(field).and_then(Value::as_array);
    list.filter(|list| list.len() == 1).ok_or_else(|| format!("{field} must be an array of one"))
}

fn text_of(object: &Map<String, Value>, field: &str, most: usize) -> Checked<Option<String>> {
    match object.get(field) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= most => Ok(Some(text.clone())),
        Some(_) => Err(format!("{field} must be a string of at most {most}")),
    }
}

fn only(object: &Map<String, Value>, name: &str, known: &[&str]) -> Checked<()> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(extra) => Err(format!("{name}.{extra} is unknown")),
        None => Ok(()),
    }
}
