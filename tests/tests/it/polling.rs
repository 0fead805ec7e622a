//! Jobs when no callback ever comes.

use anyhow::Result;
use serde_json::json;
use songmill_tests::{World, findable, many, one_each};

#[test]
fn jobs_complete_by_polling_when_nobody_can_call_back() -> Result<()> {
    let world = World::start(&[])?;
    let _roles = world.serve(&["generate", "deliver"])?;
    world.submit("b", &one_each())?;
    assert_eq!(world.settled("b")?, json!({ "completed": 4 }));
    for job in world.results("b")? {
        let asset = &job["assets"][0];
        assert!(
            world.folder.path().join("songs").join(asset["path"].as_str().unwrap_or("-")).is_file(),
            "{job}"
        );
        assert!(asset["duration_ms"].as_u64() > Some(1000), "{job}");
    }
    world.audit()
}

#[test]
fn jobs_complete_by_polling_when_every_callback_is_lost() -> Result<()> {
    let world = World::start(&["faults.callback_drop_rate=1.0"])?.with_callbacks();
    let _roles = world.serve(&["generate", "deliver", "listener"])?;
    world.submit("b", &one_each())?;
    assert_eq!(world.settled("b")?, json!({ "completed": 4 }));
    world.audit()
}

#[test]
fn throttles_and_server_errors_are_waited_out_without_paying_twice() -> Result<()> {
    let world = World::start(&[
        "faults.throttle_rate=0.2",
        "faults.server_error_rate=0.2",
        "faults.reply_lost_rate=0.2",
        "seed=11",
    ])?
    .with_policy("on_unknown=\"resubmit\"")
    .with_policy("settle=\"10s\"");
    let _roles = world.serve(&["generate", "deliver"])?;
    world.submit("b", &many(4, &findable()))?;
    assert_eq!(world.settled("b")?, json!({ "completed": 12 }));
    let stats = world.stats()?;
    for vendor in ["tencent", "inference_sh", "replicate"] {
        assert_eq!(stats["vendors"][vendor]["tasks_created"], 4, "{vendor}: each song is paid for once");
    }
    world.audit()
}
