//! What is wrong with a setting, in our own words.

use std::fmt;
use std::path::PathBuf;

use figment::error::{Actual, Kind};

/// Where a setting was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A line of a file.
    File(PathBuf, usize),
    /// A variable of the environment, and its text.
    Env(String, String),
    /// A flag, as it was given.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Env(name, _) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// Something that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where it was set; nowhere where it is missing, or a default.
    pub(crate) origin: Option<Origin>,
    /// Which setting; none where the whole file is wrong.
    pub(crate) path: String,
    /// What is wrong, and what to write instead.
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        match (self.path.as_str(), &self.origin) {
            ("", _) => f.write_str(&self.message),
            (path, _) => write!(f, "{path} {}", self.message),
        }
    }
}

/// What is wrong with settings that hold no secret, by the first of them.
pub(crate) fn said(error: &figment::Error) -> String {
    let message = message(&error.kind, true);
    if error.path.is_empty() { message } else { format!("{} {message}", error.path.join(".")) }
}

/// What is wrong, for a value that may be shown or not.
pub(crate) fn message(kind: &Kind, shown: bool) -> String {
    match kind {
        Kind::UnknownField(name, known) => unknown(name, known, "setting"),
        Kind::UnknownVariant(name, known) if shown => {
            format!("is {name:?}, which is not one of {}{}", known.join(", "), meant(name, known))
        }
        Kind::UnknownVariant(_, known) => format!("is not one of {}", known.join(", ")),
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => match shown {
            true => format!("is {}: write {}", found(actual), expects(expected)),
            false => format!("is not usable: write {}", expects(expected)),
        },
        Kind::InvalidLength(length, expected) => format!("has {length} parts: write {}", expects(expected)),
        Kind::MissingField(name) => format!("lacks {name}"),
        Kind::DuplicateField(name) => format!("has {name} twice"),
        Kind::Message(text) => own(text, shown),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "is too large a number".to_owned(),
        Kind::Unsupported(_) | Kind::UnsupportedKey(..) => "cannot be read".to_owned(),
    }
}

/// What is not known, and what may have been meant.
pub(crate) fn unknown(name: &str, known: &[&str], what: &str) -> String {
    let meant = meant(name, known);
    if !meant.is_empty() {
        return format!("is no {what}{meant}");
    }
    match known.is_empty() {
        true => format!("is no {what}"),
        false => format!("is no {what}; there are {}", known.join(", ")),
    }
}

fn meant(name: &str, known: &[&str]) -> String {
    let near = known.iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let near = near.filter(|(near, _)| *near > 0.8).max_by(|(one, _), (other, _)| one.total_cmp(other));
    near.map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"))
}

fn found(actual: &Actual) -> String {
    match actual {
        Actual::Bool(is) => is.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Char(char) => format!("{char:?}"),
        Actual::Str(text) => format!("{text:?}"),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        _ => "something else".to_owned(),
    }
}

/// What a type of ours is called by those who write settings.
fn expects(expected: &str) -> String {
    let whole = |most: u64| format!("a whole number from 0 to {most}");
    match expected.trim_matches('`') {
        "u8" => whole(u64::from(u8::MAX)),
        "u16" => whole(u64::from(u16::MAX)),
        "u32" => whole(u64::from(u32::MAX)),
        "u64" | "usize" | "u128" => "a whole number of at least 0".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" | "floating point number" => "a number".to_owned(),
        "a boolean" | "bool" => "true or false".to_owned(),
        "a string" | "string" | "str" | "path string" => "a text in quotes".to_owned(),
        "a sequence" | "sequence" => "a list, such as [\"a\", \"b\"]".to_owned(),
        "socket address" => "an address, such as \"127.0.0.1:8180\"".to_owned(),
        other if other.starts_with("struct ") || other == "a map" || other.contains("newtype") => {
            "a table of settings".to_owned()
        }
        other if other.contains("enum") || other.contains("variant") => {
            "one of the words in the default file".to_owned()
        }
        other => other.to_owned(),
    }
}

/// A message of a type's own reader, unless it is a library's.
fn own(text: &str, shown: bool) -> String {
    match text {
        _ if text.contains("socket address") => {
            "is no address: write HOST:PORT, such as \"127.0.0.1:8180\"".to_owned()
        }
        _ if text.contains("untagged") || text.contains("did not match") => {
            "has not a form that is known here".to_owned()
        }
        _ if !shown => "is not usable".to_owned(),
        _ => match text.split_once(" is no ") {
            // The value comes first.
            Some((value, _)) if value.starts_with('"') => format!("is {text}"),
            _ => format!("is not usable: {text}"),
        },
    }
}
