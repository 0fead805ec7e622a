//! Each vendor's own official flow.

use anyhow::Result;
use serde_json::json;
use songmill_tests::{World, one_each};

#[test]
fn tencent_makes_several_songs_in_one_task() -> Result<()> {
    let world = World::start(&[])?;
    let _roles = world.serve(&["generate", "deliver"])?;
    world.submit(
        "b",
        &[json!({ "custom_id": "t", "vendor": "tencent", "prompt": "山间的雨声", "count": 3 })],
    )?;
    assert_eq!(world.settled("b")?, json!({ "completed": 1 }));
    let results = world.results("b")?;
    let paths: std::collections::BTreeSet<_> = results[0]["assets"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|asset| asset["path"].to_string())
        .collect();
    assert_eq!(paths.len(), 3);
    assert_eq!(world.stats()?["vendors"]["tencent"]["tasks_created"], 1);
    Ok(())
}

#[test]
fn senseaudio_writes_lyrics_first_in_both_reply_forms() -> Result<()> {
    for mode in ["sync", "async"] {
        let world = World::start(&[&format!("senseaudio.lyrics_mode={mode}")])?;
        let _roles = world.serve(&["generate", "deliver"])?;
        let line = json!({ "custom_id": "s", "vendor": "senseaudio", "lyrics_prompt": "一首关于夏天的歌", "style": "pop" });
        world.submit("b", &[line])?;
        assert_eq!(world.settled("b")?, json!({ "completed": 1 }), "{mode}");
        let job = world.job("b", "s")?;
        let history = job["history"].to_string();
        assert!(history.contains("written"), "{mode}: {history}");
        assert_eq!(job["submissions"], 2, "{mode}: one for the words, one for the song");
    }
    Ok(())
}

#[test]
fn inference_sh_is_understood_in_both_numberings_and_all_envelopes() -> Result<()> {
    for (numbering, envelope) in [("current", "v1"), ("current", "v2_bare"), ("legacy", "current")] {
        let world = World::start(&[
            &format!("inference_sh.numbering={numbering}"),
            &format!("inference_sh.envelope={envelope}"),
        ])?
        .with_callbacks()
        .with(format!("vendors.inference_sh.numbering=\"{numbering}\""));
        let _roles = world.serve(&["generate", "deliver", "listener"])?;
        world.submit("b", &one_each()[1..2])?;
        assert_eq!(world.settled("b")?, json!({ "completed": 1 }), "{numbering}, {envelope}");
    }
    Ok(())
}
