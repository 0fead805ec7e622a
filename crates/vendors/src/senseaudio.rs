//! SenseAudio: lyrics where they are asked for, then a song.
//!
//! Two generations of paths are known; the page's own (`l`) is the default. There are no callbacks, no look-up and no
//! way to stop a task, and equal requests cannot be told apart: a submission whose reply is lost stays in doubt.
//! Wire facts: SenseAudio's "Music Generation" page.
//!
//! What the neutral fields become: `lyrics_prompt` makes a lyrics step first, whose words the song step sings;
//! `lyrics`, brought into the vendor's grammar of sections, `instrumental` and `title` are the fields of the same name; `vocal` is `vocal_gender`; `style`, `genre`,
//! `mood` and `prompt` joined by commas are the `style`, for the song call has no prompt. Audio is mp3.

use std::sync::Arc;

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use songmill_core::flow::Size;
use songmill_core::job::{OnUnknown, StepKind, VendorPolicy};
use songmill_core::song::{Field, Invalid};
use songmill_core::time::Span;
use songmill_core::{Fault, Price, Report, SongRequest, TaskId, Timestamp, VendorName};

use crate::contract::{
    self, Accepted, Card, Delivery, Exchange, Links, Order, Plan, Reading, Refusal, TaskRef, Vendor,
};
use crate::draft::Draft;
use crate::{BaseUrl, Secret};

mod exchange;
pub(crate) mod fault;
mod input;
mod wire;

pub use input::Options;

/// SenseAudio's settings; without a key the vendor is not configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// False switches the vendor off though it has a key.
    pub enabled: bool,
    /// Where the API is.
    pub base_url: BaseUrl,
    /// The API key, `sk-…`; sent to `base_url` only.
    pub key: Secret,
    /// Which generation of paths and models is spoken.
    pub generation: Generation,
    /// Paths under `base_url` that take the place of the generation's own.
    #[serde(skip_serializing_if = "Paths::are_the_generations")]
    pub paths: Paths,
    /// The song model; empty for the generation's own.
    pub model: String,
    /// The lyrics provider; empty for the generation's own.
    pub lyrics_provider: String,
    /// How `style_weight` is written; not set for the generation's own form.
    pub style_weight_form: Option<WeightForm>,
    /// Whether lyrics are a prompt instead of words, for generation `v1`; not set leaves it out.
    pub custom_mode: Option<bool>,
    /// The longest text in characters.
    pub text_max: usize,
}

/// A generation of paths and models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generation {
    /// The page's own: `/v1/song/…`, model `sensesong`.
    #[default]
    L,
    /// `/v1/music/…`, model `senseaudio-music-1.0-260319`; lyrics are required and written at once.
    V1,
}

/// Paths under the base address; an empty one is the generation's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// Has lyrics written, such as `/v1/song/lyrics/create`.
    pub lyrics_create: String,
    /// Asks for lyrics; the task's id is put behind it.
    pub lyrics_pending: String,
    /// Has a song made, such as `/v1/song/music/create`.
    pub song_create: String,
    /// Asks for a song; the task's id is put behind it.
    pub song_pending: String,
}

impl Paths {
    fn are_the_generations(&self) -> bool {
        *self == Self::default()
    }
}

/// How `style_weight` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightForm {
    /// As a text.
    String,
    /// As a number.
    Number,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            base_url: BaseUrl::from_static("https://api.senseaudio.cn"),
            key: Secret::default(),
            generation: Generation::default(),
            paths: Paths::default(),
            model: String::new(),
            lyrics_provider: String::new(),
            style_weight_form: None,
            custom_mode: None,
            text_max: 2000,
        }
    }
}

/// SenseAudio as a vendor.
pub struct SenseAudio {
    settings: Arc<Settings>,
    card: Card,
}

impl SenseAudio {
    /// The vendor's name in requests, settings and addresses.
    pub const NAME: &str = "senseaudio";

    /// The vendor with these settings.
    pub fn new(settings: Settings) -> Self {
        let card = Card {
            name: VendorName::new(Self::NAME).expect("the name is one"),
            title: "SenseAudio",
            honours: &[
                Field::Prompt,
                Field::Style,
                Field::Lyrics,
                Field::LyricsPrompt,
                Field::Instrumental,
                Field::Vocal,
                Field::Mood,
                Field::Genre,
                Field::Title,
                Field::Format,
                Field::Language,
            ],
            languages: &["zh", "en"],
            most_songs: 1,
            calls_back: false,
            policy: policy(),
            model: settings.model.clone(),
            options: schemars::schema_for!(Options),
            estimate: contract::estimate(
                Price { song: 1.0, currency: "CNY".parse().ok(), rate: 0.14, ..Price::NOTHING },
                "the list price of a song as other clients of the API count it; 1 CNY taken for 0.14 USD",
            ),
            links: Links { billing: "https://senseaudio.cn", keys: "https://senseaudio.cn" },
        };
        Self { settings: Arc::new(settings), card }
    }
}

fn policy() -> VendorPolicy {
    VendorPolicy {
        poll_first: Span::secs(10),
        poll_every: Span::secs(5),
        poll_most: Span::secs(15),
        patience: Span::secs(30 * 60),
        give_up: Span::secs(60 * 60),
        look_up: false,
        cancel: false,
        on_unknown: OnUnknown::Hold,
        ..VendorPolicy::default()
    }
}

impl Vendor for SenseAudio {
    fn card(&self) -> &Card {
        &self.card
    }

    fn plan(&self, song: &SongRequest) -> Result<Plan, Invalid> {
        let mut draft = Draft::new(&self.card, song);
        input::draft(song, &self.settings, &mut draft);
        match song.lyrics_prompt {
            Some(_) => draft.finish(&[StepKind::Lyrics, StepKind::Song], Size::default()),
            None => draft.finish(&[StepKind::Song], Size::default()),
        }
    }

    fn submit(&self, order: &Order<'_>) -> Result<Exchange<Accepted>, Fault> {
        let mut draft = Draft::new(&self.card, order.song);
        let input = input::draft(order.song, &self.settings, &mut draft);
        draft.fault_if_wrong()?;
        match order.step {
            StepKind::Lyrics => exchange::create_lyrics(&self.settings, order),
            StepKind::Song => exchange::create_song(&self.settings, order, input),
        }
    }

    fn poll(&self, task: &TaskRef<'_>) -> Exchange<Report> {
        exchange::poll(&self.settings, task)
    }

    fn find(&self, _order: &Order<'_>, _since: Timestamp) -> Option<Exchange<Option<TaskId>>> {
        None
    }

    fn cancel(&self, _task: &TaskRef<'_>) -> Option<Exchange<()>> {
        None
    }

    fn read_delivery_headers(&self, _headers: &HeaderMap, _now: Timestamp) -> Result<(), Refusal> {
        Err(Refusal::Garbled("senseaudio does not call back".to_owned()))
    }

    fn read_delivery(&self, _delivery: &Delivery<'_>, _now: Timestamp) -> Result<Reading, Refusal> {
        Err(Refusal::Garbled("senseaudio does not call back".to_owned()))
    }
}
