//! Settings of this role.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};
use songmill_core::time::Span;
use songmill_egress::AddressPolicy;
use songmill_store::{QueueSettings, without_password};

use crate::convert::Convert;
use crate::naming::Layout;
use crate::notices::NoticeSettings;
use crate::retention::RetentionSettings;
use crate::verdict::Checks;

/// How audio is collected, and where it goes.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where audio goes: a folder, `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or
    /// `az://container/prefix`.
    pub storage: StorageUrl,
    /// Options of a bucket, such as `region`, `endpoint`, `access_key_id`, `secret_access_key`.
    #[serde(serialize_with = "redacted")]
    pub storage_options: BTreeMap<String, String>,
    /// How paths in storage are made up.
    pub layout: Layout,
    /// Whether files get tags: their title, job and vendor.
    pub tags: bool,
    /// Which audio is taken, flagged or made anew.
    pub checks: Checks,
    /// What audio is converted to.
    pub convert: Convert,
    /// Whether files are on the disk before they have their names, and those names as well: they survive a loss of
    /// power. For folders.
    pub fsync: bool,
    /// Which songs are removed from the storage, off by default.
    pub retention: RetentionSettings,
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
    /// How what is outside is reached: a section of its own, `[egress]`, which other roles share.
    #[serde(skip)]
    pub egress: songmill_egress::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            storage: StorageUrl::default(),
            storage_options: BTreeMap::new(),
            layout: Layout::default(),
            tags: true,
            checks: Checks::default(),
            convert: Convert::default(),
            fsync: true,
            retention: RetentionSettings::default(),
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
            egress: songmill_egress::Settings::default(),
        }
    }
}

impl Settings {
    /// Which addresses audio may be fetched from.
    pub fn address_policy(&self) -> AddressPolicy {
        AddressPolicy { allow_http: self.allow_http, allow_private: self.allow_private }
    }
}

/// As it serializes: without the secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
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

    /// Bucket and prefix, when it is a bucket.
    pub fn bucket(&self) -> Option<(&str, &str)> {
        self.cloud()?;
        let (_, rest) = self.0.split_once("://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        (!bucket.is_empty()).then_some((bucket, prefix.trim_matches('/')))
    }

    /// Whose bucket, when it is one.
    pub fn cloud(&self) -> Option<Cloud> {
        let (scheme, _) = self.0.split_once("://")?;
        [Cloud::S3, Cloud::Google, Cloud::Azure].into_iter().find(|cloud| cloud.scheme() == scheme)
    }
}

/// Who keeps a bucket, or whose language they speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// S3, and all that are compatible with it.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

impl Cloud {
    /// What the addresses of its buckets begin with.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }

    /// The options that are mostly needed.
    pub(crate) fn takes(self) -> &'static str {
        match self {
            Self::S3 => {
                "region, endpoint, access_key_id, secret_access_key, session_token, virtual_hosted_style_request, \
                 checksum_algorithm, conditional_put, server_side_encryption, allow_http, timeout, proxy_url and others"
            }
            Self::Google => {
                "service_account, service_account_key, bearer_token, timeout, proxy_url and others"
            }
            Self::Azure => {
                "account_name, access_key, sas_token, client_id, client_secret, tenant_id, endpoint, allow_http, \
                 timeout, proxy_url and others"
            }
        }
    }
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
