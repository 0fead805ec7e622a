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

#[test]
fn a_forged_callback_is_refused_and_changes_nothing() -> Result<()> {
    let world = World::start(&["faults.hold=true"])?.with_callbacks();
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    world.submit("b", &one_each()[2..3])?;
    until("the task is known", || Ok(world.job("b", "r")?["state"] == "generating"))?;
    let before = world.job("b", "r")?;
    let id = before["id"].as_str().context("id")?;
    let body =
        json!({ "id": "x", "status": "succeeded", "output": "https://evil.example/a.wav" }).to_string();
    let mark = format!("/callbacks/replicate/{id}/1/k0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(http_with(world.listener, "POST", &mark, &[], body.as_bytes())?.0, 401);
    // The address of the attempt, taken from the vendor, but without the vendor's signature.
    let tokens = world.stats()?["vendors"]["replicate"]["tasks_per_token"].clone();
    let url = tokens.as_object().and_then(|tokens| tokens.keys().next().cloned()).context("a token")?;
    let path = &url[url.find("/callbacks/").context("ours")?..];
    let signed = [("webhook-id", "msg_1"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,AAAA")];
    assert_eq!(http_with(world.listener, "POST", path, &signed, body.as_bytes())?.0, 401);
    let other_attempt = path.replace("/1/", "/2/");
    assert_eq!(http_with(world.listener, "POST", &other_attempt, &[], body.as_bytes())?.0, 401);
    assert_eq!(http_with(world.listener, "POST", "/callbacks/a/b/c/d", &[], b"{}")?.0, 404);
    let after = world.job("b", "r")?;
    assert_eq!(before["is"]["generating"]["task"], after["is"]["generating"]["task"]);
    assert_eq!(after["state"], "generating");
    world.faults(&json!({ "hold": false }))?;
    assert_eq!(world.settled("b")?, json!({ "completed": 1 }));
    world.audit()
}
