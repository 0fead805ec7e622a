//! Settings of this role.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};
use songmill_core::time::Span;
use songmill_store::{QueueSettings, without_password};

use crate::notices::NoticeSettings;

/// How audio is collected, and where it goes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where audio goes: a folder, `file:///folder`, or `s3://bucket/prefix`.
    pub storage: StorageUrl,
    /// Options of an S3 storage, such as `region`, `endpoint`, `access_key_id`, `secret_access_key`.
    #[serde(serialize_with = "redacted")]
    pub storage_options: BTreeMap<String, String>,
    /// Buckets that vendors put audio into, by the name the vendor calls them (Tencent's contentId).
    pub objects: BTreeMap<String, ObjectSettings>,
    /// The largest file that is taken, in bytes.
    pub max_bytes: u64,
    /// How long fetching one file may take.
    pub timeout: Span,
    /// The least bytes a second that a transfer must bring, over half a minute; 0 for any.
    pub slowest: u64,
    /// How long connecting may take.
    pub connect_timeout: Span,
    /// How many redirects are followed.
    pub redirects: usize,
    /// Whether `http:` addresses are fetched too.
    pub allow_http: bool,
    /// Whether addresses of private networks are fetched too: for a simulator only.
    pub allow_private: bool,
    /// Jobs collected at the same time, per vendor and process.
    pub queue: QueueSettings,
    /// How notices are sent.
    pub notices: NoticeSettings,
    /// How long work under way may go on after the role is told to stop.
    pub drain: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            storage: StorageUrl::default(),
            storage_options: BTreeMap::new(),
            objects: BTreeMap::new(),
            max_bytes: 256 << 20,
            timeout: Span::secs(300),
            slowest: 1 << 10,
            connect_timeout: Span::secs(10),
            redirects: 3,
            allow_http: false,
            allow_private: false,
            queue: QueueSettings { concurrency: 16, lease: Span::secs(60) },
            notices: NoticeSettings::default(),
            drain: Span::secs(30),
        }
    }
}

/// As it serializes: without the secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            storage,
            storage_options,
            objects,
            max_bytes,
            timeout,
            slowest,
            connect_timeout,
            redirects,
            allow_http,
            allow_private,
            queue,
            notices,
            drain,
        } = self;
        let options: BTreeMap<_, _> = shown(storage_options).collect();
        f.debug_struct("Settings")
            .field("storage", storage)
            .field("storage_options", &options)
            .field("objects", objects)
            .field("max_bytes", max_bytes)
            .field("timeout", timeout)
            .field("slowest", slowest)
            .field("connect_timeout", connect_timeout)
            .field("redirects", redirects)
            .field("allow_http", allow_http)
            .field("allow_private", allow_private)
            .field("queue", queue)
            .field("notices", notices)
            .field("drain", drain)
            .finish()
    }
}

/// A bucket that a vendor puts audio into, read by its S3 interface.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectSettings {
    /// Where its S3 interface is; for Tencent COS `https://cos.<region>.myqcloud.com`.
    pub endpoint: String,
    /// Its name; for Tencent COS with the APPID.
    pub bucket: String,
    /// Its region.
    #[serde(default = "auto")]
    pub region: String,
    /// The key that may read it; empty for none.
    #[serde(default, serialize_with = "stars")]
    pub access_key_id: String,
    /// That key's secret.
    #[serde(default, serialize_with = "stars")]
    pub secret_access_key: String,
    /// Whether the bucket stands in the path instead of in the host; COS refuses that for new buckets.
    #[serde(default)]
    pub path_style: bool,
    /// Whether `http:` is allowed.
    #[serde(default)]
    pub allow_http: bool,
}

impl fmt::Debug for ObjectSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectSettings({}/{})", self.endpoint, self.bucket)
    }
}

fn auto() -> String {
    "auto".into()
}

fn stars<S: Serializer>(secret: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(if secret.is_empty() { "" } else { "***" })
}

fn redacted<S: Serializer>(options: &BTreeMap<String, String>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(shown(options))
}

/// Options without the secret ones' values, and addresses without their passwords.
fn shown(options: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, String)> {
    const SECRET: [&str; 4] = ["secret", "token", "key", "password"];
    options.iter().map(|(name, value)| {
        let lower = name.to_ascii_lowercase();
        let secret = SECRET.iter().any(|word| lower.contains(word));
        (name.as_str(), if secret { "***".to_owned() } else { without_password(value) })
    })
}

/// Where audio goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StorageUrl(String);

impl Default for StorageUrl {
    fn default() -> Self {
        Self("songs".into())
    }
}

impl StorageUrl {
    /// The folder, when it is one.
    pub fn local_folder(&self) -> Option<PathBuf> {
        match self.0.split_once("://") {
            None => Some(PathBuf::from(&self.0)),
            Some(("file", path)) => Some(PathBuf::from(path)),
            Some(_) => None,
        }
    }

    /// Bucket and prefix, when it is an S3 bucket.
    pub fn bucket(&self) -> Option<(&str, &str)> {
        let rest = self.0.strip_prefix("s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        (!bucket.is_empty()).then_some((bucket, prefix.trim_matches('/')))
    }
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
