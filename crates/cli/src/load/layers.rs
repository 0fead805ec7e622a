//! Settings before they are read: what stands in the file, the environment and flags, one over the other, each with its
//! place.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Num, Tag, Value};
use toml::de::{DeTable, DeValue};

use crate::load::problem::{Origin, Problem};

/// All settings that are set, and where.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    root: Dict,
    /// By path, of all that stands in between, too.
    origins: BTreeMap<String, Origin>,
    /// Which places of lists were taken out, by the list.
    removed: BTreeMap<String, Vec<usize>>,
}

impl Layers {
    /// What was set, as one value.
    pub(crate) fn value(&self) -> Value {
        Value::Dict(Tag::Default, self.root.clone())
    }

    /// Where a setting was set, or what it stands in.
    pub(crate) fn origin(&self, path: &str) -> Option<&Origin> {
        let path = self.original(path);
        let mut path = path.as_str();
        loop {
            if let Some(origin) = self.origins.get(path) {
                return Some(origin);
            }
            path = path.rsplit_once('.')?.0;
        }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        let mut parts = path.split('.');
        let mut value = self.root.get(parts.next()?)?;
        for part in parts {
            value = match value {
                Value::Dict(_, dict) => dict.get(part)?,
                Value::Array(_, items) => items.get(part.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// The path of a setting before anything was taken out of the lists that it stands in.
    pub(crate) fn original(&self, path: &str) -> String {
        let mut original = String::new();
        for part in path.split('.') {
            let place = part.parse::<usize>().ok().zip(self.removed.get(&original));
            let part = place.map_or_else(
                || part.to_owned(),
                |(place, removed)| {
                    removed
                        .iter()
                        .fold(place, |place, removed| place + usize::from(*removed <= place))
                        .to_string()
                },
            );
            original = if original.is_empty() { part } else { format!("{original}.{part}") };
        }
        original
    }

    /// Takes a setting out, if it is there.
    pub(crate) fn remove(&mut self, path: &str) -> Option<Value> {
        let Some((parent, name)) = path.rsplit_once('.') else { return self.root.remove(path) };
        let original = self.original(path);
        match self.get_mut(parent)? {
            Value::Dict(_, dict) => dict.remove(name),
            Value::Array(_, items) => {
                let at = name.parse::<usize>().ok().filter(|at| *at < items.len())?;
                let item = items.remove(at);
                let (list, place) = original.rsplit_once('.')?;
                let removed = self.removed.entry(list.to_owned()).or_default();
                removed.extend(place.parse::<usize>());
                removed.sort_unstable();
                Some(item)
            }
            _ => None,
        }
    }

    fn get_mut(&mut self, path: &str) -> Option<&mut Value> {
        let mut parts = path.split('.');
        let mut value = self.root.get_mut(parts.next()?)?;
        for part in parts {
            value = match value {
                Value::Dict(_, dict) => dict.get_mut(part)?,
                Value::Array(_, items) => items.get_mut(part.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// Sets something over whatever stands there; tables are merged.
    pub(crate) fn set(&mut self, path: &str, value: Value, origin: &Origin) {
        self.origins.retain(|known, _| known != path && !is_within(known, path));
        place(&mut self.root, path, value);
        self.origins.insert(path.to_owned(), origin.clone());
    }

    /// Sets what nobody sets: what is below everything.
    pub(crate) fn set_default(&mut self, path: &str, value: Value) {
        place(&mut self.root, path, value);
    }

    /// Reads a TOML file; its mistakes of form are problems.
    pub(crate) fn file(&mut self, file: &Path, text: &str) -> Vec<Problem> {
        let line = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
        let (table, errors) = DeTable::parse_recoverable(text);
        let problems = errors.iter().map(|error| {
            let origin = error.span().map(|span| Origin::File(file.to_owned(), line(span.start)));
            let message = format!("is not written as TOML has it: {}", error.message().replace('\n', ", "));
            Problem { origin, path: String::new(), message }
        });
        let problems = problems.collect();
        let mut reader = FileReader { layers: self, file, line: &line };
        for (name, value) in table.get_ref() {
            reader.read(name.get_ref(), name.span().start, value.get_ref());
        }
        problems
    }
}

fn is_within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'))
}

/// Puts a value where its path says; tables are merged.
fn place(dict: &mut Dict, path: &str, value: Value) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let table = || Value::Dict(Tag::Default, Dict::new());
    match rest {
        Some(rest) => place_in(dict.entry(name.to_owned()).or_insert_with(table), rest, value),
        None => match (dict.get_mut(name), value) {
            (Some(Value::Dict(_, known)), Value::Dict(_, new)) => {
                for (name, value) in new {
                    place(known, &name, value);
                }
            }
            (_, value) => {
                dict.insert(name.to_owned(), value);
            }
        },
    }
}

fn place_in(within: &mut Value, path: &str, value: Value) {
    let (place_of, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let at = place_of.parse::<usize>().ok();
    match within {
        Value::Dict(_, dict) => place(dict, path, value),
        Value::Array(_, items) if at.is_some_and(|at| at < items.len()) => {
            let item = &mut items[at.unwrap_or_default()];
            match rest {
                Some(rest) => place_in(item, rest, value),
                None => *item = value,
            }
        }
        // What is over it takes its place.
        _ => {
            let mut dict = Dict::new();
            place(&mut dict, path, value);
            *within = Value::Dict(Tag::Default, dict);
        }
    }
}

struct FileReader<'a> {
    layers: &'a mut Layers,
    file: &'a Path,
    line: &'a dyn Fn(usize) -> usize,
}

impl FileReader<'_> {
    fn read(&mut self, path: &str, at: usize, value: &DeValue<'_>) {
        let origin = Origin::File(self.file.to_owned(), (self.line)(at));
        match value {
            DeValue::Table(table) => {
                self.layers.set(path, Value::Dict(Tag::Default, Dict::new()), &origin);
                for (name, value) in table {
                    self.read(&format!("{path}.{}", name.get_ref()), name.span().start, value.get_ref());
                }
            }
            value => {
                self.layers.set(path, plain(value), &origin);
                self.lines(path, value);
            }
        }
    }

    /// The places of what stands in a list.
    fn lines(&mut self, path: &str, value: &DeValue<'_>) {
        let mut note = |path: String, at: usize, value: &DeValue<'_>| {
            let origin = Origin::File(self.file.to_owned(), (self.line)(at));
            self.layers.origins.insert(path.clone(), origin);
            self.lines(&path, value);
        };
        match value {
            DeValue::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    note(format!("{path}.{n}"), item.span().start, item.get_ref());
                }
            }
            DeValue::Table(table) => {
                for (name, value) in table {
                    note(format!("{path}.{}", name.get_ref()), name.span().start, value.get_ref());
                }
            }
            _ => {}
        }
    }
}

fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Num(Tag::Default, Num::I64(number)),
            Err(_) => Value::from(number.as_str()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Num(Tag::Default, Num::F64(number)),
            Err(_) => Value::from(number.as_str()),
        },
        DeValue::Boolean(is) => Value::from(*is),
        DeValue::Datetime(moment) => Value::from(moment.to_string()),
        DeValue::Array(items) => {
            Value::Array(Tag::Default, items.iter().map(|item| plain(item.get_ref())).collect())
        }
        DeValue::Table(table) => {
            let fields =
                table.iter().map(|(name, value)| (name.get_ref().to_string(), plain(value.get_ref())));
            Value::Dict(Tag::Default, fields.collect())
        }
    }
}
