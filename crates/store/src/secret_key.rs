//! Endpoints' secrets encrypted at rest, under keys that the operator has and Redis does not.
//!
//! A secret is bound to its tenant and endpoint: put elsewhere in Redis it cannot be opened. The first key encrypts, all
//! open, so keys can be replaced while old secrets are still there; each is rewritten when its endpoint is next written.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};
use songmill_core::{EndpointId, Tenant};

/// The keys that endpoints' secrets are encrypted with in Redis; none leaves them as they are.
#[derive(Clone, Default)]
pub struct SecretKeys(Arc<Vec<SecretKey>>);

struct SecretKey {
    /// The beginning of its hash.
    id: String,
    cipher: XChaCha20Poly1305,
}

impl fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// Why a text is no key. It does not quote the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key: 32 random bytes in base64 are one, such as `openssl rand -base64 32` makes")]
pub struct BadSecretKey;

/// Why a secret cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedSecret {
    /// The key is not among the settings.
    #[error(
        "the secret is encrypted with key {0}, which is not among webhooks.secret_key and webhooks.old_secret_keys"
    )]
    NoKey(String),
    /// It was changed, or belongs to another endpoint.
    #[error("the secret cannot be decrypted: it was changed in Redis, or belongs to another endpoint")]
    Broken,
}

/// Why a secret cannot be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system has no random bytes to encrypt a secret with: nothing was written")]
pub struct NoRandomBytes(#[source] getrandom::Error);

/// What an encrypted secret begins with: `enc1.<key>.<whsec|whsk>.<base64 of nonce and text>`.
const MARK: &str = "enc1.";
const NONCE: usize = 24;

impl SecretKeys {
    /// Reads keys: the first encrypts.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, BadSecretKey> {
        let read = |text: &str| {
            let bytes: [u8; 32] = STANDARD.decode(text.trim()).ok()?.try_into().ok()?;
            // Not what somebody typed to try it out.
            bytes.iter().any(|byte| *byte != bytes[0]).then_some(())?;
            let id = Sha256::digest(bytes)[..4].iter().map(|byte| format!("{byte:02x}")).collect();
            Some(SecretKey { id, cipher: XChaCha20Poly1305::new(&Key::from(bytes)) })
        };
        let keys: Option<Vec<_>> = texts.into_iter().map(read).collect();
        Ok(Self(Arc::new(keys.ok_or(BadSecretKey)?)))
    }

    /// A secret encrypted with the first key; none where it is already, or cannot be opened.
    pub(crate) fn seal(
        &self,
        tenant: &Tenant,
        endpoint: &EndpointId,
        secret: &str,
    ) -> Result<Option<String>, NoRandomBytes> {
        self.seal_with(tenant, endpoint, secret, getrandom::fill)
    }

    fn seal_with(
        &self,
        tenant: &Tenant,
        endpoint: &EndpointId,
        secret: &str,
        random: impl FnOnce(&mut [u8]) -> Result<(), getrandom::Error>,
    ) -> Result<Option<String>, NoRandomBytes> {
        let Some(first) = self.0.first() else { return Ok(None) };
        if sealed(secret).is_some_and(|(id, _, _)| id == first.id) {
            return Ok(None);
        }
        // What no key opens stays for who has the key.
        let Ok(plain) = self.open(tenant, endpoint, secret) else { return Ok(None) };
        let mut nonce = [0; NONCE];
        random(&mut nonce).map_err(NoRandomBytes)?;
        let kind = plain.split('_').next().unwrap_or_default();
        let aad = bound_to(tenant, endpoint, kind);
        let payload = Payload { msg: plain.as_bytes(), aad: aad.as_bytes() };
        let text =
            first.cipher.encrypt(&XNonce::from(nonce), payload).expect("a secret is shorter than 256 GiB");
        let bytes = STANDARD.encode([&nonce[..], &text].concat());
        Ok(Some(format!("{MARK}{}.{kind}.{bytes}", first.id)))
    }

    /// A secret as it is signed with: `whsec_…` or `whsk_…`.
    pub(crate) fn open(
        &self,
        tenant: &Tenant,
        endpoint: &EndpointId,
        secret: &str,
    ) -> Result<String, SealedSecret> {
        let Some((id, kind, bytes)) = sealed(secret) else { return Ok(secret.to_owned()) };
        let key = self.0.iter().find(|key| key.id == id).ok_or_else(|| SealedSecret::NoKey(id.to_owned()))?;
        let bytes = STANDARD.decode(bytes).map_err(|_| SealedSecret::Broken)?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE>().ok_or(SealedSecret::Broken)?;
        let aad = bound_to(tenant, endpoint, kind);
        let payload = Payload { msg: text, aad: aad.as_bytes() };
        let plain = key.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealedSecret::Broken)?;
        String::from_utf8(plain).map_err(|_| SealedSecret::Broken)
    }
}

/// The key, the kind of secret and the bytes of one that is encrypted.
fn sealed(text: &str) -> Option<(&str, &str, &str)> {
    let (id, rest) = text.strip_prefix(MARK)?.split_once('.')?;
    let (kind, bytes) = rest.split_once('.')?;
    Some((id, kind, bytes))
}

/// Whether a pair of keys signs, instead of a shared secret; that is seen without opening it.
pub(crate) fn is_pair(text: &str) -> bool {
    sealed(text).map_or_else(|| text.starts_with("whsk_"), |(_, kind, _)| kind == "whsk")
}

fn bound_to(tenant: &Tenant, endpoint: &EndpointId, kind: &str) -> String {
    format!("songmill endpoint secret\n{tenant}\n{endpoint}\n{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> String {
        let mut bytes = [byte; 32];
        bytes[0] = byte.wrapping_add(1);
        STANDARD.encode(bytes)
    }

    #[test]
    fn a_secret_opens_only_with_its_key_and_at_its_place() {
        let (tenant, endpoint): (Tenant, EndpointId) = ("one".parse().unwrap(), "ep_1".parse().unwrap());
        let (old, new) = (key(1), key(2));
        let keys = SecretKeys::new([old.as_str()]).unwrap();
        for plain in ["whsec_c2VjcmV0", "whsk_c2VjcmV0"] {
            let sealed = keys.seal(&tenant, &endpoint, plain).unwrap().unwrap();
            assert!(!sealed.contains("c2VjcmV0"), "{sealed}");
            assert_eq!(is_pair(&sealed), is_pair(plain));
            assert_eq!(keys.open(&tenant, &endpoint, &sealed).unwrap(), plain);
            assert_eq!(keys.seal(&tenant, &endpoint, &sealed), Ok(None), "it is already");
            let other: (Tenant, EndpointId) = ("two".parse().unwrap(), "ep_2".parse().unwrap());
            assert_eq!(keys.open(&other.0, &endpoint, &sealed), Err(SealedSecret::Broken));
            assert_eq!(keys.open(&tenant, &other.1, &sealed), Err(SealedSecret::Broken));
            let swapped =
                sealed.replace(".whsec.", ".x.").replace(".whsk.", ".whsec.").replace(".x.", ".whsk.");
            assert_eq!(keys.open(&tenant, &endpoint, &swapped), Err(SealedSecret::Broken));
            // A new key goes first, and what the old one encrypted is encrypted anew.
            let both = SecretKeys::new([new.as_str(), &old]).unwrap();
            let anew = both.seal(&tenant, &endpoint, &sealed).unwrap().unwrap();
            let only = SecretKeys::new([new.as_str()]).unwrap();
            assert_eq!(only.open(&tenant, &endpoint, &anew).unwrap(), plain);
            let lost = only.open(&tenant, &endpoint, &sealed);
            assert!(matches!(&lost, Err(SealedSecret::NoKey(id)) if sealed.contains(id)), "{lost:?}");
            assert_eq!(
                only.seal(&tenant, &endpoint, &sealed),
                Ok(None),
                "what cannot be opened stays as it is"
            );
        }
    }

    #[test]
    fn without_random_bytes_nothing_is_encrypted_and_nothing_left_plain() {
        let (tenant, endpoint): (Tenant, EndpointId) = ("one".parse().unwrap(), "ep_1".parse().unwrap());
        let keys = SecretKeys::new([key(1).as_str()]).unwrap();
        let seal =
            |secret| keys.seal_with(&tenant, &endpoint, secret, |_| Err(getrandom::Error::UNSUPPORTED));
        assert_eq!(seal("whsec_c2VjcmV0"), Err(NoRandomBytes(getrandom::Error::UNSUPPORTED)));
        let sealed = keys.seal(&tenant, &endpoint, "whsec_c2VjcmV0").unwrap().unwrap();
        assert_eq!(seal(&sealed), Ok(None));
    }

    #[test]
    fn a_key_is_32_bytes_that_are_not_all_the_same() {
        for bad in [
            "",
            "short",
            &STANDARD.encode([0; 32]),
            &STANDARD.encode([7; 31]),
            "no base64, but it is long enough",
        ] {
            assert_eq!(SecretKeys::new([bad]).err(), Some(BadSecretKey), "{bad}");
        }
    }
}
