//! The vendor's own fields, as its page lists them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `options.tencent`: the fields of `textBgmGeneration` and what stands around it.
///
/// A field that is set here takes the place of what the neutral fields would give.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "TencentOptions")]
pub struct Options {
    /// How many songs, 1 to 100; takes the place of `count`.
    #[schemars(range(min = 1, max = 100))]
    pub song_quantity: Option<u32>,
    /// Whether this song may be made in one task with others that are asked for in the same words: up to 100, which is
    /// one submission. Each job still has its own song.
    pub pack: Option<bool>,
    /// The emotion; takes the place of `mood`. `warm` and `angry` need type `multitrack`.
    pub emotion: Option<Emotion>,
    /// The genre; takes the place of `genre`. Not with type `multitrack`.
    pub genre: Option<Genre>,
    /// How the music is made; the default is `large_model`.
    #[serde(rename = "type")]
    pub kind: Option<Kind>,
    /// What file names begin with: at most 19 ASCII letters, digits, `-` and `_`.
    #[schemars(length(max = 19))]
    pub output_prefix: Option<String>,
    /// The folder in the bucket; takes the place of the setting. Each attempt has its own inside.
    #[schemars(length(min = 1, max = 200))]
    pub destination: Option<String>,
    /// After how many seconds the vendor ends the job as failed; takes the place of the setting.
    #[schemars(range(min = 1, max = 86400))]
    pub timeout: Option<u32>,
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $number:literal $text:literal $upper:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$item])* $variant,)* }

        impl $name {
            pub(super) const fn number(self) -> u32 {
                match self { $(Self::$variant => $number,)* }
            }

            pub(super) const fn upper(self) -> &'static str {
                match self { $(Self::$variant => $upper,)* }
            }

            pub(super) fn of_name(name: &str) -> Option<Self> {
                match name.trim().to_lowercase().as_str() {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }

            const NAMES: &str = concat!($($text, " (", $number, ") "),*);
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let value = serde_json::Value::deserialize(from)?;
                let known = match &value {
                    serde_json::Value::String(name) => Self::of_name(name),
                    serde_json::Value::Number(number) => match number.as_u64() {
                        $(Some($number) => Some(Self::$variant),)*
                        _ => None,
                    },
                    _ => None,
                };
                known.ok_or_else(|| serde::de::Error::custom(format!("is {value}; use one of {}", Self::NAMES.trim_end())))
            }
        }
    };
}

numbered!(
    /// An emotion: SongEmotion, by name or number.
    Emotion {
        /// Joyful.
        Happy = 1 "happy" "HAPPY",
        /// Sad.
        Sad = 2 "sad" "SAD",
        /// Romantic.
        Romantic = 3 "romantic" "ROMANTIC",
        /// Quiet.
        Quiet = 4 "quiet" "QUIET",
        /// Lazy.
        Lazy = 5 "lazy" "LAZY",
        /// Exciting.
        Exciting = 6 "exciting" "EXCITING",
        /// Magnificent.
        Magnificent = 7 "magnificent" "MAGNIFICENT",
        /// Funny.
        Funny = 8 "funny" "FUNNY",
        /// Fearful.
        Fear = 9 "fear" "FEAR",
        /// Warm; only with type `multitrack`.
        Warm = 10 "warm" "WARM",
        /// Angry; only with type `multitrack`.
        Angry = 11 "angry" "ANGRY",
    }
);

numbered!(
    /// A genre: SongGenre, by name or number.
    Genre {
        /// Pop.
        Pop = 1 "pop" "POP",
        /// Classical.
        Classical = 2 "classical" "CLASSICAL",
        /// Chinese style.
        China = 3 "china" "CHINA",
        /// Light music.
        Soft = 4 "soft" "SOFT",
        /// Jazz.
        Jazz = 5 "jazz" "JAZZ",
    }
);

numbered!(
    /// How the music is made: SongType, by name or number.
    Kind {
        /// By the large model, which knows emotions and genres.
        LargeModel = 1 "large_model" "LARGE_MODEL",
        /// By several instruments, without a genre.
        Multitrack = 2 "multitrack" "MULTITRACK",
    }
);
