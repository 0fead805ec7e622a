//! What must hold of settings beyond their types: ranges, addresses, names, and what depends on each other.

use serde_json::Value;
use songmill_core::time::Span;
use songmill_vendors::Vendors;
use songmill_worker_deliver::Library;

use crate::config::Config;
use crate::load::{callback_key, problem};

/// The least and the most that a setting may be, by its name, in seconds where it is a length of time.
const RANGES: &[(&str, f64, f64)] = &[
    ("abandon_after", 1.0, YEAR),
    ("age", 0.0, 10.0 * YEAR),
    ("attempts", 1.0, 1000.0),
    ("backoff", 0.001, DAY),
    ("backoff_most", 0.001, 7.0 * DAY),
    ("batch", 0.0, 1e9),
    ("body_bytes", 1.0, GIB),
    ("body_timeout", 0.01, HOUR),
    ("breaker", 0.0, 1e6),
    ("breaker_most", 0.001, 7.0 * DAY),
    ("breaker_wait", 0.001, 7.0 * DAY),
    ("bytes", 0.0, 1e18),
    ("claims", 1.0, 1000.0),
    ("clipped_most", 0.0, 1.0),
    ("collect_backoff", 0.001, DAY),
    ("collect_patience", 0.0, YEAR),
    ("collect_rounds", 0.0, 1e6),
    ("collect_tries", 1.0, 1e6),
    ("concurrency", 1.0, 1e5),
    ("connect_timeout", 0.01, HOUR),
    ("creates_burst", 0.0, 1e6),
    ("creates_per_minute", 0.0, 1e6),
    ("damaged_most", 0.0, 1.0),
    ("day", 0.0, 1e9),
    ("deadline", 1.0, YEAR),
    ("download_grace", 0.0, DAY),
    ("downloads", 1.0, 1e6),
    ("drain", 0.0, HOUR),
    ("each", 1.0, 1e4),
    ("endpoints", 1.0, 1e4),
    ("events", 1.0, 1e8),
    ("events_age", 0.0, YEAR),
    ("exports", 1.0, 1e6),
    ("give_up", 1.0, YEAR),
    ("header_bytes", 1024.0, 1048576.0),
    ("header_timeout", 0.01, HOUR),
    ("hour", 0.0, 1e6),
    ("idempotency", 1.0, YEAR),
    ("idle_timeout", 0.01, DAY),
    ("in_flight", 0.0, 1e6),
    ("inline_audio_most", 0.0, GIB),
    ("jobs", 0.0, 1e9),
    ("jobs_per_day", 0.0, 1e9),
    ("lease", 1.0, DAY),
    ("locked_wait", 0.001, 7.0 * DAY),
    ("longest", 0.01, 1e6),
    ("longest_s", 1.0, 86400.0),
    ("look_every", 0.001, DAY),
    ("looks", 1.0, 1000.0),
    ("loudness", -70.0, 0.0),
    ("max_bytes", 1.0, 1e12),
    ("max_buffered_bytes", 1024.0, 1e12),
    ("max_connections", 1.0, 1e6),
    ("max_connections_per_peer", 0.0, 1e6),
    ("max_header_bytes", 8192.0, 1048576.0),
    ("max_named_wait", 0.001, 7.0 * DAY),
    ("max_remakes", 0.0, 100.0),
    ("max_requests", 1.0, 1e6),
    ("min_duration", 0.0, HOUR),
    ("open_jobs", 0.0, 1e9),
    ("output_grace", 0.0, DAY),
    ("patience", 1.0, YEAR),
    ("poll_every", 0.001, DAY),
    ("poll_first", 0.0, DAY),
    ("poll_most", 0.001, DAY),
    ("reads_burst", 0.0, 1e6),
    ("reads_per_minute", 0.0, 1e6),
    ("redirects", 0.0, 20.0),
    ("reply_bytes", 1024.0, GIB),
    ("reply_timeout", 0.01, HOUR),
    ("request_timeout", 0.01, HOUR),
    ("requests_per_minute", 0.0, 1e7),
    ("settle", 0.0, DAY),
    ("shortest", 0.0, 10.0),
    ("silent_most", 0.0, 1.0),
    ("slowest", 0.0, GIB),
    ("streams", 1.0, 1e6),
    ("strikes", 1.0, 1e6),
    ("tenant_day", 0.0, 1e9),
    ("text_max", 1.0, 1e6),
    ("throttled_wait", 0.001, 7.0 * DAY),
    ("timeout", 0.01, DAY),
    ("upload_silence", 0.01, DAY),
    ("upload_time", 0.01, 30.0 * DAY),
    ("uploads", 1.0, 1e6),
    ("write_timeout", 0.01, HOUR),
];
const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;
const YEAR: f64 = 366.0 * DAY;
const GIB: f64 = (1_u64 << 32) as f64;

/// A setting, and what is wrong with it.
type Wrong = (String, String);

/// Everything that is wrong with settings whose types are right.
pub(crate) fn check(config: &Config) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    ranges("", &serde_json::to_value(config).unwrap_or_default(), &mut wrong);
    vendors(config, &mut wrong);
    addresses(config, &mut wrong);
    for (n, key) in config.callbacks.keys.iter().enumerate() {
        let path = |name| format!("callbacks.keys.{n}.{name}");
        if let Some(problem) = callback_key::problem(key.secret.expose()) {
            wrong.push((path("secret"), problem));
        } else if let Err(error) =
            songmill_core::callback::CallbackKey::new(&key.id, key.secret.expose().as_bytes())
        {
            wrong.push((path("id"), format!("is {:?}: {error}", key.id)));
        }
    }
    if let Some(problem) = config.money.problem() {
        wrong.push(("money".to_owned(), format!("is not usable: {problem}")));
    }
    if tracing_subscriber::EnvFilter::try_new(&config.log.level).is_err() {
        let message = format!(
            "is {:?}: write error, warn, info, debug, trace, or directives such as info,songmill_store=debug",
            config.log.level
        );
        wrong.push(("log.level".to_owned(), message));
    }
    wrong.extend(crate::schedule::problems(&config.schedule));
    if let Err(problem) = config.secret_keys() {
        wrong.push(problem);
    }
    // Opening it asks nothing of it.
    if let Err(error) = Library::open(&config.deliver) {
        let text = error.to_string();
        let named = text.split_once(' ').filter(|(path, _)| path.starts_with("deliver."));
        let (path, message) = named.unwrap_or(("deliver.storage", &text));
        wrong.push((path.trim_end_matches(':').to_owned(), message.to_owned()));
    }
    leases(config, &mut wrong);
    wrong
}

/// Numbers and lengths of time.
fn ranges(path: &str, value: &Value, wrong: &mut Vec<Wrong>) {
    let name = path.rsplit('.').next().unwrap_or_default();
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                ranges(&path, value, wrong);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| ranges(&format!("{path}.{n}"), item, wrong));
        }
        Value::Number(number) => {
            let Some((_, least, most)) = range(name) else { return };
            let number = number.as_f64().unwrap_or(f64::NAN);
            // What prices are has a check of its own.
            if !(*least..=*most).contains(&number) && !path.starts_with("money.") {
                wrong.push((path.to_owned(), format!("is {number}: write a number from {least} to {most}")));
            }
        }
        Value::String(text) => {
            let (Some((_, least, most)), Ok(span)) = (range(name), text.parse::<Span>()) else { return };
            if !(*least..=*most).contains(&span.get().as_secs_f64()) {
                let span_of = |secs: f64| Span::millis((secs * 1000.0) as u64);
                let message = format!(
                    "is {span}: write a length of time from {} to {}",
                    span_of(*least),
                    span_of(*most)
                );
                wrong.push((path.to_owned(), message));
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn range(name: &str) -> Option<&'static (&'static str, f64, f64)> {
    RANGES.iter().find(|(known, ..)| *known == name)
}

/// Names of vendors that there are none of.
fn vendors(config: &Config, wrong: &mut Vec<Wrong>) {
    let catalogue = Vendors::catalogue();
    let known: Vec<_> = catalogue.names().map(|name| name.as_str()).collect();
    let prices = config.money.prices.keys().map(|name| ("money.prices", name));
    let policies = config.policy.vendors.keys().map(|name| ("policy.vendors", name));
    for (within, name) in prices.chain(policies) {
        if !known.contains(&name.as_str()) {
            wrong.push((format!("{within}.{name}"), problem::unknown(name.as_str(), &known, "vendor")));
        }
    }
}

/// Addresses that nothing can be reached by.
fn addresses(config: &Config, wrong: &mut Vec<Wrong>) {
    let public = config.public_url.trim();
    if !public.is_empty() && public.parse::<songmill_vendors::BaseUrl>().is_err() {
        let message = format!("is {public:?}: write an address, such as https://songs.example.com");
        wrong.push(("public_url".to_owned(), message));
    }
    for (n, origin) in config.api.cors_origins.iter().enumerate() {
        let is_origin = origin.parse::<axum::http::Uri>().is_ok_and(|parsed| {
            parsed.authority().is_some_and(|host| {
                parsed.scheme_str().map(|scheme| format!("{scheme}://{host}")).as_ref() == Some(origin)
            })
        });
        if !is_origin && origin != "*" {
            let message = format!("is {origin:?}: write scheme and host, such as https://studio.example.com");
            wrong.push((format!("api.cors_origins.{n}"), message));
        }
    }
    let url = &config.redis.url;
    if !url.is_empty() && !songmill_store::is_redis_url(url) {
        wrong.push((
            "redis.url".to_owned(),
            "is no address of a Redis: write redis://host:6379/0, rediss://… or unix:/path".to_owned(),
        ));
    }
    if config.redis.namespace.is_empty()
        || config.redis.namespace.contains(['{', '}', ' ', '*', '?', '[', '\n'])
    {
        wrong
            .push(("redis.namespace".to_owned(), "is not usable: write letters, digits, - and _".to_owned()));
    }
}

/// What a lease must outlast.
fn leases(config: &Config, wrong: &mut Vec<Wrong>) {
    let settings = &config.generate;
    let (lease, timeout) = (settings.submit.lease, settings.http.request_timeout);
    if lease.get() < timeout.get() + std::time::Duration::from_secs(5) {
        let message = format!(
            "is {lease}, but a request may take {timeout} (generate.http.request_timeout): make it at least 5 s longer"
        );
        wrong.push(("generate.submit.lease".to_owned(), message));
    }
    let least = lease.get() + timeout.get();
    for (name, policy) in &config.policy.vendors {
        if policy.look_up && policy.settle.get() < least {
            let least = Span::millis(u64::try_from(least.as_millis()).unwrap_or(u64::MAX));
            let message = format!(
                "is {}, which is shorter than generate.submit.lease and generate.http.request_timeout together ({least})",
                policy.settle
            );
            wrong.push((format!("policy.vendors.{name}.settle"), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use figment::Figment;

    use super::*;

    fn numbers(path: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| numbers(&format!("{path}.{name}"), value, found))
            }
            Value::Number(_) => found.push(path.to_owned()),
            Value::String(text) if text.parse::<Span>().is_ok() => found.push(path.to_owned()),
            _ => {}
        }
    }

    #[test]
    fn every_number_and_length_of_time_has_a_range_and_the_defaults_are_within() {
        let config = Config::isolated(Figment::new()).unwrap();
        let mut found = Vec::new();
        numbers("", &serde_json::to_value(&config).unwrap(), &mut found);
        assert!(found.len() > 100, "{found:?}");
        let without: Vec<_> =
            found.iter().filter(|path| range(path.rsplit('.').next().unwrap()).is_none()).collect();
        assert!(without.is_empty(), "say in RANGES what these may be: {without:?}");
        assert_eq!(check(&config), []);
    }
}
