//! Replicate's predictions API, for `datasci888/musicgen_8songs` and other fine-tunes of MusicGen.
//!
//! Asynchronous: a prediction is created, calls back when it ends, and can be asked for, listed and canceled.
//! Its audio can be had for one hour after it ended. Wire facts: <https://replicate.com/docs/reference/http>.
//!
//! What the neutral fields become: `prompt`, `style`, `mood` and `genre`, joined by commas, are the `prompt`;
//! `duration_s` is `duration`; `seed` is `seed`; `format` is `output_format` (wav and mp3); `reference_audio` is
//! `input_audio`, uploaded first when it is a large `data:` address. The model never sings, so `instrumental:
//! true` always holds, and lyrics and voices are left out. A title is ours to put on the file.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
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
mod options;
mod read;
mod throttle;
mod wire;

pub use options::{Normalization, Options, OutputFormat};

/// Replicate's settings; without a token the vendor is not configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// False switches the vendor off though it has a token.
    pub enabled: bool,
    /// Where the API is, with `/v1`.
    pub base_url: BaseUrl,
    /// The API token, `r8_…`; sent to `base_url` only.
    pub token: Secret,
    /// The model as `owner/name`.
    pub model: String,
    /// The model's version, 64 hex digits; empty asks for the latest once and keeps to it while the process runs.
    pub version: String,
    /// How long a prediction may take at Replicate's, queue included, before they stop it: 5 s to 24 h. Not set
    /// leaves it to their own limit of 30 minutes of run time.
    pub cancel_after: Option<Span>,
    /// The signing secrets of webhooks, `whsec_…`; several are live at once for rotation.
    pub webhook_secrets: Vec<Secret>,
    /// What becomes of callbacks while no signing secret is set.
    pub unsigned: Unsigned,
    /// The longest audio in seconds that is asked for.
    pub longest_s: u32,
    /// The longest `data:` address in characters that goes into the request itself; longer ones are uploaded.
    pub inline_audio_most: usize,
}

/// What becomes of callbacks whose signature cannot be checked, because no secret is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsigned {
    /// They make the task be asked for at once, and the answer decides.
    #[default]
    Confirm,
    /// They are believed: whoever knows the callback address can end the job.
    Accept,
    /// They are refused.
    Refuse,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            base_url: BaseUrl::from_static("https://api.replicate.com/v1"),
            token: Secret::default(),
            model: "datasci888/musicgen_8songs".to_owned(),
            version: String::new(),
            cancel_after: None,
            webhook_secrets: Vec::new(),
            unsigned: Unsigned::default(),
            longest_s: 600,
            inline_audio_most: 256 * 1024,
        }
    }
}

/// Replicate as a vendor.
pub struct Replicate {
    settings: Arc<Settings>,
    card: Card,
    version: Version,
}

/// The model's latest version, once it has been asked for.
#[derive(Clone, Default)]
struct Version(Arc<Mutex<Option<String>>>);

impl Version {
    fn known(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, version: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = version;
    }
}

impl Replicate {
    /// The vendor's name in requests, settings and addresses.
    pub const NAME: &str = "replicate";

    /// The vendor with these settings.
    pub fn new(settings: Settings) -> Self {
        let card = Card {
            name: VendorName::new(Self::NAME).expect("the name is one"),
            title: "Replicate",
            honours: &[
                Field::Prompt,
                Field::Style,
                Field::Instrumental,
                Field::Mood,
                Field::Genre,
                Field::DurationS,
                Field::Seed,
                Field::Title,
                Field::ReferenceAudio,
                Field::Format,
            ],
            languages: &[],
            most_songs: 1,
            calls_back: true,
            policy: policy(),
            model: match &*settings.version {
                "" => settings.model.clone(),
                version => format!("{}:{version}", settings.model),
            },
            options: schemars::schema_for!(Options),
            estimate: contract::estimate(
                Price { work_second: 0.0014, work_s: 60.0, currency: Some(Currency::USD), ..Price::NOTHING },
                "https://replicate.com/pricing: an A100 (80 GB) by the second; which hardware the model runs on stands on its page",
            ),
            links: Links {
                billing: "https://replicate.com/account/billing",
                keys: "https://replicate.com/account/api-tokens",
            },
        };
        let version = Version::default();
        if !settings.version.trim().is_empty() {
            version.keep(Some(settings.version.trim().to_owned()));
        }
        Self { settings: Arc::new(settings), card, version }
    }
}

fn policy() -> VendorPolicy {
    VendorPolicy {
        // Credit that was bought counts after some minutes only.
        locked_wait: Span::secs(120),
        throttled_wait: Span::secs(10),
        poll_first: Span::secs(10),
        poll_every: Span::secs(3),
        poll_most: Span::secs(30),
        // A cold model boots for up to half an hour, and may then run for as long.
        patience: Span::secs(60 * 60),
        give_up: Span::secs(90 * 60),
        look_up: true,
        looks: 3,
        look_every: Span::secs(15),
        settle: Span::secs(120),
        cancel: true,
        on_unknown: OnUnknown::Hold,
        limits: Limits { creates_per_minute: 600, reads_per_minute: 3000, ..Limits::default() },
        ..VendorPolicy::default()
    }
}

impl Vendor for Replicate {
    fn card(&self) -> &Card {
        &self.card
    }

    fn plan(&self, song: &SongRequest) -> Result<Plan, Invalid> {
        let mut draft = Draft::new(&self.card, song);
        let input = input::draft(song, &self.settings, &mut draft);
        draft.finish(&[StepKind::Song], input.size())
    }

    fn submit(&self, order: &Order<'_>) -> Result<Exchange<Accepted>, Fault> {
        create::submit(self, order)
    }

    fn poll(&self, task: &TaskRef<'_>) -> Exchange<Report> {
        read::poll(&self.settings, task.id)
    }

    fn poll_many(&self, tasks: &[Watched], within: Within) -> Option<Exchange<Listed>> {
        Some(read::poll_many(&self.settings, &self.card.name, tasks, within))
    }

    fn find(&self, order: &Order<'_>, since: Timestamp) -> Option<Exchange<Option<TaskId>>> {
        let input = input::draft(order.song, &self.settings, &mut Draft::new(&self.card, order.song));
        let search = find::Search { mark: order.mark(&self.card.name), prompt: input.prompt, since };
        let uri = list::made(&self.settings, search.oldest(), None);
        let pages = list::Pages { settings: self.settings.clone(), most: find::PAGES };
        Some(list::search(pages, search, uri))
    }

    fn cancel(&self, task: &TaskRef<'_>) -> Option<Exchange<()>> {
        Some(read::cancel(&self.settings, task.id))
    }

    fn read_delivery_headers(&self, headers: &HeaderMap, now: Timestamp) -> Result<(), Refusal> {
        delivery::read_headers(&self.settings, headers, now)
    }

    fn read_delivery(&self, delivery: &Delivery<'_>, now: Timestamp) -> Result<Reading, Refusal> {
        delivery::read(&self.settings, delivery, now)
    }
}
