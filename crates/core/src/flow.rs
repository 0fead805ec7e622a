//! How much of a vendor's allowance is used, by whom first, and what it costs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::VendorName;
use crate::job::{Route, StepKind};
use crate::report::Output;
use crate::time::Span;

/// How urgent a job is beside its tenant's others. No class starves another: of fourteen submissions ten are
/// high, three normal and one low, as long as jobs of all three wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before others.
    High,
    /// As most.
    #[default]
    Normal,
    /// When there is room.
    Low,
}

impl Priority {
    /// Whether it is the one of jobs that name none.
    pub fn is_normal(&self) -> bool {
        *self == Self::Normal
    }

    /// Its letter in the names of lanes.
    pub const fn letter(self) -> char {
        match self {
            Self::High => 'h',
            Self::Normal => 'n',
            Self::Low => 'l',
        }
    }
}

/// What a vendor is asked for at the most, by the whole fleet together; 0 is any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Tasks under way at the same time, those in doubt included.
    pub in_flight: u32,
    /// Submissions in any minute.
    pub creates_per_minute: u32,
    /// How many of them at once after a pause; 0 for a hundredth.
    pub creates_burst: u32,
    /// Other requests in any minute: looks, look-ups, cancels, uploads.
    pub reads_per_minute: u32,
    /// How many of them at once after a pause; 0 for a hundredth.
    pub reads_burst: u32,
    /// Submissions in a row without an answer of use that shut the vendor's gate; 0 for never.
    pub breaker: u32,
    /// How long the gate is shut then, until one submission is let through; doubles as long as that fails.
    pub breaker_wait: Span,
    /// The longest that a gate is shut before one submission is let through.
    pub breaker_most: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 0,
            creates_per_minute: 0,
            creates_burst: 0,
            reads_per_minute: 0,
            reads_burst: 0,
            breaker: 5,
            breaker_wait: Span::secs(5),
            breaker_most: Span::secs(300),
        }
    }
}

/// What a vendor charges, in the currency of [`Money`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Price {
    /// For lyrics.
    #[serde(deserialize_with = "amount")]
    pub lyrics: f64,
    /// For each song of a task.
    #[serde(deserialize_with = "amount")]
    pub song: f64,
    /// For each second that was asked for, of each song.
    #[serde(deserialize_with = "amount")]
    pub second: f64,
    /// For each second that the vendor works on a task: known only when it has ended.
    #[serde(deserialize_with = "amount")]
    pub work_second: f64,
    /// How many such seconds are reserved for a song of up to a minute before it is known, and in proportion for a longer
    /// one; a minute where nothing is said.
    #[serde(deserialize_with = "amount")]
    pub work_s: f64,
}

impl Default for Price {
    fn default() -> Self {
        Self { lyrics: 0.0, song: 0.0, second: 0.0, work_second: 0.0, work_s: 60.0 }
    }
}

/// What songs cost, and how much may be spent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Money {
    /// The one currency that all prices are in, such as `USD`.
    pub currency: String,
    /// The most that is spent on a day, UTC, by all; 0 for no cap. Nothing is submitted that could pass it.
    #[serde(deserialize_with = "amount")]
    pub day: f64,
    /// The same for each tenant, unless something else is said for it.
    #[serde(deserialize_with = "amount")]
    pub tenant_day: f64,
    /// The same for each batch, unless something else is said for it.
    #[serde(deserialize_with = "amount")]
    pub batch: f64,
    /// What an hour of waiting for a song is worth: `vendor: "auto"` takes the vendor with the least of price and
    /// waiting together.
    #[serde(deserialize_with = "amount")]
    pub hour: f64,
    /// What each vendor charges; one that is not named counts as free.
    pub prices: BTreeMap<VendorName, Price>,
}

impl Default for Money {
    fn default() -> Self {
        let (day, tenant_day, batch) = (0.0, 0.0, 0.0);
        Self { currency: "USD".into(), day, tenant_day, batch, hour: 1.0, prices: BTreeMap::new() }
    }
}

/// A song's length where none was asked for, in seconds: for prices by the second.
const USUAL_SECONDS: u32 = 60;

/// What a song's task is asked to make, by the request that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Size {
    /// Seconds of each song; 0 where the request does not say.
    #[serde(rename = "s", skip_serializing_if = "is_zero")]
    pub seconds: u32,
    /// Songs, at least one.
    #[serde(rename = "n", skip_serializing_if = "is_one")]
    pub songs: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self { seconds: 0, songs: 1 }
    }
}

impl Size {
    /// One song of so many seconds, where the request says.
    pub fn one_song(seconds: Option<i64>) -> Self {
        let seconds = seconds.map_or(0, |seconds| u32::try_from(seconds.max(0)).unwrap_or(u32::MAX));
        Self { seconds, songs: 1 }
    }

    fn seconds_or_usual(self) -> u32 {
        if self.seconds == 0 { USUAL_SECONDS } else { self.seconds }
    }

    /// Whether it is one song of no particular length.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_one(songs: &u32) -> bool {
    *songs == 1
}

impl Money {
    /// What a submission is expected to cost, in millionths.
    pub fn expected(&self, vendor: &VendorName, step: StepKind, size: Size) -> u64 {
        let Some(price) = self.prices.get(vendor) else { return 0 };
        micros(match step {
            StepKind::Lyrics => price.lyrics,
            StepKind::Song => price.of_songs(size) + price.work_of(size),
        })
    }

    /// What all steps of a route are expected to cost, each submitted once, in millionths.
    pub fn of_route(&self, route: &Route) -> u64 {
        route.steps.iter().map(|step| self.expected(&route.vendor, *step, route.size)).sum()
    }

    /// What a task has cost that gave this audio, in millionths. `measured` are the lengths of its songs in ms, as far as
    /// they have been decoded; others count with the length that was asked for.
    pub fn actual(&self, vendor: &VendorName, size: Size, outputs: &[Output], measured: &[u64]) -> u64 {
        let Some(price) = self.prices.get(vendor) else { return 0 };
        let songs = outputs.iter().filter(|output| output.part.is_none()).count().max(1);
        let worked: u64 = outputs.iter().filter_map(|output| output.worked_ms).sum();
        let others = songs.saturating_sub(measured.len()) as f64;
        let seconds =
            measured.iter().sum::<u64>() as f64 / 1000.0 + others * f64::from(size.seconds_or_usual());
        let work = price.work_second * worked as f64 / 1000.0;
        micros(price.song * songs as f64 + price.second * seconds + work)
    }
}

impl Price {
    /// What the vendor's work is expected to cost: `work_s` for each song of up to a minute, more for longer ones.
    fn work_of(&self, size: Size) -> f64 {
        let minutes = f64::from(size.seconds.max(USUAL_SECONDS)) / f64::from(USUAL_SECONDS);
        self.work_second * self.work_s.max(1.0) * minutes * f64::from(size.songs.max(1))
    }

    fn of_songs(&self, size: Size) -> f64 {
        f64::from(size.songs.max(1)) * (self.song + self.second * f64::from(size.seconds_or_usual()))
    }
}

/// The least amount that counts: a millionth.
const LEAST_AMOUNT: f64 = 1e-6;

/// Whether an amount of money (or of seconds) can be counted with: 0, or a finite number from a millionth up.
fn is_amount(amount: f64) -> bool {
    amount == 0.0 || (LEAST_AMOUNT..=MOST_AMOUNT).contains(&amount)
}

/// The largest amount: millionths of it still count exactly.
const MOST_AMOUNT: f64 = 1e9;

/// Reads an amount, and refuses what no limit could hold with.
fn amount<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let amount = f64::deserialize(from)?;
    let wrong =
        || serde::de::Error::custom(format!("{amount} is no amount; use 0, or 0.000001 to 1000000000"));
    is_amount(amount).then_some(amount).ok_or_else(wrong)
}

/// A limit in millionths, where 0 is none: one that is smaller than a millionth is a limit all the same.
pub fn limit_micros(limit: f64) -> u64 {
    if limit > 0.0 { micros(limit).max(1) } else { 0 }
}

/// An amount in millionths.
pub fn micros(amount: f64) -> u64 {
    // Saturates; what is no number or below nothing is nothing.
    (amount * 1e6).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_costs_what_the_table_says() {
        let vendor = VendorName::new("acme").unwrap();
        let price = Price { lyrics: 0.01, song: 0.02, second: 0.001, work_second: 0.0005, work_s: 20.0 };
        let money = Money { prices: BTreeMap::from([(vendor.clone(), price)]), ..Money::default() };
        let size = Size { seconds: 30, songs: 4 };
        assert_eq!(money.expected(&vendor, StepKind::Lyrics, size), 10_000);
        assert_eq!(money.expected(&vendor, StepKind::Song, size), 240_000);
        assert_eq!(money.expected(&vendor, StepKind::Song, Size::default()), 90_000);
        assert_eq!(money.expected(&VendorName::new("other").unwrap(), StepKind::Song, size), 0);
        let stem = Output { part: Some("vocal".into()), ..Output::at("a") };
        let outputs = [Output { worked_ms: Some(10_000), ..Output::at("b") }, stem];
        assert_eq!(money.actual(&vendor, size, &outputs, &[]), 55_000);
        assert_eq!(money.actual(&vendor, size, &outputs, &[12_000]), 37_000, "12 s were made of the 30");
        let longer = Size { seconds: 600, songs: 1 };
        assert_eq!(
            money.expected(&vendor, StepKind::Song, longer),
            720_000,
            "work is expected in proportion"
        );
        assert_eq!(micros(f64::NAN) + micros(-1.0), 0);
        assert_eq!((limit_micros(1e-9), limit_micros(0.0), limit_micros(2.0)), (1, 0, 2_000_000));
    }

    #[test]
    fn a_price_that_no_limit_can_hold_with_is_refused() {
        for wrong in ["-0.5", "nan", "inf", "-inf", "1e300", "1e-9", "-0.0000001"] {
            for text in [format!("song = {wrong}"), format!("second = {wrong}"), format!("work_s = {wrong}")]
            {
                assert!(toml::from_str::<Price>(&text).is_err(), "{text}");
            }
            assert!(toml::from_str::<Money>(&format!("day = {wrong}")).is_err(), "{wrong}");
        }
        for fine in ["0", "0.0", "0.000001", "12"] {
            assert!(toml::from_str::<Price>(&format!("song = {fine}")).is_ok(), "{fine}");
        }
    }
}
