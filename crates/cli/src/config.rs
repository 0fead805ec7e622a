//! Settings, as they are read (see `load`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use figment::Figment;
use figment::providers::Serialized;
use figment::value::Value;
use serde::{Deserialize, Serialize};
use songmill_core::callback::{CallbackKey, CallbackKeys};
use songmill_core::job::{JobPolicy, VendorPolicy};
use songmill_core::song::VendorChoice;
use songmill_core::{Money, Policy, VendorName};
use songmill_store::{Retention, SecretKeys};
use songmill_vendors::{Secret, Vendors};

use crate::exit::usage;

/// Every setting, commented, at its default.
pub(crate) const DEFAULT_FILE: &str = include_str!("default.toml");

/// All settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where our own files are kept: the private Redis, generated secrets.
    pub(crate) data_dir: DataDir,
    /// The address under which vendors reach the listener; without one everything is polled.
    pub(crate) public_url: String,
    /// The vendor of requests that name none.
    pub(crate) default_vendor: Option<VendorChoice>,
    pub(crate) redis: songmill_store::Settings,
    pub(crate) retention: Retention,
    pub(crate) callbacks: Callbacks,
    pub(crate) vendors: songmill_vendors::Settings,
    pub(crate) policy: PolicySettings,
    pub(crate) generate: songmill_worker_generate::Settings,
    pub(crate) deliver: songmill_worker_deliver::Settings,
    /// How what is outside is reached.
    pub(crate) egress: songmill_egress::Settings,
    pub(crate) listener: songmill_callback_listener::Settings,
    pub(crate) api: songmill_api::Settings,
    /// What webhooks are signed with, at rest.
    pub(crate) webhooks: WebhookSettings,
    /// What a tenant may have unless something else is said for it (`songmill tenant quota`).
    pub(crate) quota: songmill_store::DefaultQuota,
    /// What songs cost, and how much may be spent.
    pub(crate) money: Money,
    /// Files that are submitted again and again.
    pub(crate) schedule: Vec<crate::schedule::Schedule>,
    pub(crate) log: Log,
}

/// A folder, `data` by default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct DataDir(pub(crate) PathBuf);

impl Default for DataDir {
    fn default() -> Self {
        Self("data".into())
    }
}

/// How callback addresses are signed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Callbacks {
    /// The first signs, all are accepted. Without one, a key is made and kept in `data_dir`.
    pub(crate) keys: Vec<KeySettings>,
}

/// One callback key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeySettings {
    /// 1 to 16 of a-z and 0-9; stands in the address.
    pub(crate) id: String,
    /// At least 16 bytes.
    pub(crate) secret: Secret,
}

/// How the secrets that webhooks are signed with are kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WebhookSettings {
    /// What they are encrypted with in Redis: 32 bytes as base64; empty leaves them as they are.
    pub(crate) secret_key: Secret,
    /// Earlier keys, which still open what was encrypted with them.
    pub(crate) old_secret_keys: Vec<Secret>,
}

/// How jobs are waited for and retried.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PolicySettings {
    /// For all jobs.
    pub(crate) jobs: JobPolicy,
    /// By vendor; what is not set here is the vendor's own default.
    pub(crate) vendors: BTreeMap<VendorName, VendorPolicy>,
}

/// How we log, on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,songmill_store=debug`.
    pub(crate) level: String,
    /// `text` or `json`.
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

impl Config {
    /// How jobs are waited for and retried.
    pub(crate) fn policy(&self) -> Policy {
        let catalogue = Vendors::catalogue();
        let estimates = catalogue.cards().map(|card| (card.name.clone(), card.estimate.clone()));
        let money = self.money.clone().with_estimates(estimates);
        Policy::new(self.policy.vendors.clone(), self.policy.jobs.clone()).with_money(money)
    }

    /// The public address, where there is one.
    pub(crate) fn public_url(&self) -> Option<&str> {
        Some(self.public_url.trim()).filter(|url| !url.is_empty())
    }

    /// What endpoints' secrets are encrypted with in Redis.
    ///
    /// Where they are not usable, which setting is wrong, and how.
    pub(crate) fn secret_keys(&self) -> Result<SecretKeys, (String, String)> {
        let WebhookSettings { secret_key, old_secret_keys } = &self.webhooks;
        let old = (0..).zip(old_secret_keys).map(|(n, key)| (format!("webhooks.old_secret_keys.{n}"), key));
        let mut all = vec![];
        for (path, key) in std::iter::once(("webhooks.secret_key".to_owned(), secret_key)).chain(old) {
            if key.is_empty() {
                continue;
            }
            SecretKeys::new([key.expose()]).map_err(|error| (path, format!("is not usable: {error}")))?;
            all.push(key.expose());
        }
        if secret_key.is_empty() && !all.is_empty() {
            let message =
                "is not set, but webhooks.old_secret_keys are: set the key that encrypts from now on";
            return Err(("webhooks.secret_key".to_owned(), message.to_owned()));
        }
        SecretKeys::new(all)
            .map_err(|error| ("webhooks.secret_key".to_owned(), format!("is not usable: {error}")))
    }

    /// The keys that sign callback addresses; one is made and kept when none is set.
    pub(crate) fn callback_keys(&self) -> Result<CallbackKeys> {
        let mut keys = Vec::new();
        for key in &self.callbacks.keys {
            let made = CallbackKey::new(&key.id, key.secret.expose().as_bytes());
            keys.push(made.map_err(|error| usage(format!("callbacks.keys, {:?}: {error}", key.id)))?);
        }
        if keys.is_empty() {
            keys.push(kept_key(&self.data_dir.0)?);
        }
        let signing = keys.remove(0);
        Ok(CallbackKeys::new(signing, keys))
    }
}

/// `path=value`; the value is TOML, or a plain word.
pub(crate) fn flag(setting: &str) -> Result<Figment> {
    let (path, value) = assignment(setting)?;
    Ok(Figment::from(Serialized::default(&path, value)))
}

/// The same as a path and a value.
pub(crate) fn assignment(setting: &str) -> Result<(String, Value)> {
    let Some((path, value)) = setting.split_once('=') else {
        return Err(usage(format!(
            "--set {setting}: write PATH=VALUE, such as listener.listen=0.0.0.0:8180"
        )));
    };
    let fits = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    if !path.split('.').all(fits) {
        return Err(usage(format!("--set {setting}: {path:?} is no path of a setting")));
    }
    let parsed: Result<toml::Table, _> = format!("value = {value}").parse();
    let value = match parsed {
        Ok(mut table) => table.remove("value").unwrap_or_else(|| toml::Value::String(value.into())),
        Err(_) => toml::Value::String(value.into()),
    };
    let value =
        Value::serialize(&value).map_err(|_| usage(format!("--set {setting}: its value cannot be read")))?;
    Ok((path.to_owned(), value))
}

/// The key in the data folder, made at the first use. Roles on several machines need `callbacks.keys` instead.
fn kept_key(folder: &Path) -> Result<CallbackKey> {
    let path = folder.join("callback.key");
    let secret = match std::fs::read(&path) {
        Ok(secret) => secret,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_key(folder, &path)?,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    CallbackKey::new("k0", &secret)
        .with_context(|| format!("{} is damaged; remove it to have another made", path.display()))
}

fn make_key(folder: &Path, path: &Path) -> Result<Vec<u8>> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).context("no random bytes from the system")?;
    // Written aside and linked into place, so that two processes that start at once agree on one.
    let aside = folder.join(format!(".callback.key.{}", std::process::id()));
    let written =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside);
    written
        .and_then(|mut file| file.write_all(&bytes))
        .with_context(|| format!("cannot write {}", aside.display()))?;
    let linked = std::fs::hard_link(&aside, path);
    std::fs::remove_file(&aside).with_context(|| format!("cannot remove {}", aside.display()))?;
    match linked {
        Ok(()) => Ok(bytes.to_vec()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(std::fs::read(path)?),
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use figment::providers::{Format as _, Toml};
    use serde_json::Value;

    use super::*;

    fn leaves(path: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    leaves(
                        &if path.is_empty() { name.clone() } else { format!("{path}.{name}") },
                        value,
                        found,
                    );
                }
            }
            _ => found.push(path.to_owned()),
        }
    }

    #[test]
    fn the_default_file_says_every_setting_at_its_default() {
        let file = Config::isolated(Figment::from(Toml::string(DEFAULT_FILE))).unwrap();
        let own = Config::isolated(Figment::new()).unwrap();
        assert_eq!(serde_json::to_value(&file).unwrap(), serde_json::to_value(&own).unwrap());
        let mut paths = Vec::new();
        leaves("", &serde_json::to_value(&own).unwrap(), &mut paths);
        let (mut section, mut said) = (String::new(), std::collections::BTreeSet::new());
        for line in DEFAULT_FILE.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = format!("{name}.");
            } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") {
                said.insert(format!("{section}{key}"));
            }
        }
        let missing: Vec<_> = paths.iter().filter(|path| !said.contains(*path)).collect();
        assert!(missing.is_empty(), "not in default.toml: {missing:?}");
    }

    #[test]
    fn a_flag_is_toml_or_a_plain_word() {
        let set = |setting: &str| Config::isolated(flag(setting).unwrap());
        assert_eq!(set("listener.listen=127.0.0.1:1").unwrap().listener.listen.port(), 1);
        assert_eq!(set("generate.submit.concurrency=7").unwrap().generate.submit.concurrency, 7);
        assert_eq!(
            set("policy.vendors.replicate.attempts=9").unwrap().policy.vendors["replicate"].attempts,
            9
        );
        assert!(set("listener.listn=1").unwrap_err().to_string().contains("listn"));
        assert!(flag("nonsense").is_err() && flag("a b=1").is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = Config::isolated(Figment::from(Toml::string(
            "[vendors.replicate]\ntoken = 'hunter2'\n[redis]\nurl = 'redis://:hunter2@host/0'\n[egress]\nproxy = 'http://me:hunter2@proxy:3128'\n[webhooks]\nsecret_key = 'hunter2hunter2hunter2hunter2hunter2hunter2A='\nold_secret_keys = ['hunter2hunter2hunter2hunter2hunter2hunter2E=']\n[[callbacks.keys]]\nid = 'a'\nsecret = 'hunter2/Vk83mQz0Xw5nRt7Yb1'",
        )))
        .unwrap();
        assert!(!serde_json::to_string(&config).unwrap().contains("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data_dir: DataDir(folder.path().join("data")), ..Config::default() };
        let job = songmill_core::JobId::from_bytes([1; 16]);
        let path = |keys: CallbackKeys| keys.path(&VendorName::new("replicate").unwrap(), job, 1);
        assert_eq!(path(config.callback_keys().unwrap()), path(config.callback_keys().unwrap()));
    }
}
