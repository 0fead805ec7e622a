//! Objects in buckets that vendors write to.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ClientOptions, ObjectStoreExt as _, RetryConfig};
use songmill_core::{Fault, FaultKind};

use crate::fetch::{in_time, too_large, unreachable};
use crate::incoming::Incoming;
use crate::settings::{ObjectSettings, Settings};

/// Reads objects from the buckets in the settings.
pub(crate) struct Objects {
    stores: BTreeMap<String, AmazonS3>,
    max_bytes: u64,
    timeout: Duration,
}

/// How often a request is sent again at once; the job itself is tried again later.
const RETRIES: usize = 2;
/// For how long it is.
const RETRY_MOST: Duration = Duration::from_secs(20);

impl Objects {
    pub(crate) fn new(settings: &Settings) -> Result<Self, object_store::Error> {
        let stores =
            settings.objects.iter().map(|(name, bucket)| Ok((name.clone(), opened(settings, bucket)?)));
        Ok(Self {
            stores: stores.collect::<Result<_, object_store::Error>>()?,
            max_bytes: settings.max_bytes,
            timeout: settings.timeout.get(),
        })
    }

    /// Reads an object into an empty file.
    pub(crate) async fn fetch(&self, store: &str, key: &str, into: &mut Incoming) -> Result<(), Fault> {
        let Some(bucket) = self.stores.get(store) else {
            let words = format!("deliver.objects.{store} is not set: where does the vendor put its audio?");
            return Err(Fault::new(FaultKind::Locked, "store_unknown", words));
        };
        let path = object_store::path::Path::parse(key)
            .map_err(|error| Fault::new(FaultKind::Garbled, "address_refused", error.to_string()))?;
        in_time(self.timeout, self.read(bucket, &path, into)).await
    }

    async fn read(
        &self,
        bucket: &AmazonS3,
        path: &object_store::path::Path,
        file: &mut Incoming,
    ) -> Result<(), Fault> {
        let found = bucket.get(path).await.map_err(|error| sorted(&error))?;
        if found.meta.size > self.max_bytes {
            return Err(too_large(self.max_bytes));
        }
        let mut left = found.meta.size;
        let mut chunks = found.into_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| sorted(&error))?;
            let more = || unreachable("the object is longer than the bucket says".into());
            left = left.checked_sub(chunk.len() as u64).ok_or_else(more)?;
            file.write(&chunk).await?;
        }
        if left > 0 {
            return Err(unreachable("the transfer was cut".into()));
        }
        Ok(())
    }
}

fn opened(settings: &Settings, bucket: &ObjectSettings) -> Result<AmazonS3, object_store::Error> {
    let client = ClientOptions::new()
        .with_timeout(settings.timeout.get())
        .with_connect_timeout(settings.connect_timeout.get())
        .with_allow_http(bucket.allow_http);
    // Virtual-hosted, the bucket stands in the host, and the endpoint is given with it.
    let endpoint = bucket.endpoint.trim_end_matches('/');
    let endpoint = match (bucket.path_style, endpoint.split_once("://")) {
        (false, Some((scheme, host))) => format!("{scheme}://{}.{host}", bucket.bucket),
        _ => endpoint.to_owned(),
    };
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_MOST, ..RetryConfig::default() };
    let builder = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_bucket_name(&bucket.bucket)
        .with_region(&bucket.region)
        .with_virtual_hosted_style_request(!bucket.path_style)
        .with_allow_http(bucket.allow_http)
        .with_retry(retry)
        .with_client_options(client);
    if bucket.access_key_id.is_empty() {
        return builder.with_skip_signature(true).build();
    }
    builder
        .with_access_key_id(&bucket.access_key_id)
        .with_secret_access_key(&bucket.secret_access_key)
        .build()
}

fn sorted(error: &object_store::Error) -> Fault {
    use object_store::Error as E;
    let words = error.to_string();
    match error {
        // Not the song is missing but the settings are wrong: nothing that a new song would mend.
        E::NotFound { source, .. } if source.to_string().contains("NoSuchBucket") => {
            Fault::new(FaultKind::Locked, "store_refused", "the bucket does not exist")
        }
        E::NotFound { .. } => {
            Fault::new(FaultKind::Rejected, "output_expired", "the object is not in the bucket")
        }
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
            Fault::new(FaultKind::Locked, "store_refused", words)
        }
        _ => unreachable(words),
    }
}
