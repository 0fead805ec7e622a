//! Objects in buckets that vendors write to.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ClientOptions, Error, GetOptions, GetRange, ObjectStore as _, RetryConfig};
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
/// How often a transfer that stays cut is taken up again.
const RESUMES: u32 = 3;

impl Objects {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let stores =
            settings.objects.iter().map(|(name, bucket)| Ok((name.clone(), opened(settings, bucket)?)));
        Ok(Self {
            stores: stores.collect::<Result<_, Error>>()?,
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
        let path = Path::parse(key)
            .map_err(|error| Fault::new(FaultKind::Garbled, "address_refused", error.to_string()))?;
        in_time(self.timeout, self.read(bucket, &path, into)).await
    }

    async fn read(&self, bucket: &AmazonS3, path: &Path, file: &mut Incoming) -> Result<(), Fault> {
        let (mut had, mut tag, mut resumes) = (0, None, 0);
        loop {
            let cut = match self.part(bucket, path, file, &mut had, &mut tag).await {
                Err(Part::Cut(error)) => error,
                Err(Part::Fault(fault)) => return Err(fault),
                Ok(()) => return Ok(()),
            };
            if resumes == RESUMES {
                return Err(sorted(&cut));
            }
            resumes += 1;
            let goes_on = had > 0 && tag.is_some() && !matches!(cut, Error::Precondition { .. });
            if !goes_on {
                // Nothing to go on from, or another object by now.
                file.restart()?;
                (had, tag) = (0, None);
            }
        }
    }

    /// Reads what is not there yet of an object, or as much of it as comes.
    async fn part(
        &self,
        bucket: &AmazonS3,
        path: &Path,
        file: &mut Incoming,
        had: &mut u64,
        tag: &mut Option<String>,
    ) -> Result<(), Part> {
        let range = (*had > 0).then_some(GetRange::Offset(*had));
        let options = GetOptions { range, if_match: tag.clone(), ..GetOptions::default() };
        let found = bucket.get_opts(path, options).await.map_err(|error| match error {
            Error::Precondition { .. } => Part::Cut(error),
            error => Part::Fault(sorted(&error)),
        })?;
        let size = found.meta.size;
        if size > self.max_bytes {
            return Err(Part::Fault(too_large(self.max_bytes)));
        }
        tag.clone_from(&found.meta.e_tag);
        let mut chunks = found.into_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(Part::Cut)?;
            *had += chunk.len() as u64;
            if *had > size {
                return Err(Part::Fault(unreachable("the object is longer than the bucket says".into())));
            }
            file.write(&chunk).await.map_err(Part::Fault)?;
        }
        if *had < size {
            return Err(Part::Cut(Error::Generic { store: "S3", source: "the transfer was cut".into() }));
        }
        Ok(())
    }
}

/// Why a transfer ended before its end.
enum Part {
    /// It may go on.
    Cut(Error),
    /// It may not.
    Fault(Fault),
}

fn opened(settings: &Settings, bucket: &ObjectSettings) -> Result<AmazonS3, Error> {
    let client = ClientOptions::new()
        .with_timeout(settings.timeout.get())
        .with_connect_timeout(settings.connect_timeout.get())
        .with_allow_http(bucket.allow_http);
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_MOST, ..RetryConfig::default() };
    let builder = AmazonS3Builder::new()
        .with_endpoint(endpoint(bucket))
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

/// Virtual-hosted, the bucket stands in the host, and the endpoint is given with it.
fn endpoint(bucket: &ObjectSettings) -> String {
    let endpoint = bucket.endpoint.trim_end_matches('/');
    match (bucket.path_style, endpoint.split_once("://")) {
        (false, Some((scheme, host))) => format!("{scheme}://{}.{host}", bucket.bucket),
        _ => endpoint.to_owned(),
    }
}

fn sorted(error: &Error) -> Fault {
    let words = error.to_string();
    match error {
        // Not the song is missing but the settings are wrong: nothing that a new song would mend.
        Error::NotFound { source, .. } if source.to_string().contains("NoSuchBucket") => {
            Fault::new(FaultKind::Locked, "store_refused", "the bucket does not exist")
        }
        Error::NotFound { .. } => {
            Fault::new(FaultKind::Rejected, "output_expired", "the object is not in the bucket")
        }
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            Fault::new(FaultKind::Locked, "store_refused", words)
        }
        _ => unreachable(words),
    }
}

#[cfg(test)]
mod tests;
