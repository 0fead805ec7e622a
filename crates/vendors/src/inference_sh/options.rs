//! The app's own input fields, as its schema lists them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `options.inference_sh`: the ten input fields of `infsh/tencent-song-generation`.
///
/// A field that is set here takes the place of what the neutral fields would give; one that is not set and has
/// no neutral counterpart is left to the app's default. The app's schema names no ranges: those given here are
/// what its example and its model's own page offer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "InferenceShOptions")]
pub struct Options {
    /// The words: sections joined by ` ; `, each `[tag]` or `[tag] sentence. sentence.`. Tags with words: `verse`,
    /// `chorus`, `bridge`; without: `intro`, `inst` and `outro` with `-short`, `-medium` or `-long`, `silence`. What is in
    /// this form is sent untouched; other text is brought into it, as the request's own `lyrics` are.
    #[schemars(length(min = 1, max = 10000))]
    pub lyrics: Option<String>,
    /// English comma tags of voice, genre, mood, instruments and speed, such as `female, pop, the bpm is 110`.
    #[schemars(length(min = 1, max = 4000))]
    pub descriptions: Option<String>,
    /// Audio to take after, of which the first 10 s are used: an `https:` or `data:` address.
    pub prompt_audio: Option<String>,
    /// The style of the built-in prompt that is used where there is no `prompt_audio`; the default is `Auto`.
    pub auto_prompt_type: Option<AutoPrompt>,
    /// What is made; the default is `mixed`.
    pub generate_type: Option<GenerateType>,
    /// How daring the sampling is; the default is 0.9.
    #[schemars(range(min = 0, max = 2))]
    pub temperature: Option<f64>,
    /// How closely the output follows the inputs; the default is 1.5.
    #[schemars(range(min = 0, max = 3))]
    pub cfg_coef: Option<f64>,
    /// Sampling from the so many likeliest tokens; the default is 50.
    #[schemars(range(min = 1, max = 100))]
    pub top_k: Option<i64>,
    /// Sampling from tokens that together have this probability; 0, the default, uses `top_k`.
    #[schemars(range(min = 0, max = 1))]
    pub top_p: Option<f64>,
    /// The longest the song may be, in seconds; the default is 30.
    #[schemars(range(min = 5, max = 150))]
    pub max_duration: Option<i64>,
}

/// The style of the built-in prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "each is the style it names")]
pub enum AutoPrompt {
    Pop,
    #[serde(rename = "R&B")]
    RnB,
    Dance,
    Jazz,
    Folk,
    Rock,
    #[serde(rename = "Chinese Style")]
    ChineseStyle,
    #[serde(rename = "Chinese Tradition")]
    ChineseTradition,
    Metal,
    Reggae,
    #[serde(rename = "Chinese Opera")]
    ChineseOpera,
    Auto,
}

impl AutoPrompt {
    /// The style that a genre names, whatever its case.
    pub fn of_genre(genre: &str) -> Option<Self> {
        Some(match genre.trim().to_ascii_lowercase().as_str() {
            "pop" => Self::Pop,
            "r&b" | "rnb" => Self::RnB,
            "dance" => Self::Dance,
            "jazz" => Self::Jazz,
            "folk" => Self::Folk,
            "rock" => Self::Rock,
            "chinese style" => Self::ChineseStyle,
            "chinese tradition" => Self::ChineseTradition,
            "metal" => Self::Metal,
            "reggae" => Self::Reggae,
            "chinese opera" => Self::ChineseOpera,
            _ => return None,
        })
    }
}

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GenerateType {
    /// The voice alone.
    Vocal,
    /// The music alone.
    Bgm,
    /// The song, the voice and the music as three files.
    Separate,
    /// The song.
    Mixed,
}
