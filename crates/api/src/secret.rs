//! Making and checking secrets: access keys, signing secrets of endpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use songmill_core::{JobId, Tenant, Timestamp};
use songmill_store::{AccessKey, Scope};
use subtle::ConstantTimeEq as _;

use crate::problem::Problem;

/// What every access key begins with, so that scanners find leaked ones.
const MARK: &str = "sm_";

/// Makes a key: what is kept of it, and the key itself, which is never shown again.
pub fn new_access_key(
    tenant: Tenant,
    name: String,
    scopes: Vec<Scope>,
    expires_ms: Option<u64>,
    now: Timestamp,
) -> Result<(AccessKey, String), NoRandomness> {
    let (id, secret) = (random_text()?[..10].to_owned(), random_text()? + &random_text()?[..6]);
    let hash = hashed(&secret);
    let key = AccessKey {
        id: id.clone(),
        tenant,
        name,
        scopes,
        hash,
        created_ms: now.as_millis(),
        expires_ms,
        replaced_ms: None,
        revoked_ms: None,
    };
    Ok((key, format!("{MARK}{id}_{secret}")))
}

/// The system has no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no random bytes from the system")]
pub struct NoRandomness;

impl From<NoRandomness> for Problem {
    fn from(error: NoRandomness) -> Self {
        tracing::error!(%error, "a request failed");
        Self::internal()
    }
}

/// Splits a key into the id that may be seen and the secret.
pub(crate) fn split(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix(MARK)?.split_once('_')
}

/// Whether a secret is the one of a key; takes equal time for every wrong one.
pub(crate) fn opens(key: &AccessKey, secret: &str) -> bool {
    bool::from(hashed(secret).as_bytes().ct_eq(key.hash.as_bytes()))
}

/// SHA-256 in lower-case hex. Our secrets have 160 random bits: nothing slower is needed.
pub(crate) fn hashed(text: &str) -> String {
    hex(&Sha256::digest(text))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 26 random characters of 0-9 and a-z, 128 bits.
pub(crate) fn random_text() -> Result<String, NoRandomness> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(JobId::from_bytes(bytes).to_string())
}

/// How an endpoint's notices are signed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Signing {
    /// HMAC-SHA256 with a shared secret, `v1`.
    #[default]
    Hmac,
    /// ed25519, `v1a`: the receiver knows only the public key.
    Ed25519,
}

/// A new signing secret, `whsec_…` or `whsk_…`, as Standard Webhooks writes them.
pub(crate) fn signing_secret(signing: Signing) -> Result<String, NoRandomness> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    let mark = match signing {
        Signing::Hmac => "whsec_",
        Signing::Ed25519 => "whsk_",
    };
    Ok(format!("{mark}{}", STANDARD.encode(bytes)))
}

/// What the receiver needs to check a signature: the secret itself, or the public key `whpk_…` of a pair.
pub(crate) fn for_receiver(secret: &str) -> String {
    let Some(seed) = secret.strip_prefix("whsk_") else { return secret.to_owned() };
    let seed: Option<[u8; 32]> = STANDARD.decode(seed).ok().and_then(|seed| seed.try_into().ok());
    let public = seed.map(|seed| ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().to_bytes());
    format!("whpk_{}", STANDARD.encode(public.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_with_its_own_secret_alone() {
        let make = || {
            let now = Timestamp::from_millis(1);
            new_access_key(Tenant::default(), String::new(), vec![Scope::Read], None, now).unwrap()
        };
        let ((key, text), (other, _)) = (make(), make());
        let (id, secret) = split(&text).unwrap();
        assert_eq!(id, key.id);
        assert!(opens(&key, secret) && !opens(&other, secret) && !opens(&key, ""));
        assert!(!serde_json::to_string(&key).unwrap().contains(secret), "only the hash is kept");
    }
}
