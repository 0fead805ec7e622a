//! The words of a section as one line: what the vendor's page forbids is changed, nothing else.

use songmill_core::song::ChangeKind;

use super::{Grammar, Noted};

/// The lines of a section as sentences of one line.
pub(super) fn write(lines: &[String], grammar: &Grammar, noted: &mut Noted<'_>) -> String {
    let mut text = String::new();
    for line in lines {
        if !text.is_empty() {
            text.push_str(between(&text));
            noted.note(ChangeKind::LinesJoined, "", "");
        }
        text.push_str(&separators(&squeezed(line), noted));
    }
    if grammar.half_width {
        text = half_width(&text, noted);
    }
    if grammar.final_stop { stopped(text, noted) } else { text }
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A semicolon separates sections, so within one it can only be a full stop.
fn separators(line: &str, noted: &mut Noted<'_>) -> String {
    if !line.contains([';', '；']) {
        return line.to_owned();
    }
    let mut kept = String::new();
    for c in line.chars() {
        if !matches!(c, ';' | '；') {
            kept.push(c);
            continue;
        }
        kept.truncate(kept.trim_end().len());
        if kept.is_empty() || is_stopped(&kept) {
            noted.note(ChangeKind::Removed, &c.to_string(), "");
        } else {
            noted.note(ChangeKind::Punctuation, &c.to_string(), ".");
            kept.push('.');
        }
    }
    kept
}

/// Chinese punctuation as half-width marks.
fn half_width(text: &str, noted: &mut Noted<'_>) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut kept = String::with_capacity(text.len());
    for (at, c) in chars.iter().enumerate() {
        let mark = always(*c).or_else(|| beside_han(*c).filter(|_| stands_beside_han(&chars, at)));
        let Some(mark) = mark else {
            kept.push(*c);
            continue;
        };
        // …… is one mark of two characters.
        let doubled = matches!(c, '…' | '—') && at > 0 && chars[at - 1] == *c;
        if !doubled {
            kept.push_str(mark);
            noted.note(ChangeKind::Punctuation, &c.to_string(), mark.trim());
        }
    }
    squeezed(&kept)
}

/// The half-width form of a mark that is Chinese wherever it stands.
fn always(c: char) -> Option<&'static str> {
    Some(match c {
        '，' | '、' | '､' => ",",
        '。' | '．' | '｡' => ".",
        '！' => "!",
        '？' => "?",
        '：' => ":",
        '（' | '〔' | '【' | '［' | '〖' => "(",
        '）' | '〕' | '】' | '］' | '〗' => ")",
        '「' | '」' | '『' | '』' | '《' | '》' | '〈' | '〉' | '｢' | '｣' | '＂' | '〝' | '〞' => {
            "\""
        }
        '＇' => "'",
        '～' | '〜' => "~",
        '－' => "-",
        '＆' => "&",
        '＃' => "#",
        '＄' => "$",
        '％' => "%",
        '＊' => "*",
        '＋' => "+",
        '／' => "/",
        '＜' => "<",
        '＝' => "=",
        '＞' => ">",
        '＠' => "@",
        '＼' => "\\",
        '＾' => "^",
        '＿' => "_",
        '｀' => "`",
        '｛' => "{",
        '｜' => "|",
        '｝' => "}",
        '・' => " ",
        _ => return None,
    })
}

/// The half-width form of a mark that is Chinese only among Chinese: elsewhere it is a quotation mark, an apostrophe, a
/// dash or dots as English has them.
fn beside_han(c: char) -> Option<&'static str> {
    Some(match c {
        '“' | '”' => "\"",
        '‘' | '’' => "'",
        '…' => "...",
        '—' => "-",
        '·' => " ",
        _ => return None,
    })
}

fn stands_beside_han(chars: &[char], at: usize) -> bool {
    let is_other = |c: &&char| beside_han(**c).is_none();
    let near = [chars[..at].iter().rev().find(is_other), chars[at + 1..].iter().find(is_other)];
    near.into_iter().flatten().any(|c| is_east_asian(*c) || always(*c).is_some())
}

/// What stands between a line and the next: a full stop, unless the line ends with a mark of its own.
fn between(text: &str) -> &'static str {
    match (ends_with_a_mark(text), is_latin(text)) {
        (true, true) => " ",
        (true, false) => "",
        (false, true) => ". ",
        (false, false) => ".",
    }
}

/// What closes a sentence behind its stop.
const CLOSERS: &[char] = &['"', '\'', ')', '”', '’', '」', '』', '》', '）', '*', '_'];

fn ends_with_a_mark(text: &str) -> bool {
    const MARKS: [char; 18] =
        ['.', '!', '?', ',', ':', '-', '–', '—', '~', '…', '。', '！', '？', '，', '、', '：', '；', '～'];
    text.trim_end_matches(CLOSERS).ends_with(MARKS)
}

fn is_stopped(text: &str) -> bool {
    text.trim_end_matches(CLOSERS).ends_with(['.', '!', '?', '。', '！', '？'])
}

/// A section of Latin letters with a full stop at its end, one of East Asian letters without.
fn stopped(mut text: String, noted: &mut Noted<'_>) -> String {
    if !is_latin(&text) {
        let kept = text.trim_end_matches(['.', ' ']).len();
        if kept < text.len() {
            noted.note(ChangeKind::Removed, &text[kept..], "");
            text.truncate(kept);
        }
        return text;
    }
    if text.trim_end_matches(CLOSERS).ends_with('.') {
        return text;
    }
    let kept = text.trim_end_matches([',', ':', '-', '–', '—', ' ']).len();
    if kept < text.len() {
        noted.note(ChangeKind::Punctuation, &text[kept..], ".");
        text.truncate(kept);
    } else {
        noted.note(ChangeKind::FullStopAdded, "", "");
    }
    text.push('.');
    text
}

/// Whether the last letter or digit is none of those that are written without blanks.
fn is_latin(text: &str) -> bool {
    let last = text.chars().rev().find(|c| c.is_alphanumeric());
    !last.is_some_and(is_east_asian)
}

fn is_east_asian(c: char) -> bool {
    matches!(u32::from(c), 0x3040..=0x30ff | 0x3400..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

/// The least number of tokens that a text has: a word has one or more, and two Chinese characters may share one.
pub(super) fn tokens_at_least(text: &str) -> u64 {
    let (mut words, mut han, mut in_word) = (0u64, 0u64, false);
    for c in text.chars() {
        let is_letter = c.is_alphanumeric() && !is_east_asian(c);
        words += u64::from(is_letter && !in_word);
        han += u64::from(is_east_asian(c));
        in_word = is_letter || (in_word && matches!(c, '\'' | '’' | '-'));
    }
    words + han.div_ceil(2)
}
