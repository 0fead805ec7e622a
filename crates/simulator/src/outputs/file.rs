//! Files by their names.

use crate::audio::{Extra, Recipe};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum File {
    Song(Recipe),
    Extra(Extra),
}

impl File {
    /// The file that a name ends with, and what stands before it.
    pub(crate) fn of_name(name: &str) -> Option<(Self, &str)> {
        if let Some(recipe) = Recipe::of_name(name) {
            let before = name.strip_suffix(&*recipe.name())?;
            return Some((Self::Song(recipe), before));
        }
        let extra = |extra: Extra| Some((Self::Extra(extra), name.strip_suffix(extra.name())?));
        Extra::ALL.into_iter().find_map(extra)
    }

    pub(crate) const fn content_type(&self) -> &'static str {
        match self {
            Self::Song(recipe) => recipe.format.content_type(),
            Self::Extra(extra) => extra.content_type(),
        }
    }
}
