//! Fields that a vendor does not honour, over many songs.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::VendorName;
use crate::song::Field;

/// A field that a vendor will ignore in some songs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IgnoredField {
    /// The vendor they go to first.
    pub vendor: VendorName,
    /// The field.
    pub field: Field,
    /// In how many songs it is set.
    pub songs: u64,
}

impl IgnoredField {
    /// Adds what is ignored in one song to what is in those before it.
    pub fn collect(all: &mut Vec<Self>, vendor: &VendorName, fields: &[Field]) {
        for &field in fields {
            Self::add(all, Self { vendor: vendor.clone(), field, songs: 1 });
        }
    }

    /// Adds what is ignored in other songs.
    pub fn add(all: &mut Vec<Self>, more: Self) {
        match all.iter_mut().find(|one| one.vendor == more.vendor && one.field == more.field) {
            Some(known) => known.songs += more.songs,
            None => all.push(more),
        }
    }

    /// What a person should know, line by line: a sentence for each field that makes it another song, and one line for all
    /// others.
    pub fn lines(all: &[Self]) -> Vec<String> {
        let (essential, slight): (Vec<_>, Vec<_>) =
            all.iter().partition(|one| Field::ESSENTIAL.contains(&one.field));
        let mut lines: Vec<_> = essential.iter().map(ToString::to_string).collect();
        if !slight.is_empty() {
            let slight: Vec<_> = slight
                .iter()
                .map(|Self { vendor, field, songs }| format!("{} at {vendor} ({songs})", field.as_str()))
                .collect();
            lines.push(format!("ignored: {}", slight.join(", ")));
        }
        lines
    }
}

impl fmt::Display for IgnoredField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vendor, field, songs } = self;
        let noun = if *songs == 1 { "song" } else { "songs" };
        write!(f, "{songs} {noun} will ignore {} ({vendor} {})", field.as_str(), field.cannot())
    }
}

impl Field {
    /// Those without which it is another song, or another number of songs, that is paid for: they are ignored only with
    /// the caller's leave (`allow_ignored`).
    pub const ESSENTIAL: [Self; 2] = [Self::Lyrics, Self::Count];

    /// What a vendor that ignores it cannot do.
    pub const fn cannot(self) -> &'static str {
        match self {
            Self::Lyrics => "cannot sing",
            Self::Count => "makes another number of songs",
            _ => "does not support it",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_it_another_song_is_a_sentence() {
        let vendor = VendorName::new("replicate").unwrap();
        let mut all = Vec::new();
        for _ in 0..63 {
            IgnoredField::collect(&mut all, &vendor, &[Field::Lyrics, Field::Mood]);
        }
        IgnoredField::collect(&mut all, &vendor, &[Field::Seed, Field::Count]);
        assert_eq!(
            IgnoredField::lines(&all),
            [
                "63 songs will ignore lyrics (replicate cannot sing)",
                "1 song will ignore count (replicate makes another number of songs)",
                "ignored: mood at replicate (63), seed at replicate (1)"
            ]
        );
        assert!(IgnoredField::lines(&[]).is_empty());
    }
}
