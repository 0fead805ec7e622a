//! Replicate's predictions API, for `datasci888/musicgen_8songs`.

/// Settings.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {}
