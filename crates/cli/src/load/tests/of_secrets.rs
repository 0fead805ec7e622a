//! Secrets: where they may stand, and that they are not shown.

use super::*;

/// The settings that are secrets: those that are not shown.
fn secret_leaves(path: &str, value: &Json, found: &mut Vec<String>) {
    match value {
        Json::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                secret_leaves(&path, value, found);
            }
        }
        Json::String(_) | Json::Array(_) | Json::Null => {
            let text = "Vk83mQz0Xw5nRt7Yb1Lp";
            for value in [Value::from(text), Value::from(vec![text])] {
                let mut layers = defaults();
                layers.set_default(path, value);
                // Whether it is right is not asked here.
                let Ok(config) = layers.value().deserialize::<Config>() else { continue };
                if !serde_json::to_string(&config).unwrap().contains(text) {
                    found.push(path.to_owned());
                }
            }
        }
        Json::Bool(_) | Json::Number(_) => {}
    }
}

#[test]
fn every_secret_can_stand_in_a_file() {
    let defaults = serde_json::to_value(Config::isolated(Figment::new()).unwrap()).unwrap();
    let mut found = Vec::new();
    secret_leaves("", &defaults, &mut found);
    assert!(found.len() >= 9, "{found:?}");
    for path in &found {
        assert!(secrets::is_secret(path), "{path} is a secret: name it in SECRETS");
    }
    // Each of them, and those in lists and tables of the operator's.
    let text = crate::config::DEFAULT_FILE;
    for pattern in secrets::SECRETS {
        let name = pattern.rsplit('.').find(|part| *part != "*").unwrap_or_default();
        let name = if pattern.ends_with("storage_options.*") { "secret_access_key" } else { name };
        assert!(
            text.contains(&format!("{name}_file")),
            "default.toml does not say that {pattern} can stand in a file"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    for pattern in secrets::SECRETS {
        // A proxy has an address of its own kind.
        let scheme = if pattern == "egress.proxy" { "http" } else { "redis" };
        let path = if pattern == "egress.proxy" { "" } else { "/0" };
        let expected = format!("{scheme}://me:Vk83mQz0Xw5nRt7Yb1Lp@host{path}");
        std::fs::write(&file, format!("{expected}\r\n")).unwrap();
        let path = pattern
            .replace("objects.*", "objects.store")
            .replace("storage_options.*", "storage_options.secret_access_key");
        let (within, name) = path.rsplit_once('.').unwrap();
        let file = file.display();
        let (text, read) = if within == "callbacks.keys.*" {
            (
                format!("[[callbacks.keys]]\nid = \"a\"\nsecret_file = \"{file}\"\n"),
                "callbacks.keys.0.secret".to_owned(),
            )
        } else if within.starts_with("deliver.objects") {
            let base = "[deliver.objects.store]\nendpoint = \"https://a\"\nbucket = \"b\"\n";
            (format!("{base}{name}_file = \"{file}\"\n"), path.clone())
        } else {
            (format!("[{within}]\n{name}_file = \"{file}\"\n"), path.clone())
        };
        let mut layers = super::defaults();
        assert_eq!(layers.file(Path::new("songmill.toml"), &text), []);
        let problems = secrets::read_files(&mut layers);
        assert_eq!(problems, [], "{path}");
        let value = layers.get(&read).unwrap_or_else(|| panic!("{path} was not read"));
        match value {
            Value::Array(_, lines) => assert_eq!(lines[0].as_str(), Some(&*expected)),
            value => assert_eq!(value.as_str(), Some(&*expected), "{path}"),
        }
        let config = layers.value().deserialize::<Config>().unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(!serde_json::to_string(&config).unwrap().contains("Vk83"), "{path} is shown");
        // Both are an error that names both places, and no value.
        let both = if read == "callbacks.keys.0.secret" {
            format!("{text}secret = \"Vk83mQz0Xw5nRt7Yb1Lp\"\n")
        } else if pattern.ends_with("webhook_secrets") || pattern.ends_with("old_secret_keys") {
            format!("{text}{name} = [\"Vk83\"]\n")
        } else {
            format!("{text}{name} = \"Vk83\"\n")
        };
        let found = wrong(&both);
        assert!(
            found.iter().any(|problem| problem.contains(&format!("{read}_file and {read} (songmill.toml:"))
                && problem.contains("both set")),
            "{path}: {found:?}"
        );
        assert!(!found.iter().any(|problem| problem.contains("Vk83")), "{found:?}");
    }
}

#[test]
fn a_file_of_a_secret_that_cannot_be_read_is_named() {
    let found = wrong("[vendors.replicate]\ntoken_file = \"/nowhere/replicate\"\n");
    assert_eq!(
        found,
        [
            "songmill.toml:2: vendors.replicate.token_file names /nowhere/replicate, which cannot be read: No such file or directory"
        ]
    );
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let found = wrong(&format!("[vendors.replicate]\ntoken_file = \"{}\"\n", empty.display()));
    assert!(found[0].ends_with("which is empty"), "{found:?}");
    // What is no secret has no file.
    let found = wrong("[vendors.replicate]\nmodel_file = \"/x\"\n");
    assert!(found[0].contains("model_file is no setting"), "{found:?}");
}

#[test]
fn what_stands_in_the_place_of_secrets_is_not_shown() {
    const SECRET: &str = "Vk83mQz0Xw5nRt7Yb1Lp";
    for pattern in secrets::SECRETS {
        let parts: Vec<_> = pattern.split('.').collect();
        for length in 1..=parts.len() {
            // A list or a table of the operator's own names.
            let path = parts[..length].join(".").replace(".*", ".0");
            let mut layers = defaults();
            let origin = Origin::Env("SONGMILL_X".to_owned(), SECRET.to_owned());
            layers.set(&path, Value::from(SECRET), &origin);
            for problem in extract(layers, Vec::new()).problems {
                assert!(!problem.to_string().contains(SECRET), "{path}: {problem}");
            }
        }
    }
}

#[test]
fn a_secret_and_its_file_of_two_layers_are_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    std::fs::write(&file, "redis://from-file/0").unwrap();
    let file = || Value::from(file.display().to_string());
    let env = |name: &str| Origin::Env(name.to_owned(), String::new());
    let flag = || Origin::Flag("--redis-url".to_owned());
    for (of_url, of_file, url) in [
        (env("REDIS_URL"), env("SONGMILL_REDIS__URL_FILE"), "redis://from-file/0"),
        (env("REDIS_URL"), Origin::File("songmill.toml".into(), 1), "redis://from-file/0"),
        (flag(), Origin::File("songmill.toml".into(), 1), "redis://as-it-is/0"),
        (Origin::File("songmill.toml".into(), 1), env("SONGMILL_REDIS__URL_FILE"), "redis://from-file/0"),
    ] {
        let mut layers = defaults();
        layers.set("redis.url", Value::from("redis://as-it-is/0"), &of_url);
        layers.set("redis.url_file", file(), &of_file);
        let Loaded { config, problems } = extract(layers, Vec::new());
        assert_eq!(problems, [], "{of_url} {of_file}");
        assert_eq!(config.redis.url, url, "{of_url} {of_file}");
    }
}

#[test]
fn an_option_of_a_bucket_that_names_a_file_is_left_alone() {
    let text = "[deliver.storage_options]\naws_web_identity_token_file = \"/nowhere/token\"\n";
    let mut layers = defaults();
    assert_eq!(layers.file(Path::new("songmill.toml"), text), []);
    assert_eq!(secrets::read_files(&mut layers), []);
    let option = layers.get("deliver.storage_options.aws_web_identity_token_file");
    assert_eq!(option.and_then(Value::as_str), Some("/nowhere/token"));
}
