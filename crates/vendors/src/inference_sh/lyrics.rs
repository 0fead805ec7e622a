//! The app's grammar of lyrics, which the app itself does not check: it sings whatever it is given, and charges for it.

use crate::lyrics::Grammar;

/// What music alone is asked for with: the app wants sections though it sings none.
pub(super) const INSTRUMENTAL: &str = "[intro-medium] ; [inst-medium] ; [outro-short]";

/// What the model's page demands (`README.md` of `SongGeneration`, "Lyrics Input Format"; tags in `conf/vocab.yaml`):
/// sections parted by ` ; `, no Chinese punctuation, full stops between sentences, one at the end of an English section
/// and none at the end of a Chinese one. What goes past 300 tokens is cut off.
pub(super) const GRAMMAR: Grammar = Grammar {
    played: &[
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
    ],
    half_width: true,
    final_stop: true,
    tokens: Some(300),
};
