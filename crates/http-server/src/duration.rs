//! Durations in settings: `250ms`, `30s`, `5m`, `2h`.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    jiff::fmt::serde::unsigned_duration::friendly::compact::required::serialize(duration, to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let parsed = text.trim().parse::<jiff::SignedDuration>().ok();
    let duration = parsed.and_then(|duration| Duration::try_from(duration).ok());
    let valid = duration.filter(|duration| !duration.is_zero());
    valid.ok_or_else(|| D::Error::custom(format!("{text:?} is not a duration; write 250ms, 30s, 5m or 2h")))
}
