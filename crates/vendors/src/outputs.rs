//! The one reader of what finished tasks give: finds audio in answers of any shape.
//!
//! A vendor's documented form is one of many that are read alike: an address alone, lists, lists in lists, objects with
//! known or audio-like keys, JSON as text. What is no audio is listed; a song whose address cannot be used keeps its
//! place. It never guesses that nothing is there: what cannot be read is left to whoever asked.

use serde_json::Value;
use songmill_core::{Extra, ExtraReason, Extras, Output, Outputs};

use crate::address::normalized;
use crate::tolerant::{DEPTH_MAX, Object, is_empty, masked};

mod names;

use names::{Kind, kind_of_key, kind_of_path, rank};

/// The most outputs that are read as songs or parts of songs; what comes behind is listed as extra, then counted.
const MOST: usize = 200;
/// The longest text that is read as JSON.
const TEXT_MAX: usize = 1 << 20;

/// Reads what a task gave.
pub(crate) fn read(value: &Value) -> Outputs {
    read_timed(value, None)
}

/// The same, where the vendor says under this key for how many seconds a song plays.
pub(crate) fn read_timed(value: &Value, seconds_key: Option<&'static str>) -> Outputs {
    let mut reader = Reader { seconds_key, ..Reader::default() };
    reader.value(value, &Place::default(), 0);
    reader.end()
}

/// Whether the ending of a file's name says that it is a picture, a score or another file that is no audio.
pub(crate) fn is_no_audio(name: &str) -> bool {
    kind_of_path(name, Kind::Unknown) == Kind::Other
}

/// Whether there is anything that can be downloaded.
pub(crate) fn is_usable(outputs: &Outputs) -> bool {
    outputs.audio.iter().any(Output::is_usable)
}

#[derive(Default)]
struct Reader<'a> {
    seconds_key: Option<&'static str>,
    found: Vec<Found<'a>>,
    extra: Extras,
}

/// An output, and how it was recognized.
struct Found<'a> {
    output: Output,
    key: Option<&'a str>,
    /// Whether its key or its ending says that it is audio.
    is_certain: bool,
}

/// Where a value stands.
#[derive(Clone, Default)]
struct Place<'a> {
    /// The nearest key above it.
    key: Option<&'a str>,
    /// What that key, and those above, say.
    kind: Kind,
    part: Option<&'static str>,
    title: Option<&'a str>,
    duration_ms: Option<u64>,
    /// Whether it stands in a list of outputs: what is empty there is one that is not there yet.
    is_item: bool,
}

impl<'a> Reader<'a> {
    fn value(&mut self, value: &'a Value, place: &Place<'a>, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        match value {
            Value::String(text) if is_json(text) => self.json(text, place, depth),
            Value::String(text) => self.text(text, place, place.is_item),
            Value::Array(items) => {
                let is_address = |item: &Value| item.as_str().and_then(normalized).is_some();
                let has_address = items.iter().any(is_address);
                for item in items {
                    let is_item = has_address || item.is_object();
                    self.value(item, &Place { is_item, ..place.clone() }, depth + 1);
                }
            }
            Value::Object(object) => self.object(object, place, depth),
            Value::Null if place.is_item => self.empty(place),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// An object is one song under one or several keys, or a group of named outputs, or both.
    fn object(&mut self, object: &'a Object, place: &Place<'a>, depth: usize) {
        let title =
            object.get("title").and_then(Value::as_str).map(str::trim).filter(|title| !title.is_empty());
        let length = self.seconds_key.and_then(|key| object.get(key)).and_then(millis);
        let inner = |key: &'a str| {
            let (kind, part) = kind_of_key(key, place.kind);
            let (part, title, duration_ms) =
                (part.or(place.part), title.or(place.title), length.or(place.duration_ms));
            Place { key: Some(key), kind, part, title, duration_ms, is_item: false }
        };
        // The addresses of one song, the best first.
        let plain = |value: &&Value| value.is_null() || value.as_str().is_some_and(|text| !is_json(text));
        let mut one: Vec<(&'a String, &'a Value)> =
            object.iter().filter(|(key, value)| rank(key).is_some() && plain(value)).collect();
        one.sort_by_key(|(key, _)| rank(key));
        let is_song = |(_, value): &&(&'a String, &'a Value)| {
            let url = value.as_str().and_then(normalized);
            url.is_some_and(|url| kind_of_path(&url, Kind::Audio).may_be_audio())
        };
        let song = one.iter().find(is_song).or(one.iter().find(|(_, value)| !is_empty(value))).copied();
        match song {
            Some((key, value)) => {
                self.text(value.as_str().unwrap_or_default(), &inner(key), true);
                for (other, value) in one.iter().filter(|(other, value)| *other != key && !is_empty(value)) {
                    let text = value.as_str().unwrap_or_default();
                    self.extra(text, &inner(other), ExtraReason::Alternative);
                }
            }
            // A song that is not there yet, beside others.
            None if place.is_item && object.values().all(|value| !value.is_array() && !value.is_object()) => {
                if let Some((key, _)) = one.first() {
                    self.empty(&inner(key));
                }
            }
            None => {}
        }
        for (key, value) in object {
            if !one.iter().any(|(done, _)| *done == key) {
                self.value(value, &inner(key), depth + 1);
            }
        }
    }

    /// JSON in a text: what is found in it stands under the text's own key.
    fn json(&mut self, text: &str, place: &Place<'a>, depth: usize) {
        let Ok(value) = serde_json::from_str::<Value>(text.trim()) else { return };
        let mut inside = Reader { seconds_key: self.seconds_key, ..Reader::default() };
        inside.value(&value, &Place { key: None, ..place.clone() }, depth + 1);
        let Reader { found, extra, .. } = inside;
        for Found { output, is_certain, .. } in found {
            self.found.push(Found { output, key: place.key, is_certain });
        }
        extra.files.into_iter().for_each(|extra| self.extra.push(extra));
        self.extra.more = self.extra.more.saturating_add(extra.more);
    }

    /// A text where an address was due, or some text.
    fn text(&mut self, text: &str, place: &Place<'a>, was_due: bool) {
        let trimmed = text.trim();
        let Some(url) = normalized(trimmed) else {
            if place.kind.may_be_audio() && (has_scheme(trimmed) || was_due) {
                self.push(Output::unusable(trimmed), place, false);
            }
            return;
        };
        match kind_of_path(&url, place.kind) {
            Kind::Other => self.extra(&url, place, ExtraReason::NotAudio),
            kind => self.push(Output::at(url), place, kind == Kind::Audio),
        }
    }

    /// Nothing, where an output was due.
    fn empty(&mut self, place: &Place<'a>) {
        if place.kind.may_be_audio() {
            self.push(Output::unusable(""), place, false);
        }
    }

    fn push(&mut self, output: Output, place: &Place<'a>, is_certain: bool) {
        if self.found.len() >= MOST {
            return self.extra(output.source.as_str(), place, ExtraReason::NotRequested);
        }
        let is_same = |known: &Found<'_>| output.is_usable() && known.output.source == output.source;
        if !self.found.iter().any(is_same) {
            let (part, title) = (place.part.map(str::to_owned), place.title.map(str::to_owned));
            let output = Output { part, title, duration_ms: place.duration_ms, ..output };
            self.found.push(Found { output, key: place.key, is_certain });
        }
    }

    fn extra(&mut self, text: &str, place: &Place<'a>, reason: ExtraReason) {
        self.extra.push(Extra::new(&masked(text), place.key, reason));
    }

    /// Where something is certainly audio, addresses under other keys that say nothing are not taken for songs.
    fn end(self) -> Outputs {
        let Self { found, mut extra, .. } = self;
        let certain: Vec<_> = found.iter().filter(|found| found.is_certain).map(|found| found.key).collect();
        let is_audio = |found: &Found<'_>| {
            found.is_certain || certain.is_empty() || found.key.is_none() || certain.contains(&found.key)
        };
        let (audio, others): (Vec<_>, Vec<_>) = found.into_iter().partition(is_audio);
        for other in others {
            let reason = if other.output.is_usable() { ExtraReason::NotAudio } else { ExtraReason::Unusable };
            extra.push(Extra::new(&masked(other.output.source.as_str()), other.key, reason));
        }
        let mut audio: Vec<Output> = audio.into_iter().map(|found| found.output).collect();
        // The song first, then what stands beside it.
        audio.sort_by_key(|output| output.part.is_some());
        Outputs { audio, extra }
    }
}

/// A length in seconds, a number or a text of one, in ms; a song of a thousand seconds would be one in ms.
fn millis(seconds: &Value) -> Option<u64> {
    let seconds = seconds.as_f64().or_else(|| seconds.as_str()?.trim().parse().ok())?;
    (seconds > 0.0 && seconds < 1000.0).then(|| (seconds * 1000.0).round() as u64)
}

/// Whether a text may be a list or an object in JSON.
fn is_json(text: &str) -> bool {
    let text = text.trim_start();
    text.len() <= TEXT_MAX && (text.starts_with('{') || text.starts_with('['))
}

/// Whether a text begins as an address does: `ftp://…`, `data:…`.
fn has_scheme(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let is_one = |scheme: &str| {
        !scheme.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    scheme.is_some_and(is_one) || text.starts_with("data:")
}

#[cfg(test)]
mod tests;
