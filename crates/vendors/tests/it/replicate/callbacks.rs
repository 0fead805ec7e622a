//! What Replicate posts: signatures, and what a callback without one is worth.

use super::*;

const SIGNED: &str = r#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn signed(secrets: &[&str], signature: &str, now_s: u64, body: &str) -> Result<Reading, Refusal> {
    let secrets = secrets.iter().map(|secret| Secret::new(secret)).collect();
    let vendor = Replicate::new(Settings { webhook_secrets: secrets, ..settings() });
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().unwrap());
    headers.insert("webhook-timestamp", "1614265330".parse().unwrap());
    headers.insert("webhook-signature", signature.parse().unwrap());
    vendor.read_delivery(
        &Delivery { headers: &headers, body: body.as_bytes() },
        Timestamp::from_millis(now_s * 1000),
    )
}

#[test]
fn a_signature_is_checked_over_the_raw_bytes_within_five_minutes() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let at = 1_614_265_330;
    // Genuine, though no prediction: refused only after the signature was found right.
    let genuine = |result: Result<Reading, Refusal>| matches!(result, Err(Refusal::Garbled(_)));
    let forged = |result: Result<Reading, Refusal>| matches!(result, Err(Refusal::Forged(_)));
    assert!(genuine(signed(&[secret], SIGNATURE, at, SIGNED)));
    assert!(genuine(signed(&[other, secret], &format!("v1,AAAA v2,x {SIGNATURE}"), at, SIGNED)));
    assert!(genuine(signed(&[secret], SIGNATURE, at + 300, SIGNED)));
    assert!(genuine(signed(&[secret], SIGNATURE, at - 300, SIGNED)));
    assert!(forged(signed(&[secret], SIGNATURE, at + 301, SIGNED)));
    assert!(forged(signed(&[secret], SIGNATURE, at - 301, SIGNED)));
    assert!(forged(signed(&[other], SIGNATURE, at, SIGNED)));
    assert!(forged(signed(&["whsec_???"], SIGNATURE, at, SIGNED)));
    assert!(forged(signed(&[secret], &SIGNATURE.replace("v1", "v2"), at, SIGNED)));
    assert!(forged(signed(&[secret], SIGNATURE, at, r#"{"test":2432232314}"#)));
    let unsigned = Replicate::new(Settings { webhook_secrets: vec![Secret::new(secret)], ..settings() });
    let bare = Delivery { headers: &HeaderMap::new(), body: SIGNED.as_bytes() };
    assert!(forged(unsigned.read_delivery(&bare, Timestamp::from_millis(at * 1000))));
}

#[test]
fn without_a_secret_the_settings_say_what_a_callback_is_worth() {
    let read = |unsigned| {
        let body = Bytes::from_static(br#"{"id":"p1","status":"canceled"}"#);
        let vendor = Replicate::new(Settings { unsigned, ..settings() });
        vendor.read_delivery(&Delivery { headers: &HeaderMap::new(), body: &body }, SINCE)
    };
    let reading = read(Unsigned::Confirm).unwrap();
    assert_eq!(
        (reading.task, reading.report, reading.believed),
        (Some(task_id("p1")), Report::Canceled, false)
    );
    assert!(read(Unsigned::Accept).unwrap().believed);
    assert!(matches!(read(Unsigned::Refuse), Err(Refusal::Forged(_))));
}
