//! What others wrote reaches a terminal as text, and moves nothing there.

use anyhow::Result;
use serde_json::json;
use songmill_tests::{World, until};

/// Turns what follows round; it is no control character, so a title may have it (Arabic and Hebrew titles have its like).
const TURNS: char = '\u{202e}';

fn acts(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n' && c != '\t') || turns
}

#[test]
fn a_title_that_acts_on_terminals_is_shown_as_text_by_every_command() -> Result<()> {
    let world = World::start(&["generation_ms=[100, 200]"])?;
    let _roles = world.serve(&["generate", "deliver"])?;
    let title = format!("safe{TURNS}gnos\u{2066}\nstate    completed");
    let song = json!({"vendor": "replicate", "prompt": format!("a calm{TURNS} piano"), "title": title, "duration_s": 4});
    world.submit("b", &[song])?;
    assert_eq!(world.settled("b")?, json!({ "completed": 1 }));
    let id =
        world.json_lines(&["job", "list", "--batch", "b"])?[0]["id"].as_str().unwrap_or_default().to_owned();
    let mut shown = 0;
    for command in [
        &["job", "list"][..],
        &["job", "show", &id],
        &["job", "explain", &id],
        &["batch", "list"],
        &["batch", "show", "b"],
        &["batch", "results", "b"],
        &["batch", "watch", "b"],
        &["batch", "errors", "b"],
        &["asset", "list", &id],
        &["event", "list"],
        &["deadletter", "list"],
        &["submit", "b.jsonl", "--batch", "b"],
        &["plan", "b.jsonl"],
    ] {
        for form in [&[][..], &["--json"], &["-vv"]] {
            let output = world.run(&[command, form].concat())?;
            let said = String::from_utf8([output.stdout, output.stderr].concat())?;
            let bad: Vec<_> = said.chars().filter(|c| acts(*c)).collect();
            assert!(bad.is_empty(), "{command:?} {form:?}: {bad:?} in {said}");
            assert!(
                !said.lines().any(|line| line == "state    completed"),
                "{command:?}: a title began a line"
            );
            shown += usize::from(said.contains("safe"));
        }
    }
    assert!(shown >= 4, "titles are shown at all: {shown}");
    // An error that quotes a file.
    std::fs::write(
        world.folder.path().join("bad.jsonl"),
        format!("{{\"prom\u{1b}[2Jpt\": \"{TURNS}\"}}\n\u{1b}[2J{TURNS}\u{9b}2J\n"),
    )?;
    for form in [&[][..], &["--json"], &["-vv"]] {
        let output = world.run(&[&["submit", "bad.jsonl"], form].concat())?;
        let said = String::from_utf8([output.stdout, output.stderr].concat())?;
        assert!(!said.chars().any(acts), "{said:?}");
    }
    Ok(())
}

#[test]
fn control_characters_are_refused_in_every_text_of_a_request() -> Result<()> {
    let world = World::start(&[])?;
    let (_process, api) = world.serve_api(&[], &[])?;
    let texts = ["title", "style", "mood", "genre", "prompt", "lyrics", "custom_id", "content_key"];
    for field in texts {
        for c in ['\0', '\u{1b}', '\u{7}', '\u{8}', '\u{7f}', '\u{85}', '\u{9b}'] {
            let mut song = json!({"vendor": "replicate", "prompt": "a calm piano", "duration_s": 4});
            song[field] = format!("a{c}b").into();
            let reply = api.post("/v1/jobs", &song)?;
            assert_eq!(reply.status, 422, "{field} {c:?}: {}", reply.json());
            let error = &reply.json()["errors"][0];
            assert_eq!(error["pointer"], format!("/{field}"), "{error}");
            let said = error["detail"].as_str().unwrap_or_default().to_owned();
            assert!(
                said.contains("control character") && said.contains(&format!("U+{:04X}", u32::from(c))),
                "{said}"
            );
        }
    }
    for (field, text) in [("title", "a\n\tb"), ("style", "a\n\tb"), ("prompt", "a\r\n\tb")] {
        let mut song = json!({"vendor": "replicate", "prompt": "a calm piano", "duration_s": 4});
        song[field] = text.into();
        let reply = api.post("/v1/jobs", &song)?;
        assert_eq!(reply.status, 202, "{field}: {}", reply.json());
    }
    let shut = json!({"words": "\u{1b}[2J"});
    until("a reason with control characters is refused", || {
        Ok(api.post("/v1/vendors/replicate/shut", &shut)?.status == 422)
    })
}
