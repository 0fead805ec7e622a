//! Putting into a bucket: whole or not at all.

use std::path::Path as File;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, MultipartUpload, ObjectStoreExt as _, PutMode, PutMultipartOptions,
    PutOptions,
};
use songmill_core::{Fault, FaultKind};
use tokio::io::AsyncReadExt as _;
use tokio_util::task::TaskTracker;

use super::bucket::Bucket;
use super::{Mode, Stored};
use crate::fetch::no_room;
use crate::formats::content_type;

/// Files larger than this are put in parts of it.
const PART: u64 = 8 << 20;
/// Parts on their way at the same time.
const PARTS_AHEAD: usize = 2;
/// How long giving an upload up may take.
const ABORT_MOST: Duration = Duration::from_secs(20);
/// The longest words of a server that become a fault's.
const WORDS: usize = 400;

/// Something to be put, and where.
struct Put<'a> {
    bucket: &'a Bucket,
    to: Path,
    bytes: u64,
    mode: Mode,
    content_type: &'static str,
}

impl Bucket {
    pub(super) async fn put(&self, file: &File, path: &str, mode: Mode) -> Result<Stored, Fault> {
        let mut from = tokio::fs::File::open(file).await.map_err(|error| no_room(&error))?;
        let bytes = from.metadata().await.map_err(|error| no_room(&error))?.len();
        let put = Put { bucket: self, to: key(path)?, bytes, mode, content_type: content_type(path) };
        self.in_time(async {
            if bytes > PART {
                return put.large(from).await;
            }
            let whole = read(&mut from).await?;
            put.small(whole).await
        })
        .await
    }

    pub(super) async fn put_bytes(
        &self,
        path: &str,
        bytes: Bytes,
        content_type: &'static str,
    ) -> Result<(), Fault> {
        let to = key(path)?;
        let put = Put { bucket: self, to, bytes: bytes.len() as u64, mode: Mode::Own, content_type };
        self.in_time(put.small(bytes)).await.map(drop)
    }

    async fn in_time(&self, work: impl Future<Output = Result<Stored, Fault>>) -> Result<Stored, Fault> {
        let late = || unreachable(format!("not stored after {} s", self.timeout.as_secs()));
        tokio::time::timeout(self.timeout, work).await.unwrap_or_else(|_| Err(late()))
    }
}

impl Put<'_> {
    /// In one request.
    async fn small(&self, whole: Bytes) -> Result<Stored, Fault> {
        if self.mode == Mode::Shared {
            match self.send(whole.clone(), PutMode::Create).await {
                Ok(()) => return self.verified().await,
                Err(
                    Error::AlreadyExists { .. } | Error::NotImplemented { .. } | Error::NotSupported { .. },
                ) => {
                    if self.is_there().await? {
                        return Ok(Stored::Already);
                    }
                }
                Err(error) => return Err(sorted(&error)),
            }
        }
        self.send(whole, PutMode::Overwrite).await.map_err(|error| sorted(&error))?;
        self.verified().await
    }

    async fn send(&self, whole: Bytes, mode: PutMode) -> object_store::Result<()> {
        let options = PutOptions { mode, attributes: self.attributes(), ..PutOptions::default() };
        self.bucket.store.put_opts(&self.to, whole.into(), options).await.map(drop)
    }

    /// In parts, which nobody sees before the last is there.
    async fn large(&self, mut from: tokio::fs::File) -> Result<Stored, Fault> {
        if self.mode == Mode::Shared && self.is_there().await? {
            return Ok(Stored::Already);
        }
        let options = PutMultipartOptions { attributes: self.attributes(), ..PutMultipartOptions::default() };
        let begun = self.bucket.store.put_multipart_opts(&self.to, options).await;
        let upload = begun.map_err(|error| sorted(&error))?;
        let mut upload = Upload { open: Some(upload), aborts: self.bucket.aborts.clone() };
        let mut under_way = FuturesUnordered::new();
        loop {
            let part = read(&mut from).await?;
            if part.is_empty() {
                break;
            }
            if under_way.len() >= PARTS_AHEAD
                && let Some(Err(error)) = under_way.next().await
            {
                return Err(sorted(&error));
            }
            under_way.extend(upload.open.as_mut().map(|upload| upload.put_part(part.into())));
        }
        while let Some(put) = under_way.next().await {
            put.map_err(|error| sorted(&error))?;
        }
        if let Some(open) = &mut upload.open {
            open.complete().await.map_err(|error| sorted(&error))?;
        }
        upload.open = None;
        self.verified().await
    }

    fn attributes(&self) -> Attributes {
        Attributes::from_iter([(Attribute::ContentType, self.content_type)])
    }

    /// Whether an object of this size is at the path already.
    async fn is_there(&self) -> Result<bool, Fault> {
        match self.bucket.store.head(&self.to).await {
            Ok(meta) => Ok(meta.size == self.bytes),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(sorted(&error)),
        }
    }

    /// Looks at what was written, unless the server compared it with a checksum.
    async fn verified(&self) -> Result<Stored, Fault> {
        if self.bucket.checked || self.is_there().await? {
            return Ok(Stored::Written);
        }
        // Nobody shall take it for the whole; the next try writes it anew in any case.
        let _ = self.bucket.store.delete(&self.to).await;
        Err(unreachable(format!("the bucket does not have the {} bytes it took", self.bytes)))
    }
}

/// An upload in parts; given up when it is dropped open, whatever the reason.
struct Upload {
    open: Option<Box<dyn MultipartUpload>>,
    aborts: TaskTracker,
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        self.aborts.spawn(async move {
            match tokio::time::timeout(ABORT_MOST, open.abort()).await {
                // One that was completed though its answer was lost is gone.
                Ok(Ok(()) | Err(Error::NotFound { .. })) => {}
                failed => tracing::warn!(
                    ?failed,
                    "an upload in parts could not be given up; its parts stay in the bucket"
                ),
            }
        });
    }
}

/// The next part of a file, empty at its end.
async fn read(from: &mut tokio::fs::File) -> Result<Bytes, Fault> {
    let mut part = Vec::new();
    from.take(PART).read_to_end(&mut part).await.map_err(|error| no_room(&error))?;
    Ok(part.into())
}

fn key(path: &str) -> Result<Path, Fault> {
    Path::parse(path).map_err(|error| refused(error.to_string()))
}

/// Whose it is to mend: the operator's, or nobody's but the time's.
pub(super) fn sorted(error: &Error) -> Fault {
    let words = words(&error.to_string());
    let has = |any: &[&str]| any.iter().any(|text| words.contains(text));
    match error {
        Error::NotFound { .. } if has(&["NoSuchUpload"]) => unreachable(words),
        Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::NotFound { .. }
        | Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. } => refused(words),
        // Damaged or slow on its way.
        Error::Generic { .. }
            if has(&["Checksum", "BadDigest", "SHA256", "IncompleteBody", "RequestTimeout"]) =>
        {
            unreachable(words)
        }
        // A wrong request, a wrong region, no room.
        Error::Generic { .. }
            if has(&[
                "status code: 400",
                "status code: 405",
                "status code: 413",
                "LOCATION",
                "status code: 507",
            ]) =>
        {
            refused(words)
        }
        _ => unreachable(words),
    }
}

/// On one line, and not the whole page that a server may have sent.
fn words(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text[..text.floor_char_boundary(WORDS)].to_owned()
}

fn refused(words: String) -> Fault {
    Fault::new(FaultKind::Locked, "storage_refused", words)
}

fn unreachable(words: String) -> Fault {
    Fault::new(FaultKind::Unavailable, "storage_unreachable", words)
}
