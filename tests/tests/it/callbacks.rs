//! Jobs and the callbacks that come, do not come, or lie.

use anyhow::{Context as _, Result};
use serde_json::json;
use songmill_tests::{World, findable, http_with, many, one_each, until};

/// Looks so late that only a callback can end a job in time.
const NO_POLLS: [&str; 2] = ["poll_first=\"5m\"", "poll_every=\"5m\""];

#[test]
fn jobs_complete_by_callback_long_before_they_are_polled() -> Result<()> {
    let world = World::start(&[])?.with_callbacks().with_policy(NO_POLLS[0]).with_policy(NO_POLLS[1]);
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    world.submit("b", &many(3, &findable()))?;
    assert_eq!(world.settled("b")?, json!({ "completed": 9 }));
    let stats = world.stats()?;
    let polls = |vendor: &str| stats["vendors"][vendor]["polls"].as_u64().unwrap_or(99);
    assert_eq!(polls("replicate"), 0, "a signed callback is believed as it is");
    assert!(polls("tencent") <= 6, "an unsigned one makes us ask once, or twice: {}", polls("tencent"));
    world.audit()
}

#[test]
fn callbacks_doubled_late_early_and_garbled_change_nothing() -> Result<()> {
    let world = World::start(&[
        "faults.callback_double_rate=0.5",
        "faults.callback_late_rate=0.3",
        "faults.callback_delay_ms=1500",
        "faults.callback_early_rate=0.3",
        "faults.callback_garble_rate=0.2",
        "faults.callback_drop_rate=0.2",
        "seed=7",
    ])?
    .with_callbacks();
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    world.submit("b", &many(6, &one_each()))?;
    assert_eq!(world.settled("b")?, json!({ "completed": 24 }));
    let stats = world.stats()?;
    for vendor in songmill_tests::VENDORS {
        assert_eq!(stats["vendors"][vendor]["tasks_created"], 6, "{vendor}");
    }
    world.audit()
}

/// The path of the callback address that the vendor was given for its one task.
pub(crate) fn given(world: &World, vendor: &str) -> Result<String> {
    let tokens = world.stats()?["vendors"][vendor]["tasks_per_token"].clone();
    let url = tokens.as_object().and_then(|tokens| tokens.keys().next().cloned()).context("a token")?;
    Ok(url[url.find("/callbacks/").context("ours")?..].to_owned())
}

#[test]
fn a_forged_callback_is_refused_and_changes_nothing() -> Result<()> {
    let world = World::start(&["faults.hold=true"])?.with_callbacks();
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    world.submit("b", &one_each()[1..3])?;
    let generating = |id: &str| Ok::<_, anyhow::Error>(world.job("b", id)?["task"].clone());
    until("the tasks are known", || Ok(generating("i")?.is_string() && generating("r")?.is_string()))?;
    let before = (generating("i")?, generating("r")?);
    let post = |path: &str, headers: &[(&str, &str)], body: &serde_json::Value| {
        http_with(world.listener, "POST", path, headers, body.to_string().as_bytes())
            .map(|(status, _)| status)
    };
    // Unsigned vendors: nothing but the mac in the address says who may speak.
    let failed = json!({ "id": before.0, "status": 11, "error": "made up" });
    let path = given(&world, "inference_sh")?;
    let (front, token) = path.rsplit_once('/').context("a token")?;
    let (key, mac) = token.split_once('.').context("key and mac")?;
    let swapped: String = mac.chars().rev().collect();
    for forged in [
        format!("{front}/{key}.{swapped}"),
        format!("{front}/{key}.{}", "A".repeat(43)),
        format!("{front}/other.{mac}"),
        format!("{front}/{key}."),
        path.replace("/1/", "/2/"),
        path.replace("/inference_sh/", "/tencent/"),
    ] {
        assert_eq!(post(&forged, &[], &failed)?, 401, "{forged}");
    }
    // A signed vendor: the address alone is not enough.
    let done = json!({ "id": before.1, "status": "succeeded", "output": "https://evil.example/a.wav" });
    let path = given(&world, "replicate")?;
    let signed = [("webhook-id", "msg_1"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,AAAA")];
    assert_eq!(post(&path, &signed, &done)?, 401);
    assert_eq!(post(&path, &[], &done)?, 401);
    assert_eq!(post("/callbacks/a/b/c/d", &[], &done)?, 404);
    assert_eq!(before, (generating("i")?, generating("r")?));
    world.faults(&json!({ "hold": false }))?;
    assert_eq!(world.settled("b")?, json!({ "completed": 2 }));
    world.audit()
}

/// A Standard Webhooks signature with the simulator's secret.
fn signature(id: &str, stamp: &str, body: &str) -> Result<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"songmill simulator webhook key")?;
    mac.update(format!("{id}.{stamp}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[test]
fn a_signed_report_of_another_jobs_task_completes_no_job() -> Result<()> {
    let world = World::start(&["faults.hold=true"])?.with_callbacks();
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    let songs = [
        json!({ "custom_id": "a", "vendor": "replicate", "prompt": "rain" }),
        json!({ "custom_id": "b", "vendor": "replicate", "prompt": "sun" }),
    ];
    world.submit("b", &songs)?;
    until("the tasks are known", || {
        Ok(world.job("b", "a")?["task"].is_string() && world.job("b", "b")?["task"].is_string())
    })?;
    let (task_a, task_b) = (world.job("b", "a")?["task"].clone(), world.job("b", "b")?["task"].clone());
    let tokens = world.stats()?["vendors"]["replicate"]["tasks_per_token"].clone();
    let address = |job: &str| -> Result<String> {
        let id = world.job("b", job)?["id"].as_str().context("an id")?.to_owned();
        let mut urls = tokens.as_object().context("tokens")?.keys();
        urls.find(|url| url.contains(&id)).cloned().context("its address")
    };
    let (address_a, address_b) = (address("a")?, address("b")?);
    let post = |to: &str, webhook: Option<&str>| -> Result<u16> {
        let output = "https://evil.example/a.wav";
        let body = json!({ "id": task_a, "status": "succeeded", "output": output, "webhook": webhook });
        let (body, stamp) = (body.to_string(), jiff::Timestamp::now().as_second().to_string());
        let signed = signature("msg_1", &stamp, &body)?;
        let headers =
            [("webhook-id", "msg_1"), ("webhook-timestamp", &*stamp), ("webhook-signature", &*signed)];
        let path = &to[to.find("/callbacks/").context("ours")?..];
        Ok(http_with(world.listener, "POST", path, &headers, body.as_bytes())?.0)
    };
    // With the address of its own task in it, without any, and with one that is nobody's.
    for webhook in [Some(&*address_a), None, Some("https://else.example/")] {
        assert_eq!(post(&address_b, webhook)?, 204);
    }
    assert_eq!(world.job("b", "b")?["task"], task_b, "it goes on with its own task");
    world.faults(&json!({ "hold": false }))?;
    assert_eq!(world.settled("b")?, json!({ "completed": 2 }));
    assert_eq!(world.stats()?["vendors"]["replicate"]["tasks_created"], 2);
    world.audit()
}
