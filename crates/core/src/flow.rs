//! How much of a vendor's allowance is used, by whom first, and what it costs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::VendorName;
use crate::job::StepKind;
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
    pub lyrics: f64,
    /// For each song of a task.
    pub song: f64,
    /// For each second that was asked for, of each song.
    pub second: f64,
    /// For each second that the vendor works on a task: known only when it has ended.
    pub work_second: f64,
    /// How many such seconds are reserved for a song before it is known; a minute where nothing is said.
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
    pub day: f64,
    /// The same for each tenant, unless something else is said for it.
    pub tenant_day: f64,
    /// The same for each batch, unless something else is said for it.
    pub batch: f64,
    /// What an hour of waiting for a song is worth: `vendor: "auto"` takes the vendor with the least of price and
    /// waiting together.
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

/// What a task is to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Seconds of each song; 0 where nothing was said.
    pub seconds: u32,
    /// Songs; at least one is made.
    pub songs: u32,
}

impl Money {
    /// What a submission is expected to cost, in millionths.
    pub fn expected(&self, vendor: &VendorName, step: StepKind, asked: Asked) -> u64 {
        let Some(price) = self.prices.get(vendor) else { return 0 };
        micros(match step {
            StepKind::Lyrics => price.lyrics,
            StepKind::Song => {
                let work = price.work_second * price.work_s.max(1.0) * f64::from(asked.songs.max(1));
                price.of_songs(asked.songs, asked.seconds) + work
            }
        })
    }

    /// What a task has cost that gave this audio, in millionths.
    pub fn actual(&self, vendor: &VendorName, asked: Asked, outputs: &[Output]) -> u64 {
        let Some(price) = self.prices.get(vendor) else { return 0 };
        let songs = outputs.iter().filter(|output| output.part.is_none()).count();
        let worked: u64 = outputs.iter().filter_map(|output| output.worked_ms).sum();
        let songs = u32::try_from(songs).unwrap_or(u32::MAX);
        micros(price.of_songs(songs, asked.seconds) + price.work_second * worked as f64 / 1000.0)
    }
}

impl Price {
    fn of_songs(&self, songs: u32, seconds: u32) -> f64 {
        let seconds = if seconds == 0 { USUAL_SECONDS } else { seconds };
        f64::from(songs.max(1)) * (self.song + self.second * f64::from(seconds))
    }
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
        let asked = Asked { seconds: 30, songs: 4 };
        assert_eq!(money.expected(&vendor, StepKind::Lyrics, asked), 10_000);
        assert_eq!(money.expected(&vendor, StepKind::Song, asked), 240_000);
        assert_eq!(money.expected(&vendor, StepKind::Song, Asked::default()), 90_000);
        assert_eq!(money.expected(&VendorName::new("other").unwrap(), StepKind::Song, asked), 0);
        let stem = Output { part: Some("vocal".into()), ..Output::at("a") };
        let outputs = [Output { worked_ms: Some(10_000), ..Output::at("b") }, stem];
        assert_eq!(money.actual(&vendor, asked, &outputs), 55_000);
        assert_eq!(micros(f64::NAN) + micros(-1.0), 0);
    }
}
