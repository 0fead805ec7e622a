//! What a vendor charges, and what a submission costs by that.

use serde::{Deserialize, Serialize};

use super::amount::{amount, micros};
use super::currency::Currency;
use crate::flow::{Size, USUAL_SECONDS};
use crate::job::StepKind;
use crate::report::Output;

/// What a vendor charges, in its own currency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Price {
    /// For lyrics.
    #[serde(deserialize_with = "amount", skip_serializing_if = "is_nothing")]
    pub lyrics: f64,
    /// For each song of a task.
    #[serde(deserialize_with = "amount", skip_serializing_if = "is_nothing")]
    pub song: f64,
    /// For each second that was asked for, of each song.
    #[serde(deserialize_with = "amount", skip_serializing_if = "is_nothing")]
    pub second: f64,
    /// For each second that the vendor works on a task: known only when it has ended.
    #[serde(deserialize_with = "amount", skip_serializing_if = "is_nothing")]
    pub work_second: f64,
    /// How many such seconds are reserved for a song of up to a minute before it is known, and in proportion for a longer
    /// one; a minute where nothing is said.
    #[serde(deserialize_with = "amount", skip_serializing_if = "is_a_minute")]
    pub work_s: f64,
    /// The currency that the vendor charges in; that of the budgets where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// What one unit of that currency is worth in the currency of the budgets.
    #[serde(deserialize_with = "amount", skip_serializing_if = "is_one")]
    pub rate: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_nothing(amount: &f64) -> bool {
    *amount == 0.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_a_minute(seconds: &f64) -> bool {
    *seconds == 60.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_one(rate: &f64) -> bool {
    *rate == 1.0
}

impl Default for Price {
    fn default() -> Self {
        Self { currency: None, rate: 1.0, ..Self::NOTHING }
    }
}

impl Price {
    /// A price of nothing, to be filled in.
    pub const NOTHING: Self = Self {
        lyrics: 0.0,
        song: 0.0,
        second: 0.0,
        work_second: 0.0,
        work_s: 60.0,
        currency: None,
        rate: 1.0,
    };

    /// Whether everything is free.
    pub fn is_free(&self) -> bool {
        [self.lyrics, self.song, self.second, self.work_second].iter().all(|amount| *amount == 0.0)
    }

    /// What submissions are charged by: the same in the currency of the budgets.
    pub fn terms(&self) -> Terms {
        Terms {
            lyrics: self.lyrics * self.rate,
            song: self.song * self.rate,
            second: self.second * self.rate,
            work_second: self.work_second * self.rate,
            work_s: self.work_s,
        }
    }

    /// Why it cannot be used where budgets are in this currency.
    pub fn problem(&self, budgets: Currency) -> Option<String> {
        if self.rate == 0.0 {
            return Some("rate is 0; say what one unit of its currency is worth".into());
        }
        if self.rate != 1.0 && self.currency.is_none_or(|own| own == budgets) {
            return Some(format!(
                "rate is {}, but the price is in {budgets} as budgets are; say its currency",
                self.rate
            ));
        }
        let foreign = self.currency.filter(|own| *own != budgets)?;
        (self.rate == 1.0).then(|| {
            format!("it is in {foreign}, and budgets are in {budgets}; say with rate what 1 {foreign} is worth in {budgets}")
        })
    }
}

/// What a submission is charged by, in the currency of the budgets: a job keeps those that held when it was claimed, so
/// that a price that changes meanwhile changes no sum that was reserved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// For lyrics.
    #[serde(rename = "l", skip_serializing_if = "is_nothing")]
    pub lyrics: f64,
    /// For each song.
    #[serde(rename = "s", skip_serializing_if = "is_nothing")]
    pub song: f64,
    /// For each second of each song.
    #[serde(rename = "d", skip_serializing_if = "is_nothing")]
    pub second: f64,
    /// For each second that the vendor works.
    #[serde(rename = "w", skip_serializing_if = "is_nothing")]
    pub work_second: f64,
    /// How many such seconds are reserved for a song of up to a minute.
    #[serde(rename = "r", skip_serializing_if = "is_a_minute")]
    pub work_s: f64,
}

impl Default for Terms {
    fn default() -> Self {
        Price::NOTHING.terms()
    }
}

impl Terms {
    /// What a submission is expected to cost, in millionths. The script that claims jobs computes the same
    /// (`price.lua`), operation by operation.
    pub fn expected(&self, step: StepKind, size: Size) -> u64 {
        let amount = match step {
            StepKind::Lyrics => self.lyrics,
            StepKind::Song => self.of_songs(size) + self.work_of(size),
        };
        micros(amount).min(MOST_MICROS)
    }

    /// What a task has cost that gave this audio, in millionths. `measured` are the lengths of its songs in ms, as far as
    /// they have been decoded; others count with the length that was asked for.
    pub fn actual(&self, size: Size, outputs: &[Output], measured: &[u64]) -> u64 {
        let songs = outputs.iter().filter(|output| output.part.is_none()).count().max(1);
        let worked: u64 = outputs.iter().filter_map(|output| output.worked_ms).sum();
        let others = songs.saturating_sub(measured.len()) as f64;
        let seconds =
            measured.iter().sum::<u64>() as f64 / 1000.0 + others * f64::from(size.seconds_or_usual());
        let work = self.work_second * worked as f64 / 1000.0;
        micros(self.song * songs as f64 + self.second * seconds + work)
    }

    /// What the vendor's work is expected to cost: `work_s` for each song of up to a minute, more for longer ones.
    fn work_of(&self, size: Size) -> f64 {
        let minutes = f64::from(size.seconds.max(USUAL_SECONDS)) / f64::from(USUAL_SECONDS);
        self.work_second * self.work_s.max(1.0) * minutes * f64::from(size.songs.max(1))
    }

    fn of_songs(&self, size: Size) -> f64 {
        f64::from(size.songs.max(1)) * (self.song + self.second * f64::from(size.seconds_or_usual()))
    }
}

/// No submission is priced higher, in millionths: sums of them are exact.
const MOST_MICROS: u64 = 1_000_000_000_000;

/// What a submission is priced by, as the script that claims it reads it: `l` for lyrics, else seconds and songs
/// (`30x4`); nothing for one song of no particular length.
pub fn priced_by(step: StepKind, size: Size) -> String {
    match step {
        StepKind::Lyrics => "l".into(),
        StepKind::Song if size.is_usual() => String::new(),
        StepKind::Song => format!("{}x{}", size.seconds, size.songs.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_in_another_currency_counts_at_its_rate() {
        let price: Price = toml::from_str("song = 1.0\ncurrency = \"CNY\"\nrate = 0.14").unwrap();
        assert_eq!(price.terms().expected(StepKind::Song, Size { seconds: 0, songs: 2 }), 280_000);
        assert_eq!(price.problem(Currency::USD), None);
        let without: Price = toml::from_str("song = 1.0\ncurrency = \"CNY\"").unwrap();
        assert!(without.problem(Currency::USD).unwrap().contains("what 1 CNY is worth in USD"));
        assert_eq!(without.problem("CNY".parse().unwrap()), None);
        for wrong in ["", "usd", "US", "USDT", "ÄÖ"] {
            assert!(wrong.parse::<Currency>().is_err(), "{wrong}");
        }
    }
}
