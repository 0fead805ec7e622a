//! Signatures of notices, as the Standard Webhooks specification has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The value of `webhook-signature`: one signature for each secret (`whsec_…`: `v1`, `whsk_…`: `v1a`).
///
/// A secret that is none is left out.
pub(super) fn signatures<'a>(
    secrets: impl Iterator<Item = &'a str>,
    id: &str,
    at_secs: u64,
    payload: &str,
) -> String {
    let signed = format!("{id}.{at_secs}.{payload}");
    let one = |secret: &str| {
        if let Some(key) = secret.strip_prefix("whsec_") {
            let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(key).ok()?).ok()?;
            mac.update(signed.as_bytes());
            return Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
        }
        let seed: [u8; 32] = STANDARD.decode(secret.strip_prefix("whsk_")?).ok()?.try_into().ok()?;
        let signature = SigningKey::from_bytes(&seed).sign(signed.as_bytes());
        Some(format!("v1a,{}", STANDARD.encode(signature.to_bytes())))
    };
    secrets.filter_map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        // From the specification's reference libraries' own tests.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let said = signatures(
            [secret].into_iter(),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(said, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_secret_signs_and_a_pair_is_checked_by_its_public_half() {
        let seed = [7; 32];
        let (pair, shared) =
            (format!("whsk_{}", STANDARD.encode(seed)), format!("whsec_{}", STANDARD.encode([1; 24])));
        let said = signatures([pair.as_str(), &shared, "nonsense"].into_iter(), "m", 5, "{}");
        let parts: Vec<_> = said.split(' ').collect();
        assert_eq!(parts.len(), 2);
        let signature = STANDARD.decode(parts[0].strip_prefix("v1a,").unwrap()).unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&signature).unwrap();
        let public = SigningKey::from_bytes(&seed).verifying_key();
        assert!(public.verify_strict(b"m.5.{}", &signature).is_ok());
        assert!(public.verify_strict(b"m.6.{}", &signature).is_err());
    }
}
