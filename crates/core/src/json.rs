//! What is wrong with JSON, in our own words: no library's message reaches a person.

/// What is wrong with a value, without its subject: `is "half": write a whole number`.
pub fn fault(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "is not JSON: it ends too early".to_owned();
    }
    if error.is_syntax() {
        return format!("is not JSON from column {} on", error.column());
    }
    let text = error.to_string();
    of_text(text.split(" at line ").next().unwrap_or_default())
}

/// The name that is not known, where that is what is wrong.
pub fn unknown_field(error: &serde_json::Error) -> Option<String> {
    Some(error.to_string().strip_prefix("unknown field `")?.split('`').next()?.to_owned())
}

fn of_text(text: &str) -> String {
    let behind = |prefix: &str| text.strip_prefix(prefix);
    if let Some(rest) = behind("invalid type: ").or_else(|| behind("invalid value: "))
        && let Some((found, expected)) = rest.rsplit_once(", expected ")
    {
        return format!("is {}: write {}", shown(found), wanted(expected));
    }
    if let Some((name, known)) = behind("unknown variant `").and_then(|rest| rest.split_once("`, expected "))
    {
        return format!("is {name:?}, which is not {}", listed(known));
    }
    if let Some((name, known)) = behind("unknown field `").and_then(|rest| rest.split_once("`, ")) {
        let known = known
            .strip_prefix("expected ")
            .map_or_else(String::new, |known| format!("; known here: {}", names(known)));
        return format!("has a field {name:?} that is not known{known}");
    }
    let name = |prefix: &str| behind(prefix).and_then(|rest| rest.split('`').next());
    if let Some(name) = name("missing field `") {
        return format!("lacks {name}");
    }
    if let Some(name) = name("duplicate field `") {
        return format!("has {name} twice");
    }
    if text.starts_with("data did not match any variant") {
        return "has another form than it may have".to_owned();
    }
    // Words of our own types.
    text.to_owned()
}

/// A value that was found, as it stands in the file.
fn shown(found: &str) -> String {
    match found {
        "null" | "unit value" => return "null".to_owned(),
        "sequence" => return "a list".to_owned(),
        "map" => return "an object".to_owned(),
        _ => {}
    }
    if let Some(text) = found.strip_prefix("string ") {
        return text.to_owned();
    }
    let value = found.split('`').nth(1);
    value.map_or_else(|| found.to_owned(), str::to_owned)
}

fn wanted(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" | "a character" | "string or map" => "a text",
        "a sequence" => "a list",
        other if other.starts_with("struct ") || other.starts_with("map") || other == "a map" => "an object",
        other if other.starts_with("a sequence") || other.starts_with("tuple") => "a list",
        other => return other.to_owned(),
    }
    .to_owned()
}

fn listed(known: &str) -> String {
    match known.strip_prefix("one of ") {
        Some(known) => format!("one of {}", names(known)),
        None => names(known),
    }
}

fn names(known: &str) -> String {
    known.trim_start_matches("one of ").replace('`', "")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is wrong with it matters")]
    struct Song {
        count: Option<u32>,
        factor: Option<f64>,
        title: Option<String>,
        vocal: Option<Vocal>,
        list: Option<Vec<u8>>,
        inner: Option<Box<Song>>,
        needed: bool,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Vocal {
        Female,
        Male,
    }

    #[test]
    fn no_word_of_a_library_is_left() {
        for (json, said) in [
            (r#"{"count": "half"}"#, "is \"half\": write a whole number"),
            (r#"{"count": 1.5}"#, "is 1.5: write a whole number"),
            (r#"{"count": -1}"#, "is -1: write a whole number"),
            (r#"{"count": 99999999999}"#, "is 99999999999: write a whole number"),
            (r#"{"factor": "x"}"#, "is \"x\": write a number"),
            (r#"{"title": 7}"#, "is 7: write a text"),
            (r#"{"title": null, "needed": []}"#, "is a list: write true or false"),
            (r#"{"vocal": "alto"}"#, "is \"alto\", which is not female or male"),
            (r#"{"list": {}}"#, "is an object: write a list"),
            (r#"{"inner": true}"#, "is true: write an object"),
            (
                r#"{"titel": "x"}"#,
                "has a field \"titel\" that is not known; known here: count, factor, title, vocal, list, inner, needed",
            ),
            (r#"{"count": 1}"#, "lacks needed"),
            (r#"{"count": 1, "count": 2}"#, "has count twice"),
            (r#"{"count": 1"#, "is not JSON: it ends too early"),
            (r#"{"count": 1,]"#, "is not JSON from column 13 on"),
        ] {
            let error = serde_json::from_str::<Song>(json).unwrap_err();
            assert_eq!(fault(&error), said, "{json}");
        }
        let error = serde_json::from_str::<Song>(r#"{"titel": "x"}"#).unwrap_err();
        assert_eq!(unknown_field(&error).as_deref(), Some("titel"));
    }
}
