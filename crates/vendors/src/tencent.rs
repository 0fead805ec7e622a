//! Tencent Media Lab's text BGM generation: music from Chinese text, put into the operator's own bucket.
//!
//! One address takes all actions as JSON; jobs are looked up by a `customId` of ours. Callbacks are not signed, and
//! none comes for a job that was canceled. Wire facts: the page "Text Bgm Generation" of Tencent Media Lab.
//!
//! What the neutral fields become: `prompt`, and `style` after a comma, is the text; `mood` is the emotion and
//! `genre` the genre where the vendor has one of that name; `count` is the number of songs. The music has no voice
//! and is always mp3.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use songmill_core::job::{OnUnknown, StepKind, VendorPolicy};
use songmill_core::song::{Field, Invalid};
use songmill_core::time::Span;
use songmill_core::{Currency, Fault, FaultKind, Price, Report, SongRequest, TaskId, Timestamp, VendorName};

use crate::contract::{
    self, Accepted, Card, Delivery, Exchange, Links, Order, Plan, Reading, Refusal, TaskRef, Vendor,
};
use crate::draft::Draft;
use crate::{BaseUrl, Secret};

mod delivery;
mod exchange;
pub(crate) mod fault;
mod gateway;
mod input;
mod options;
mod wire;

pub use options::{Emotion, Genre, Kind, Options};

/// Tells the time, for the gateway's signature.
pub type Clock = fn() -> Timestamp;

/// Tencent's settings; without a secret id the vendor is not configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// False switches the vendor off though it has its keys.
    pub enabled: bool,
    /// Where the API is.
    pub base_url: BaseUrl,
    /// The path that takes all actions.
    pub path: String,
    /// The `tmpSecretId` of the registration.
    pub secret_id: Secret,
    /// The `tmpSecretKey` of the registration.
    pub secret_key: Secret,
    /// The `tmpContentId` of the registration: the store that audio is put into, and its name in `deliver.objects`.
    pub content_id: String,
    /// The folder in the bucket; each attempt has its own inside.
    pub destination: String,
    /// What the music type's field is called: `type`, or `songType` as the page's notes have it.
    pub type_key: String,
    /// Whether enums are sent as numbers or as names.
    pub enum_form: EnumForm,
    /// The longest text in characters.
    pub text_max: usize,
    /// Whether a text without Chinese characters is refused.
    pub require_chinese: bool,
    /// After how long the vendor ends a job as failed; not set leaves it to the vendor.
    pub timeout: Option<Span>,
    /// What becomes of callbacks, which nobody signs.
    pub callbacks: Callbacks,
    /// The gateway's secret id, where the gateway wants requests signed.
    pub gateway_id: Secret,
    /// The gateway's secret key.
    pub gateway_key: Secret,
    /// What the gateway's signature names as source, `<uin>_<userName>`.
    pub gateway_source: String,
    /// Whether the gateway's date stands in `Date` or in `X-Date`.
    pub gateway_date: DateHeader,
    /// How the vendor's error messages are sorted, before the built-in rules.
    pub faults: Vec<FaultRule>,
}

/// How enums are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnumForm {
    /// As numbers.
    #[default]
    Number,
    /// As names.
    Name,
}

/// What becomes of callbacks, which nobody signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Callbacks {
    /// They make the task be asked for at once, and the answer decides.
    #[default]
    Confirm,
    /// They are believed: whoever knows the callback address can end the job.
    Accept,
}

/// Which header carries the gateway's date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DateHeader {
    /// `Date`.
    #[default]
    Date,
    /// `X-Date`.
    XDate,
}

/// A rule that sorts an error message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What the message contains, in any case.
    pub contains: String,
    /// What to do about it.
    pub kind: FaultKind,
    /// The code it is known by.
    pub code: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            base_url: BaseUrl::from_static("https://service-mqk0mc83-1257411467.bj.apigw.tencentcs.com"),
            path: "/release/job".to_owned(),
            secret_id: Secret::default(),
            secret_key: Secret::default(),
            content_id: String::new(),
            destination: "/songmill".to_owned(),
            type_key: "type".to_owned(),
            enum_form: EnumForm::default(),
            text_max: 512,
            require_chinese: true,
            timeout: None,
            callbacks: Callbacks::default(),
            gateway_id: Secret::default(),
            gateway_key: Secret::default(),
            gateway_source: String::new(),
            gateway_date: DateHeader::default(),
            faults: Vec::new(),
        }
    }
}

/// Tencent as a vendor.
pub struct Tencent {
    settings: Arc<Settings>,
    card: Card,
    clock: Clock,
}

impl Tencent {
    /// The vendor's name in requests, settings and addresses.
    pub const NAME: &str = "tencent";

    /// The vendor with these settings; the clock is asked only where the gateway wants signatures.
    pub fn new(settings: Settings, clock: Clock) -> Self {
        let card = Card {
            name: VendorName::new(Self::NAME).expect("the name is one"),
            title: "Tencent text BGM",
            honours: &[
                Field::Prompt,
                Field::Style,
                Field::Instrumental,
                Field::Mood,
                Field::Genre,
                Field::Count,
                Field::Title,
                Field::Format,
                Field::Language,
            ],
            languages: &["zh"],
            most_songs: 100,
            calls_back: true,
            policy: policy(),
            model: String::new(),
            options: schemars::schema_for!(Options),
            estimate: contract::estimate(
                Price { song: 0.10, currency: Some(Currency::USD), ..Price::NOTHING },
                "no list price is public, the contract decides: a guess on the safe side",
            ),
            links: Links {
                billing: "https://console.cloud.tencent.com/expense/overview",
                keys: "https://console.cloud.tencent.com/cam/capi",
            },
        };
        Self { settings: Arc::new(settings), card, clock }
    }
}

fn policy() -> VendorPolicy {
    VendorPolicy {
        poll_first: Span::secs(15),
        poll_every: Span::secs(5),
        poll_most: Span::secs(60),
        patience: Span::secs(60 * 60),
        give_up: Span::secs(2 * 60 * 60),
        look_up: true,
        looks: 3,
        look_every: Span::secs(10),
        settle: Span::secs(90),
        cancel: false,
        on_unknown: OnUnknown::Hold,
        ..VendorPolicy::default()
    }
}

impl Vendor for Tencent {
    fn card(&self) -> &Card {
        &self.card
    }

    fn plan(&self, song: &SongRequest) -> Result<Plan, Invalid> {
        let mut draft = Draft::new(&self.card, song);
        let input = input::draft(song, &self.settings, &mut draft);
        draft.finish(&[StepKind::Song], input.size())
    }

    fn submit(&self, order: &Order<'_>) -> Result<Exchange<Accepted>, Fault> {
        let mut draft = Draft::new(&self.card, order.song);
        let input = input::draft(order.song, &self.settings, &mut draft);
        draft.fault_if_wrong()?;
        Ok(exchange::create(self, order, &input))
    }

    fn poll(&self, task: &TaskRef<'_>) -> Exchange<Report> {
        exchange::get(self, task.id)
    }

    fn pack(&self, song: &SongRequest) -> Option<(String, usize)> {
        let mut draft = Draft::new(&self.card, song);
        let input = input::draft(song, &self.settings, &mut draft);
        let asked = song.options.get(&self.card.name).and_then(|own| own.get("pack"));
        // A number of its own would take the place of how many share the task.
        let alone = input.quantity == 1 && own_quantity(song, &self.card.name).is_none();
        let packs = asked == Some(&serde_json::Value::Bool(true)) && alone;
        packs.then(|| (format!("{input:?}"), self.card.most_songs as usize))
    }

    fn find(&self, order: &Order<'_>, _since: Timestamp) -> Option<Exchange<Option<TaskId>>> {
        Some(exchange::list(self, &custom_id(order)))
    }

    fn cancel(&self, _task: &TaskRef<'_>) -> Option<Exchange<()>> {
        None
    }

    fn read_delivery(&self, delivery: &Delivery<'_>, _now: Timestamp) -> Result<Reading, Refusal> {
        delivery::read(&self.settings, delivery)
    }
}

/// How many songs are asked for in the vendor's own words.
fn own_quantity<'a>(song: &'a SongRequest, name: &VendorName) -> Option<&'a serde_json::Value> {
    song.options.get(name)?.get("song_quantity").filter(|value| !value.is_null())
}

/// Our own id of a submission; at most 63 ASCII characters.
fn custom_id(order: &Order<'_>) -> String {
    format!("{}-{}", order.job, order.attempt)
}
