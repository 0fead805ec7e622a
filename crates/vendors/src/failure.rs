//! What the words of a failed task mean: tables of the vendors' codes and sentences.
//!
//! A vendor may quote the request in its words. So what stands in quotation marks is not read, a phrase counts only as
//! whole words, and of several rows that match the one that stands first in the text decides: a vendor's own words
//! stand before what it quotes. What no row knows is a failure of the platform: it is tried again within the job's
//! attempts, which bound what that costs.

use std::cmp::Reverse;
use std::time::Duration;

use songmill_core::{Fault, FaultKind};

use crate::tolerant::{BODY_MAX, object, words_of};

mod everywhere;
mod quoted;
#[cfg(test)]
mod tests;

pub(crate) use everywhere::EVERYWHERE;

/// A row of a table: what is said, and what that means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// What to do about it.
    pub(crate) kind: FaultKind,
    /// The fault's code.
    pub(crate) code: &'static str,
    /// How long to wait before another attempt, where that is known.
    pub(crate) wait: Option<Duration>,
    /// The vendor's own codes: at the beginning, in brackets, or behind `code`.
    pub(crate) codes: &'static [&'static str],
    /// What the text begins with, in lower case.
    pub(crate) starts: &'static [&'static str],
    /// What stands anywhere in it as whole words, in lower case.
    pub(crate) has: &'static [&'static str],
    /// Whether every other task fails as well, if it is what it says: that is confirmed by another job.
    pub(crate) of_all: bool,
    /// Where that is documented.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "it is for the page that a test keeps equal to the tables")
    )]
    pub(crate) source: &'static str,
}

impl Row {
    /// Another attempt may well succeed.
    pub(crate) const fn again(code: &'static str) -> Self {
        Self::of(FaultKind::Unavailable, code)
    }

    /// Another attempt would end in the same way.
    pub(crate) const fn refused(code: &'static str) -> Self {
        Self::of(FaultKind::Rejected, code)
    }

    /// An operator must act first.
    pub(crate) const fn locked(code: &'static str) -> Self {
        Self::of(FaultKind::Locked, code).of_all()
    }

    const fn of(kind: FaultKind, code: &'static str) -> Self {
        Self { kind, code, wait: None, codes: &[], starts: &[], has: &[], of_all: false, source: "" }
    }

    pub(crate) const fn after(self, wait: Duration) -> Self {
        Self { wait: Some(wait), ..self }
    }

    pub(crate) const fn of_all(self) -> Self {
        Self { of_all: true, ..self }
    }

    pub(crate) const fn codes(self, codes: &'static [&'static str]) -> Self {
        Self { codes, ..self }
    }

    pub(crate) const fn starts(self, starts: &'static [&'static str]) -> Self {
        Self { starts, ..self }
    }

    pub(crate) const fn has(self, has: &'static [&'static str]) -> Self {
        Self { has, ..self }
    }

    pub(crate) const fn source(self, source: &'static str) -> Self {
        Self { source, ..self }
    }
}

/// The fault of a failed task: by the vendor's own table, then by the one that holds everywhere. `silent` is what is
/// said of one that gives no reason.
pub(crate) fn fault(own: &[Row], words: Option<&str>, silent: &str) -> Fault {
    let Some(words) = words.map(str::trim).filter(|words| !words.is_empty()) else {
        return Fault::new(FaultKind::Unavailable, "task_failed", silent);
    };
    let unwrapped = object(words.as_bytes(), BODY_MAX).ok().and_then(|body| words_of(&body));
    let read = Text::of(unwrapped.as_deref().unwrap_or(words));
    let found = own
        .iter()
        .chain(EVERYWHERE)
        .filter_map(|row| Some((read.place(row)?, row)))
        .min_by_key(|(place, _)| *place);
    let Some((_, row)) = found else {
        return Fault::from_vendor(FaultKind::Unavailable, "task_failed", words);
    };
    if row.of_all {
        // These are words, which may be quoted: the job has its attempts, and another one confirms what they say.
        return Fault::from_vendor(FaultKind::Unavailable, row.code, words).after(row.wait).to_be_confirmed();
    }
    Fault::from_vendor(row.kind, row.code, words).after(row.wait)
}

/// A vendor's words without what they quote, which may be a customer's.
pub(crate) fn without_quotations(words: &str) -> String {
    quoted::left_out(words)
}

/// Whether a phrase stands in a text in lower case as whole words.
pub(crate) fn has_phrase(text: &str, phrase: &str) -> bool {
    whole(text, phrase).next().is_some()
}

/// A vendor's words, made ready to be searched.
struct Text {
    /// As they are, without what they quote.
    own: String,
    /// The same in lower case, with single blanks.
    plain: String,
}

/// Where a row is found, and how long what was found is: the first, and of those at one place the longest, decides.
/// A code stands before all phrases.
type Place = (usize, Reverse<usize>);

impl Text {
    fn of(words: &str) -> Self {
        let own = quoted::left_out(words);
        let plain = plain(&own);
        Self { own, plain }
    }

    fn place(&self, row: &Row) -> Option<Place> {
        if row.codes.iter().any(|code| self.names(code)) {
            return Some((0, Reverse(usize::MAX)));
        }
        let starts = row.starts.iter().map(|start| plain(start));
        let starts = starts
            .filter(|start| whole(&self.plain, start).next() == Some(0))
            .map(|start| (1, Reverse(start.len())));
        let has = row.has.iter().filter_map(|phrase| {
            let phrase = plain(phrase);
            let at = whole(&self.plain, &phrase).next()?;
            Some((at + 1, Reverse(phrase.len())))
        });
        starts.chain(has).min()
    }

    /// Whether a code is named as a code, and is not just a word.
    fn names(&self, code: &str) -> bool {
        whole(&self.own, code).any(|at| {
            let before = self.own[..at].trim_end().to_lowercase();
            let after = &self.own[at + code.len()..];
            let in_brackets = before.ends_with('(') && after.starts_with(')');
            let named = ["code", "code:", "error", "error:"].iter().any(|word| before.ends_with(word));
            before.is_empty() || in_brackets || named
        })
    }
}

/// Lower case, with one blank for each run of blanks and underscores.
fn plain(text: &str) -> String {
    let text = text.to_lowercase().replace('_', " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where a phrase stands as whole words; Chinese has no blanks between words.
fn whole<'a>(text: &'a str, phrase: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.match_indices(phrase).map(|(at, _)| at).filter(move |at| {
        let (before, after) = (&text[..*at], &text[at + phrase.len()..]);
        let joined_before = is_word(phrase.chars().next()) && is_word(before.chars().next_back());
        let joined_after = is_word(phrase.chars().next_back()) && is_word(after.chars().next());
        !joined_before && !joined_after
    })
}
