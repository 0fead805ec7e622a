//! Lyrics as people write them, brought into a vendor's grammar of tagged sections.
//!
//! Words are sent as they are written, in Unicode NFC. What the vendor's page forbids is changed, nothing else, and every
//! change is noted: a word that is lost or altered here is sung wrongly and paid for all the same.
//!
//! Plain text becomes verses, which blank lines divide. Headings such as `[Verse 1: Anna]`, `Chorus:`, `**Bridge**` or
//! `副歌` become the vendor's nearest tag. Text that is in the vendor's form already stays as it is.

use std::collections::BTreeMap;

use songmill_core::song::{Change, ChangeKind};
use unicode_normalization::{UnicodeNormalization, is_nfc};

mod heading;
mod lines;
#[cfg(test)]
mod tests;
mod words;

use heading::Heading;
use lines::Item;

/// What a vendor's page demands of lyrics. Sections are joined by ` ; `, those with words are `verse`, `chorus` and
/// `bridge`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grammar {
    /// Tags of sections without words.
    pub(crate) played: &'static [&'static str],
    /// Whether Chinese punctuation is forbidden.
    pub(crate) half_width: bool,
    /// Whether a section of Latin letters ends with a full stop, and one of East Asian letters without.
    pub(crate) final_stop: bool,
    /// How many tokens are sung, where the page says so.
    pub(crate) tokens: Option<u64>,
}

/// Whether a voice is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    Sings,
    Silent,
}

/// Lyrics in a vendor's form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    /// What is sent.
    pub(crate) text: String,
    /// How it differs from what was written.
    pub(crate) changes: Vec<Change>,
}

/// What is wrong with lyrics, and how to mend it.
pub(crate) type Wrong = (String, String);

/// Brings the lyrics of a field into a vendor's form, or says what is wrong with them.
pub(crate) fn write(field: &str, text: &str, grammar: &Grammar, voice: Voice) -> Result<Written, Wrong> {
    let mut noted = Noted { field, all: BTreeMap::new() };
    let text = composed(text, &mut noted);
    let mut sections = sections(lines::read(&text, &mut noted), grammar, &mut noted);
    sections.retain(|section| {
        let is_empty = section.heading.kind.is_sung() && !section.has_words();
        if is_empty {
            noted.note(ChangeKind::SectionDropped, &section.written, "");
        }
        !is_empty
    });
    let sings = sections.iter().any(|section| section.heading.kind.is_sung());
    if sections.is_empty() || (!sings && voice == Voice::Sings) {
        let fix = "add a [verse], [chorus] or [bridge] with words, or set instrumental: true";
        return Err(("has no section that is sung".to_owned(), fix.to_owned()));
    }
    let written: Vec<_> = sections.iter().map(|section| section.write(grammar, &mut noted)).collect();
    let text = written.join(" ; ");
    if let Some(most) = grammar.tokens {
        let least = words::tokens_at_least(&text);
        if least > most {
            noted.too_long(least);
        }
    }
    Ok(Written { text, changes: noted.all.into_values().collect() })
}

/// What was changed so far.
struct Noted<'a> {
    field: &'a str,
    all: BTreeMap<ChangeKind, Change>,
}

impl Noted<'_> {
    fn note(&mut self, kind: ChangeKind, from: &str, to: &str) {
        self.of(kind).add(from, to);
    }

    fn too_long(&mut self, tokens: u64) {
        self.of(ChangeKind::TooLong).count = tokens;
    }

    fn of(&mut self, kind: ChangeKind) -> &mut Change {
        self.all.entry(kind).or_insert_with(|| Change::new(self.field, kind))
    }
}

/// The text in NFC, in which a letter with its accent is one character wherever Unicode has one.
fn composed(text: &str, noted: &mut Noted<'_>) -> String {
    if is_nfc(text) {
        return text.to_owned();
    }
    for word in text.split_whitespace().filter(|word| !is_nfc(word)) {
        noted.note(ChangeKind::Normalized, "", &word.nfc().collect::<String>());
    }
    text.nfc().collect()
}

/// A section in the making.
struct Section {
    heading: Heading,
    /// Its tag as it was written; empty where there was none.
    written: String,
    lines: Vec<String>,
}

impl Section {
    /// A verse for words without a tag.
    fn untagged() -> Self {
        Self { heading: Heading::VERSE, written: String::new(), lines: Vec::new() }
    }

    fn has_words(&self) -> bool {
        !self.lines.is_empty()
    }

    fn write(&self, grammar: &Grammar, noted: &mut Noted<'_>) -> String {
        let tag = self.heading.tag(grammar);
        if !self.has_words() {
            return tag;
        }
        format!("{tag} {}", words::write(&self.lines, grammar, noted))
    }
}

fn sections(items: Vec<Item>, grammar: &Grammar, noted: &mut Noted<'_>) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    // Whether the next line begins a section of its own.
    let mut apart = true;
    for item in items {
        match item {
            Item::Heading { heading, written } => {
                let heading = heading.unwrap_or(Heading::VERSE);
                let tag = heading.tag(grammar);
                if tag != written {
                    noted.note(ChangeKind::TagMapped, &written, &tag);
                }
                sections.push(Section { heading, written, lines: Vec::new() });
                apart = false;
            }
            Item::Blank => {
                // Within a section that was tagged, blank lines mean nothing.
                let divides =
                    |section: &Section| section.written.is_empty() || !section.heading.kind.is_sung();
                apart |= sections.last().is_some_and(divides);
            }
            Item::Line(line) => {
                let here = sections.last_mut().filter(|_| !apart);
                if let Some(section) = here {
                    if !section.heading.kind.is_sung() {
                        section.heading = Heading::VERSE;
                        noted.note(ChangeKind::SectionSung, &section.written, "[verse]");
                    }
                    section.lines.push(line);
                } else {
                    noted.note(ChangeKind::SectionAdded, "", &format!("[verse] {line}"));
                    sections.push(Section { lines: vec![line], ..Section::untagged() });
                    apart = false;
                }
            }
        }
    }
    sections
}
