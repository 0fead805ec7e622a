//! inference.sh, for `infsh/tencent-song-generation`.

/// Settings.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {}
