//! Webhooks: Standard Webhooks over the raw bytes, then a prediction.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;
use songmill_core::Timestamp;

use super::read::report;
use super::wire::Prediction;
use super::{Settings, Unsigned};
use crate::Secret;
use crate::contract::{DELIVERY_TOLERANCE, Delivery, Reading, Refusal};
use crate::tolerant::{BODY_MAX, object, raw_answer, text};

/// Refuses what the headers alone can refuse.
pub(super) fn read_headers(settings: &Settings, headers: &HeaderMap, now: Timestamp) -> Result<(), Refusal> {
    if settings.webhook_secrets.is_empty() {
        return match settings.unsigned {
            Unsigned::Refuse => Err(forged("no signing secret is set to check it with")),
            Unsigned::Accept | Unsigned::Confirm => Ok(()),
        };
    }
    Signed::read(headers, now).map(drop)
}

pub(super) fn read(settings: &Settings, delivery: &Delivery<'_>, now: Timestamp) -> Result<Reading, Refusal> {
    read_headers(settings, delivery.headers, now)?;
    let is_signed = !settings.webhook_secrets.is_empty();
    if is_signed {
        Signed::read(delivery.headers, now)?.verify(&settings.webhook_secrets, delivery.body)?;
    }
    let believed = is_signed || settings.unsigned == Unsigned::Accept;
    let body = object(delivery.body, BODY_MAX).and_then(|body| Ok((Prediction::read(&body)?, body)));
    let (prediction, body) = body.map_err(|fault| Refusal::Garbled(fault.message))?;
    let report = report(&prediction, || raw_answer(delivery.body, &[&settings.token]));
    let callback = text(&body, &["webhook", "webhook_completed"]).map(str::to_owned);
    Ok(Reading { report, task: Some(prediction.id), believed, callback })
}

/// What the headers say of the signature, by Standard Webhooks.
struct Signed<'a> {
    id: &'a str,
    sent: &'a str,
    signatures: Vec<Vec<u8>>,
}

impl<'a> Signed<'a> {
    fn read(headers: &'a HeaderMap, now: Timestamp) -> Result<Self, Refusal> {
        let id = header(headers, "webhook-id")?;
        let sent = header(headers, "webhook-timestamp")?;
        let signatures = header(headers, "webhook-signature")?;
        let at: u64 = sent.parse().map_err(|_| forged("webhook-timestamp is no number"))?;
        if at.abs_diff(now.as_secs()) > DELIVERY_TOLERANCE.as_secs() {
            return Err(forged("webhook-timestamp is too far from our time"));
        }
        let signatures: Vec<_> = signatures
            .split_ascii_whitespace()
            .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
            .collect();
        if signatures.is_empty() {
            return Err(forged("webhook-signature has no signature of version 1"));
        }
        Ok(Self { id, sent, signatures })
    }

    /// Checks that one of the signatures was made with one of the secrets.
    fn verify(&self, secrets: &[Secret], body: &[u8]) -> Result<(), Refusal> {
        let mut right = false;
        for secret in secrets {
            let Some(key) = key(secret) else { continue };
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
            mac.update(format!("{}.{}.", self.id, self.sent).as_bytes());
            mac.update(body);
            for signature in &self.signatures {
                // Compares in constant time.
                right |= mac.clone().verify_slice(signature).is_ok();
            }
        }
        if right { Ok(()) } else { Err(forged("no signature fits")) }
    }
}

/// The key of a secret: the base 64 behind `whsec_`.
fn key(secret: &Secret) -> Option<Vec<u8>> {
    let text = secret.expose();
    let text = text.strip_prefix("whsec_").unwrap_or(text).trim_end_matches('=');
    STANDARD_NO_PAD.decode(text).ok().filter(|key| !key.is_empty())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refusal> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.ok_or_else(|| forged(&format!("{name} is missing")))
}

fn forged(why: &str) -> Refusal {
    Refusal::Forged(why.to_owned())
}
