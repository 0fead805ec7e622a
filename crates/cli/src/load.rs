//! Reading settings: defaults < `REDIS_URL` < file < environment < flags. Everything that is wrong is found at once.

mod callback_key;
mod check;
mod layers;
mod problem;
mod secrets;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use figment::Figment;
use figment::error::Kind;
use figment::value::{Dict, Value};
use songmill_vendors::Vendors;

use crate::args::Global;
use crate::config::Config;
use crate::exit::usage;
use crate::load::layers::Layers;
use crate::load::problem::Origin;
pub(crate) use crate::load::problem::{Problem, said};

/// What the vendors' own tools call their keys; each with `_FILE` behind it names a file.
const VENDOR_KEYS: [(&str, &str); 5] = [
    ("REPLICATE_API_TOKEN", "vendors.replicate.token"),
    ("INFERENCE_API_KEY", "vendors.inference_sh.key"),
    ("SENSEAUDIO_API_KEY", "vendors.senseaudio.key"),
    ("TENCENT_SECRET_ID", "vendors.tencent.secret_id"),
    ("TENCENT_SECRET_KEY", "vendors.tencent.secret_key"),
];
/// What begins the name of a variable for a setting.
const PREFIX: &str = "SONGMILL_";
/// Variables that begin so and are no settings.
const NO_SETTINGS: [&str; 5] = ["CONFIG", "BIN", "SERVER", "KEY", "REDIS_URL"];
/// The most problems that are looked for.
const PROBLEMS: usize = 200;
/// The most problems that a command names.
const NAMED: usize = 5;

/// The settings in force, as far as they are right, and everything that is wrong with them.
pub(crate) struct Loaded {
    /// With defaults for what is wrong.
    pub(crate) config: Config,
    /// In the order of the settings' names.
    pub(crate) problems: Vec<Problem>,
}

impl Config {
    /// Reads the settings in force; they are right.
    pub(crate) fn load(global: &Global) -> Result<Self> {
        right(read(global)?)
    }

    /// Settings made of these alone, whatever stands in files, environment and flags.
    pub(crate) fn isolated(settings: Figment) -> Result<Self> {
        let mut layers = defaults();
        let origin = Origin::Flag("settings".to_owned());
        for (name, value) in
            settings.extract::<Dict>().map_err(|error| usage(format!("settings: {}", said(&error))))?
        {
            layers.set(&name, value, &origin);
        }
        right(extract(layers, Vec::new()))
    }
}

fn right(loaded: Loaded) -> Result<Config> {
    let Loaded { config, problems } = loaded;
    if problems.is_empty() {
        return Ok(config);
    }
    let mut named: Vec<_> = problems.iter().take(NAMED).map(ToString::to_string).collect();
    if problems.len() > NAMED {
        let others = problems.len() - NAMED;
        named.push(format!("and {others} more; `songmill config check` names all"));
    }
    Err(usage(format!("settings: {}", named.join("; "))))
}

/// Reads the settings in force, and says what is wrong with them.
pub(crate) fn read(global: &Global) -> Result<Loaded> {
    let mut layers = defaults();
    let mut problems = Vec::new();
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
    let alias = |layers: &mut Layers, name: &str, path: &str| {
        if let Some(text) = variable(name) {
            layers.set(path, Value::from(text.trim()), &Origin::Env(name.to_owned(), text.clone()));
        }
    };
    alias(&mut layers, "REDIS_URL", "redis.url");
    if let Some(file) = file(global)? {
        let text = std::fs::read_to_string(&file).map_err(|error| crate::exit::unreadable(&file, &error))?;
        problems.extend(layers.file(&file, &text));
    }
    for (name, path) in VENDOR_KEYS {
        alias(&mut layers, name, path);
        alias(&mut layers, &format!("{name}_FILE"), &format!("{path}_file"));
    }
    alias(&mut layers, "SONGMILL_REDIS_URL", "redis.url");
    for (name, text) in std::env::vars_os() {
        let (Ok(name), Ok(text)) = (name.into_string(), text.into_string()) else { continue };
        let Some(setting) = name.strip_prefix(PREFIX).filter(|setting| !NO_SETTINGS.contains(setting)) else {
            continue;
        };
        let path = setting.to_ascii_lowercase().replace("__", ".");
        let value = text.parse::<Value>().unwrap_or_else(|_| Value::from(text.as_str()));
        layers.set(&path, value, &Origin::Env(name, text));
    }
    for setting in &global.set {
        let (path, value) = crate::config::assignment(setting)?;
        layers.set(&path, value, &Origin::Flag(format!("--set {path}")));
    }
    let mut flag = |path: &str, name: &str, text: Option<String>| {
        if let Some(text) = text {
            layers.set(path, Value::from(text), &Origin::Flag(name.to_owned()));
        }
    };
    flag("redis.url", "--redis-url", global.redis_url.clone());
    flag("data_dir", "--data-dir", global.data_dir.as_ref().map(|folder| folder.display().to_string()));
    Ok(extract(layers, problems))
}

/// What is not set for a vendor's policy is the vendor's own default.
fn defaults() -> Layers {
    let mut layers = Layers::default();
    for card in Vendors::catalogue().cards() {
        if let Ok(policy) = Value::serialize(&card.policy) {
            layers.set_default(&format!("policy.vendors.{}", card.name), policy);
        }
    }
    layers
}

fn file(global: &Global) -> Result<Option<PathBuf>> {
    match &global.config {
        Some(file) if !file.is_file() => Err(usage(format!("--config: {} is no file", file.display()))),
        Some(file) => Ok(Some(file.clone())),
        None => Ok(Some(PathBuf::from("songmill.toml")).filter(|file| file.is_file())),
    }
}

/// Reads what is set. What is wrong is taken out and named, until the rest is right.
fn extract(mut layers: Layers, mut problems: Vec<Problem>) -> Loaded {
    problems.extend(secrets::read_files(&mut layers));
    let (mut config, mut broken) = (None, BTreeSet::new());
    while config.is_none() && problems.len() < PROBLEMS {
        match layers.value().deserialize::<Config>() {
            Ok(read) => config = Some(read),
            Err(error) => match taken_out(&mut layers, &mut broken, &error) {
                Some(problem) => problems.extend(problem),
                None => {
                    let path = error.path.join(".");
                    let message = problem::message(&error.kind, false);
                    problems.push(Problem { origin: layers.origin(&path).cloned(), path, message });
                    break;
                }
            },
        }
    }
    let config = config.unwrap_or_default();
    for (path, message) in check::check(&config) {
        let origin = layers.origin(&path).cloned();
        problems.push(Problem { origin, path: layers.original(&path), message });
    }
    problems.sort_by(|one, other| one.path.cmp(&other.path));
    Loaded { config, problems }
}

/// Takes out what an error is about. Nothing where nothing could be; no problem where it is right after all, or known.
fn taken_out(
    layers: &mut Layers,
    broken: &mut BTreeSet<String>,
    error: &figment::Error,
) -> Option<Option<Problem>> {
    let parent = error.path.join(".");
    let path = match &error.kind {
        Kind::UnknownField(name, _) if parent.is_empty() => name.clone(),
        Kind::UnknownField(name, _) if error.path.last() != Some(name) => format!("{parent}.{name}"),
        _ => parent,
    };
    let (origin, original) = (layers.origin(&path).cloned(), layers.original(&path));
    let message = problem::message(&error.kind, !secrets::is_near_secret(&path));
    let value = layers.remove(&path)?;
    let within = original.rsplit_once('.').map_or("", |(within, _)| within).to_owned();
    match (&error.kind, &origin) {
        // A text that looks like a number, such as a key of digits.
        (Kind::InvalidType(_, expected), Some(Origin::Env(_, text)))
            if expected.contains("string") && !matches!(value, Value::String(..)) =>
        {
            let (text, origin) = (Value::from(text.as_str()), origin.clone()?);
            layers.set(&path, text, &origin);
            return Some(None);
        }
        // It is lacking because it was wrong.
        (Kind::MissingField(_), _) if broken.contains(&original) => {
            broken.insert(within);
            return Some(None);
        }
        (Kind::UnknownField(..), _) => {}
        _ => {
            broken.insert(within);
        }
    }
    Some(Some(Problem { origin, path: original, message }))
}

#[cfg(test)]
mod tests;
