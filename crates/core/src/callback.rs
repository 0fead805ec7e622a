//! Callback tokens: who may say that an attempt has ended.
//!
//! A callback's address ends in `{vendor}/{job}/{attempt}/{key_id}.{mac}`, where the mac is HMAC-SHA256 over
//! vendor, job and attempt. Two keys may be live, so that keys can be rotated while tasks run.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::id::{JobId, VendorName};

/// One secret that signs callback addresses.
#[derive(Clone)]
pub struct CallbackKey {
    id: String,
    secret: Vec<u8>,
}

/// Why a callback key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The id would not fit an address.
    #[error("a callback key's id has 1 to 16 characters of a-z and 0-9")]
    Id,
    /// The secret could be guessed.
    #[error("a callback key's secret has at least 16 bytes")]
    Short,
}

impl CallbackKey {
    /// A key with its id (1 to 16 of a-z, 0-9) and secret (16 bytes or more).
    pub fn new(id: &str, secret: &[u8]) -> Result<Self, InvalidKey> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if id.is_empty() || id.len() > 16 || !id.chars().all(fits) {
            return Err(InvalidKey::Id);
        }
        if secret.len() < 16 {
            return Err(InvalidKey::Short);
        }
        Ok(Self { id: id.to_owned(), secret: secret.to_vec() })
    }

    fn mac(&self, vendor: &str, job: JobId, attempt: u32) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        mac.update(format!("songmill callback 1\0{vendor}\0{job}\0{attempt}").as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for CallbackKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallbackKey({})", self.id)
    }
}

/// The keys in force: the first signs, every one is accepted.
#[derive(Clone, Debug)]
pub struct CallbackKeys(Vec<CallbackKey>);

impl CallbackKeys {
    /// Puts keys in force; `signing` signs, `others` are still accepted.
    pub fn new(signing: CallbackKey, others: Vec<CallbackKey>) -> Self {
        Self(std::iter::once(signing).chain(others).collect())
    }

    /// The last part of a callback address, `{vendor}/{job}/{attempt}/{key_id}.{mac}`.
    pub fn path(&self, vendor: &VendorName, job: JobId, attempt: u32) -> String {
        let key = &self.0[0];
        let mac = URL_SAFE_NO_PAD.encode(key.mac(vendor.as_str(), job, attempt));
        format!("{vendor}/{job}/{attempt}/{}.{mac}", key.id)
    }

    /// Whether `token` (`{key_id}.{mac}`) was made by a key in force for this attempt; takes equal time for
    /// every wrong mac.
    pub fn verify(&self, vendor: &str, job: JobId, attempt: u32, token: &str) -> bool {
        let Some((key_id, mac)) = token.split_once('.') else { return false };
        let Some(key) = self.0.iter().find(|key| key.id == key_id) else { return false };
        let Ok(mac) = URL_SAFE_NO_PAD.decode(mac) else { return false };
        bool::from(mac.as_slice().ct_eq(&key.mac(vendor, job, attempt)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(ids: &[&str]) -> CallbackKeys {
        let mut keys =
            ids.iter().map(|id| CallbackKey::new(id, format!("secret of {id} .......").as_bytes()).unwrap());
        CallbackKeys::new(keys.next().unwrap(), keys.collect())
    }

    fn token(path: &str) -> &str {
        path.rsplit('/').next().unwrap()
    }

    #[test]
    fn a_token_opens_its_own_attempt_and_no_other() {
        let keys = keys(&["a"]);
        let (job, other) = (JobId::from_bytes([1; 16]), JobId::from_bytes([2; 16]));
        let path = keys.path(&VendorName::new("tencent").unwrap(), job, 3);
        let token = token(&path);
        assert!(keys.verify("tencent", job, 3, token));
        assert!(!keys.verify("tencent", job, 4, token));
        assert!(!keys.verify("tencent", other, 3, token));
        assert!(!keys.verify("replicate", job, 3, token));
        for forged in ["", "a", "a.", "b.AAAA", &token[..token.len() - 1], &format!("{token}A")] {
            assert!(!keys.verify("tencent", job, 3, forged), "{forged}");
        }
    }

    #[test]
    fn an_old_key_is_accepted_until_it_is_taken_out() {
        let job = JobId::from_bytes([1; 16]);
        let path = keys(&["old"]).path(&VendorName::new("tencent").unwrap(), job, 1);
        assert!(keys(&["new", "old"]).verify("tencent", job, 1, token(&path)));
        assert!(!keys(&["new"]).verify("tencent", job, 1, token(&path)));
    }

    #[test]
    fn a_weak_key_is_refused_and_never_printed() {
        assert_eq!(CallbackKey::new("a", b"short").unwrap_err(), InvalidKey::Short);
        assert_eq!(CallbackKey::new("A", &[7; 32]).unwrap_err(), InvalidKey::Id);
        assert_eq!(format!("{:?}", CallbackKey::new("a", b"0123456789abcdef").unwrap()), "CallbackKey(a)");
    }
}
