use serde_json::json;

use super::*;

/// What is read: songs as addresses, parts as `part: address`, unusable ones in quotes; then what is extra.
fn lines(value: &Value) -> (Vec<String>, Vec<String>) {
    let Outputs { audio, extra } = read(value);
    let audio = audio.iter().map(|output| {
        let part = output.part.as_deref().map_or_else(String::new, |part| format!("{part}: "));
        let text = output.source.as_str();
        if output.is_usable() { format!("{part}{text}") } else { format!("{part}{text:?}") }
    });
    let extra = extra.files.iter().map(|extra| {
        format!("{} {} {}", extra.reason.as_str(), extra.name.as_deref().unwrap_or("-"), extra.value)
    });
    (audio.collect(), extra.collect())
}

const A: &str = "https://a.example/1.mp3";
const B: &str = "https://a.example/2.mp3";
const BARE: &str = "https://a.example/files/1";

#[test]
fn a_song_is_found_in_any_shape() {
    for value in [
        json!(A),
        json!([A]),
        json!([[A]]),
        json!([[[A]], []]),
        json!({ "audio": A }),
        json!({ "generated_audio": A, "vocal_audio": null, "bgm_audio": null, "generation_info": "of x://y" }),
        json!({ "generated_audio": { "uri": A, "path": "/tmp/1.mp3", "size": 3 } }),
        json!({ "generated_audio": null, "audio": A }),
        json!({ "generated_audio": "", "audio": A }),
        json!([{ "url": A }]),
        json!({ "output": { "result": [{ "file": { "href": A } }] } }),
        json!({ "data": json!([{ "audio_url": A }]).to_string() }),
        json!({ "data": [{ "audio_url": "", "stream_audio_url": A }] }),
        json!({ "audioUrl": A }),
        json!({ "songs": [{ "download_url": A, "title": "t" }] }),
        json!(json!({ "audio": A }).to_string()),
        json!({ "whatever": A }),
        json!(format!(" {A}\n")),
        json!([A, A]),
        json!({ "audio": A, "model": "https://a.example/model", "prompt": "https://not.a/song.mp3 is nice" }),
    ] {
        assert_eq!(lines(&value).0, [A], "{value}");
    }
    for value in [json!(BARE), json!([BARE]), json!({ "url": BARE }), json!({ "files": [BARE] })] {
        assert_eq!(lines(&value).0, [BARE], "{value}");
    }
}

#[test]
fn several_songs_and_parts_are_told_apart() {
    assert_eq!(lines(&json!([A, B])).0, [A, B]);
    assert_eq!(lines(&json!([{ "audio_url": A }, { "audio_url": B }])).0, [A, B]);
    assert_eq!(lines(&json!({ "song_1": A, "song_2": B })).0, [A, B]);
    let parts = json!({ "vocal_audio": B, "bgm": "https://a.example/3.flac", "generated_audio": A });
    assert_eq!(lines(&parts).0, [A, "vocal: https://a.example/2.mp3", "bgm: https://a.example/3.flac"]);
    let stems = json!({ "stems": { "vocals": { "url": A }, "drums": { "url": B } } });
    assert_eq!(lines(&stems).0, ["vocal: https://a.example/1.mp3", "drums: https://a.example/2.mp3"]);
    let titled = read(&json!([{ "audio_url": A, "title": " Snow " }, { "audio_url": B, "title": "" }]));
    let titles: Vec<_> = titled.audio.iter().map(|output| output.title.as_deref()).collect();
    assert_eq!(titles, [Some("Snow"), None]);
}

#[test]
fn what_is_no_song_is_listed_and_is_not_missing() {
    let beside = json!({
        "audio_url": A, "stream_audio_url": B, "cover_url": "https://a.example/c", "midi": "https://a.example/m.mid",
        "score": { "url": "https://a.example/s" }, "share": "https://a.example/share", "voice": "female",
    });
    let (audio, extra) = lines(&beside);
    assert_eq!(audio, [A]);
    assert_eq!(
        extra,
        [
            "alternative stream_audio_url https://a.example/2.mp3",
            "not_audio cover_url https://a.example/c",
            "not_audio midi https://a.example/m.mid",
            "not_audio url https://a.example/s",
            "not_audio share https://a.example/share",
        ]
    );
    assert!(!read(&beside).extra.lacks_audio());
    let picture = json!([A, "https://a.example/picture.PNG?size=3"]);
    assert_eq!(
        lines(&picture),
        (vec![A.into()], vec!["not_audio - https://a.example/picture.PNG?size=3".into()])
    );
}

#[test]
fn a_song_without_an_address_that_can_be_used_keeps_its_place() {
    for (value, expected) in [
        (json!([A, "ftp://a.example/2.mp3"]), vec![A, "\"ftp://a.example/2.mp3\""]),
        (json!(["not an address", B]), vec!["\"not an address\"", B]),
        (json!([A, null]), vec![A, "\"\""]),
        (json!([{ "audio_url": "" }, { "audio_url": B }]), vec!["\"\"", B]),
        (json!([{ "audio_url": null, "title": "x" }, { "audio_url": B }]), vec!["\"\"", B]),
        (json!([{ "audio_url": "/relative.mp3" }, { "audio_url": B }]), vec!["\"/relative.mp3\"", B]),
        (json!("data:audio/wav;base64,AAAA"), vec!["\"data:audio/wav;base64,AAAA\""]),
    ] {
        assert_eq!(lines(&value).0, expected, "{value}");
    }
}

#[test]
fn where_nothing_is_nothing_is_found() {
    for value in [
        json!(null),
        json!({}),
        json!([]),
        json!([null]),
        json!(""),
        json!(7),
        json!({ "generated_audio": "" }),
        json!({ "generated_audio": null, "generation_info": "Lyrics length: 3" }),
        json!({ "tags": ["pop", "rock"], "voice": "female", "audio_format": "mp3" }),
        json!({ "data": "[not json" }),
    ] {
        let found = read(&value);
        assert!(!is_usable(&found), "{value} {found:?}");
        assert!(found.audio.iter().all(|output| output.source.as_str().is_empty()), "{value} {found:?}");
    }
}

#[test]
fn a_hundred_thousand_outputs_are_counted_and_not_kept() {
    let many: Vec<_> = (0..100_000).map(|n| format!("https://a.example/{n}.mp3")).collect();
    let found = read(&json!(many));
    assert_eq!((found.audio.len(), found.extra.files.len()), (200, 100));
    assert_eq!(found.extra.more, 99_700);
    assert!(found.extra.lacks_audio());
}

#[test]
fn our_own_callback_address_is_not_shown() {
    let callback = "https://we.example/callbacks/replicate/0123456789/1/k1.secret";
    let (_, extra) = lines(&json!({ "audio": A, "webhook": callback }));
    assert_eq!(extra, ["not_audio webhook https://we.example/callbacks/replicate/0123456789/1/***"]);
}

proptest::proptest! {
    #[test]
    fn whatever_is_answered_is_read_without_harm(text in "[\\[\\]{}:,\"a-z/. 0-9]{0,80}") {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            read(&value);
        }
        read(&Value::String(text));
    }
}
