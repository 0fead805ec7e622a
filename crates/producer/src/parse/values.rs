//! What people write in cells, as the values of a request.

use std::sync::LazyLock;

use serde_json::Value;
use songmill_vendors::Vendors;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A word that is written in lower case, such as a format.
    Word,
    Vendors,
    /// Names of fields.
    Fields,
    /// A length of time, in this unit where nothing else is said.
    Duration(Unit),
    Whole,
    Truth,
    Vocal,
    /// A vendor's own field: a number or a truth where it reads as one, else a text.
    Option,
}

/// What a number without a unit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unit {
    #[default]
    Second,
    Minute,
    Hour,
}

/// What is wrong with a cell, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) fault: String,
    pub(crate) fix: &'static str,
}

/// How much of a cell an error quotes.
const QUOTED_CHARS: usize = 60;
/// What spreadsheets write where a formula failed.
const ERRORS: [&str; 5] = ["#N/A", "#NV", "#N/D", "#NEDEF", "#PUUTTUU!"];

impl Kind {
    pub(crate) fn of(field: &str, unit: Unit) -> Self {
        match field {
            "vendor" => Self::Vendors,
            "require" | "allow_ignored" => Self::Fields,
            "duration_s" => Self::Duration(unit),
            "seed" | "count" => Self::Whole,
            "instrumental" => Self::Truth,
            "vocal" => Self::Vocal,
            "format" | "priority" | "language" => Self::Word,
            _ => Self::Text,
        }
    }

    /// Whether few texts are a value of this kind, so that one that is tells a row.
    pub(crate) fn is_telling(self) -> bool {
        !matches!(self, Self::Text | Self::Option | Self::Fields)
    }

    /// Reads a cell that is not empty.
    pub(crate) fn read(self, text: &str) -> Result<Value, Wrong> {
        if is_error_of_a_spreadsheet(text) {
            return wrong(text, "is an error of the spreadsheet", "correct the formula, or write the value");
        }
        if text.contains('\u{fffd}') {
            let fault = "has a character that could not be read".to_owned();
            return Err(Wrong { fault, fix: "save the file as UTF-8, or name its encoding with --encoding" });
        }
        match self {
            Self::Text => Ok(Value::from(text)),
            Self::Word => Ok(Value::from(text.to_lowercase())),
            Self::Vendors => vendors(text),
            Self::Fields => Ok(list(text, |part| part.to_lowercase().replace([' ', '-'], "_"))),
            Self::Duration(unit) => seconds(text, unit).map(Value::from).ok_or_else(|| Wrong {
                fault: format!("{} is not a length", quoted(text)),
                fix: "write seconds, such as 30, or minutes and seconds, such as 3:20",
            }),
            Self::Whole => whole(text).map(Value::from).ok_or_else(|| Wrong {
                fault: format!("{} is not a whole number", quoted(text)),
                fix: "write digits alone, such as 2",
            }),
            Self::Truth => truth(text).map(Value::from).ok_or_else(|| Wrong {
                fault: format!("{} is neither yes nor no", quoted(text)),
                fix: "write yes or no, or leave it empty",
            }),
            Self::Vocal => Ok(Value::from(vocal(text))),
            Self::Option => Ok(option(text)),
        }
    }
}

impl Unit {
    /// The unit that stands behind a column's name.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches('.').to_lowercase();
        let text = ["in ", "en ", "单位：", "单位:"]
            .iter()
            .find_map(|begin| text.strip_prefix(begin))
            .unwrap_or(&text);
        match text.trim() {
            "s" | "sec" | "secs" | "second" | "seconds" | "secondes" | "sekunden" | "秒" | "秒钟" => {
                Some(Self::Second)
            }
            "m" | "min" | "mins" | "minute" | "minutes" | "minuten" | "分" | "分钟" => Some(Self::Minute),
            "h" | "hr" | "hrs" | "hour" | "hours" | "小时" => Some(Self::Hour),
            _ => None,
        }
    }

    /// Whether what stands in brackets behind a name is a unit, or how a clock shows lengths.
    pub(crate) fn is_known(text: &str) -> bool {
        text.is_empty() || text.contains([':', '：']) || Self::of(text).is_some()
    }

    const fn seconds(self) -> f64 {
        match self {
            Self::Second => 1.0,
            Self::Minute => 60.0,
            Self::Hour => 3600.0,
        }
    }
}

fn wrong(text: &str, is: &str, fix: &'static str) -> Result<Value, Wrong> {
    Err(Wrong { fault: format!("{} {is}", quoted(text)), fix })
}

/// Whether a formula failed: `#VALUE!`, `#BEZUG!`, `#¡VALOR!`, `#DIV/0!`, `Err:502`.
fn is_error_of_a_spreadsheet(text: &str) -> bool {
    if let Some(number) = text.strip_prefix("Err:") {
        return !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    }
    let Some(name) = text.strip_prefix('#') else { return false };
    let in_capitals = name.chars().all(|c| c.is_uppercase() || c.is_ascii_digit() || "/_!?¡¿ ".contains(c));
    ERRORS.contains(&text) || (in_capitals && name.chars().count() > 2 && name.ends_with(['!', '?']))
}

/// A cell's text as an error quotes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// `30`, `30,5`, `30s`, `3:20`, `0:03:20`, `3 min 20 s`, `3分20秒`, rounded to seconds.
fn seconds(text: &str, unit: Unit) -> Option<u64> {
    let text = text.trim().to_lowercase();
    let secs = if text.contains([':', '：']) { by_clock(&text)? } else { by_units(&text, unit)? };
    // A longer one is refused with its value.
    (0.0..1e9).contains(&secs).then(|| secs.round() as u64)
}

/// Minutes and seconds, or hours, minutes and seconds.
fn by_clock(text: &str) -> Option<f64> {
    let parts: Option<Vec<f64>> = text.split([':', '：']).map(|part| decimal(part.trim())).collect();
    let parts = parts?;
    let whole = parts[..parts.len() - 1].iter().all(|part| part.fract() == 0.0);
    match parts[..] {
        [minutes, secs] if whole && secs < 60.0 => Some(minutes * 60.0 + secs),
        // Spreadsheets write minutes and seconds as hours and minutes, with seconds that nobody wrote.
        [minutes, secs, 0.0] if whole && secs < 60.0 && minutes > 0.0 => Some(minutes * 60.0 + secs),
        [hours, minutes, secs] if whole && minutes < 60.0 && secs < 60.0 => {
            Some(hours * 3600.0 + minutes * 60.0 + secs)
        }
        _ => None,
    }
}

fn by_units(text: &str, unit: Unit) -> Option<f64> {
    let (mut rest, mut sum, mut counted) = (text, 0.0, None);
    while !rest.is_empty() {
        let digits =
            rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ','))).unwrap_or(rest.len());
        let number = decimal(&rest[..digits])?;
        rest = rest[digits..].trim_start();
        let word = rest.find(|c: char| c.is_ascii_digit() || c.is_whitespace()).unwrap_or(rest.len());
        let named = match rest[..word].trim_end_matches('.') {
            // Alone, or behind minutes: what is not named is what the column says, and seconds behind minutes.
            "" if counted.is_none() => unit,
            "" if counted == Some(Unit::Minute) => Unit::Second,
            word => Unit::of(word)?,
        };
        if counted == Some(Unit::Second) || counted == Some(named) {
            return None;
        }
        sum += number * named.seconds();
        counted = Some(named);
        rest = rest[word..].trim_start();
    }
    counted.map(|_| sum)
}

/// A number with a point or a comma before its fraction.
fn decimal(text: &str) -> Option<f64> {
    let mut marks = text.bytes().filter(|byte| matches!(byte, b'.' | b','));
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','));
    let (first, second) = (marks.next(), marks.next());
    if !plain || second.is_some() || text.starts_with(['.', ',']) || text.ends_with(['.', ',']) {
        return None;
    }
    // 1,000 is one for some and a thousand for others.
    if first.is_some() && text.len() - text.find(['.', ','])? == 4 {
        return None;
    }
    text.replace(',', ".").parse().ok()
}

/// `3`, `3.0`, `3,0`.
fn whole(text: &str) -> Option<u64> {
    let number = decimal(text.trim())?;
    (number.fract() == 0.0 && number < 1e15).then_some(number as u64)
}

fn truth(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "y" | "1" | "on" | "x" | "✓" | "是" | "真" => Some(true),
        "false" | "no" | "n" | "0" | "off" | "否" | "假" => Some(false),
        _ => None,
    }
}

/// What is not known stays, and is refused with its value.
fn vocal(text: &str) -> String {
    let lower = text.to_lowercase();
    match lower.as_str() {
        "f" | "woman" | "女" | "女声" => "female".to_owned(),
        "m" | "man" | "男" | "男声" => "male".to_owned(),
        _ => lower,
    }
}

const BETWEEN: [char; 6] = [';', ',', '|', '，', '、', '；'];

/// The names of all vendors.
pub(crate) static VENDORS: LazyLock<Vec<String>> =
    LazyLock::new(|| Vendors::catalogue().names().map(ToString::to_string).collect());

/// The name of a vendor as people write it.
pub(crate) fn vendor(text: &str) -> String {
    match text.trim() {
        "腾讯" | "腾讯云" => "tencent".to_owned(),
        name => name.to_lowercase().replace([' ', '-', '.'], "_"),
    }
}

fn vendors(text: &str) -> Result<Value, Wrong> {
    let names: Vec<_> = text.split(BETWEEN).map(str::trim).filter(|part| !part.is_empty()).collect();
    let is_known = |name: &&&str| {
        let name = vendor(name);
        name == "auto" || VENDORS.contains(&name)
    };
    if let Some(other) = names.iter().find(|name| !is_known(name)) {
        return Err(Wrong {
            fault: format!("{} is not a vendor; there are {}", quoted(other), VENDORS.join(", ")),
            fix: "write one of these, or auto",
        });
    }
    Ok(match names[..] {
        [name] => Value::from(vendor(name)),
        _ => names.into_iter().map(|name| Value::from(vendor(name))).collect(),
    })
}

fn list(text: &str, each: impl Fn(&str) -> String) -> Value {
    text.split(BETWEEN)
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| Value::from(each(part)))
        .collect()
}

fn option(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_))) => value,
        _ if text.eq_ignore_ascii_case("true") => Value::from(true),
        _ if text.eq_ignore_ascii_case("false") => Value::from(false),
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests;
