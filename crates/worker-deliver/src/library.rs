//! Reading what is in storage.

use std::path::PathBuf;
use std::time::Duration;

use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::signer::Signer as _;

use crate::settings::Settings;
use crate::storage::{StorageError, bucket};

/// What is in storage, to be read.
pub struct Library(Place);

enum Place {
    Folder(PathBuf),
    Bucket { bucket: Box<AmazonS3>, prefix: String },
}

/// Where a piece of audio can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shelved {
    /// In a file here.
    File(PathBuf),
    /// At an address that works for a while.
    Address(String),
}

/// How long an address works.
const WORKS: Duration = Duration::from_secs(600);

impl Library {
    /// Opens the storage in the settings; nothing is asked or written yet.
    pub fn open(settings: &Settings) -> Result<Self, StorageError> {
        if let Some(folder) = settings.storage.local_folder() {
            return Ok(Self(Place::Folder(folder)));
        }
        let (bucket, prefix) = bucket(settings)?;
        let prefix = prefix.to_owned();
        Ok(Self(Place::Bucket { bucket: Box::new(bucket), prefix }))
    }

    /// Where an asset can be had, by its path in storage.
    pub async fn find(&self, path: &str) -> Result<Shelved, StorageError> {
        match &self.0 {
            Place::Folder(folder) => Ok(Shelved::File(folder.join(path))),
            Place::Bucket { bucket, prefix } => {
                let key = if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") };
                let key = Path::parse(key).map_err(object_store::Error::from)?;
                let address = bucket.signed_url(http::Method::GET, &key, WORKS).await?;
                Ok(Shelved::Address(address.into()))
            }
        }
    }
}
