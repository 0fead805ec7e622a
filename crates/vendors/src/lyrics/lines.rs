//! Taking lyrics apart: headings, lines of words, blank lines.

use songmill_core::song::ChangeKind;

use super::Noted;
use super::heading::{self, Heading};

/// A part of lyrics.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// A tag or a heading; `None` where it is not known.
    Heading {
        heading: Option<Heading>,
        /// As it was written.
        written: String,
    },
    /// Words.
    Line(String),
    /// What divides.
    Blank,
}

const SEPARATORS: [char; 2] = [';', '；'];

/// Takes lyrics apart.
pub(super) fn read(text: &str, noted: &mut Noted<'_>) -> Vec<Item> {
    let text = text.replace("\r\n", "\n");
    let mut items = Vec::new();
    for line in text.split(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']) {
        self::line(&visible(line, noted), &mut items, noted);
    }
    items
}

/// A line without control characters and marks of no width; those that shape letters stay.
fn visible(line: &str, noted: &mut Noted<'_>) -> String {
    let is_hidden = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{200b}' | '\u{feff}' | '\u{2060}' | '\u{ad}' | '\u{200e}' | '\u{200f}')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    for hidden in line.chars().filter(|c| is_hidden(*c)) {
        noted.note(ChangeKind::Removed, &format!("U+{:04X}", u32::from(hidden)), "");
    }
    line.chars().filter(|c| !is_hidden(*c)).collect::<String>().trim().to_owned()
}

fn line(line: &str, items: &mut Vec<Item>, noted: &mut Noted<'_>) {
    if !line.chars().any(char::is_alphanumeric) {
        if line.chars().any(|c| !c.is_whitespace() && !SEPARATORS.contains(&c)) {
            noted.note(ChangeKind::Removed, line, "");
        }
        items.push(Item::Blank);
        return;
    }
    if let Some(heading) = heading::alone(line) {
        items.push(Item::Heading { heading, written: line.to_owned() });
        return;
    }
    if let Some((heading, written, words)) = heading::before_words(line) {
        items.push(Item::Heading { heading: Some(heading), written: written.to_owned() });
        with_tags(words, items, noted);
        return;
    }
    with_tags(line, items, noted);
}

/// A line of words with tags in it, as the vendor's form has them.
fn with_tags(line: &str, items: &mut Vec<Item>, noted: &mut Noted<'_>) {
    let (mut words, mut rest) = (String::new(), line);
    while let Some(open) = rest.find(heading::OPEN) {
        let (before, tagged) = rest.split_at(open);
        words.push_str(before);
        let inside = tagged.trim_start_matches(heading::OPEN);
        let end = inside.find(|c| heading::OPEN.contains(&c) || heading::CLOSE.contains(&c));
        let Some(end) = end.filter(|end| inside[*end..].starts_with(heading::CLOSE)) else {
            // A bracket that is never closed is no tag.
            noted.note(ChangeKind::Punctuation, "[", "(");
            words.push('(');
            rest = inside;
            continue;
        };
        let inner = &inside[..end];
        let after = inside[end..].trim_start_matches(heading::CLOSE);
        let written = &tagged[..tagged.len() - after.len()];
        rest = after;
        if heading::is_moment(inner) {
            noted.note(ChangeKind::Removed, written, "");
            words.push(' ');
            continue;
        }
        let heading = heading::inside_brackets(inner);
        let begins = words.trim_end().ends_with(SEPARATORS);
        if heading.is_some() || begins {
            push_words(&words, items, noted);
            words.clear();
            items.push(Item::Heading { heading, written: written.to_owned() });
        } else if inner.chars().any(char::is_alphanumeric) {
            let kept = format!("({inner})");
            noted.note(ChangeKind::Punctuation, written, &kept);
            words.push_str(&kept);
        } else {
            noted.note(ChangeKind::Removed, written, "");
        }
    }
    words.push_str(rest);
    push_words(&words, items, noted);
}

/// Words between tags, without the marks that separate sections.
fn push_words(words: &str, items: &mut Vec<Item>, noted: &mut Noted<'_>) {
    let separates = |c: char| c.is_whitespace() || SEPARATORS.contains(&c);
    let mut words = words.trim_matches(separates).to_owned();
    for _ in words.matches(heading::CLOSE) {
        noted.note(ChangeKind::Punctuation, "]", ")");
    }
    words = words.replace(heading::CLOSE, ")");
    if words.chars().any(char::is_alphanumeric) {
        items.push(Item::Line(words));
    }
}
