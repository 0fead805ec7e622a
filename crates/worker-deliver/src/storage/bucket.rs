//! A bucket of S3 and those compatible with it, of Google Cloud Storage or of Azure: how it is opened.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::signer::Signer;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
use tokio_util::task::TaskTracker;

use super::StorageError;
use crate::settings::{Cloud, Settings};

/// A bucket, and what its keys begin with.
#[derive(Clone)]
pub(crate) struct Bucket {
    /// What is in it, by paths without the prefix.
    pub(crate) store: Arc<dyn ObjectStore>,
    signer: Arc<dyn Signer>,
    prefix: Path,
    /// Whether the server compares what it got with a checksum.
    pub(crate) checked: bool,
    /// How long a put may take, whatever is sent again for it.
    pub(crate) timeout: Duration,
    /// Uploads in parts that are being given up.
    pub(crate) aborts: TaskTracker,
}

/// How often a request is sent again at once; the job itself is tried again later.
const RETRIES: usize = 3;
/// For how long it is.
const RETRY_MOST: Duration = Duration::from_secs(20);
/// How long a request may take, unless the options say something else: a part over a slow line.
const REQUEST_MOST: &str = "120s";
/// How long connecting may take, unless the options say something else.
const CONNECT_MOST: &str = "5s";

impl Bucket {
    /// Opens the bucket in the settings; nothing is asked yet.
    pub(crate) fn open(settings: &Settings) -> Result<Self, StorageError> {
        let address = || StorageError::Address(settings.storage.to_string());
        let cloud = settings.storage.cloud().ok_or_else(address)?;
        let (name, prefix) = settings.storage.bucket().ok_or_else(address)?;
        let prefix = Path::parse(prefix).map_err(|_| address())?;
        match cloud {
            Cloud::S3 => {
                let (store, checked) = s3(settings, name)?;
                Ok(Self::of(store, prefix, checked, settings))
            }
            Cloud::Google => Ok(Self::of(google(settings, name)?, prefix, false, settings)),
            Cloud::Azure => Ok(Self::of(azure(settings, name)?, prefix, false, settings)),
        }
    }

    fn of<S: ObjectStore + Signer>(store: S, prefix: Path, checked: bool, settings: &Settings) -> Self {
        let store = Arc::new(store);
        let signer = store.clone();
        let store: Arc<dyn ObjectStore> = if prefix.as_ref().is_empty() {
            store
        } else {
            Arc::new(PrefixStore::new(store, prefix.clone()))
        };
        Self { store, signer, prefix, checked, timeout: settings.timeout.get(), aborts: TaskTracker::new() }
    }

    /// An address that serves an object for a while.
    pub(crate) async fn signed(&self, path: &Path, works: Duration) -> Result<String, StorageError> {
        let key: Path = self.prefix.parts().chain(path.parts()).collect();
        Ok(self.signer.signed_url(http::Method::GET, &key, works).await?.into())
    }
}

/// Whether a kind of bucket has an option of this name.
pub fn is_storage_option(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.parse::<AmazonS3ConfigKey>().is_ok()
        || name.parse::<GoogleConfigKey>().is_ok()
        || name.parse::<AzureConfigKey>().is_ok()
}

fn retry() -> RetryConfig {
    RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_MOST, ..RetryConfig::default() }
}

/// The limits of a request, then the operator's options, each as the builder of a cloud knows it.
fn options<K: std::str::FromStr>(
    settings: &Settings,
    cloud: Cloud,
    client: impl Fn(ClientConfigKey) -> K,
) -> Result<Vec<(K, String)>, StorageError> {
    let limits = [(ClientConfigKey::Timeout, REQUEST_MOST), (ClientConfigKey::ConnectTimeout, CONNECT_MOST)];
    let mut options: Vec<_> = limits.map(|(key, value)| (client(key), value.to_owned())).into();
    for (name, value) in &settings.storage_options {
        let unknown = |_| StorageError::Option { option: name.clone(), cloud };
        options.push((name.to_ascii_lowercase().parse().map_err(unknown)?, value.clone()));
    }
    Ok(options)
}

fn s3(settings: &Settings, name: &str) -> Result<(impl ObjectStore + Signer + use<>, bool), StorageError> {
    let mut builder = AmazonS3Builder::from_env();
    // Many who speak S3 do not delete in bulk, and one object at a time is all we ask for.
    builder = builder.with_config(AmazonS3ConfigKey::DisableBulkDelete, "true");
    let mut checksum = Some("sha256".to_owned());
    for (key, value) in options(settings, Cloud::S3, AmazonS3ConfigKey::Client)? {
        match key {
            AmazonS3ConfigKey::Checksum => checksum = (value != "none").then_some(value),
            key => builder = builder.with_config(key, value),
        }
    }
    let checked = checksum.is_some();
    if let Some(checksum) = checksum {
        builder = builder.with_config(AmazonS3ConfigKey::Checksum, checksum);
    }
    Ok((builder.with_bucket_name(name).with_retry(retry()).build()?, checked))
}

fn google(settings: &Settings, name: &str) -> Result<impl ObjectStore + Signer + use<>, StorageError> {
    let mut builder = GoogleCloudStorageBuilder::from_env();
    for (key, value) in options(settings, Cloud::Google, GoogleConfigKey::Client)? {
        builder = builder.with_config(key, value);
    }
    Ok(builder.with_bucket_name(name).with_retry(retry()).build()?)
}

fn azure(settings: &Settings, name: &str) -> Result<impl ObjectStore + Signer + use<>, StorageError> {
    let mut builder = MicrosoftAzureBuilder::from_env();
    for (key, value) in options(settings, Cloud::Azure, AzureConfigKey::Client)? {
        builder = builder.with_config(key, value);
    }
    Ok(builder.with_container_name(name).with_retry(retry()).build()?)
}
