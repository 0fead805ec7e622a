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

use names::{
    Kind, is_address_of_audio, is_repeated, is_stream, kind_of_key, kind_of_path, may_be_page, other_part,
    rank, split_ending,
};

/// The most outputs that are read as songs or parts of songs; what comes behind is listed as extra, then counted.
pub(crate) const MOST: usize = 200;
/// The longest text that is read as JSON.
const TEXT_MAX: usize = 1 << 20;
/// The longest address that is downloaded from, in bytes: jobs carry them, and servers refuse longer ones.
pub(crate) const ADDRESS_MAX: usize = 8 << 10;
/// How many characters of a title are kept.
const TITLE_CHARS: usize = 300;

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
    /// Whether it repeats what was requested.
    is_repeated: bool,
}

impl<'a> Reader<'a> {
    fn value(&mut self, value: &'a Value, place: &Place<'a>, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        match value {
            Value::String(text) => match json(text) {
                Some(value) => self.json(&value, place, depth),
                None => self.text(text, place, place.is_item),
            },
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
        let parts = object.keys().filter(|key| kind_of_key(key, Kind::Unknown).1.is_some()).count();
        let inner = |key: &'a str| {
            let is_repeated = place.is_repeated || is_repeated(key);
            let (kind, part) = match other_part(key).filter(|_| parts > 1) {
                Some(other) => (Kind::Audio, Some(other)),
                None => kind_of_key(key, place.kind),
            };
            let kind = if is_repeated { Kind::Other } else { kind };
            let (part, title, duration_ms) =
                (part.or(place.part), title.or(place.title), length.or(place.duration_ms));
            Place { key: Some(key), kind, part, title, duration_ms, is_item: false, is_repeated }
        };
        // What addresses one song, the best first. A list of several is a group.
        let is_one = |value: &Value| value.as_array().is_none_or(|items| items.len() < 2);
        let mut one: Vec<(usize, &'a String, &'a Value)> = object
            .iter()
            .filter_map(|(key, value)| Some((rank(key)?, key, value)).filter(|_| is_one(value)))
            .collect();
        one.sort_by_key(|(rank, ..)| *rank);
        let mut said = Vec::new();
        for (_, key, value) in one.iter().filter(|(.., value)| !is_empty(value)) {
            let begin = self.found.len();
            match value.as_str() {
                Some(text) if json(text).is_none() => self.text(text, &inner(key), true),
                _ => self.value(value, &inner(key), depth + 1),
            }
            said.push((key.as_str(), self.found.split_off(begin)));
        }
        let unusable = self.song(said);
        let begin = self.found.len();
        for (key, value) in object {
            if !one.iter().any(|(_, done, _)| *done == key) {
                self.value(value, &inner(key), depth + 1);
            }
        }
        if unusable.as_ref().is_some_and(Vec::is_empty) && place.is_item && self.found.len() == begin {
            // A song that is not there yet, beside others.
            if let Some((_, key, _)) = one.first() {
                self.empty(&inner(key));
            }
        } else if self.found.len() == begin {
            unusable.into_iter().flatten().for_each(|found| self.add(found));
        }
    }

    /// Takes the best of several ways to address one song, and lists the others. Without any that can be used it gives
    /// back the first that cannot.
    fn song(&mut self, said: Vec<(&'a str, Vec<Found<'a>>)>) -> Option<Vec<Found<'a>>> {
        let usable = |found: &Vec<Found<'_>>| found.iter().any(|found| found.output.is_usable());
        // Its name says that it is audio; a stream may be part of it, and other addresses may be of a page.
        let is_sure = |(key, found): &(&str, Vec<Found<'_>>)| {
            let has_ending = found
                .iter()
                .any(|found| kind_of_path(found.output.source.as_str(), Kind::Unknown) == Kind::Audio);
            let by_key = !may_be_page(key) && found.iter().any(|found| found.is_certain);
            usable(found) && !is_stream(key) && (has_ending || by_key)
        };
        let best = said.iter().position(is_sure).or_else(|| said.iter().position(|(_, found)| usable(found)));
        let Some(best) = best else {
            return Some(
                said.into_iter().map(|(_, found)| found).find(|found| !found.is_empty()).unwrap_or_default(),
            );
        };
        for (place, (_, found)) in said.into_iter().enumerate() {
            for found in found {
                if place == best || found.output.part.is_some() {
                    self.add(found);
                } else if found.output.is_usable() && !self.is_known(&found.output) {
                    let address = masked(found.output.source.as_str());
                    self.extra.push(Extra::new(&address, found.key, ExtraReason::Alternative));
                }
            }
        }
        None
    }

    /// JSON in a text: what is found in it stands under the text's own key.
    fn json(&mut self, value: &Value, place: &Place<'a>, depth: usize) {
        let mut inside = Reader { seconds_key: self.seconds_key, ..Reader::default() };
        inside.value(value, &Place { key: None, ..place.clone() }, depth + 1);
        let Reader { found, extra, .. } = inside;
        for Found { output, is_certain, .. } in found {
            self.add(Found { output, key: place.key, is_certain });
        }
        extra.files.into_iter().for_each(|extra| self.extra.push(extra));
        self.extra.more = self.extra.more.saturating_add(extra.more);
    }

    /// A text where an address was due, or some text; or several addresses in one text.
    fn text(&mut self, text: &str, place: &Place<'a>, was_due: bool) {
        for text in addresses(text) {
            let said = if text.starts_with("//") { format!("https:{text}") } else { text.to_owned() };
            match normalized(&said).filter(|url| url.len() <= ADDRESS_MAX) {
                Some(url) => self.address(url, place),
                None => self.no_address(text, place, was_due),
            }
        }
    }

    fn address(&mut self, url: String, place: &Place<'a>) {
        // Our own callback address is no output, whoever repeats it.
        if place.is_repeated || masked(&url) != url {
            return self.extra(&url, place, ExtraReason::NotAudio);
        }
        match kind_of_path(&url, place.kind) {
            Kind::Other => self.extra(&url, place, ExtraReason::NotAudio),
            kind => self.push(Output::at(url), place, kind == Kind::Audio),
        }
    }

    fn no_address(&mut self, text: &str, place: &Place<'a>, was_due: bool) {
        if !place.kind.may_be_audio() {
            return;
        }
        let is_named = kind_of_path(text, Kind::Unknown) == Kind::Audio;
        let is_audio_key = place.key.is_some_and(is_address_of_audio);
        let is_one_word = !text.contains(char::is_whitespace);
        let is_song = match has_scheme(text) {
            true => is_named || is_audio_key || place.key.is_none(),
            false => is_named && is_audio_key && is_one_word,
        };
        if was_due || is_song {
            self.push(Output::unusable(&shown(text)), place, false);
        } else if has_scheme(text) && is_one_word {
            self.extra(text, place, ExtraReason::NotAudio);
        }
    }

    /// Nothing, where an output was due.
    fn empty(&mut self, place: &Place<'a>) {
        if place.kind.may_be_audio() {
            self.push(Output::unusable(""), place, false);
        }
    }

    fn push(&mut self, output: Output, place: &Place<'a>, is_certain: bool) {
        let title = place.title.map(|title| title.chars().take(TITLE_CHARS).collect());
        let part = place.part.map(str::to_owned);
        let output = Output { part, title, duration_ms: place.duration_ms, ..output };
        self.add(Found { output, key: place.key, is_certain });
    }

    fn add(&mut self, found: Found<'a>) {
        if self.found.len() >= MOST {
            let address = masked(found.output.source.as_str());
            self.extra.push(Extra::new(&address, found.key, ExtraReason::NotRequested));
        } else if !self.is_known(&found.output) {
            self.found.push(found);
        }
    }

    fn is_known(&self, output: &Output) -> bool {
        output.is_usable() && self.found.iter().any(|known| known.output.source == output.source)
    }

    fn extra(&mut self, text: &str, place: &Place<'a>, reason: ExtraReason) {
        self.extra.push(Extra::new(&shown(text), place.key, reason));
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
        let mut audio = without_twins(audio, &mut extra);
        // The song first, then what stands beside it.
        audio.sort_by_key(|output| output.part.is_some());
        Outputs { audio, extra }
    }
}

/// The beginning of a text, as it is listed.
pub(crate) fn shown(text: &str) -> String {
    let mut end = text.len().min(ADDRESS_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    masked(&text[..end])
}

/// A length in seconds, a number or a text of one, in ms; a song of a thousand seconds would be one in ms.
fn millis(seconds: &Value) -> Option<u64> {
    let seconds = seconds.as_f64().or_else(|| seconds.as_str()?.trim().parse().ok())?;
    (seconds > 0.0 && seconds < 1000.0).then(|| (seconds * 1000.0).round() as u64)
}

/// Leaves out what is another form of a song that is there: `song.wav` beside `song.mp3`.
fn without_twins(found: Vec<Found<'_>>, extra: &mut Extras) -> Vec<Output> {
    let mut audio: Vec<Output> = Vec::with_capacity(found.len());
    for Found { output, key, .. } in found {
        let address = output.source.as_str();
        let is_twin = |other: &Output| {
            let of = |text| split_ending(text).filter(|_| kind_of_path(text, Kind::Unknown) == Kind::Audio);
            let (Some((name, ending)), Some((own, form))) = (of(other.source.as_str()), of(address)) else {
                return false;
            };
            let is_alike = other.part == output.part && other.title == output.title;
            name == own && !ending.eq_ignore_ascii_case(form) && is_alike
        };
        if output.is_usable() && audio.iter().any(is_twin) {
            extra.push(Extra::new(&masked(address), key, ExtraReason::Alternative));
        } else {
            audio.push(output);
        }
    }
    audio
}

/// A text as JSON, where it is a list, an object or a text in JSON.
pub(crate) fn json(text: &str) -> Option<Value> {
    let text = text.trim();
    let may_be = text.len() <= TEXT_MAX && text.starts_with(['{', '[', '"']);
    may_be.then(|| serde_json::from_str(text).ok()).flatten()
}

/// The addresses in a text of nothing but addresses, parted by blanks or commas; or the text as it is.
fn addresses(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim();
    let begins = |at: usize| {
        let rest = &text[at..];
        let is_parted = text[..at].ends_with(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|'));
        is_parted && (rest.starts_with("https://") || rest.starts_with("http://"))
    };
    let is_first = text.starts_with("http");
    let mut cuts: Vec<usize> =
        text.match_indices("http").map(|(at, _)| at).filter(|at| is_first && begins(*at)).collect();
    cuts.insert(0, 0);
    let ends: Vec<usize> = cuts.iter().skip(1).copied().chain([text.len()]).collect();
    cuts.into_iter().zip(ends).map(move |(from, to)| {
        let parted = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|');
        if to < text.len() { text[from..to].trim_end_matches(parted) } else { &text[from..to] }
    })
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
