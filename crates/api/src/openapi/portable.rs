//! Schemas as OpenAPI 3.0 has them, in forms that generators of clients understand: they say the same as before.
//!
//! 3.0 and not 3.1: most generators know it, and some warn of the other.

use serde_json::{Map, Value, json};

/// Under these, each value is a schema.
const NAMED: [&str; 3] = ["properties", "schemas", "$defs"];
/// Under these stands one.
const SINGLE: [&str; 2] = ["schema", "items"];

/// Rewrites all schemas in a value.
pub(super) fn rewrite(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(rewrite),
        Value::Object(fields) => {
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.iter_mut().filter_map(Value::as_object_mut).for_each(without_words);
            }
            for (name, field) in fields.iter_mut() {
                if NAMED.contains(&name.as_str()) {
                    field.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(without_true);
                } else if SINGLE.contains(&name.as_str()) {
                    without_true(field);
                }
                rewrite(field);
            }
            if let Some(schema) = choice_of_words(fields).or_else(|| choice_of_fields(fields)) {
                fields.remove("oneOf");
                fields.extend(schema);
            }
            as_3_0(fields);
        }
        _ => {}
    }
}

/// Names the constants of words that more than one `enum` has by their `enum`: in Go, all constants are neighbours.
pub(super) fn tell_words_apart(schemas: &mut Value) {
    let words = |schema: &Value| schema["enum"].as_array().cloned().unwrap_or_default();
    let all: Vec<Value> = schemas.as_object().into_iter().flat_map(Map::values).flat_map(words).collect();
    let is_shared = |word: &Value| all.iter().filter(|other| *other == word).count() > 1;
    for (name, schema) in schemas.as_object_mut().into_iter().flatten() {
        let words = words(schema);
        if words.iter().any(is_shared) {
            let constant = |word: &Value| {
                let own = upper(word.as_str().unwrap_or_default());
                if is_shared(word) { format!("{}_{own}", upper(name)) } else { own }
            };
            schema["x-enum-varnames"] = words.iter().map(constant).collect();
        }
    }
}

/// `StateName` and `state.name` as `STATE_NAME`.
fn upper(name: &str) -> String {
    let mut upper = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !upper.is_empty() {
            upper.push('_');
        }
        upper.push(if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' });
    }
    upper
}

/// A choice that is a reference is named by it.
fn without_words(choice: &mut Map<String, Value>) {
    if choice.contains_key("$ref") {
        choice.remove("description");
    }
}

/// `true` fits everything, and so does `{}`, which every generator knows.
fn without_true(schema: &mut Value) {
    if *schema == Value::Bool(true) {
        *schema = json!({});
    }
}

/// A `oneOf` of words, each with what it means, as one `enum`; what they mean goes into the description.
fn choice_of_words(schema: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut words = Vec::new();
    let mut said = schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    for choice in schema.get("oneOf")?.as_array()? {
        let choice = choice.as_object()?;
        let own = match (choice.get("const"), choice.get("enum")) {
            (Some(word), None) => std::slice::from_ref(word),
            (None, Some(words)) => words.as_array()?,
            _ => return None,
        };
        for word in own {
            if let Some(meaning) = choice.get("description").and_then(Value::as_str) {
                said += &format!("\n- `{}`: {meaning}", word.as_str()?);
            }
            words.push(word.clone());
        }
    }
    json!({ "type": "string", "enum": words, "description": said.trim() }).as_object().cloned()
}

/// A `oneOf` of objects with one field each, as one object that has one of these fields.
fn choice_of_fields(schema: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut fields = Map::new();
    for choice in schema.get("oneOf")?.as_array()? {
        let [(name, field)] = choice["properties"].as_object()?.iter().collect::<Vec<_>>()[..] else {
            return None;
        };
        if choice["required"] != json!([name]) || choice["additionalProperties"] != json!(false) {
            return None;
        }
        let mut field = field.clone();
        if let Some(field) = field.as_object_mut() {
            field.extend(choice.get("description").map(|said| ("description".to_owned(), said.clone())));
            // Generators make a class of fields, and of no fields nothing that they can use.
            if !field.contains_key("properties") {
                field.insert("additionalProperties".into(), json!({}));
                field.insert("maxProperties".into(), json!(0));
            }
        }
        fields.insert(name.clone(), field);
    }
    let schema = json!({
        "type": "object", "properties": fields, "additionalProperties": false,
        "minProperties": 1, "maxProperties": 1,
    });
    schema.as_object().cloned()
}

/// What 3.0 says in another way: whole numbers without a sign, null, constants, examples, names of fields by pattern, and words beside a reference.
fn as_3_0(schema: &mut Map<String, Value>) {
    // A format that is not known is taken for 32 bits.
    let format = match schema.get("format").and_then(Value::as_str) {
        Some("uint" | "uint32" | "uint64" | "int") => Some("int64"),
        Some("uint8" | "uint16" | "int8" | "int16") => Some("int32"),
        _ => None,
    };
    schema.extend(format.map(|format| ("format".to_owned(), format.into())));
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        let before = types.len();
        types.retain(|kind| kind != "null");
        let (nullable, only) = (types.len() < before, types.pop());
        schema.extend(only.map(|only| ("type".to_owned(), only)));
        schema.extend(nullable.then(|| ("nullable".to_owned(), true.into())));
    }
    if let Some(Value::Array(any)) = schema.get_mut("anyOf")
        && let Some(null) = any.iter().position(|one| *one == json!({ "type": "null" }))
    {
        any.remove(null);
        if any.len() == 1 {
            let only = schema.remove("anyOf");
            schema.extend(only.map(|only| ("allOf".to_owned(), only)));
        }
        schema.insert("nullable".into(), true.into());
    }
    if let Some(Value::Object(by_pattern)) = schema.get_mut("patternProperties") {
        let only = std::mem::take(by_pattern).into_iter().next();
        schema.remove("patternProperties");
        schema.extend(only.map(|(_, field)| ("additionalProperties".to_owned(), field)));
    }
    if schema.get("const").is_some_and(Value::is_string) {
        let only = schema.remove("const");
        schema.extend(only.map(|only| ("enum".to_owned(), json!([only]))));
    }
    if let Some(Value::Array(all)) = schema.get_mut("examples") {
        let first = all.drain(..).next();
        schema.remove("examples");
        schema.extend(first.map(|first| ("example".to_owned(), first)));
    }
    if schema.len() > 1 && schema.get("$ref").is_some_and(Value::is_string) {
        let reference = schema.remove("$ref");
        schema.insert("allOf".into(), json!([{ "$ref": reference }]));
    }
}
