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
fn one_song_under_several_keys_or_in_several_forms_is_one() {
    let wav = "https://a.example/1.wav";
    for (value, song) in [
        (json!({ "audio": { "url": A }, "download_url": B }), A),
        (json!({ "data": { "audio_url": A, "file": { "url": B, "size": 3 } } }), A),
        (json!({ "mp3": { "url": A }, "wav": { "url": B } }), B),
        (json!({ "audio": [A], "audio_url": B }), B),
        (json!({ "url": "https://a.example/song/1", "mp3_url": A }), A),
        (json!({ "song_url": "https://a.example/song/1", "audio_path": A }), A),
        (json!({ "link": "https://a.example/s/1", "file": { "url": A } }), A),
        (json!({ "audio_url": BARE, "stream_audio_url": A }), BARE),
        (json!([A, wav]), A),
        (json!({ "audio_1": A, "other_form": wav }), A),
        (json!({ "audio": { "url": A }, "url": A }), A),
    ] {
        assert_eq!(lines(&value).0, [song], "{value}");
        assert!(!read(&value).extra.lacks_audio(), "{value}");
    }
}

#[test]
fn what_only_names_or_repeats_audio_is_no_song() {
    for value in [
        json!({ "audio_url": A, "input": { "audio_url": B } }),
        json!({ "audio_url": A, "prompt_audio": B, "reference_audio": B, "input_audio_url": B }),
        json!({ "song": "My Title", "clips": [{ "url": A }] }),
        json!({ "music": "pop", "versions": [{ "audio_url": A, "audio_file_name": "x.mp3" }] }),
        json!({ "url": A, "deep_link": "app://song/1", "share": "weixin://dl" }),
        json!([A, "https://a.example/latents.npy"]),
        json!({ "audio": A, "playlist": "https://a.example/1.m3u8" }),
        json!({ "audio": A, "audio_cover": "https://a.example/c", "song_video": "https://a.example/v" }),
        json!([A, "https://we.example/callbacks/replicate/0123456789/1/k1.secret"]),
    ] {
        assert_eq!(lines(&value).0, [A], "{value}");
        assert!(!read(&value).extra.lacks_audio(), "{value} {:?}", read(&value).extra);
    }
    let only_playlist = json!({ "stream_audio_url": "https://a.example/1.m3u8" });
    assert!(!is_usable(&read(&only_playlist)), "a playlist is no audio, and must not be judged as such");
}

#[test]
fn the_last_word_of_a_key_says_what_it_is() {
    for key in ["cover_audio", "text_to_music", "lyrics_song", "textToAudio", "video_music_url"] {
        assert_eq!(lines(&json!({ key: { "url": BARE } })).0, [BARE], "{key}");
    }
    for key in ["audio_cover", "song_image_url", "track_lyrics", "music_video", "video_stream_url"] {
        assert_eq!(lines(&json!({ key: BARE, "audio": A })).0, [A], "{key}");
    }
}

#[test]
fn stems_are_no_songs_however_they_are_listed() {
    let listed = json!({ "audio_url": A, "stems": [B, "https://a.example/3.mp3"] });
    assert_eq!(lines(&listed).0, [A, "stem: https://a.example/2.mp3", "stem: https://a.example/3.mp3"]);
    let separated = json!({
        "vocals": "https://a.example/vocals.wav", "drums": "https://a.example/drums.wav",
        "bass": "https://a.example/bass.wav", "other": "https://a.example/other.wav",
    });
    assert!(read(&separated).audio.iter().all(|output| output.part.is_some()), "{:?}", read(&separated));
    let halves = json!({ "no_vocals": A, "vocals": B });
    assert_eq!(lines(&halves).0, ["bgm: https://a.example/1.mp3", "vocal: https://a.example/2.mp3"]);
}

#[test]
fn several_addresses_in_one_text_are_several_songs() {
    for text in [format!("{A},{B}"), format!("{A}\n{B}\n"), format!("{A} {B}"), format!("{A}; {B}")] {
        assert_eq!(lines(&json!({ "audio": text })).0, [A, B], "{text}");
    }
    assert_eq!(lines(&json!("//a.example/1.mp3")).0, [A]);
    assert_eq!(lines(&json!({ "data": "\"https://a.example/1.mp3\"" })).0, [A]);
}

#[test]
fn no_song_is_dropped_without_a_trace() {
    for (value, expected) in [
        (json!([A, "[final] song.mp3"]), vec![A, "\"[final] song.mp3\""]),
        (
            json!([{ "audio_url": "", "metadata": { "tags": "pop" } }, { "audio_url": B, "metadata": {} }]),
            vec!["\"\"", B],
        ),
        (json!({ "song_1": "/songs/1.mp3", "song_2": B }), vec!["\"/songs/1.mp3\"", B]),
        (json!([{ "song": "/1.mp3", "metadata": {} }, { "song": B }]), vec!["\"/1.mp3\"", B]),
    ] {
        let found = read(&value);
        let missing = found.audio.iter().any(|output| !output.is_usable()) || found.extra.lacks_audio();
        assert!(missing, "{value} {found:?}");
        assert!(
            expected.iter().all(|one| lines(&value).0.contains(&(*one).to_owned()))
                || found.extra.lacks_audio(),
            "{value} {found:?}"
        );
        assert_eq!(found.audio.iter().filter(|output| output.is_usable()).count(), 1, "{value}");
    }
}

#[test]
fn what_a_job_has_to_carry_is_bounded() {
    let long = "x".repeat(1 << 20);
    let songs: Vec<_> =
        (0..300).map(|n| json!({ "audio_url": format!("https://a.example/{n}.mp3") })).collect();
    let titled = read(&json!({ "title": long, "songs": songs }));
    assert_eq!(titled.audio.len(), 200);
    assert!(titled.audio.iter().all(|output| output.title.as_ref().is_some_and(|title| title.len() == 300)));
    let address = read(&json!([A, format!("https://a.example/{long}.mp3")]));
    let kept: usize = address.audio.iter().map(|output| output.source.as_str().len()).sum();
    assert!(address.audio.len() == 2 && kept < 1000, "{kept}");
    let texts: Vec<_> = (0..100)
        .map(|n| {
            json!((0..100).map(|m| format!("https://a.example/{n}/{m}.mp3")).collect::<Vec<_>>()).to_string()
        })
        .collect();
    assert_eq!(read(&json!(texts)).audio.len(), 200);
}

#[test]
fn our_own_callback_address_is_not_shown() {
    let callback = "https://we.example/callbacks/replicate/0123456789/1/k1.secret";
    let (_, extra) = lines(&json!({ "audio": A, "webhook": callback }));
    assert_eq!(extra, ["not_audio webhook https://we.example/callbacks/replicate/0123456789/1/***"]);
    for slash in ["/", "\\/", "\\u002F", "%2F", "%2f"] {
        let text = "x/callbacks/replicate/0123456789/1/k1.secret y".replace('/', slash);
        let expected = "x/callbacks/replicate/0123456789/1/*** y".replace('/', slash);
        assert_eq!(masked(&text), expected);
        let answer = crate::tolerant::raw_answer(format!("{{\"webhook\":\"{text}\"}}").as_bytes(), &[]);
        assert!(!answer.as_str().contains("secret"), "{}", answer.as_str());
    }
}

#[test]
fn deep_and_huge_answers_are_read_at_once() {
    let begun = std::time::Instant::now();
    let mut deep = json!(A);
    for _ in 0..60 {
        deep = json!({ "audio": [deep, { "url": "" }] });
    }
    read(&deep);
    read(&json!("[".repeat(1 << 20)));
    read(&json!({ "audio": "http ".repeat(1 << 18) }));
    read(&json!({ "audio": "https://a/ ".repeat(1 << 16) }));
    read(&json!("/callbacks/".repeat(1 << 17)));
    let keys: Object = (0..20_000).map(|n| (format!("audio_{n}"), json!(format!("ftp://{n}")))).collect();
    assert_eq!(read(&Value::Object(keys)).audio.len(), 200);
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
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
