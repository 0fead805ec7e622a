//! Names for people, and files of others that stay as they are.

use super::*;

fn asset(n: usize, part: Option<&str>, title: Option<&str>) -> AssetView {
    let asset = serde_json::json!({
        "n": n, "url": "/", "path": "a", "bytes": 3, "sha256": "", "format": "mp3", "duration_ms": 1,
        "part": part, "title": title,
    });
    serde_json::from_value(asset).unwrap()
}

fn song(title: Option<&str>) -> Song<'_> {
    Song {
        index: 7,
        id: JobId::derive("default", "a"),
        custom_id: None,
        title,
        prompt: None,
        vendor: "replicate",
        batch: "spring",
        files: 1,
    }
}

fn named(template: &str, song: &Song<'_>, asset: &AssetView) -> String {
    let template: Template = template.parse().unwrap();
    format!("{}.mp3", template.stem(song, asset))
}

#[test]
fn a_name_is_what_the_template_says() {
    let one = asset(1, None, None);
    assert_eq!(named(TEMPLATE, &song(Some("夏の夜")), &one), "007 夏の夜.mp3");
    assert_eq!(named("{title}", &song(Some("Été")), &one), "Été.mp3");
    let several = Song { files: 2, ..song(Some("Summer")) };
    assert_eq!(named(TEMPLATE, &several, &asset(2, None, None)), "007 Summer 2.mp3");
    assert_eq!(named(TEMPLATE, &several, &asset(2, Some("vocal"), None)), "007 Summer vocal.mp3");
    assert_eq!(named(TEMPLATE, &several, &asset(1, None, Some("Autumn"))), "007 Autumn 1.mp3");
    let id = song(None).id.to_string();
    assert_eq!(
        named("{vendor}-{batch}_{n:02}{id}.{ext}", &song(None), &one),
        format!("replicate-spring_{id}.mp3")
    );
    // Without a title: the caller's own name, the prompt, the id.
    let called = Song { custom_id: Some("row 4"), prompt: Some("calm piano"), ..song(None) };
    assert_eq!(named(TEMPLATE, &called, &one), "007 row 4.mp3");
    let asked = Song { prompt: Some("calm piano"), ..song(None) };
    assert_eq!(named(TEMPLATE, &asked, &one), "007 calm piano.mp3");
    assert_eq!(named(TEMPLATE, &song(Some("???")), &one), format!("007 {}.mp3", &id[..10]));
}

#[test]
fn what_a_file_system_does_not_take_is_replaced() {
    for (title, name) in [
        ("AC/DC: live?", "AC-DC- live"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", ""),
        ("-rf", "rf"),
        ("CON", "_CON"),
        ("com1.x", "_com1.x"),
        ("commons", "commons"),
        ("a\u{0}b\u{202e}c\nd", "abc d"),
        ("say \"hi\" <now>. ", "say 'hi' now"),
        ("  two   blanks ", "two blanks"),
    ] {
        let named = named("{title}", &song(Some(title)), &asset(1, None, None));
        let expected = if name.is_empty() { format!("{}-1", song(None).id) } else { name.to_owned() };
        assert_eq!(named, format!("{expected}.mp3"), "{title:?}");
    }
    let long = "很".repeat(500);
    let name = named("{title} {title} {title}", &song(Some(&long)), &asset(1, None, None));
    assert!(name.len() < 240 && name.ends_with("很.mp3"), "{name}");
}

#[test]
fn a_template_that_makes_no_sense_is_refused() {
    for (template, word) in [
        ("", "is empty"),
        ("{titel}", "{titel} is no field"),
        ("{title", "no partner"),
        ("title}", "no partner"),
        ("{title:3}", "takes no width"),
        ("{index:x}", "no width"),
        ("{index:99}", "no width"),
        ("{vendor}/{title}", "cannot contain '/'"),
    ] {
        let error = template.parse::<Template>().unwrap_err();
        assert!(error.contains(word), "{template}: {error}");
    }
}

#[tokio::test]
async fn names_are_given_once_and_no_other_file_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let template: Template = "{title}.{ext}".parse().unwrap();
    let other = JobId::derive("default", "b");
    std::fs::write(folder.path().join("mine.mp3"), "cu").unwrap();
    std::fs::write(folder.path().join("edited.mp3"), "longer than it was").unwrap();
    std::fs::write(folder.path().join("theirs.mp3"), "not ours").unwrap();
    let manifest = format!(
        "{{\"id\":\"{other}\",\"files\":[{{\"n\":1,\"path\":\"mine.mp3\"}},{{\"n\":1,\"path\":\"gone.mp3\"}},{{\"n\":1,\"path\":\"edited.mp3\"}}]}}\nnonsense\n"
    );
    std::fs::write(folder.path().join("manifest.jsonl"), manifest).unwrap();
    let mut names = Names::new(template.clone(), Some(folder.path().to_owned()));
    names.learn(&folder.path().join("manifest.jsonl"));
    let one = asset(1, None, None);
    let mut given = Vec::new();
    for title in ["Song", "song", "SONG", "theirs", "mine"] {
        given.push(names.name(&song(Some(title)), &one).await.unwrap().name);
    }
    assert_eq!(given, ["Song.mp3", "song (2).mp3", "SONG (3).mp3", "theirs (2).mp3", "mine (2).mp3"]);
    let theirs = Song { id: other, ..song(Some("mine")) };
    assert_eq!(names.name(&theirs, &one).await.unwrap().name, "mine.mp3", "its own, cut short, is replaced");
    let edited = Song { id: other, ..song(Some("edited")) };
    assert_eq!(names.name(&edited, &one).await.unwrap().name, "edited (2).mp3", "what was edited stays");
    // What is there already is found again under the number it had.
    let there = AssetView { sha256: crate::output::hex(&sha2::Digest::finalize(hasher(b"abc"))), ..one };
    std::fs::write(folder.path().join("theirs (2).mp3"), "abc").unwrap();
    let mut again = Names::new(template, Some(folder.path().to_owned()));
    let found = again.name(&song(Some("theirs")), &there).await.unwrap();
    assert_eq!(found, Named { name: "theirs (2).mp3".into(), is_there: true, is_cut: false });
}

fn hasher(bytes: &[u8]) -> sha2::Sha256 {
    use sha2::Digest as _;
    sha2::Sha256::new().chain_update(bytes)
}
