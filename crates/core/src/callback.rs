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

/// A text with the last part of our own callback addresses blotted out: whoever knows it can end a job. The slashes may
/// be escaped in any way that vendors quote addresses.
pub fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(FOLDER) {
        let (before, address) = rest.split_at(at + FOLDER.len());
        masked.push_str(before);
        rest = address;
        // /vendor/job/attempt/token
        let (shown, slashes) = path(address, 4);
        if slash(address).is_some() && slashes == 4 {
            let (secret, _) = path(&address[shown..], usize::MAX);
            masked.push_str(&address[..shown]);
            masked.push_str(if secret > 0 { "***" } else { "" });
            rest = &address[shown + secret..];
        }
    }
    masked.push_str(rest);
    masked
}

/// The folder of our callback addresses.
const FOLDER: &str = "callbacks";

/// How long the path is that a text begins with, up to the end of so many slashes, and how many it has.
fn path(text: &str, most: usize) -> (usize, usize) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let (mut end, mut slashes) = (0, 0);
    while slashes < most {
        let rest = &text[end..];
        if let Some(length) = slash(rest) {
            (end, slashes) = (end + length, slashes + 1);
        } else if rest.chars().next().is_some_and(is_part) {
            end += 1;
        } else {
            break;
        }
    }
    (end, slashes)
}

/// How long the slash is that a text begins with: bare, in JSON, in JSON within JSON, in a query, or in a page.
fn slash(text: &str) -> Option<usize> {
    let escapes = text.len() - text.trim_start_matches('\\').len();
    let forms: &[&str] =
        if escapes > 0 { &["/", "u002f"] } else { &["/", "%2f", "%252f", "&#x2f;", "&#47;", "&sol;"] };
    let bare = &text[escapes..];
    let is_form = |form: &&&str| bare.get(..form.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(form));
    forms.iter().find(is_form).map(|form| escapes + form.len())
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
    fn no_fault_and_no_answer_shows_who_may_end_an_attempt() {
        let (job, vendor) = (JobId::from_bytes([1; 16]), VendorName::new("replicate").unwrap());
        let path = keys(&["a"]).path(&vendor, job, 1);
        let mac = token(&path);
        for slash in [
            "/",
            "\\/",
            "\\\\/",
            "\\\\\\/",
            "\\u002f",
            "\\u002F",
            "\\\\u002f",
            "%2F",
            "%2f",
            "%252F",
            "&#x2F;",
            "&#47;",
            "&sol;",
        ] {
            let quoted =
                format!("bad webhook \"https://s.example/callbacks/{path}\": refused").replace('/', slash);
            let fault = crate::Fault::from_vendor(crate::FaultKind::Rejected, "request_refused", &quoted);
            let ours = crate::Fault::new(crate::FaultKind::Rejected, "request_refused", &quoted);
            let answer = crate::RawAnswer::new(&quoted);
            for shown in [fault.words().as_str(), ours.words().as_str(), answer.as_str()] {
                assert!(!shown.contains(mac) && !shown.contains(&mac[2..20]), "{shown}");
                assert!(shown.contains("***") && shown.contains("refused"), "{shown}");
            }
        }
        for other in ["callbacks are late", "callbacks/a/b", "callbacks", "/callbacks/a/b/c/", "callbacks//"]
        {
            assert_eq!(masked(other), other);
        }
        assert_eq!(
            masked("callbacks callbacks/a/b/1/k.m, callbacks/c/d/2/k.m"),
            "callbacks callbacks/a/b/1/***, callbacks/c/d/2/***"
        );
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
