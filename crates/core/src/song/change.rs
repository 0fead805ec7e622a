//! What was changed in a field before it is sent, as data: nothing is changed without being shown.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::VendorName;

/// What was done to a text so that a vendor can use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Letters in two parts became one character (Unicode NFC).
    Normalized,
    /// Words without a tag became a section.
    SectionAdded,
    /// A tag or heading became the vendor's nearest tag.
    TagMapped,
    /// Words under an instrumental tag: the section is sung.
    SectionSung,
    /// A section without words was left out.
    SectionDropped,
    /// A punctuation mark that the vendor's page forbids became one that it allows.
    Punctuation,
    /// Lines became sentences of one line.
    LinesJoined,
    /// A section ends with a full stop, which it did not.
    FullStopAdded,
    /// Marks that are no words were left out.
    Removed,
    /// Nothing was changed, but the vendor will not sing all of it.
    TooLong,
}

/// What was changed in one field, in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The field's path, such as `lyrics`.
    pub field: String,
    /// What was done.
    pub kind: ChangeKind,
    /// How often; for `too_long` how many tokens there are at least.
    pub count: u64,
    /// The first of them that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<ChangeExample>,
}

/// One of the changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeExample {
    /// What was written; empty for what was added.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// What is sent; empty for what was left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
}

/// How many examples a change keeps.
const EXAMPLES: usize = 3;
/// How many characters of a text an example keeps.
const EXAMPLE_CHARS: usize = 40;

impl Change {
    /// A change that has not happened yet.
    pub fn new(field: impl Into<String>, kind: ChangeKind) -> Self {
        Self { field: field.into(), kind, count: 0, examples: Vec::new() }
    }

    /// Counts one more; an example that is new is kept as long as there are few.
    pub fn add(&mut self, from: &str, to: &str) {
        self.count += 1;
        self.keep(ChangeExample { from: shortened(from), to: shortened(to) });
    }

    /// Counts those of another request, too.
    pub fn merge(&mut self, other: &Self) {
        self.count = match self.kind {
            // The longest of several texts.
            ChangeKind::TooLong => self.count.max(other.count),
            _ => self.count + other.count,
        };
        other.examples.iter().cloned().for_each(|example| self.keep(example));
    }

    fn keep(&mut self, example: ChangeExample) {
        let says_nothing = example.from.is_empty() && example.to.is_empty();
        if self.examples.len() < EXAMPLES && !says_nothing && !self.examples.contains(&example) {
            self.examples.push(example);
        }
    }
}

impl fmt::Display for Change {
    /// What was done, without the field: `2 tags mapped ([Verse 1] -> [verse])`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, several) = match self.kind {
            ChangeKind::Normalized => ("character composed", "characters composed"),
            ChangeKind::SectionAdded => ("section added", "sections added"),
            ChangeKind::TagMapped => ("tag mapped", "tags mapped"),
            ChangeKind::SectionSung => ("instrumental section sung", "instrumental sections sung"),
            ChangeKind::SectionDropped => ("empty section left out", "empty sections left out"),
            ChangeKind::Punctuation => ("punctuation mark replaced", "punctuation marks replaced"),
            ChangeKind::LinesJoined => ("line end became a sentence end", "line ends became sentence ends"),
            ChangeKind::FullStopAdded => ("final full stop added", "final full stops added"),
            ChangeKind::Removed => ("mark left out", "marks left out"),
            ChangeKind::TooLong => {
                return write!(f, "too long: {} tokens or more; the end is not sung", self.count);
            }
        };
        write!(f, "{} {}", self.count, if self.count == 1 { one } else { several })?;
        for (i, ChangeExample { from, to }) in self.examples.iter().enumerate() {
            f.write_str(if i == 0 { " (" } else { ", " })?;
            match (from.is_empty(), to.is_empty()) {
                (_, true) => write!(f, "{from}")?,
                (true, _) => write!(f, "{to}")?,
                _ => write!(f, "{from} -> {to}")?,
            }
        }
        if self.examples.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

/// Changes in one line, field by field: `lyrics: 2 tags mapped (…), 3 punctuation marks replaced (…)`.
pub fn summary(changes: &[Change]) -> String {
    let mut line = String::new();
    let mut field = None;
    for change in changes {
        if field == Some(&change.field) {
            line.push_str(", ");
        } else {
            let between = if line.is_empty() { "" } else { "; " };
            line.push_str(&format!("{between}{}: ", change.field));
        }
        line.push_str(&change.to_string());
        field = Some(&change.field);
    }
    line
}

/// One kind of change to the songs of a vendor, in a plan of many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedChange {
    /// The vendor they would go to first.
    pub vendor: VendorName,
    /// How many songs are changed in this way.
    pub songs: u64,
    /// What is changed.
    #[serde(flatten)]
    pub change: Change,
}

impl PlannedChange {
    /// Adds what is changed in one song to what is changed in those before it.
    pub fn collect(all: &mut Vec<Self>, vendor: &VendorName, changes: &[Change]) {
        for change in changes {
            let same = |one: &&mut Self| {
                one.vendor == *vendor && one.change.field == change.field && one.change.kind == change.kind
            };
            if let Some(known) = all.iter_mut().find(same) {
                known.songs += 1;
                known.change.merge(change);
            } else {
                all.push(Self { vendor: vendor.clone(), songs: 1, change: change.clone() });
            }
        }
    }
}

impl fmt::Display for PlannedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let songs = if self.songs == 1 { "song" } else { "songs" };
        write!(f, "{}, {} of {} {songs}: {}", self.vendor, self.change.field, self.songs, self.change)
    }
}

/// One line of it, without what would move a terminal's cursor.
fn shortened(text: &str) -> String {
    let mut kept: String = text
        .chars()
        .take(EXAMPLE_CHARS)
        .map(|c| if c.is_control() || is_bidi_control(c) { ' ' } else { c })
        .collect();
    if text.chars().nth(EXAMPLE_CHARS).is_some() {
        kept.push('…');
    }
    kept
}

fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(pairs: &[(&str, &str)]) -> Change {
        let mut change = Change::new("lyrics", ChangeKind::TagMapped);
        pairs.iter().for_each(|(from, to)| change.add(from, to));
        change
    }

    #[test]
    fn a_change_counts_all_and_keeps_few_short_examples() {
        let long = "x".repeat(100);
        let change = mapped(&[
            ("[Hook]", "[chorus]"),
            ("[Hook]", "[chorus]"),
            (&long, "[verse]"),
            ("[a]", "b"),
            ("c", "d"),
        ]);
        assert_eq!(change.count, 5);
        assert_eq!(change.examples.len(), 3);
        assert_eq!(change.examples[1].from.chars().count(), 41);
        assert!(change.to_string().starts_with("5 tags mapped ([Hook] -> [chorus], xxx"), "{change}");
    }

    #[test]
    fn a_summary_names_each_field_once() {
        let mut joined = Change::new("lyrics", ChangeKind::LinesJoined);
        joined.add("", "");
        let own = Change { field: "options.x.lyrics".into(), ..mapped(&[("[Hook]", "[chorus]")]) };
        assert_eq!(
            summary(&[mapped(&[("[Verse 1]", "[verse]")]), joined, own]),
            "lyrics: 1 tag mapped ([Verse 1] -> [verse]), 1 line end became a sentence end; \
             options.x.lyrics: 1 tag mapped ([Hook] -> [chorus])"
        );
        assert_eq!(summary(&[]), "");
    }

    #[test]
    fn a_plan_adds_changes_of_one_kind_together() {
        let vendor = VendorName::new("acme").unwrap();
        let mut all = Vec::new();
        PlannedChange::collect(&mut all, &vendor, &[mapped(&[("[Hook]", "[chorus]")])]);
        PlannedChange::collect(&mut all, &vendor, &[mapped(&[("[Rap]", "[verse]")])]);
        PlannedChange::collect(
            &mut all,
            &VendorName::new("other").unwrap(),
            &[mapped(&[("[Rap]", "[verse]")])],
        );
        let lines: Vec<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "acme, lyrics of 2 songs: 2 tags mapped ([Hook] -> [chorus], [Rap] -> [verse])",
                "other, lyrics of 1 song: 1 tag mapped ([Rap] -> [verse])",
            ]
        );
    }
}
