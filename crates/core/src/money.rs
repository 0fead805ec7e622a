//! What songs cost, and how much may be spent. Amounts are counted in millionths of one currency.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::flow::{Size, USUAL_SECONDS};
use crate::id::VendorName;
use crate::job::{Route, StepKind};
use crate::report::Output;

/// A currency by its three letters, as ISO 4217 has them: `USD`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The one that amounts are in where nothing else is said.
    pub const USD: Self = Self(*b"USD");

    /// Its three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Text that names no currency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a currency; use three capital letters, such as USD")]
pub struct InvalidCurrency(String);

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        let letters: Option<[u8; 3]> = text.as_bytes().try_into().ok();
        let letters = letters.filter(|letters| letters.iter().all(u8::is_ascii_uppercase));
        letters.map(Self).ok_or_else(|| InvalidCurrency(text.chars().take(20).collect()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Currency {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "pattern": "^[A-Z]{3}$", "description": "A currency by its three letters: `USD`."
        })
    }
}

/// An amount of money in JSON: a decimal as text, so that no reader rounds it; a number is read, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Amount(pub f64);

impl Amount {
    /// So many millionths.
    pub fn of_micros(micros: u64) -> Self {
        Self(micros as f64 / 1e6)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.6}", self.0);
        let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
        let part = part.trim_end_matches('0');
        write!(f, "{whole}.{part:0<2}")
    }
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let amount = text.trim().parse().ok().filter(|amount| is_amount(*amount));
        amount.map(Self).ok_or_else(|| InvalidAmount(text.chars().take(40).collect()))
    }
}

/// Text that is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an amount; use 0, or 0.000001 to 1000000000")]
pub struct InvalidAmount(String);

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "an amount must be a text such as \"0.25\", or a number")]
        enum Either {
            Text(String),
            Number(f64),
        }
        let text = match Either::deserialize(from)? {
            Either::Text(text) => text,
            Either::Number(number) => number.to_string(),
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "number"], "pattern": "^[0-9]+([.][0-9]+)?$",
            "description": "An amount of money: a decimal as text, such as `0.25`; answers always have text."
        })
    }
}

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
        micros(match step {
            StepKind::Lyrics => self.lyrics,
            StepKind::Song => self.of_songs(size) + self.work_of(size),
        })
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

/// What a submission is priced by, as the script that claims it reads it: `l` for lyrics, else seconds and songs
/// (`30x4`); nothing for one song of no particular length.
pub fn priced_by(step: StepKind, size: Size) -> String {
    match step {
        StepKind::Lyrics => "l".into(),
        StepKind::Song if size.is_usual() => String::new(),
        StepKind::Song => format!("{}x{}", size.seconds, size.songs.max(1)),
    }
}

/// A list price that ships with Songmill, until an operator sets another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// What the vendor charges.
    pub price: Price,
    /// Where that is from.
    pub source: String,
    /// When it was looked up: a date.
    pub date: String,
}

/// What songs cost, and how much may be spent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Money {
    /// The currency of budgets and of all sums.
    pub currency: Currency,
    /// The most that is spent on a day, UTC, by all; 0 for no limit. Nothing is submitted that could pass it.
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
    /// What each vendor charges; for one that is not named the estimate holds.
    pub prices: BTreeMap<VendorName, Price>,
    /// List prices of vendors, for those whose price nobody has set: no setting.
    #[serde(skip)]
    pub estimates: BTreeMap<VendorName, Estimate>,
}

impl Default for Money {
    fn default() -> Self {
        Self {
            currency: Currency::USD,
            day: 0.0,
            tenant_day: 0.0,
            batch: 0.0,
            hour: 1.0,
            prices: BTreeMap::new(),
            estimates: BTreeMap::new(),
        }
    }
}

impl Money {
    /// What a vendor charges: as set, else the estimate.
    pub fn price(&self, vendor: &VendorName) -> Option<&Price> {
        let estimate = || self.estimates.get(vendor).map(|estimate| &estimate.price);
        self.prices.get(vendor).or_else(estimate)
    }

    /// Whether a vendor's price is an estimate.
    pub fn is_estimate(&self, vendor: &VendorName) -> bool {
        !self.prices.contains_key(vendor) && self.estimates.contains_key(vendor)
    }

    /// What a submission is expected to cost now, in millionths.
    pub fn expected(&self, vendor: &VendorName, step: StepKind, size: Size) -> u64 {
        self.price(vendor).map_or(0, |price| price.terms().expected(step, size))
    }

    /// What all steps of a route are expected to cost, each submitted once, in millionths.
    pub fn of_route(&self, route: &Route) -> u64 {
        route.steps.iter().map(|step| self.expected(&route.vendor, *step, route.size)).sum()
    }

    /// What is wrong with its prices.
    pub fn problem(&self) -> Option<String> {
        self.prices.iter().find_map(|(vendor, price)| {
            Some(format!("money.prices.{vendor}: {}", price.problem(self.currency)?))
        })
    }
}

/// The least amount that counts: a millionth.
const LEAST_AMOUNT: f64 = 1e-6;
/// The largest amount: millionths of it still count exactly.
const MOST_AMOUNT: f64 = 1e9;

/// Whether an amount of money (or of seconds) can be counted with: 0, or a finite number from a millionth up.
pub fn is_amount(amount: f64) -> bool {
    amount == 0.0 || (LEAST_AMOUNT..=MOST_AMOUNT).contains(&amount)
}

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

/// No sum is larger, in millionths: scripts count with doubles, which are exact up to here.
const MOST_MICROS: f64 = 9_007_199_254_740_992.0;

/// An amount in millionths, rounded to the next one; what is no number, or below nothing, is nothing.
pub fn micros(amount: f64) -> u64 {
    (amount * 1e6 + 0.5).floor().clamp(0.0, MOST_MICROS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_costs_what_the_table_says() {
        let vendor = VendorName::new("acme").unwrap();
        let price = Price {
            lyrics: 0.01,
            song: 0.02,
            second: 0.001,
            work_second: 0.0005,
            work_s: 20.0,
            ..Price::default()
        };
        let money = Money { prices: BTreeMap::from([(vendor.clone(), price)]), ..Money::default() };
        let size = Size { seconds: 30, songs: 4 };
        assert_eq!(money.expected(&vendor, StepKind::Lyrics, size), 10_000);
        assert_eq!(money.expected(&vendor, StepKind::Song, size), 240_000);
        assert_eq!(money.expected(&vendor, StepKind::Song, Size::default()), 90_000);
        assert_eq!(money.expected(&VendorName::new("other").unwrap(), StepKind::Song, size), 0);
        let stem = Output { part: Some("vocal".into()), ..Output::at("a") };
        let outputs = [Output { worked_ms: Some(10_000), ..Output::at("b") }, stem];
        let terms = price.terms();
        assert_eq!(terms.actual(size, &outputs, &[]), 55_000);
        assert_eq!(terms.actual(size, &outputs, &[12_000]), 37_000, "12 s were made of the 30");
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

    #[test]
    fn amounts_are_decimals_as_text() {
        for (amount, text) in
            [(0.0, "0.00"), (0.1 + 0.2, "0.30"), (1234.5, "1234.50"), (0.000_975, "0.000975")]
        {
            assert_eq!(serde_json::to_string(&Amount(amount)).unwrap(), format!("{text:?}"));
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), text);
        }
        for fine in ["\"0.5\"", "0.5"] {
            assert_eq!(serde_json::from_str::<Amount>(fine).unwrap(), Amount(0.5));
        }
        for wrong in ["-1", "\"x\"", "\"\"", "1e300", "\"NaN\"", "null"] {
            assert!(serde_json::from_str::<Amount>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_estimate_holds_until_a_price_is_set() {
        let vendor = VendorName::new("acme").unwrap();
        let price = Price { song: 0.5, ..Price::default() };
        let estimate = Estimate { price, source: "a page".into(), date: "2026-11-30".into() };
        let mut money = Money { estimates: BTreeMap::from([(vendor.clone(), estimate)]), ..Money::default() };
        assert!(money.is_estimate(&vendor));
        assert_eq!(money.expected(&vendor, StepKind::Song, Size::default()), 500_000);
        money.prices.insert(vendor.clone(), Price::default());
        assert!(!money.is_estimate(&vendor));
        assert_eq!(money.expected(&vendor, StepKind::Song, Size::default()), 0, "it may be free");
    }
}
