//! Sending callbacks.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::world::{Vendor, World, count, now};

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks at whether a task has ended.
const LOOK: Duration = Duration::from_millis(25);

/// What is sent of a task, when it is sent.
pub(crate) type Body = fn(&World, &str) -> Option<Value>;

/// Sends the callback of a task when it has ended, with what goes wrong on the way.
pub(crate) fn schedule(world: &Arc<World>, vendor: Vendor, task: &str, url: &str, body: Body) {
    if leads_nowhere(url) {
        return;
    }
    let world = world.clone();
    count(&world.books(vendor).scheduled);
    let (task, url) = (task.to_owned(), url.to_owned());
    tokio::spawn(async move {
        loop {
            let Some((known, phase)) = world.task(vendor, &task) else { return };
            if phase.has_ended() {
                break;
            }
            let left = Duration::from_millis(known.ends.saturating_sub(now()));
            tokio::time::sleep(left.max(LOOK)).await;
        }
        send(&world, vendor, &task, &url, body).await;
    });
}

/// An address of the domain that never resolves (RFC 2606) marks a task and is not meant to be called.
fn leads_nowhere(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', ':']).next();
    host.is_some_and(|host| host.ends_with(".invalid"))
}

/// Sends it now.
pub(crate) async fn send(world: &World, vendor: Vendor, task: &str, url: &str, body: Body) {
    let faults = world.faults(vendor);
    if world.dice.chance(faults.callback_late_rate) {
        tokio::time::sleep(Duration::from_millis(faults.callback_delay_ms)).await;
    }
    if world.dice.chance(faults.callback_drop_rate) {
        return count(&world.books(vendor).dropped);
    }
    let Some(body) = body(world, task) else { return };
    let text = if world.dice.chance(faults.callback_garble_rate) {
        "{\"id\": \"gar".to_owned()
    } else {
        body.to_string()
    };
    let id = format!("msg_{}", world.dice.id(24));
    deliver(world, vendor, url, &id, &text).await;
    if world.dice.chance(faults.callback_double_rate) {
        count(&world.books(vendor).doubled);
        deliver(world, vendor, url, &id, &text).await;
    }
}

async fn deliver(world: &World, vendor: Vendor, url: &str, id: &str, text: &str) {
    let tries = match vendor {
        Vendor::Replicate => world.config.replicate.callback_tries,
        Vendor::InferenceSh => world.config.inference_sh.callback_tries,
        Vendor::Tencent => world.config.tencent.callback_tries,
        Vendor::SenseAudio => 0,
    };
    for attempt in 0..tries {
        let stamp = now() / 1000;
        let mut request = world
            .client
            .post(url)
            .timeout(TIMEOUT)
            .header("content-type", "application/json")
            .body(text.to_owned());
        if vendor == Vendor::Replicate {
            let signature = sign(&world.config.replicate.webhook_secret, id, stamp, text);
            request = request
                .header("webhook-id", id)
                .header("webhook-timestamp", stamp)
                .header("webhook-signature", signature);
        }
        let books = world.books(vendor);
        count(&books.sent);
        match request.send().await {
            Ok(reply) if reply.status().is_success() => return count(&books.acknowledged),
            Ok(reply) => books.refused(reply.status().as_u16()),
            Err(_) => count(&books.unreachable),
        }
        if attempt + 1 < tries {
            tokio::time::sleep(Duration::from_secs(2 << attempt)).await;
        }
    }
}

/// A Standard Webhooks signature: HMAC-SHA256 over id, time and body.
fn sign(secret: &str, id: &str, stamp: u64, body: &str) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap_or_default();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{stamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_only_mark_a_task_are_not_called() {
        assert!(leads_nowhere("https://songmill.invalid/callbacks/a"));
        assert!(!leads_nowhere("https://songs.example/x.invalid/a"));
    }

    #[test]
    fn signatures_are_those_of_the_standard() {
        let signature = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            "{\"test\": 2432232314}",
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
