//! Objects in buckets that vendors write to.

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ClientOptions, ObjectStoreExt as _};
use songmill_core::{Fault, FaultKind};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use crate::fetch::no_room;
use crate::settings::{ObjectSettings, Settings};

/// Reads objects from the buckets in the settings.
pub(crate) struct Objects {
    stores: BTreeMap<String, AmazonS3>,
    max_bytes: u64,
}

impl Objects {
    pub(crate) fn new(settings: &Settings) -> Result<Self, object_store::Error> {
        let stores =
            settings.objects.iter().map(|(name, bucket)| Ok((name.clone(), opened(settings, bucket)?)));
        Ok(Self {
            stores: stores.collect::<Result<_, object_store::Error>>()?,
            max_bytes: settings.max_bytes,
        })
    }

    /// Reads an object into a file.
    pub(crate) async fn fetch(&self, store: &str, key: &str, into: &Path) -> Result<(), Fault> {
        let Some(bucket) = self.stores.get(store) else {
            let words = format!("deliver.objects.{store} is not set: where does the vendor put its audio?");
            return Err(Fault::new(FaultKind::Locked, "store_unknown", words));
        };
        let path = object_store::path::Path::parse(key)
            .map_err(|error| Fault::new(FaultKind::Garbled, "address_refused", error.to_string()))?;
        let found = bucket.get(&path).await.map_err(|error| sorted(&error))?;
        if found.meta.size > self.max_bytes {
            let words = format!("larger than {} bytes", self.max_bytes);
            return Err(Fault::new(FaultKind::Garbled, "output_too_large", words));
        }
        let mut file = File::create(into).await.map_err(|error| no_room(&error))?;
        let mut chunks = found.into_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| sorted(&error))?;
            file.write_all(&chunk).await.map_err(|error| no_room(&error))?;
        }
        file.flush().await.map_err(|error| no_room(&error))
    }
}

fn opened(settings: &Settings, bucket: &ObjectSettings) -> Result<AmazonS3, object_store::Error> {
    let client = ClientOptions::new()
        .with_timeout(settings.timeout.get())
        .with_connect_timeout(settings.connect_timeout.get())
        .with_allow_http(bucket.allow_http);
    // Virtual-hosted, the bucket stands in the host, and the endpoint is given with it.
    let endpoint = match (bucket.path_style, bucket.endpoint.split_once("://")) {
        (false, Some((scheme, host))) => format!("{scheme}://{}.{host}", bucket.bucket),
        _ => bucket.endpoint.clone(),
    };
    let builder = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_bucket_name(&bucket.bucket)
        .with_region(&bucket.region)
        .with_virtual_hosted_style_request(!bucket.path_style)
        .with_allow_http(bucket.allow_http)
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
        E::NotFound { .. } => {
            Fault::new(FaultKind::Rejected, "output_expired", "the object is not in the bucket")
        }
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
            Fault::new(FaultKind::Locked, "store_refused", words)
        }
        _ => Fault::new(FaultKind::Unavailable, "output_unreachable", words),
    }
}
