//! Amounts of money: as they are counted, and as they are written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
            "type": "string", "pattern": "^[0-9]+([.][0-9]+)?$",
            "description": "An amount of money: a decimal as text, such as `0.25`. A number is read, too."
        })
    }
}

/// The least amount that counts: a millionth.
const LEAST_AMOUNT: f64 = 1e-6;
/// The largest amount: millionths of it still count exactly.
const MOST_AMOUNT: f64 = 1e9;

/// Whether an amount of money (or of seconds) can be counted with: 0, or a finite number from a millionth up.
fn is_amount(amount: f64) -> bool {
    amount == 0.0 || (LEAST_AMOUNT..=MOST_AMOUNT).contains(&amount)
}

/// Reads an amount, and refuses what no limit could hold with.
pub(super) fn amount<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
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
}
