//! Secrets: which settings are, how they are read from files instead, and which of them a role has.

use std::path::{Path, PathBuf};

use figment::value::{Dict, Tag, Value};
use songmill_worker_deliver::is_storage_option;

use crate::load::layers::Layers;
use crate::load::problem::{Origin, Problem};

/// The settings that are secrets; `*` stands for any name or place in a list. Each may be set as NAME_file instead.
pub(crate) const SECRETS: [&str; 17] = [
    "redis.url",
    "redis.password",
    "callbacks.keys.*.secret",
    "vendors.tencent.secret_id",
    "vendors.tencent.secret_key",
    "vendors.tencent.gateway_id",
    "vendors.tencent.gateway_key",
    "vendors.inference_sh.key",
    "vendors.replicate.token",
    WEBHOOK_SECRETS,
    "vendors.senseaudio.key",
    "egress.proxy",
    "webhooks.secret_key",
    OLD_SECRET_KEYS,
    "deliver.objects.*.access_key_id",
    "deliver.objects.*.secret_access_key",
    // Those whose names say so.
    STORAGE_OPTIONS,
];
/// A list: its file has one on each line.
const WEBHOOK_SECRETS: &str = "vendors.replicate.webhook_secrets";
/// Another one.
const OLD_SECRET_KEYS: &str = "webhooks.old_secret_keys";
const STORAGE_OPTIONS: &str = "deliver.storage_options.*";
/// What a bucket's option is named by where it is secret, and no file itself.
const IN_OPTIONS: [&str; 4] = ["secret", "token", "key", "password"];
/// The largest file that is read as a secret.
const LARGEST: u64 = 64 << 10;

/// Whether a setting is not to be shown.
pub(crate) fn is_secret(path: &str) -> bool {
    SECRETS.iter().any(|pattern| {
        let parts: Vec<_> = path.split('.').collect();
        let wanted: Vec<_> = pattern.split('.').collect();
        // What stands within a secret is one.
        let fits = parts.len() >= wanted.len()
            && wanted.iter().zip(&parts).all(|(wanted, part)| *wanted == "*" || wanted == part);
        let last = parts[wanted.len().min(parts.len()) - 1].to_ascii_lowercase();
        fits && (*pattern != STORAGE_OPTIONS || IN_OPTIONS.iter().any(|word| last.contains(word)))
    })
}

/// Whether a setting is a secret, or the table or list that holds one: what was written there instead may be it.
pub(crate) fn is_near_secret(path: &str) -> bool {
    let holds = |pattern: &&str| {
        let mut wanted = pattern.split('.');
        path.split('.').all(|part| wanted.next().is_some_and(|wanted| wanted == "*" || wanted == part))
    };
    is_secret(path) || SECRETS.iter().any(holds)
}

/// Puts what stands in files in the place of the settings that name them.
pub(crate) fn read_files(layers: &mut Layers) -> Vec<Problem> {
    let mut named = Vec::new();
    if let Value::Dict(_, root) = layers.value() {
        find(&root, "", &mut named);
    }
    let mut problems = Vec::new();
    for path in named {
        let secret = path.strip_suffix("_file").unwrap_or(&path).to_owned();
        let origin = layers.origin(&path).cloned();
        let value = layers.remove(&path);
        let file = match value.as_ref().and_then(Value::as_str) {
            Some("") => continue,
            Some(file) => PathBuf::from(file),
            None => {
                problems.push(Problem { origin, path, message: "is no path of a file".to_owned() });
                continue;
            }
        };
        if layers.get(&secret).is_some_and(is_set) {
            let (rank, other) = (layer(origin.as_ref()), layer(layers.origin(&secret)));
            if rank < other {
                continue;
            }
            if rank > other {
                layers.remove(&secret);
            }
        }
        if layers.get(&secret).is_some_and(is_set) {
            let other = layers.origin(&secret).map_or_else(String::new, |origin| format!(" ({origin})"));
            let message = format!("and {secret}{other} are both set: remove one of them");
            problems.push(Problem { origin, path, message });
            continue;
        }
        match read(&file) {
            Ok(text) => {
                let value = match secret.as_str() {
                    WEBHOOK_SECRETS | OLD_SECRET_KEYS => {
                        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                        Value::Array(Tag::Default, lines.map(Value::from).collect())
                    }
                    _ => Value::from(text.as_str()),
                };
                match &origin {
                    Some(origin) => layers.set(&secret, value, origin),
                    None => layers.set_default(&secret, value),
                }
            }
            Err(message) => problems.push(Problem { origin, path, message }),
        }
    }
    problems
}

/// Which layer something was set in; a higher one counts.
fn layer(origin: Option<&Origin>) -> u8 {
    match origin {
        None => 0,
        Some(Origin::Env(name, _)) if name == "REDIS_URL" => 1,
        Some(Origin::File(..)) => 2,
        Some(Origin::Env(..)) => 3,
        Some(Origin::Flag(_)) => 4,
    }
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::String(_, text) => !text.is_empty(),
        Value::Array(_, items) => !items.is_empty(),
        _ => true,
    }
}

/// The settings that name a secret's file.
fn find(dict: &Dict, within: &str, found: &mut Vec<String>) {
    for (name, value) in dict {
        let path = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
        match value {
            Value::Dict(_, dict) => find(dict, &path, found),
            Value::Array(_, items) => {
                for (n, item) in items.iter().enumerate() {
                    if let Value::Dict(_, dict) = item {
                        find(dict, &format!("{path}.{n}"), found);
                    }
                }
            }
            // Some options of buckets name a file themselves.
            _ if within == "deliver.storage_options" && is_storage_option(name) => {}
            _ if path.strip_suffix("_file").is_some_and(is_secret) => found.push(path),
            _ => {}
        }
    }
}

/// Reads a secret without the line's end behind it.
fn read(file: &Path) -> Result<String, String> {
    let cannot = |error: &dyn std::fmt::Display| {
        let error = error.to_string();
        let error = error.split(" (os error").next().unwrap_or_default().to_owned();
        format!("names {}, which cannot be read: {error}", file.display())
    };
    let known = std::fs::metadata(file).map_err(|error| cannot(&error))?;
    if known.len() > LARGEST {
        return Err(format!(
            "names {}, which has {} bytes: a secret is shorter",
            file.display(),
            known.len()
        ));
    }
    let text = std::fs::read_to_string(file).map_err(|error| cannot(&error))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("names {}, which is empty", file.display())),
        text => Ok(text.to_owned()),
    }
}
