//! What songs cost, and how much may be spent. Amounts are counted in millionths of one currency.

mod amount;
mod currency;
mod price;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::flow::Size;
use crate::id::VendorName;
use crate::job::{Route, StepKind};

use amount::amount;
pub use amount::{Amount, InvalidAmount, limit_micros, micros};
pub use currency::{Currency, InvalidCurrency};
pub use price::{Price, Terms, priced_by};

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

impl Estimate {
    /// The same where budgets are in this currency, at about what currencies are worth; as it is where that is not known.
    #[must_use]
    pub fn counted_in(mut self, budgets: Currency) -> Self {
        let own = self.price.currency.unwrap_or(Currency::USD);
        let worth = |currency| in_dollars(currency);
        if let (Some(own), Some(budgets)) = (worth(own), worth(budgets)) {
            self.price.rate = own / budgets;
        }
        self
    }

    /// Why it cannot be counted with where budgets are in this currency.
    pub fn problem(&self, budgets: Currency) -> Option<String> {
        let own = self.price.currency.unwrap_or(Currency::USD);
        (in_dollars(budgets).is_none() && own != budgets).then(|| {
            format!("its estimate is in {own} and is counted as if 1 {own} were 1 {budgets}; set a price")
        })
    }
}

/// About what one unit of a currency is worth in US dollars, for estimates alone (November 2026).
fn in_dollars(currency: Currency) -> Option<f64> {
    Some(match currency.as_str() {
        "USD" => 1.0,
        "EUR" => 1.15,
        "GBP" => 1.32,
        "CHF" => 1.25,
        "CNY" => 0.14,
        "HKD" => 0.128,
        "TWD" => 0.032,
        "JPY" => 0.0066,
        "KRW" => 0.0007,
        "SGD" => 0.77,
        "AUD" => 0.65,
        "CAD" => 0.72,
        "INR" => 0.0115,
        "BRL" => 0.18,
        _ => return None,
    })
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

    /// With these estimates, counted in its own currency.
    #[must_use]
    pub fn with_estimates(mut self, estimates: impl Iterator<Item = (VendorName, Estimate)>) -> Self {
        let counted =
            |(vendor, estimate): (VendorName, Estimate)| (vendor, estimate.counted_in(self.currency));
        self.estimates = estimates.map(counted).collect();
        self
    }

    /// What is wrong with its prices.
    pub fn problem(&self) -> Option<String> {
        self.prices.iter().find_map(|(vendor, price)| {
            Some(format!("money.prices.{vendor}: {}", price.problem(self.currency)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Output;

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
    fn an_estimate_is_counted_in_the_currency_of_the_budgets() {
        let price = Price { song: 1.0, currency: Some(Currency::USD), ..Price::default() };
        let estimate = Estimate { price, source: String::new(), date: String::new() };
        let song = |budgets: &str| {
            let counted = estimate.clone().counted_in(budgets.parse().unwrap());
            counted.price.terms().expected(StepKind::Song, Size::default())
        };
        assert_eq!((song("USD"), song("CNY"), song("XAU")), (1_000_000, 7_142_857, 1_000_000));
        assert!(estimate.problem("XAU".parse().unwrap()).is_some());
        assert_eq!(estimate.problem("CNY".parse().unwrap()), None);
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
