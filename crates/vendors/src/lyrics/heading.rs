//! Headings of sections as people write them, and the vendor's tag that is nearest.

use super::Grammar;

/// What a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Verse,
    Chorus,
    Bridge,
    Intro,
    Inst,
    Outro,
    Silence,
}

impl Kind {
    pub(super) const fn is_sung(self) -> bool {
        matches!(self, Self::Verse | Self::Chorus | Self::Bridge)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Verse => "verse",
            Self::Chorus => "chorus",
            Self::Bridge => "bridge",
            Self::Intro => "intro",
            Self::Inst => "inst",
            Self::Outro => "outro",
            Self::Silence => "silence",
        }
    }
}

/// A heading that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) kind: Kind,
    /// Of music alone: `short`, `medium` or `long`.
    length: Option<&'static str>,
}

const LENGTHS: [&str; 3] = ["short", "medium", "long"];

impl Heading {
    pub(super) const VERSE: Self = Self { kind: Kind::Verse, length: None };

    /// The vendor's tag in brackets: this one, or the nearest that the vendor has.
    pub(super) fn tag(self, grammar: &Grammar) -> String {
        let name = self.kind.as_str();
        if self.kind.is_sung() {
            return format!("[{name}]");
        }
        let length = self.length.unwrap_or(LENGTHS[0]);
        let wanted = [name.to_owned(), format!("{name}-{length}"), format!("{name}-medium")];
        let has = |tag: &&String| grammar.played.contains(&tag.as_str());
        wanted.iter().find(has).map_or_else(|| "[inst-short]".to_owned(), |tag| format!("[{tag}]"))
    }
}

/// What opens and closes a tag.
pub(super) const OPEN: [char; 3] = ['[', '【', '［'];
pub(super) const CLOSE: [char; 3] = [']', '】', '］'];

/// Marks around a heading that say nothing: Markdown, rules, bullets.
const AROUND: &[char] =
    &[' ', '\t', '\u{3000}', '\u{a0}', '*', '_', '#', '~', '=', '-', '–', '—', '>', '•', '♪'];
/// Pairs in which a heading may stand by itself.
const PAIRS: [(char, char); 8] = [
    ('(', ')'),
    ('（', '）'),
    ('<', '>'),
    ('{', '}'),
    ('「', '」'),
    ('『', '』'),
    ('〔', '〕'),
    ('《', '》'),
];

/// Names that are words of songs as well: by themselves on a line, without any mark or number, they are sung.
const AS_WORDS: [&str; 24] = [
    "silence",
    "break",
    "breakdown",
    "ending",
    "coda",
    "rap",
    "fade out",
    "pont",
    "ponte",
    "puente",
    "couplet",
    "verso",
    "verses",
    "strofa",
    "coro",
    "introduction",
    "桥",
    "过渡",
    "過渡",
    "尾声",
    "尾聲",
    "结尾",
    "結尾",
    "独奏",
];

/// Reads a line that is a heading and nothing else. In square brackets it is one whatever it says (`Some(None)` where that
/// is not known); otherwise it must say what it is.
pub(super) fn alone(line: &str) -> Option<Option<Heading>> {
    let bare = line.trim_matches(AROUND).trim_end_matches([':', '：', ';', '；']).trim_matches(AROUND);
    if let Some(inner) = bare.strip_prefix(OPEN).and_then(|bare| bare.strip_suffix(CLOSE)) {
        let inner = inner.trim_matches(OPEN).trim_matches(CLOSE);
        if !inner.contains(OPEN) && !inner.contains(CLOSE) {
            return (!is_moment(inner)).then(|| inside_brackets(inner));
        }
    }
    let inner = PAIRS
        .iter()
        .find_map(|(open, close)| bare.strip_prefix(*open)?.strip_suffix(*close))
        .unwrap_or(bare)
        .trim_matches(AROUND)
        .trim_end_matches([':', '：']);
    let lower = inner.to_lowercase();
    let name =
        ORDINALS.iter().find_map(|first| lower.strip_prefix(first)?.strip_prefix(' ')).unwrap_or(&lower);
    let is_word = inner == line && AS_WORDS.contains(&name);
    exactly(inner).filter(|_| !is_word).map(Some)
}

/// Reads a heading that stands before its words on one line, as in `Verse 1: we walk`: what it is, as it was written, and
/// the words. Only headings of sung sections: a direction such as `Intro: soft piano` is no heading.
pub(super) fn before_words(line: &str) -> Option<(Heading, &str, &str)> {
    let colon = line.find([':', '：'])?;
    let (head, rest) = line.split_at(colon);
    let words = rest.trim_start_matches([':', '：']);
    let heading = exactly(head.trim_matches(AROUND)).filter(|heading| heading.kind.is_sung())?;
    let words = words.trim_start_matches(AROUND);
    let written = line[..line.len() - words.len()].trim_end();
    words.chars().any(char::is_alphanumeric).then_some((heading, written, words))
}

/// Whether something in brackets is the moment of a line, as karaoke files have it: `00:12.34`.
pub(super) fn is_moment(inner: &str) -> bool {
    let parts: Vec<&str> = inner.trim().split([':', '.']).collect();
    let is_number = |part: &&str| matches!(part.len(), 1..=3) && part.bytes().all(|b| b.is_ascii_digit());
    matches!(parts.len(), 2..=3) && inner.contains(':') && parts.iter().all(is_number)
}

/// Reads what stands in brackets: behind the name may be who sings it, and before it what is special about it.
pub(super) fn inside_brackets(inner: &str) -> Option<Heading> {
    let inner = inner.trim_matches(AROUND);
    exactly(inner).or_else(|| {
        let end = [":", "：", "|", ",", "，", "/", "(", "（", " - ", " – ", " — "]
            .iter()
            .filter_map(|mark| inner.find(mark))
            .min()
            .unwrap_or(inner.len());
        among(&tokens(&inner[..end])).or_else(|| among(&tokens(inner)))
    })
}

/// How many words a heading has at most.
const WORDS: usize = 6;

/// The longest name of those that stand farthest to the right: `final pre-chorus`, `guitar solo`.
fn among(words: &[String]) -> Option<Heading> {
    if words.len() > WORDS {
        return None;
    }
    let kind = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["end"] | ["the", "end"] | ["fin"] => Kind::Outro,
        _ => (1..=words.len()).rev().find_map(|end| {
            (end.saturating_sub(3)..end).find_map(|start| name(&words[start..end].join(" ")))
        })?,
    };
    let is_music = words.iter().any(|word| word == "instrumental");
    Some(Heading { kind: if is_music && kind.is_sung() { Kind::Inst } else { kind }, length: None })
}

/// Reads a name with nothing but a number or the like beside it.
fn exactly(text: &str) -> Option<Heading> {
    if text.len() > 60 {
        return None;
    }
    let mut words = tokens(text);
    let length = words.last().and_then(|last| LENGTHS.iter().find(|length| *length == last)).copied();
    if length.is_some() && words.len() > 1 {
        words.pop();
    }
    while words.len() > 1 && words.last().is_some_and(|last| is_number(last)) {
        words.pop();
    }
    while words.len() > 1 && words.first().is_some_and(|first| BEFORE.contains(&first.as_str())) {
        words.remove(0);
    }
    let kind = name(&words.join(" ")).or_else(|| {
        // Chinese has no blanks: 主歌一, 副歌部分.
        let bare = words.concat();
        let bare = bare.trim_end_matches("部分").trim_end_matches(HAN_NUMBERS);
        name(
            bare.trim_start_matches('第')
                .trim_start_matches(HAN_NUMBERS)
                .trim_start_matches(['段', '次', '遍']),
        )
    })?;
    Some(Heading { kind, length: length.filter(|_| !kind.is_sung()) })
}

/// Words in lower case; digits and letters are words of their own.
fn tokens(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = None;
    for c in text.chars().flat_map(char::to_lowercase) {
        let class = c.is_alphanumeric().then(|| c.is_numeric() && !c.is_alphabetic());
        match class {
            Some(class) if last == Some(class) => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
            Some(_) => words.push(c.to_string()),
            // An apostrophe or an accent of its own is part of the word.
            None if !c.is_whitespace()
                && !matches!(c, '-' | '_' | '.' | '#' | '–' | '(' | ')' | '（' | '）') =>
            {
                words.push(c.to_string());
            }
            None => {}
        }
        last = class;
    }
    words
}

const HAN_NUMBERS: &[char] = &['一', '二', '三', '四', '五', '六', '七', '八', '九', '十', '女', '男', '合'];

fn is_number(word: &str) -> bool {
    const WORDS: [&str; 20] = [
        "one", "two", "three", "four", "five", "six", "i", "ii", "iii", "iv", "v", "vi", "vii", "a", "b",
        "c", "d", "x", "repeat", "reprise",
    ];
    word.chars().all(char::is_numeric) || WORDS.contains(&word)
}

/// Those of them that may be words of songs as well.
const ORDINALS: [&str; 8] = ["final", "last", "first", "second", "third", "fourth", "repeat", "double"];

/// What may stand before a name without changing what it is.
const BEFORE: [&str; 15] = [
    "final",
    "last",
    "first",
    "second",
    "third",
    "fourth",
    "repeat",
    "double",
    "guitar",
    "piano",
    "sax",
    "saxophone",
    "drum",
    "bass",
    "violin",
];

/// The kind that a name means; names are in lower case, in words parted by blanks.
fn name(name: &str) -> Option<Kind> {
    Some(match name {
        "verse" | "verses" | "pre chorus" | "prechorus" | "pre hook" | "rap" | "rap verse" | "strophe"
        | "stanza" | "estrofa" | "verso" | "couplet" | "strofa" | "主歌" | "導歌" | "导歌" | "预副歌"
        | "前副歌" | "说唱" | "說唱" | "aメロ" | "bメロ" | "куплет" => Kind::Verse,
        "chorus" | "choruses" | "hook" | "refrain" | "post chorus" | "postchorus" | "coro" | "estribillo"
        | "refrão" | "ritornello" | "refren" | "副歌" | "サビ" | "후렴" | "điệp khúc" | "припев" => {
            Kind::Chorus
        }
        "bridge" | "middle 8" | "middle eight" | "puente" | "pont" | "ponte" | "桥段" | "橋段" | "桥"
        | "过渡" | "過渡" | "cメロ" | "ブリッジ" | "브릿지" => Kind::Bridge,
        "intro" | "introduction" | "前奏" | "イントロ" | "인트로" => Kind::Intro,
        "inst"
        | "instrumental"
        | "instrumental break"
        | "instrumental interlude"
        | "interlude"
        | "solo"
        | "break"
        | "breakdown"
        | "music break"
        | "musical interlude"
        | "间奏"
        | "間奏"
        | "独奏"
        | "獨奏"
        | "ソロ"
        | "간주" => Kind::Inst,
        "outro" | "ending" | "coda" | "fade out" | "尾奏" | "尾声" | "尾聲" | "结尾" | "結尾"
        | "アウトロ" | "아웃트로" => Kind::Outro,
        "silence" => Kind::Silence,
        _ => return None,
    })
}
