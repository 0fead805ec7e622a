//! Wrong settings of every kind and section, and secrets in files.

use std::path::Path;

use serde_json::Value as Json;

use super::*;

mod of_secrets;

/// What is wrong with a file of settings.
fn wrong(text: &str) -> Vec<String> {
    let mut layers = defaults();
    let problems = layers.file(Path::new("songmill.toml"), text);
    extract(layers, problems).problems.iter().map(ToString::to_string).collect()
}

/// What no message may contain: words of libraries, and of Rust.
const RAW: [&str; 12] = [
    "unknown field",
    "unknown variant",
    "expected ",
    "invalid type",
    "invalid value",
    "u32",
    "u64",
    "usize",
    "struct ",
    "found string",
    "socket address syntax",
    "enum",
];

/// A setting of each section that is of the wrong type, one that is unknown, and one that is out of range.
const TABLE: &[(&str, &str, &str)] = &[
    ("", "public_url = 7", "public_url is 7: write a text in quotes"),
    ("", "public_url = \"songs\"", "public_url is \"songs\": write an address"),
    ("", "pubic_url = \"x\"", "pubic_url is no setting; did you mean public_url?"),
    ("", "data_dir = false", "data_dir is false: write"),
    ("", "default_vendor = 3", "default_vendor "),
    ("redis", "url = 5", "redis.url is not usable: write a text in quotes"),
    ("redis", "url = \"http://x\"", "redis.url is no address of a Redis: write redis://"),
    ("redis", "reply_timeout = \"soon\"", "redis.reply_timeout is \"soon\" is no length of time"),
    ("redis", "reply_timeout = \"0s\"", "redis.reply_timeout is 0ms: write a length of time from 10ms to 1h"),
    ("redis", "connect_timout = \"1s\"", "redis.connect_timout is no setting; did you mean connect_timeout?"),
    ("redis", "namespace = \"\"", "redis.namespace is not usable"),
    ("retention", "age = []", "retention.age is a list: write a length of time"),
    ("retention", "jobs = -1", "retention.jobs is -1: write a whole number of at least 0"),
    ("retention", "event = 1", "retention.event is no setting; did you mean events?"),
    ("callbacks", "keys = \"a\"", "callbacks.keys is not usable: write a list"),
    ("callbacks", "key = []", "callbacks.key is no setting; did you mean keys?"),
    (
        "callbacks",
        "keys = [{ id = \"a\", secret = \"at least sixteen random bytes\" }]",
        "callbacks.keys.0.secret is an example",
    ),
    ("callbacks", "keys = [{ id = \"a\" }]", "callbacks.keys.0 lacks secret"),
    (
        "callbacks",
        "keys = [{ id = \"A!\", secret = \"Vk83mQz0Xw5nRt7Yb1Lp\" }]",
        "callbacks.keys.0.id is \"A!\"",
    ),
    ("log", "level = 1", "log.level is 1: write a text"),
    ("log", "level = \"loud=very\"", "log.level is \"loud=very\": write error, warn"),
    ("log", "format = \"jsn\"", "log.format is \"jsn\", which is not one of text, json; did you mean json?"),
    ("log", "levle = \"info\"", "log.levle is no setting; did you mean level?"),
    ("generate", "drain = true", "generate.drain is true: write a length of time"),
    ("generate", "drain = \"2d\"", "generate.drain is 2d: write a length of time from 0ms to 1h"),
    (
        "generate.submit",
        "concurrency = \"many\"",
        "generate.submit.concurrency is \"many\": write a whole number",
    ),
    (
        "generate.submit",
        "concurrency = 0",
        "generate.submit.concurrency is 0: write a number from 1 to 100000",
    ),
    ("generate.submit", "lease = \"20s\"", "generate.submit.lease is 20s, but a request may take 30s"),
    ("generate.poll", "leese = \"1m\"", "generate.poll.leese is no setting; did you mean lease?"),
    ("generate.http", "reply_bytes = 1.5", "generate.http.reply_bytes is 1.5: write a whole number"),
    ("listener", "listen = \"here\"", "listener.listen is no address: write HOST:PORT"),
    ("listener", "body_bytes = 0", "listener.body_bytes is 0: write a number from 1"),
    ("listener", "prot = 1", "listener.prot is no setting"),
    ("api", "cors_origins = \"https://a\"", "api.cors_origins is \"https://a\": write a list"),
    ("api", "cors_origins = [\"studio\"]", "api.cors_origins.0 is \"studio\": write scheme and host"),
    ("api", "streams = 0", "api.streams is 0: write a number from 1"),
    ("api", "upload = 3", "api.upload is no setting; did you mean uploads?"),
    ("quota", "open_jobs = \"x\"", "quota.open_jobs is \"x\": write a whole number"),
    ("quota", "jobs = 1", "quota.jobs is no setting; did you mean"),
    ("money", "day = \"ten\"", "money.day is \"ten\": write a number"),
    ("money", "day = -1.0", "money.day is not usable: -1 is no amount"),
    ("money", "hours = 1.0", "money.hours is no setting; did you mean hour?"),
    (
        "money.prices",
        "replicat = { song = 0.1 }",
        "money.prices.replicat is no vendor; did you mean replicate?",
    ),
    ("vendors.tencent", "enabled = \"yes\"", "vendors.tencent.enabled is \"yes\": write true or false"),
    ("vendors.tencent", "text_max = 0", "vendors.tencent.text_max is 0: write a number from 1"),
    (
        "vendors.inference_sh",
        "base_url = \"nowhere\"",
        "vendors.inference_sh.base_url is \"nowhere\" is no base address",
    ),
    ("vendors.replicate", "tokn = \"x\"", "vendors.replicate.tokn is no setting; did you mean token?"),
    ("vendors.replicate", "token = 5", "vendors.replicate.token is not usable: write a text"),
    ("vendors.replicate", "longest_s = 0", "vendors.replicate.longest_s is 0: write a number from 1"),
    (
        "vendors.senseaudio",
        "generation = \"v2\"",
        "vendors.senseaudio.generation is \"v2\", which is not one of",
    ),
    ("vendors", "replicat = {}", "vendors.replicat is no setting; did you mean replicate?"),
    ("policy.jobs", "claims = 0", "policy.jobs.claims is 0: write a number from 1 to 1000"),
    ("policy.jobs", "on_unusable = \"redo\"", "policy.jobs.on_unusable is \"redo\", which is not one of"),
    (
        "policy.vendors.replicate",
        "attempts = 0",
        "policy.vendors.replicate.attempts is 0: write a number from 1",
    ),
    (
        "policy.vendors.replicate",
        "settle = \"1s\"",
        "policy.vendors.replicate.settle is 1s, which is shorter",
    ),
    ("policy.vendors.replicate", "retries = 0", "policy.vendors.replicate.retries is no setting; there are"),
    (
        "policy.vendors.replicate.limits",
        "breaker = -3",
        "policy.vendors.replicate.limits.breaker is -3: write a whole number",
    ),
    ("deliver", "max_bytes = 0", "deliver.max_bytes is 0: write a number from 1"),
    ("deliver", "layout = \"{name}\"", "deliver.layout "),
    ("deliver", "tags = 1", "deliver.tags is 1: write true or false"),
    ("deliver.checks", "silent_most = 2.0", "deliver.checks.silent_most is 2: write a number from 0 to 1"),
    ("deliver.checks", "silence = \"ignore\"", "deliver.checks.silence is \"ignore\", which is not one of"),
    ("deliver.convert", "loudness = 3.0", "deliver.convert.loudness is 3: write a number from -70 to 0"),
    ("deliver.queue", "concurrency = 0", "deliver.queue.concurrency is 0"),
    ("deliver.retention", "age = \"old\"", "deliver.retention.age"),
    ("deliver.objects.a", "bucket = \"b\"", "deliver.objects.a lacks endpoint"),
    ("egress", "proxy = \"socks5://a\"", "egress.proxy"),
    ("egress", "no_proxi = []", "egress.no_proxi is no setting"),
    ("webhooks", "secret_key = 5", "webhooks.secret_key is not usable: write a text"),
    ("webhooks", "secret_key = \"abc\"", "webhooks.secret_key is not usable: "),
    ("webhooks", "old_secret_keys = [\"abc\"]", "webhooks.old_secret_keys.0 is not usable: "),
    ("deliver", "storage = \"s3://\"", "deliver.storage "),
    ("api.http", "max_header_bytes = 1024", "api.http.max_header_bytes is 1024: write a number from 8192"),
    ("listener.http", "max_conections_per_peer = 50", "listener.http.max_conections_per_peer is no setting"),
    ("deliver.notices", "each = 0", "deliver.notices.each is 0: write a number from 1"),
    (
        "deliver.notices",
        "schedule = [\"5s\", \"soon\"]",
        "deliver.notices.schedule.1 is \"soon\" is no length of time",
    ),
];

#[test]
fn every_wrong_setting_is_named_in_our_words_with_its_line() {
    for (section, line, said) in TABLE {
        let text = if section.is_empty() {
            format!("# a\n\n{line}\n")
        } else {
            format!("# a\n[{section}]\n{line}\n")
        };
        let found = wrong(&text);
        let place = "songmill.toml:3: ";
        // Something that is lacking is lacking in its table.
        let place = if said.contains("objects.a lacks") { "songmill.toml:2: " } else { place };
        assert!(
            found.iter().any(|problem| problem.starts_with(&format!("{place}{said}"))),
            "{section} {line}: {found:#?}"
        );
        assert_eq!(found.len(), 1, "{section} {line}: {found:#?}");
        for raw in RAW {
            assert!(!found[0].contains(raw), "{section} {line}: {raw:?} in {}", found[0]);
        }
    }
}

#[test]
fn every_section_is_in_the_table() {
    let config = serde_json::to_value(Config::isolated(Figment::new()).unwrap()).unwrap();
    let sections = config.as_object().unwrap().iter().filter(|(_, value)| value.is_object());
    for (name, _) in sections {
        let has = |(section, ..): &&(&str, &str, &str)| section.split('.').next() == Some(name);
        assert!(TABLE.iter().any(|row| has(&row)), "no wrong setting of {name} is tried");
    }
}

/// The tables of settings whose names are ours, by their paths.
fn tables(path: &str, value: &Json, found: &mut Vec<String>) {
    // Names of these are the operator's.
    let is_free = ["deliver.storage_options", "deliver.objects", "money.prices"].contains(&path);
    let Some(fields) = value.as_object().filter(|_| !is_free) else { return };
    if path != "policy.vendors" {
        found.push(path.to_owned());
    }
    for (name, value) in fields {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        tables(&path, value, found);
    }
}

#[test]
fn no_table_takes_a_name_that_there_is_not() {
    let config = serde_json::to_value(Config::isolated(Figment::new()).unwrap()).unwrap();
    let mut found = Vec::new();
    tables("", &config, &mut found);
    assert!(found.len() > 25 && found.iter().any(|path| path == "listener.http"), "{found:?}");
    for path in found {
        let section = if path.is_empty() { String::new() } else { format!("[{path}]\n") };
        let said = wrong(&format!("{section}zzz = 1\n"));
        let full = if path.is_empty() { "zzz".to_owned() } else { format!("{path}.zzz") };
        assert!(
            said.len() == 1 && said[0].contains(&full) && said[0].contains(" is no "),
            "[{path}] zzz = 1: {said:?}"
        );
    }
}

#[test]
fn all_problems_are_found_at_once_each_with_its_line() {
    let found = wrong(
        "public_ur = \"x\"\nschedule = [\n  { name = \"a\", cron = \"at noon\", file = \"a.jsonl\" },\n  { name = \"b\", \
         cron = 5, file = \"b.jsonl\", at = 1 },\n  { name = \"c\", cron = \"0 8 * * *\", file = \"-\" },\n]\n[generate.submit]\nconcurrency = \
         \"many\"\nlease = \"1d\"\n[listener]\nlisten = \"here\"\nbody_bytes = 0\n[nonsense]\na = 1\n",
    );
    let begin = [
        "songmill.toml:8: generate.submit.concurrency is \"many\"",
        "songmill.toml:12: listener.body_bytes is 0",
        "songmill.toml:11: listener.listen is no address",
        "songmill.toml:13: nonsense is no setting",
        "songmill.toml:1: public_ur is no setting; did you mean public_url?",
        "songmill.toml:3: schedule.0.cron is \"at noon\"",
        "songmill.toml:4: schedule.1.at is no setting",
        "songmill.toml:4: schedule.1.cron is 5",
        "songmill.toml:5: schedule.2.file is standard input",
    ];
    // A lease of a day makes settle of every vendor that can look up too short.
    let others: Vec<_> = found.iter().filter(|problem| !problem.contains(".settle ")).collect();
    assert_eq!(others.len(), begin.len(), "{found:#?}");
    for (problem, begin) in others.iter().zip(begin) {
        assert!(problem.starts_with(begin), "{problem} is not {begin}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_named_with_each_line() {
    let found = wrong("public_url = \n[redis\nurl = \"unix:/s\"\nreply_timeout = 1s\n");
    assert!(found.len() >= 2, "{found:#?}");
    assert!(
        found.iter().any(|problem| problem.starts_with("songmill.toml:1: is not written as TOML")),
        "{found:#?}"
    );
    assert!(
        found.iter().any(|problem| problem.starts_with("songmill.toml:2: is not written as TOML")),
        "{found:#?}"
    );
}

#[test]
fn the_example_of_the_environment_does_not_start_as_it_is() {
    let example = include_str!("../../../../deploy/songmill.generate.env.example");
    assert!(
        include_str!("../../../../deploy/songmill.listener.env.example")
            .contains("SONGMILL_CALLBACKS__KEYS=")
    );
    let key = example
        .lines()
        .find_map(|line| line.strip_prefix("SONGMILL_CALLBACKS__KEYS="))
        .expect("it has a key");
    let mut layers = defaults();
    let origin = Origin::Env("SONGMILL_CALLBACKS__KEYS".to_owned(), key.to_owned());
    layers.set("callbacks.keys", key.parse().unwrap(), &origin);
    let found = extract(layers, Vec::new()).problems;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].to_string().starts_with("SONGMILL_CALLBACKS__KEYS: callbacks.keys.0.secret is an example"),
        "{}",
        found[0]
    );
    assert!(found[0].message.contains("openssl rand -base64 32"));
}
