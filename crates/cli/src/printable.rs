//! Text as it may reach a terminal: what others wrote moves no cursor, clears no screen and turns no line round.

use std::fmt::{self, Display, Write as _};

/// A text of one line in which nothing acts on a terminal: control characters and those that change the direction of
/// writing are shown by their numbers. It is the only way to standard output and standard error (see `output`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printable<T>(pub(crate) T);

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper { to: f, form: Form::Line }, "{}", self.0)
    }
}

/// The same for a text of several lines that we wrote ourselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrintableLines<T>(pub(crate) T);

impl<T: Display> Display for PrintableLines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper { to: f, form: Form::Lines }, "{}", self.0)
    }
}

/// The same for JSON, which means what it meant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrintableJson<'a>(pub(crate) &'a str);

impl Display for PrintableJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaper { to: f, form: Form::Json }.write_str(self.0)
    }
}

/// Log lines, of which the colors are ours: a color is all that can be slipped in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrintableLog<'a>(pub(crate) &'a str);

impl Display for PrintableLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find("\u{1b}[") {
            let (before, sequence) = rest.split_at(at);
            write!(Escaper { to: f, form: Form::Lines }, "{before}")?;
            let inner = &sequence[2..];
            let end = inner.find(|c: char| !(c.is_ascii_digit() || c == ';')).unwrap_or(inner.len());
            let length = if inner[end..].starts_with('m') { 2 + end + 1 } else { 1 };
            let (sequence, after) = sequence.split_at(length);
            match length {
                1 => write!(Escaper { to: f, form: Form::Lines }, "{sequence}")?,
                _ => f.write_str(sequence)?,
            }
            rest = after;
        }
        write!(Escaper { to: f, form: Form::Lines }, "{rest}")
    }
}

#[derive(Clone, Copy)]
enum Form {
    Line,
    Lines,
    Json,
}

struct Escaper<'a, 'b> {
    to: &'a mut fmt::Formatter<'b>,
    form: Form,
}

impl fmt::Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| self.acts(*c)) {
            self.to.write_str(&rest[..at])?;
            match (self.form, c) {
                (Form::Line | Form::Lines, '\n') => self.to.write_str("\\n")?,
                (Form::Line | Form::Lines, '\r') => self.to.write_str("\\r")?,
                (Form::Line | Form::Lines, c) => write!(self.to, "\\u{{{:x}}}", u32::from(c))?,
                // All of them lie below U+10000.
                (Form::Json, c) => write!(self.to, "\\u{:04x}", u32::from(c))?,
            }
            rest = &rest[at + c.len_utf8()..];
        }
        self.to.write_str(rest)
    }
}

impl Escaper<'_, '_> {
    fn acts(&self, c: char) -> bool {
        match (self.form, c) {
            (Form::Lines | Form::Json, '\n') | (_, '\t') => false,
            _ => acts(c),
        }
    }
}

/// Whether a character acts on a terminal: C0, DEL, C1, line and paragraph separators, and what changes the direction of
/// writing.
pub(crate) fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2Jb\u{202e}c\u{9b}31md\u{7f}e\rf\u{7}g\u{2066}h\u{200f}i\u{85}j\0k";

    #[test]
    fn nothing_that_acts_on_a_terminal_is_left() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let text = format!("x{c}y");
            for shown in [
                Printable(&text).to_string(),
                PrintableLog(&text).to_string(),
                PrintableLines(&text).to_string(),
            ] {
                assert!(!shown.chars().any(|c| acts(c) && c != '\n' && c != '\t'), "{c:?}: {shown:?}");
                assert_eq!(shown == text, !acts(c) || c == '\t' || (c == '\n' && shown == text), "{c:?}");
            }
        }
        assert_eq!(Printable("one\ntwo").to_string(), "one\\ntwo");
        assert_eq!(Printable("\u{1b}[2J\u{202e}").to_string(), "\\u{1b}[2J\\u{202e}");
        assert_eq!(Printable("日本語 – مرحبا 🎵").to_string(), "日本語 – مرحبا 🎵");
    }

    #[test]
    fn json_means_what_it_meant() {
        let json = serde_json::to_string(&serde_json::json!({ "title": HOSTILE })).unwrap();
        let shown = PrintableJson(&json).to_string();
        assert!(!shown.chars().any(acts), "{shown:?}");
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read["title"], HOSTILE);
    }

    #[test]
    fn log_lines_keep_their_colors_and_nothing_else() {
        let line = format!("\u{1b}[32m INFO\u{1b}[0m \u{1b}[1;3mtitle\u{1b}[0m={HOSTILE}\u{1b}[\n");
        let shown = PrintableLog(&line).to_string();
        assert!(shown.starts_with("\u{1b}[32m INFO\u{1b}[0m \u{1b}[1;3mtitle\u{1b}[0m="), "{shown:?}");
        let rest = shown.replace("\u{1b}[32m", "").replace("\u{1b}[0m", "").replace("\u{1b}[1;3m", "");
        assert!(!rest.trim_end().chars().any(acts), "{rest:?}");
    }
}
