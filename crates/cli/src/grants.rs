//! Which secrets a process keeps: those that its roles need.

use songmill_vendors::Vendors;

use crate::config::Config;
use crate::context::now;
use crate::roles::Role;

/// The settings and vendors of a process that has these roles. What none of them needs is forgotten.
pub(crate) fn for_roles(mut config: Config, roles: &[Role]) -> (Config, Vendors) {
    let has = |role: Role| roles.contains(&role);
    let configured = Vendors::from_settings(&config.vendors, now);
    if !has(Role::Listener) {
        config.vendors.drop_webhook_secrets();
    }
    let vendors = if has(Role::Generate) {
        Vendors::from_settings(&config.vendors, now)
    } else {
        let takes_songs = has(Role::Api) || has(Role::Schedule);
        let names: Vec<_> = configured.names().cloned().collect();
        // Where no key is here at all, those who have them are elsewhere; work for a vendor that nobody has one of says so.
        let only = (takes_songs && !names.is_empty()).then_some(names);
        Vendors::without_keys(&config.vendors, only.as_deref(), now)
    };
    if !has(Role::Generate) {
        config.vendors.drop_keys();
    }
    if !has(Role::Generate) && !has(Role::Listener) {
        config.callbacks.keys.clear();
    }
    if !has(Role::Deliver) {
        config.deliver.objects.clear();
    }
    if !has(Role::Generate) && !has(Role::Deliver) {
        config.egress = songmill_egress::Settings::default();
    }
    if !has(Role::Deliver) && !has(Role::Api) {
        config.webhooks = crate::config::WebhookSettings::default();
        config.deliver.storage_options.clear();
    }
    (config, vendors)
}

#[cfg(test)]
mod tests {
    use figment::Figment;
    use figment::providers::{Format as _, Toml};
    use serde_json::Value;

    use super::*;

    const ALL: &str = r#"
        [redis]
        url = "redis://host/0"
        password = "x"
        [[callbacks.keys]]
        id = "a"
        secret = "Vk83mQz0Xw5nRt7Yb1Lp"
        [vendors.tencent]
        secret_id = "x"
        secret_key = "x"
        gateway_id = "x"
        gateway_key = "x"
        [vendors.inference_sh]
        key = "x"
        [vendors.replicate]
        token = "x"
        webhook_secrets = ["whsec_eA=="]
        [vendors.senseaudio]
        key = "x"
        [deliver.storage_options]
        secret_access_key = "x"
        [deliver.objects.store]
        endpoint = "https://example.com"
        bucket = "b"
        access_key_id = "x"
        secret_access_key = "x"
    "#;

    fn kept(path: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| kept(&format!("{path}.{name}"), value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| kept(path, item, found)),
            Value::String(text) if text == "***" => found.push(path.trim_start_matches('.').to_owned()),
            _ => {}
        }
    }

    fn secrets(roles: &[Role]) -> (Vec<String>, usize) {
        let config = Config::isolated(Figment::from(Toml::string(ALL))).unwrap();
        let (config, vendors) = for_roles(config, roles);
        let mut found = Vec::new();
        kept("", &serde_json::to_value(&config).unwrap(), &mut found);
        found.sort();
        (found, vendors.len())
    }

    #[test]
    fn each_role_keeps_only_the_secrets_that_it_needs() {
        const REDIS: &str = "redis.password";
        const CALLBACKS: &str = "callbacks.keys.secret";
        const KEYS: [&str; 7] = [
            "vendors.inference_sh.key",
            "vendors.replicate.token",
            "vendors.senseaudio.key",
            "vendors.tencent.gateway_id",
            "vendors.tencent.gateway_key",
            "vendors.tencent.secret_id",
            "vendors.tencent.secret_key",
        ];
        const WEBHOOKS: &str = "vendors.replicate.webhook_secrets";
        const OBJECTS: [&str; 2] =
            ["deliver.objects.store.access_key_id", "deliver.objects.store.secret_access_key"];
        const STORAGE: &str = "deliver.storage_options.secret_access_key";
        let sorted = |lists: &[&[&str]]| {
            let mut all: Vec<String> = lists.concat().into_iter().map(str::to_owned).collect();
            all.sort();
            all
        };
        for (role, needs) in [
            (Role::Generate, sorted(&[&[REDIS, CALLBACKS], &KEYS])),
            (Role::Deliver, sorted(&[&[REDIS, STORAGE], &OBJECTS])),
            (Role::Listener, sorted(&[&[REDIS, CALLBACKS, WEBHOOKS]])),
            (Role::Api, sorted(&[&[REDIS, STORAGE]])),
            (Role::Schedule, sorted(&[&[REDIS]])),
        ] {
            let (found, vendors) = secrets(&[role]);
            assert_eq!(found, needs, "{role:?}");
            // It knows the vendors all the same.
            assert_eq!(vendors, 4, "{role:?}");
        }
        let all = sorted(&[&[REDIS, CALLBACKS, WEBHOOKS, STORAGE], &KEYS, &OBJECTS]);
        assert_eq!(secrets(&Role::ALL).0, all);
    }
}
