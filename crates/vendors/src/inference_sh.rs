//! inference.sh, for `infsh/tencent-song-generation`: sung songs with given words, or backing music.
//!
//! Asynchronous: a task is created, may call back when it ends, and can be asked for, listed and canceled. Wire
//! facts: <https://inference.sh/docs/api/rest/tasks>.
//!
//! What the neutral fields become: `lyrics`, brought into the app's grammar, are `lyrics`; `vocal`,
//! `genre`, `mood`, `style` and `prompt` are the comma tags of `descriptions`; a `genre` that is one of the app's
//! own is `auto_prompt_type` too; `duration_s` is `max_duration`, which is an upper bound; `reference_audio` is
//! `prompt_audio`, uploaded first when it is a `data:` address; `instrumental: true` is `generate_type: bgm`, with
//! sections of music alone where there are no lyrics. The app writes flac. A title is ours to put on the file.
//!
//! A worker that is warm keeps the sampling fields and `max_duration` of the first task it ran, so they should be
//! the same throughout a batch.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use songmill_core::job::{OnUnknown, StepKind, VendorPolicy};
use songmill_core::song::{Field, Invalid};
use songmill_core::time::Span;
use songmill_core::{Currency, Fault, Limits, Price, Report, SongRequest, TaskId, Timestamp, VendorName};

use crate::contract::{
    self, Accepted, Card, Delivery, Exchange, Links, Listed, Order, Plan, Reading, Refusal, TaskRef, Vendor,
    Watched, Within,
};
use crate::draft::Draft;
use crate::{BaseUrl, Secret};

mod create;
mod delivery;
pub(crate) mod fault;
mod find;
mod input;
mod list;
mod lyrics;
mod options;
mod read;
mod wire;

pub use options::{AutoPrompt, GenerateType, Options};

/// inference.sh's settings; without a key the vendor is not configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// False switches the vendor off though it has a key.
    pub enabled: bool,
    /// Where the API is.
    pub base_url: BaseUrl,
    /// The API key; sent to `base_url` only.
    pub key: Secret,
    /// The app as `namespace/name`, or `namespace/name@version` to freeze its form.
    pub app: String,
    /// Whose machines run it; not set leaves it to the vendor, who takes the cloud.
    pub infra: Option<Infra>,
    /// Which numbers of statuses are believed.
    pub numbering: Numbering,
    /// What a callback is worth: the vendor does not sign them.
    pub callbacks: Callbacks,
}

/// Whose machines run the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Infra {
    /// The vendor's.
    Cloud,
    /// The account's own.
    Private,
    /// The account's own where they are free, the vendor's otherwise.
    PrivateFirst,
}

/// Which numbers of statuses are believed; the vendor renumbered them in January 2026.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbering {
    /// Today's, but words before numbers, and a number that its own task contradicts decides nothing.
    #[default]
    Auto,
    /// Today's: 9 uploading, 10 completed, 11 failed, 12 canceled, 13 rejected.
    Current,
    /// The app page's: 8 uploading, 9 completed, 10 failed, 11 canceled.
    Legacy,
}

/// What a callback is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Callbacks {
    /// It makes the task be asked for at once, and the answer decides.
    #[default]
    Confirm,
    /// It is believed: whoever knows the callback address can end the job.
    Accept,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            base_url: BaseUrl::from_static("https://api.inference.sh"),
            key: Secret::default(),
            app: "infsh/tencent-song-generation".to_owned(),
            infra: None,
            numbering: Numbering::default(),
            callbacks: Callbacks::default(),
        }
    }
}

/// inference.sh as a vendor.
pub struct InferenceSh {
    settings: Arc<Settings>,
    card: Card,
}

impl InferenceSh {
    /// The vendor's name in requests, settings and addresses.
    pub const NAME: &str = "inference_sh";

    /// The vendor with these settings.
    pub fn new(settings: Settings) -> Self {
        let card = Card {
            name: VendorName::new(Self::NAME).expect("the name is one"),
            title: "inference.sh",
            honours: &[
                Field::Prompt,
                Field::Style,
                Field::Lyrics,
                Field::Instrumental,
                Field::Vocal,
                Field::Mood,
                Field::Genre,
                Field::DurationS,
                Field::Title,
                Field::ReferenceAudio,
                Field::Format,
                Field::Language,
            ],
            languages: &["zh", "en"],
            most_songs: 1,
            calls_back: true,
            policy: policy(),
            model: settings.app.clone(),
            options: schemars::schema_for!(Options),
            estimate: contract::estimate(
                Price { song: 0.10, currency: Some(Currency::USD), ..Price::NOTHING },
                "the app is listed without a price: a guess on the safe side",
            ),
            links: Links { billing: "https://app.inference.sh", keys: "https://app.inference.sh" },
        };
        Self { settings: Arc::new(settings), card }
    }
}

fn policy() -> VendorPolicy {
    VendorPolicy {
        // The vendor's own count of 100 submissions a minute.
        throttled_wait: Span::secs(60),
        poll_first: Span::secs(60),
        poll_every: Span::secs(15),
        poll_most: Span::secs(120),
        // A task may be queued for a day on a busy or small account, and that is no fault.
        patience: Span::secs(25 * 3600),
        give_up: Span::secs(26 * 3600),
        look_up: true,
        looks: 4,
        look_every: Span::secs(20),
        settle: Span::secs(120),
        cancel: true,
        on_unknown: OnUnknown::Hold,
        limits: Limits { creates_per_minute: 100, reads_per_minute: 1000, ..Limits::default() },
        ..VendorPolicy::default()
    }
}

impl Vendor for InferenceSh {
    fn card(&self) -> &Card {
        &self.card
    }

    fn plan(&self, song: &SongRequest) -> Result<Plan, Invalid> {
        let mut draft = Draft::new(&self.card, song);
        let input = input::draft(song, &mut draft);
        draft.finish(&[StepKind::Song], input.size())
    }

    fn submit(&self, order: &Order<'_>) -> Result<Exchange<Accepted>, Fault> {
        create::submit(&self.settings, &self.card, order)
    }

    fn poll(&self, task: &TaskRef<'_>) -> Exchange<Report> {
        read::status(self.settings.clone(), task.id.clone())
    }

    fn poll_many(&self, tasks: &[Watched], within: Within) -> Option<Exchange<Listed>> {
        Some(read::poll_many(&self.settings, &self.card.name, tasks, within))
    }

    fn find(&self, order: &Order<'_>, since: Timestamp) -> Option<Exchange<Option<TaskId>>> {
        let input = input::draft(order.song, &mut Draft::new(&self.card, order.song));
        let search = find::Search { mark: order.mark(&self.card.name), lyrics: input.lyrics, since };
        let pages = list::Pages { settings: self.settings.clone(), most: find::PAGES, cursor: None };
        Some(list::search(pages, search))
    }

    fn cancel(&self, task: &TaskRef<'_>) -> Option<Exchange<()>> {
        Some(read::cancel(self.settings.clone(), task.id))
    }

    fn read_delivery(&self, delivery: &Delivery<'_>, _now: Timestamp) -> Result<Reading, Refusal> {
        delivery::read(&self.settings, delivery)
    }
}
