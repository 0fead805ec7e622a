//! Where audio comes from, as it is written into its sidecar and its tags.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use songmill_core::{Asset, Timestamp, VendorName};
use songmill_store::{Lease, Store};

use crate::sidecar::{Origin, Sidecar, Sound};

/// What is known besides the job.
pub(crate) struct Provenance {
    /// The models that vendors are asked for.
    pub(crate) models: BTreeMap<VendorName, String>,
}

/// A piece of audio that has been stored.
pub(crate) struct Made<'a> {
    pub(crate) origin: &'a songmill_core::job::Origin,
    pub(crate) asset: &'a Asset,
    /// Its number within the job, from 1.
    pub(crate) n: usize,
    /// The hash of what the vendor gave.
    pub(crate) original: &'a str,
    pub(crate) sound: &'a Sound,
}

/// The form of sidecars.
const VERSION: u32 = 1;

impl Provenance {
    /// The sidecar of a piece of audio.
    pub(crate) fn sidecar(&self, lease: &Lease, store: &Store, made: Made<'_>) -> Sidecar {
        let Made { origin, asset, n, original, sound } = made;
        let job = &lease.job;
        Sidecar {
            version: VERSION,
            job: job.id,
            tenant: job.tenant.clone(),
            batch: job.batch.clone(),
            custom_id: job.custom_id.clone(),
            n,
            asset: asset.clone(),
            origin: Origin {
                vendor: origin.vendor.clone(),
                model: self.models.get(&origin.vendor).cloned().unwrap_or_default(),
                task: origin.task.clone(),
                attempt: origin.attempt.number,
                seed: lease.song().ok().and_then(|song| song.seed),
                cost: job.spent as f64 / 1e6,
                currency: store.policy().money.currency.to_string(),
                created: rfc3339(job.created),
                submitted: rfc3339(origin.attempt.since),
                stored: rfc3339(store.now()),
                sha256: (original != asset.sha256).then(|| original.to_owned()),
            },
            request: request(lease.request.as_deref().unwrap_or_default()),
            sound: sound.clone(),
        }
    }

    /// The comment in a file's tags: enough to find its job, and nothing of what was asked for but its hash.
    pub(crate) fn comment(&self, lease: &Lease) -> String {
        let hash = Sha256::digest(lease.request.as_deref().unwrap_or_default());
        format!("songmill job={} vendor={} request=sha256:{}", lease.job.id, lease.vendor, hex(&hash[..8]))
    }
}

/// The request, without what gives access to something, or is large: of reference audio its hash.
fn request(text: &str) -> serde_json::Value {
    let mut request: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    if let Some(audio) = request.get_mut("reference_audio")
        && let Some(address) = audio.as_str()
    {
        *audio = format!("sha256:{}", hex(&Sha256::digest(address))).into();
    }
    request
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis().cast_signed()).unwrap_or_default().to_string()
}
