//! Moments, as milliseconds since 1970 UTC. Never looks at a clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment so many milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole days since 1970-01-01, UTC.
    pub const fn day(self) -> u64 {
        self.0 / 86_400_000
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The moment that an HTTP date names, in any of the three forms of RFC 9110, 5.6.7; `None` for anything else and for
/// dates before 1970.
pub fn http_date(text: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(text.trim()).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::default() + since)
}

/// How long a `Retry-After` header asks to wait (RFC 9110, 10.2.3): whole or decimal seconds, rounded up, or an HTTP
/// date, which is held against `now`, best the `Date` of the same reply. `None` where there is nothing to wait for, and
/// where it is neither.
pub fn retry_after(value: &str, now: Option<Timestamp>) -> Option<Duration> {
    let value = value.trim();
    let is_decimal = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let wait = if is_decimal {
        Duration::try_from_secs_f64(value.parse::<f64>().ok()?.ceil()).unwrap_or(Duration::MAX)
    } else {
        http_date(value)?.since(now?)
    };
    Some(wait).filter(|wait| !wait.is_zero())
}

/// A length of time: `"250ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"`; in settings also a number, which is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// So many milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// So many seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// In seconds, those begun counted as whole.
    pub const fn secs_up(self) -> u64 {
        let secs = self.0.as_secs();
        if self.0.subsec_nanos() > 0 { secs + 1 } else { secs }
    }

    /// The span as a standard duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
            if millis >= size && millis.is_multiple_of(size) {
                return write!(f, "{}{unit}", millis / size);
            }
        }
        write!(f, "{millis}ms")
    }
}

impl std::str::FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no length of time; write 250ms, 30s, 5m, 2h or 1d");
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let count: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let unit = match text[digits..].trim() {
            // Nothing is nothing in every unit.
            "" if count == 0 => 1,
            "" => return Err(format!("{text} has no unit; write {text}s, {text}m, {text}h or {text}d")),
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        count.checked_mul(unit).map(Self::millis).ok_or_else(wrong)
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time such as \"30s\" or \"5m\", or whole seconds")
            }
            fn visit_u64<E: serde::de::Error>(self, secs: u64) -> Result<Span, E> {
                Ok(Span::secs(secs))
            }
            fn visit_i64<E: serde::de::Error>(self, secs: i64) -> Result<Span, E> {
                u64::try_from(secs).map(Span::secs).map_err(|_| E::custom("a length of time is not negative"))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written_alike() {
        for text in ["250ms", "30s", "5m", "2h", "1d", "90s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("0".parse::<Span>().unwrap(), Span::secs(0));
        assert_eq!("7".parse::<Span>().unwrap_err(), "7 has no unit; write 7s, 7m, 7h or 7d");
        for bad in ["", "s", "1 week", "-1s", "99999999999999999999s"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
