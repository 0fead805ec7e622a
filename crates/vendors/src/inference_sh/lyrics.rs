//! The app's grammar of lyrics: checked here, because the app sings whatever it is given and charges for it.
//!
//! Sections are joined by ` ; `; a section is `[tag]` or `[tag] sentence.sentence`. Full stops separate sentences
//! and no other punctuation stands in them; a section of Latin letters ends with a full stop, a Chinese one does
//! not. What goes past 300 of the model's tokens is not sung, which cannot be counted here.

/// What music alone is asked for with: the app wants sections though it sings none.
pub(super) const INSTRUMENTAL: &str = "[intro-medium] ; [inst-medium] ; [outro-short]";

const SUNG: [&str; 3] = ["verse", "chorus", "bridge"];
const PLAYED: [&str; 10] = [
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
];
const TAGS: &str = "verse, chorus, bridge, intro-, inst- or outro- with short, medium or long, silence";

/// What is wrong with lyrics, and how to mend it.
pub(super) type Wrong = (String, String);

/// Whether a voice is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    Sings,
    Silent,
}

/// Brings lyrics into the app's grammar, or says everything that is wrong with them.
///
/// Line ends, full stops and other ends of sentences separate sentences alike, tags may be in any case, and
/// `[intro]`, `[inst]` and `[outro]` are the short ones.
pub(super) fn normalize(lyrics: &str, voice: Voice) -> Result<String, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let mut sections = Vec::new();
    let mut sung = false;
    let (before, raw) = split(lyrics);
    if !before.is_empty() {
        wrong.push((
            format!("has words before the first tag: {:?}", clip(&before)),
            "open every section with a tag such as [verse]".to_owned(),
        ));
    }
    for (i, (tag, words)) in raw.iter().enumerate() {
        let name = match tag.trim().to_lowercase().as_str() {
            short @ ("intro" | "inst" | "outro") => format!("{short}-short"),
            name => name.to_owned(),
        };
        let section = format!("section {} [{}]", i + 1, clip(tag));
        let sentences = sentences(words);
        if SUNG.contains(&name.as_str()) {
            sung = true;
            if sentences.is_empty() {
                wrong.push((
                    format!("has no words in {section}"),
                    "give it words, or use [inst-short]".to_owned(),
                ));
            }
            sections.push(format!("[{name}] {}", join(&sentences)));
        } else if PLAYED.contains(&name.as_str()) {
            if !sentences.is_empty() {
                let fix = "use [verse], [chorus] or [bridge] for words";
                wrong.push((format!("has words in {section}, which is not sung"), fix.to_owned()));
            }
            sections.push(format!("[{name}]"));
        } else {
            wrong.push((format!("has the unknown tag of {section}"), format!("use one of {TAGS}")));
        }
    }
    if !sung && voice == Voice::Sings && wrong.is_empty() {
        let fix = "add a [verse], [chorus] or [bridge] with words, or set instrumental: true";
        wrong.push(("has no section that is sung".to_owned(), fix.to_owned()));
    }
    if wrong.is_empty() { Ok(sections.join(" ; ")) } else { Err(wrong) }
}

/// The words before the first tag, and each tag with the words behind it.
fn split(lyrics: &str) -> (String, Vec<(String, String)>) {
    let mut before = String::new();
    let mut sections: Vec<(String, String)> = Vec::new();
    let mut rest = lyrics;
    loop {
        let next = rest.find(['[', '【']);
        let words = &rest[..next.unwrap_or(rest.len())];
        match sections.last_mut() {
            Some((_, kept)) => kept.push_str(words),
            None => before.push_str(words.trim_matches(|c: char| c.is_whitespace() || c == ';')),
        }
        let Some(open) = next else { return (before, sections) };
        let inside = &rest[open..].trim_start_matches(['[', '【']);
        let close = inside.find([']', '】', '[', '【']).unwrap_or(inside.len());
        sections.push((inside[..close].to_owned(), String::new()));
        rest = inside[close..].strip_prefix([']', '】']).unwrap_or(&inside[close..]);
    }
}

/// Sentences without punctuation: letters, digits, hyphens and single blanks.
fn sentences(words: &str) -> Vec<String> {
    let ends = |c: char| matches!(c, '\n' | '\r' | '.' | ';' | '!' | '?' | '。' | '；' | '！' | '？' | '…');
    let clean = |sentence: &str| {
        let kept: String = sentence
            .chars()
            .filter(|c| !matches!(c, '\'' | '’' | '‘' | '"' | '“' | '”'))
            .map(|c| if c.is_alphanumeric() || c == '-' { c } else { ' ' })
            .collect();
        kept.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    words.split(ends).map(clean).filter(|sentence| sentence.chars().any(char::is_alphanumeric)).collect()
}

fn join(sentences: &[String]) -> String {
    let mut joined = sentences.join(".");
    if joined.chars().next_back().is_some_and(|last| !is_east_asian(last)) {
        joined.push('.');
    }
    joined
}

fn is_east_asian(c: char) -> bool {
    matches!(u32::from(c), 0x3040..=0x30ff | 0x3400..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(lyrics: &str) -> String {
        normalize(lyrics, Voice::Sings).unwrap()
    }

    fn wrong(lyrics: &str) -> String {
        let wrong = normalize(lyrics, Voice::Sings).unwrap_err();
        wrong.into_iter().map(|(fault, fix)| format!("{fault}; {fix}")).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn what_is_right_stays_as_it_is() {
        for lyrics in [
            "[intro-short] ; [verse] 雪花舞动在无尽的天际.情缘如同雪花般轻轻逝去 ; [chorus] 我怀抱着守护这片梦境.在这世界中寻找爱与虚幻 ; [outro-short]",
            "[verse] Night falls on the old town.Street lights flicker on. ; [inst-medium] ; [silence]",
        ] {
            assert_eq!(good(lyrics), lyrics);
        }
    }

    #[test]
    fn common_forms_are_brought_into_the_grammar() {
        assert_eq!(
            good(
                "[Intro]\n\n[Verse]\nDon’t go, she said!\nWhy -- \"never\" mind\n\n[CHORUS]\n你好，世界。\n再见；[outro]\n"
            ),
            "[intro-short] ; [verse] Dont go she said.Why -- never mind. ; [chorus] 你好 世界.再见 ; [outro-short]"
        );
        assert_eq!(good("【verse】 a b ;[inst]"), "[verse] a b. ; [inst-short]");
    }

    #[test]
    fn what_is_wrong_is_named_all_of_it() {
        let lines = wrong("la la [verse] ; [Verse 2] words ; [outro-short] more words ; [verse] ... !");
        assert!(lines.contains("before the first tag: \"la la\""), "{lines}");
        assert!(lines.contains("no words in section 1 [verse]"), "{lines}");
        assert!(lines.contains("unknown tag of section 2 [Verse 2]"), "{lines}");
        assert!(lines.contains("words in section 3 [outro-short]"), "{lines}");
        assert!(lines.contains("no words in section 4 [verse]"), "{lines}");
        assert!(wrong("[intro-short] ; [inst-long]").contains("no section that is sung"));
        assert!(wrong("only words").contains("before the first tag"));
        assert!(wrong("[").contains("unknown tag"));
        assert!(wrong("  ").contains("no section that is sung"));
    }

    #[test]
    fn music_alone_needs_no_sung_section() {
        assert_eq!(normalize(INSTRUMENTAL, Voice::Silent).unwrap(), INSTRUMENTAL);
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_normal_after_one_turn(lyrics in "(\\[(verse|INST|chorus|x)\\]|[ a-z.;\\n\\[\\]你。!']){0,12}") {
            if let Ok(once) = normalize(&lyrics, Voice::Silent) {
                proptest::prop_assert_eq!(normalize(&once, Voice::Silent).unwrap(), once);
            }
        }
    }
}
