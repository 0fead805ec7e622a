use songmill_core::song::summary;

use super::*;

/// A grammar with everything that a page may demand.
const STRICT: Grammar = Grammar {
    played: &[
        "intro-short",
        "intro-medium",
        "intro-long",
        "inst-short",
        "inst-medium",
        "inst-long",
        "outro-short",
        "outro-medium",
        "outro-long",
        "silence",
    ],
    half_width: true,
    final_stop: true,
    tokens: Some(300),
};

/// A grammar that says nothing of punctuation.
const LENIENT: Grammar = Grammar {
    played: &["intro-short", "intro-medium", "inst-short", "inst-medium", "outro-short", "outro-medium"],
    half_width: false,
    final_stop: false,
    tokens: None,
};

fn written(lyrics: &str) -> Written {
    write("lyrics", lyrics, &STRICT, Voice::Sings).unwrap()
}

fn said(lyrics: &str) -> String {
    summary(&written(lyrics).changes)
}

/// What must come out as it went in: letters, digits and apostrophes, in their order.
fn sung(text: &str) -> String {
    text.nfc()
        .map(|c| if matches!(c, '’' | '＇') { '\'' } else { c })
        .filter(|c| c.is_alphanumeric() || *c == '\'')
        .collect()
}

#[test]
fn what_is_in_the_vendors_form_passes_untouched() {
    for lyrics in [
        "[intro-short] ; [verse] 雪花舞动在无尽的天际.情缘如同雪花般轻轻逝去 ; [chorus] 我怀抱着守护这片梦境.在这世界中寻找爱与虚幻 ; [outro-short]",
        "[verse] Night falls on the old town.Street lights flicker on. ; [inst-medium] ; [silence]",
        "[intro-medium] ; [verse] Trails wind through the forest. Trees stand tall and honest. ; [bridge] The storm's honest. ; [outro-long]",
        "[verse] Oh-oh-oh, we’re fading echoes. Don't stop & don't look back, \"baby\" (yeah), 1984. ; [chorus] Who's there? It's me! Wait... what.",
        "[verse] oh my god.这感觉太熟悉.啊唱唱啊 情歌唱在耳边响 ; [chorus] 你好,世界!再见?好的",
    ] {
        assert_eq!(written(lyrics), Written { text: lyrics.to_owned(), changes: vec![] });
    }
}

/// Lyrics as people have them, and what is sent.
const REAL: &[(&str, &str)] = &[
    // English with apostrophes, commas, quotes.
    (
        "[verse]\nWe'll be young\nI'll stay\n[chorus]\nShe'd go",
        "[verse] We'll be young. I'll stay. ; [chorus] She'd go.",
    ),
    (
        "[Verse]\nRock & roll, rhythm & blues\n'Cause I'm livin' in '69",
        "[verse] Rock & roll, rhythm & blues. 'Cause I'm livin' in '69.",
    ),
    ("[verse]\nShe said \"don't go\"\nI said “never”", "[verse] She said \"don't go\". I said “never”."),
    ("[verse] y’all can’t stop us now", "[verse] y’all can’t stop us now."),
    // Plain poems.
    (
        "Roses are red,\nViolets are blue,\nSugar is sweet,\nAnd so are you.",
        "[verse] Roses are red, Violets are blue, Sugar is sweet, And so are you.",
    ),
    (
        "Two roads diverged\nin a yellow wood\n\nAnd sorry I could not\ntravel both",
        "[verse] Two roads diverged. in a yellow wood. ; [verse] And sorry I could not. travel both.",
    ),
    ("only words", "[verse] only words."),
    (
        "Who's there?\nNobody!\n\nThen why do I hear —",
        "[verse] Who's there? Nobody!. ; [verse] Then why do I hear.",
    ),
    ("one\n* * *\ntwo\n---\nthree", "[verse] one. ; [verse] two. ; [verse] three."),
    // Headings of many kinds.
    ("[Verse 1]\na b\n[Verse 2]\nc d", "[verse] a b. ; [verse] c d."),
    ("[Verse 1: Anna]\na\n\n[Chorus: Anna & Bob]\nb", "[verse] a. ; [chorus] b."),
    ("Verse 1:\na\n\nChorus:\nb\n\nBridge:\nc", "[verse] a. ; [chorus] b. ; [bridge] c."),
    ("(Verse 1)\na\n(Chorus x2)\nb", "[verse] a. ; [chorus] b."),
    ("**Verse 1**\na\n\n**Chorus**\nb\n\n## Bridge\nc", "[verse] a. ; [chorus] b. ; [bridge] c."),
    (
        "VERSE ONE\na\nPRE-CHORUS\nb\nCHORUS\nc\nHook\nd",
        "[verse] a. ; [verse] b. ; [chorus] c. ; [chorus] d.",
    ),
    ("Refrain\na\nPost-Chorus\nb\nRap:\nc", "[chorus] a. ; [chorus] b. ; [verse] c."),
    (
        "[Intro]\n[Verse]\na\n[Guitar Solo]\n[Interlude]\n[Final Chorus]\nb\n[Outro - fade out]\n[End]",
        "[intro-short] ; [verse] a. ; [inst-short] ; [inst-short] ; [chorus] b. ; [outro-short] ; [outro-short]",
    ),
    ("Verse 1: we walk\nalong\nChorus: we run", "[verse] we walk. along. ; [chorus] we run."),
    ("--- Chorus ---\na\n~ Bridge ~\nb", "[chorus] a. ; [bridge] b."),
    (
        "Intro\n\nline one\nline two\n\nline three\n\nOutro",
        "[intro-short] ; [verse] line one. line two. ; [verse] line three. ; [outro-short]",
    ),
    // Words where none are expected.
    ("la la [Hook] lo ; [inst-short] lu", "[verse] la la. ; [chorus] lo. ; [verse] lu."),
    ("[Intro]\nOoh, yeah\n[Verse]\na", "[verse] Ooh, yeah. ; [verse] a."),
    ("[Anna]\na\n[x]\nb", "[verse] a. ; [verse] b."),
    ("[Verse]\nI love you [x2]\n[Chorus]", "[verse] I love you (x2)."),
    ("[Verse]\na ] b [ c", "[verse] a ) b ( c."),
    // Chinese.
    (
        "【主歌】\n你好，世界。\n再见！\n【副歌】\n“朋友”，你好吗？",
        "[verse] 你好,世界.再见! ; [chorus] \"朋友\",你好吗?",
    ),
    ("主歌1：\n我站在街头、望着星空\n\n副歌\n爱……你", "[verse] 我站在街头,望着星空 ; [chorus] 爱...你"),
    (
        "前奏\n\n第一段主歌\n天黑\n桥段\n天亮\n间奏\n尾奏",
        "[intro-short] ; [verse] 天黑 ; [bridge] 天亮 ; [inst-short] ; [outro-short]",
    ),
    (
        "风吹过古道\n岁月刻下记号\n\n想见你\n在晨曦中",
        "[verse] 风吹过古道.岁月刻下记号 ; [verse] 想见你.在晨曦中",
    ),
    ("[verse]我们不再说话；只是走　走啊走", "[verse] 我们不再说话.只是走 走啊走"),
    ("（副歌）\n《月亮》代表我的心——哈利·波特", "[chorus] \"月亮\"代表我的心-哈利 波特"),
    // Japanese and Korean.
    (
        "Aメロ\n夜の街、ひとり\nサビ\n「愛してる」と言えない",
        "[verse] 夜の街,ひとり ; [chorus] \"愛してる\"と言えない",
    ),
    ("후렴\n사랑해 너를", "[chorus] 사랑해 너를"),
    // Accents, composed and in two parts.
    ("Cafe\u{301} fermé, l'été s'achève", "[verse] Café fermé, l'été s'achève."),
    ("[Estribillo]\n¡Ay, corazo\u{301}n! ¿Dónde esta\u{301}s?", "[chorus] ¡Ay, corazón! ¿Dónde estás?."),
    ("Đie\u{302}\u{323}p khúc:\nEm ơi, đừng xa anh", "[chorus] Em ơi, đừng xa anh."),
    // Rap, line ends of Windows, marks of editors, karaoke.
    (
        "[Rap]\r\nI got 99 problems (uh-huh)\r\nBut a glitch ain't one (nope!)\r\n",
        "[verse] I got 99 problems (uh-huh). But a glitch ain't one (nope!).",
    ),
    ("\u{feff}one\rtwo\u{200b} three", "[verse] one. two three."),
    ("[00:12.34]first line\n[00:15.00]second line", "[verse] first line. second line."),
    ("I came; I saw;\nI won", "[verse] I came. I saw. I won."),
    ("♪ ♪\nhum along ♪", "[verse] hum along ♪."),
];

#[test]
fn lyrics_as_people_have_them_are_understood() {
    for (lyrics, sent) in REAL {
        let written = written(lyrics);
        assert_eq!(written.text, *sent, "{lyrics}");
        assert!(!written.changes.is_empty(), "{lyrics}: nothing says that it was changed");
        assert_eq!(self::written(&written.text).text, *sent, "a second time");
    }
}

#[test]
fn every_chinese_mark_becomes_its_half_width_form() {
    assert_eq!(
        written("一，二、三：四（五）六「七」八『九』十《甲》乙〈丙〉丁～戊－己＆庚“辛”壬‘癸’子…丑—寅·卯")
            .text,
        "[verse] 一,二,三:四(五)六\"七\"八\"九\"十\"甲\"乙\"丙\"丁~戊-己&庚\"辛\"壬'癸'子...丑-寅 卯"
    );
    assert_eq!(written("甲。乙！丙？丁；戊").text, "[verse] 甲.乙!丙?丁.戊");
    // Among Latin letters these are marks of English.
    let english = "[verse] “Wait” … it’s ‘late’ — so late.";
    assert_eq!(written(english).text, english);
}

#[test]
fn every_change_is_said() {
    assert_eq!(
        said("Verse 1:\nCafe\u{301}，\nno\n\n[Chorus]"),
        "lyrics: 1 character composed (Café，), 2 tags mapped (Verse 1: -> [verse], [Chorus] -> [chorus]), \
         1 empty section left out ([Chorus]), 1 punctuation mark replaced (， -> ,), 1 line end became a sentence end, 1 final full stop added"
    );
    assert_eq!(
        said("two roads\n\n[Outro]\nla la\n♪♪"),
        "lyrics: 1 section added ([verse] two roads), 1 tag mapped ([Outro] -> [outro-short]), \
         1 instrumental section sung ([Outro] -> [verse]), 2 final full stops added, 1 mark left out (♪♪)"
    );
    // What Unicode has composed already is no change.
    assert_eq!(said("[verse] Café."), "");
}

#[test]
fn text_without_words_says_what_to_do() {
    let wrong = |lyrics: &str| write("lyrics", lyrics, &STRICT, Voice::Sings).unwrap_err();
    for lyrics in ["[intro-short] ; [inst-long]", "[verse] ; [chorus]", "...", "[", "♪ ♪\n---", "Chorus"]
    {
        let (fault, fix) = wrong(lyrics);
        assert_eq!(fault, "has no section that is sung", "{lyrics}");
        assert!(fix.contains("[verse]") && fix.contains("instrumental: true"), "{fix}");
    }
}

#[test]
fn music_alone_needs_no_sung_section() {
    let music = "[intro-medium] ; [inst-medium] ; [outro-short]";
    for grammar in [STRICT, LENIENT] {
        assert_eq!(write("lyrics", music, &grammar, Voice::Silent).unwrap().text, music);
    }
}

#[test]
fn a_tag_that_a_vendor_does_not_have_becomes_its_nearest() {
    let lenient = |lyrics: &str| write("lyrics", lyrics, &LENIENT, Voice::Sings).unwrap().text;
    assert_eq!(
        lenient("[intro-long] ; [verse] la ; [silence] ; [Outro]"),
        "[intro-medium] ; [verse] la ; [inst-short] ; [outro-short]"
    );
    // Nor is punctuation changed where no page forbids it.
    assert_eq!(lenient("副歌\n你好，世界。\n“再见”；走吧！"), "[chorus] 你好，世界。“再见”.走吧！");
    assert_eq!(lenient("la la\nlo lo"), "[verse] la la. lo lo");
}

#[test]
fn a_line_that_only_begins_like_a_heading_is_sung() {
    for line in [
        "Bridge over troubled water",
        "The chorus of angels sings",
        "Intro: soft piano and rain",
        "Hook me up before you go",
        "(oh, oh, the chorus)",
        "Solo in the night I walk",
        "A bridge",
        "Silence",
        "Break",
        "结尾",
        "Solo,",
        "I solo",
        "副歌响起的时候",
    ] {
        let text = written(line).text;
        assert!(text.starts_with("[verse] ") && sung(&text).contains(&sung(line)), "{line}: {text}");
    }
}

#[test]
fn what_is_certainly_too_long_is_said() {
    let long = vec!["la"; 301].join(" ");
    assert!(said(&long).contains("too long: 302 tokens or more; the end is not sung"), "{}", said(&long));
    let short = vec!["la"; 200].join(" ");
    assert!(!said(&short).contains("too long"));
}

proptest::proptest! {
    #[test]
    fn a_second_time_changes_nothing_more(
        lyrics in "(\\[(verse|INST|chorus|x|Verse 1: A)\\]|Chorus:|\\n\\n|\\r\\n|副歌|[ a-zé;.,!?\\n\\[\\]【】你，。！；“”‘’'…—()*:1-9\u{301}-]){0,24}",
    ) {
        for grammar in [STRICT, LENIENT] {
            if let Ok(once) = write("lyrics", &lyrics, &grammar, Voice::Silent) {
                let twice = write("lyrics", &once.text, &grammar, Voice::Silent).unwrap();
                proptest::prop_assert_eq!(&twice.text, &once.text);
                let changes: Vec<_> =
                    twice.changes.iter().filter(|change| change.kind != ChangeKind::TooLong).collect();
                proptest::prop_assert!(changes.is_empty(), "{:?}", changes);
            }
        }
    }

    #[test]
    fn no_letter_digit_or_apostrophe_is_lost_or_moved(
        lines in proptest::collection::vec("[a-zA-Zàéêñöüßđơ0-9你好世界ねこ'’,.!?&;:\"“”()，。！？… -]{0,30}|\\PC{0,20}", 1..12),
    ) {
        // What is a heading may go; words may not.
        let lyrics: Vec<_> = lines
            .iter()
            .filter(|line| !line.contains(['[', ']', '【', '】', '［', '］', '\u{2028}', '\u{2029}']) && line.chars().any(char::is_alphanumeric))
            .filter(|line| heading::alone(line.trim()).is_none() && heading::before_words(line.trim()).is_none())
            .map(String::as_str)
            .collect();
        let lyrics = lyrics.join("\n");
        if let Ok(once) = write("lyrics", &lyrics, &STRICT, Voice::Sings) {
            let words: String = once.text.split(" ; ").map(|section| section.trim_start_matches("[verse] ")).collect();
            proptest::prop_assert_eq!(sung(&words), sung(&lyrics));
        }
    }

    #[test]
    fn whatever_is_sent_is_in_the_vendors_form(lyrics in "\\PC{0,80}|(\\PC|\\n){0,80}") {
        if let Ok(once) = write("lyrics", &lyrics, &STRICT, Voice::Sings) {
            for section in once.text.split(" ; ") {
                let (tag, words) = section.split_once(' ').unwrap_or((section, ""));
                proptest::prop_assert!(tag.starts_with('[') && tag.ends_with(']'), "{}", section);
                let forbidden = [';', '[', ']', '，', '。', '！', '？', '；', '：', '【', '】', '\n', '\r'];
                proptest::prop_assert!(!words.contains(forbidden), "{}", section);
            }
        }
    }
}

#[test]
fn a_line_that_may_be_words_is_sung_with_an_ordinal_before_it_too() {
    let grammar = Grammar { played: &["inst-short"], half_width: true, final_stop: true, tokens: None };
    for line in ["Final silence", "Last break", "First rap", "Second couplet"] {
        let written = write("lyrics", &format!("{line}\nfalls"), &grammar, Voice::Sings).unwrap();
        assert!(written.text.contains(line), "{line}: {}", written.text);
    }
    let heading = write("lyrics", "Guitar solo\nLast chorus\nla", &grammar, Voice::Sings).unwrap();
    assert_eq!(heading.text, "[inst-short] ; [chorus] la.");
}
