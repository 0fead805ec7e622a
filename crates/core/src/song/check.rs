//! Reading a request, and checking what can be checked without a vendor.

use serde_json::Value;

use crate::json;

use super::{Invalid, REFERENCE_DATA_MAX, SongRequest, VendorChoice};

impl SongRequest {
    /// Reads a request from JSON and checks what can be checked without a vendor.
    pub fn from_json(json: &[u8]) -> Result<Self, Invalid> {
        // A list of values would be taken for the fields in their order.
        if json.trim_ascii_start().first() == Some(&b'[') {
            return Err(Invalid::one("(line)", "is a list", "put one JSON object on a line"));
        }
        let mut from = serde_json::Deserializer::from_slice(json);
        let song: Self = serde_path_to_error::deserialize(&mut from).map_err(|error| invalid(&error))?;
        from.end().map_err(|_| {
            Invalid::one("(line)", "there is more after the request", "put one JSON object on a line")
        })?;
        song.check()?;
        Ok(song)
    }

    /// The same from a JSON object that is there already.
    pub fn from_object(object: &Value) -> Result<Self, Invalid> {
        let song: Self = serde_path_to_error::deserialize(object).map_err(|error| invalid(&error))?;
        song.check()?;
        Ok(song)
    }

    /// Checks what can be checked without a vendor: lengths, ranges and fields that exclude each other.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut wrong = Invalid::default();
        let texts = [
            ("custom_id", &self.custom_id, 128),
            ("prompt", &self.prompt, 4000),
            ("style", &self.style, 1000),
            ("lyrics", &self.lyrics, 10_000),
            ("lyrics_prompt", &self.lyrics_prompt, 4000),
            ("mood", &self.mood, 100),
            ("genre", &self.genre, 100),
            ("title", &self.title, 200),
            ("content_key", &self.content_key, 128),
        ];
        for (field, text, most) in texts {
            let Some(text) = text else { continue };
            let chars = text.chars().count();
            if text.trim().is_empty() {
                wrong.push(field, "is empty", "leave the field out or give it a text");
            } else if chars > most {
                wrong.push(field, format!("has {chars} characters"), format!("use at most {most}"));
            }
        }
        for (field, text, allowed) in [
            ("custom_id", &self.custom_id, ""),
            ("content_key", &self.content_key, ""),
            ("title", &self.title, "\n\t"),
            ("style", &self.style, "\n\t"),
            ("mood", &self.mood, "\n\t"),
            ("genre", &self.genre, "\n\t"),
            // Files of Windows end their lines so.
            ("prompt", &self.prompt, "\r\n\t"),
            ("lyrics", &self.lyrics, "\r\n\t"),
            ("lyrics_prompt", &self.lyrics_prompt, "\r\n\t"),
        ] {
            let controls = |c: &char| c.is_control() && !allowed.contains(*c);
            let Some(c) = text.as_deref().and_then(|text| text.chars().find(controls)) else { continue };
            let fix = match allowed {
                "" => "use printable characters",
                _ => "use printable characters, line feeds and tabs",
            };
            wrong.push(field, format!("has a control character (U+{:04X})", u32::from(c)), fix);
        }
        let numbers = [
            ("duration_s", self.duration_s, 1, 600),
            ("seed", self.seed, 1, u32::MAX),
            ("count", self.count, 1, 100),
        ];
        for (field, value, least, most) in numbers {
            if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
                wrong.push(field, format!("is {value}"), format!("use {least} to {most}"));
            }
        }
        if let (Some(from), Some(to)) = (self.not_before, self.deadline)
            && from > to
        {
            wrong.push(
                "deadline",
                format!("is before not_before ({from})"),
                "set it later, or leave one out",
            );
        }
        let is_code =
            |text: &String| matches!(text.len(), 2..=3) && text.bytes().all(|b| b.is_ascii_lowercase());
        if let Some(language) = self.language.as_ref().filter(|language| !is_code(language)) {
            wrong.push("language", format!("is {language:?}"), "use a code of ISO 639 such as zh or en");
        }
        if self.lyrics.is_some() && self.lyrics_prompt.is_some() {
            wrong.push(
                "lyrics_prompt",
                "stands beside lyrics",
                "give the words or what they are about, not both",
            );
        }
        if self.instrumental == Some(true) {
            for (field, set) in
                [("lyrics_prompt", self.lyrics_prompt.is_some()), ("vocal", self.vocal.is_some())]
            {
                if set {
                    wrong.push(field, "stands beside instrumental: true", "leave one of the two out");
                }
            }
        }
        let words = [&self.prompt, &self.style, &self.lyrics, &self.lyrics_prompt];
        if words.iter().all(|text| text.is_none()) && self.reference_audio.is_none() {
            wrong.push(
                "prompt",
                "is missing",
                "give at least one of prompt, style, lyrics, lyrics_prompt, reference_audio",
            );
        }
        if let Some(audio) = &self.reference_audio {
            check_reference(audio, &mut wrong);
        }
        match self.vendor.as_ref().map(VendorChoice::names) {
            Some([]) => wrong.push("vendor", "is an empty list", "name at least one vendor"),
            Some(names) if names.len() > 8 => {
                wrong.push("vendor", "names more than 8 vendors", "name at most 8")
            }
            Some(names) if names.len() > 1 && names.iter().any(VendorChoice::is_auto) => {
                wrong.push("vendor", "names auto beside others", "name auto alone, or vendors in your order");
            }
            Some(names) => {
                if let Some(twice) = (1..names.len()).find(|&i| names[..i].contains(&names[i])) {
                    wrong.push("vendor", format!("names {} twice", names[twice]), "name each vendor once");
                }
            }
            None => {}
        }
        for field in &self.require {
            if !self.has(*field) {
                wrong.push(
                    "require",
                    format!("names {}, which is not set", field.as_str()),
                    "set the field or leave it out of require",
                );
            }
        }
        wrong.none_or_err()
    }
}

fn invalid(error: &serde_path_to_error::Error<serde_json::Error>) -> Invalid {
    let (path, inner) = (error.path().to_string(), error.inner());
    let unknown = json::unknown_field(inner);
    let field = match (path.as_str(), &unknown) {
        (".", Some(name)) => name.clone(),
        (_, Some(name)) if !path.ends_with(name.as_str()) => format!("{path}.{name}"),
        (".", None) => "(line)".to_owned(),
        _ => path,
    };
    let fault = match unknown {
        Some(_) => "is not a field of a song".to_owned(),
        None => json::fault(inner),
    };
    Invalid::one(field, fault, "see `songmill schema` for the form of a song request")
}

fn check_reference(audio: &str, wrong: &mut Invalid) {
    let field = "reference_audio";
    if let Some(data) = audio.strip_prefix("data:") {
        if !data.starts_with("audio/") || !data.contains(";base64,") {
            wrong.push(field, "is a data address of no audio", "use data:audio/wav;base64,… (or mpeg, flac)");
        } else if audio.len() > REFERENCE_DATA_MAX {
            let fix =
                format!("use at most {REFERENCE_DATA_MAX}, or put the file where it has an https address");
            wrong.push(field, format!("has {} characters", audio.len()), fix);
        }
    } else if !audio.starts_with("https://") && !audio.starts_with("http://") {
        wrong.push(field, "is no address", "use an https: or a data: address");
    } else if audio.len() > 2000 || audio.chars().any(|c| c.is_whitespace() || c.is_control()) {
        wrong.push(field, "is too long or has blanks", "use at most 2000 characters, percent-encoded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: &str) -> Vec<String> {
        match SongRequest::from_json(json.as_bytes()) {
            Ok(_) => vec![],
            Err(invalid) => invalid.problems.iter().map(|problem| problem.field.clone()).collect(),
        }
    }

    #[test]
    fn a_good_request_is_taken() {
        let song = SongRequest::from_json(
            r#"{"vendor":["replicate","tencent"],"prompt":"一首歌","seed":7}"#.as_bytes(),
        );
        assert_eq!(song.unwrap().vendor.unwrap().names().len(), 2);
    }

    #[test]
    fn every_fault_names_its_field() {
        assert_eq!(problems("{}"), ["prompt"]);
        assert_eq!(problems(r#"{"promt":"x"}"#), ["promt"]);
        assert_eq!(problems(r#"{"prompt":7}"#), ["prompt"]);
        assert_eq!(problems(r#"{"prompt":"x","count":0,"duration_s":601}"#), ["duration_s", "count"]);
        assert_eq!(problems(r#"{"lyrics":"a","lyrics_prompt":"b"}"#), ["lyrics_prompt"]);
        assert_eq!(problems(r#"{"prompt":"x","instrumental":true,"vocal":"male"}"#), ["vocal"]);
        assert_eq!(problems(r#"{"prompt":"x","vendor":"Bad Name"}"#), ["vendor"]);
        assert_eq!(problems(r#"{"prompt":"x","require":["seed"]}"#), ["require"]);
        assert_eq!(problems(r#"{"prompt":"x","reference_audio":"ftp://a"}"#), ["reference_audio"]);
        assert_eq!(problems(r#"{"prompt":"x"} {}"#), ["(line)"]);
        assert_eq!(problems("not json"), ["(line)"]);
        assert_eq!(problems(r#"{"prompt":"  "}"#), ["prompt"]);
    }
}
