//! Conditional requests and ranges (RFC 9110, 13 and 14): what of a file is to be sent.

use std::ops::RangeInclusive;

use axum::http::{HeaderMap, HeaderValue, header};

/// A file as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// Its strong entity tag, with quotes.
    pub(crate) etag: String,
    /// When it was written, as HTTP writes dates.
    pub(crate) modified: String,
    pub(crate) bytes: u64,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selected {
    All,
    Part(RangeInclusive<u64>),
    /// The caller has it.
    NotModified,
    /// The caller wants another version.
    PreconditionFailed,
    /// It has no such bytes.
    NoSuchBytes,
}

impl Version {
    /// What a request with these headers is to be sent.
    pub(crate) fn select(&self, headers: &HeaderMap) -> Selected {
        let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
        if headers.contains_key(header::IF_MATCH)
            && !self.is_listed(headers, header::IF_MATCH, Comparison::Strong)
        {
            return Selected::PreconditionFailed;
        }
        let has_it = match headers.contains_key(header::IF_NONE_MATCH) {
            true => self.is_listed(headers, header::IF_NONE_MATCH, Comparison::Weak),
            false => text(header::IF_MODIFIED_SINCE).is_some_and(|date| self.is_unmodified_since(date)),
        };
        if has_it {
            return Selected::NotModified;
        }
        // A part of this version is no use to whoever has the rest of another.
        let is_same = text(header::IF_RANGE).is_none_or(|known| known == self.etag || known == self.modified);
        match text(header::RANGE) {
            Some(range) if is_same => self.range(range),
            Some(_) | None => Selected::All,
        }
    }

    fn is_listed(&self, headers: &HeaderMap, name: header::HeaderName, comparison: Comparison) -> bool {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| match comparison {
            Comparison::Strong => tag == "*" || tag == self.etag,
            Comparison::Weak => tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag,
        })
    }

    fn is_unmodified_since(&self, date: &str) -> bool {
        let read = songmill_core::time::http_date;
        read(date).zip(read(&self.modified)).is_some_and(|(since, modified)| modified <= since)
    }

    /// One range; several, and what is not understood, are not heeded, as RFC 9110 allows.
    fn range(&self, text: &str) -> Selected {
        let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'))
        else {
            return Selected::All;
        };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            // Whatever is too long for a number is behind every end.
            digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
        };
        let range = match (first, last) {
            ("", suffix) => {
                number(suffix).map(|count| (self.bytes.saturating_sub(count), u64::MAX, count > 0))
            }
            (first, "") => number(first).map(|first| (first, u64::MAX, true)),
            (first, last) => number(first)
                .zip(number(last))
                .filter(|(first, last)| first <= last)
                .map(|(first, last)| (first, last, true)),
        };
        let Some((first, last, is_any)) = range else { return Selected::All };
        if !is_any || first >= self.bytes {
            return Selected::NoSuchBytes;
        }
        Selected::Part(first..=last.min(self.bytes - 1))
    }
}

/// How entity tags are compared (RFC 9110, 8.8.3.2).
#[derive(Clone, Copy)]
enum Comparison {
    Strong,
    Weak,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(pairs: &[(&'static str, &'static str)]) -> Selected {
        let version = Version {
            etag: "\"a1\"".to_owned(),
            modified: "Sun, 06 Nov 1994 08:49:37 GMT".to_owned(),
            bytes: 100,
        };
        let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        version.select(&headers.collect())
    }

    #[test]
    fn ranges_are_what_rfc_9110_says() {
        for (range, expected) in [
            ("bytes=0-0", Selected::Part(0..=0)),
            ("bytes=10-19", Selected::Part(10..=19)),
            ("bytes=90-", Selected::Part(90..=99)),
            ("bytes=90-1000", Selected::Part(90..=99)),
            ("bytes=-10", Selected::Part(90..=99)),
            ("bytes=-1000", Selected::Part(0..=99)),
            ("bytes=0-99999999999999999999999", Selected::Part(0..=99)),
            ("bytes=100-", Selected::NoSuchBytes),
            ("bytes=99999999999999999999999-", Selected::NoSuchBytes),
            ("bytes=-0", Selected::NoSuchBytes),
            ("bytes=5-4", Selected::All),
            ("bytes=0-1,5-6", Selected::All),
            ("bytes=a-b", Selected::All),
            ("bytes=-", Selected::All),
            ("seconds=0-1", Selected::All),
            ("", Selected::All),
        ] {
            assert_eq!(selected(&[("range", range)]), expected, "{range}");
        }
    }

    #[test]
    fn a_part_is_sent_only_of_the_version_that_the_caller_has() {
        let part = Selected::Part(0..=9);
        for (known, expected) in [
            ("\"a1\"", part.clone()),
            ("\"b2\"", Selected::All),
            ("W/\"a1\"", Selected::All),
            ("Sun, 06 Nov 1994 08:49:37 GMT", part),
            ("Sun, 06 Nov 1994 08:49:38 GMT", Selected::All),
            ("nonsense", Selected::All),
        ] {
            assert_eq!(selected(&[("range", "bytes=0-9"), ("if-range", known)]), expected, "{known}");
        }
        // The whole of it is wanted even where the range could not be had.
        assert_eq!(selected(&[("range", "bytes=500-"), ("if-range", "\"b2\"")]), Selected::All);
    }

    #[test]
    fn who_has_it_is_not_sent_it_again() {
        for known in ["\"a1\"", "W/\"a1\"", "*", "\"b2\", \"a1\""] {
            assert_eq!(selected(&[("if-none-match", known)]), Selected::NotModified, "{known}");
            let with_range = [("if-none-match", known), ("range", "bytes=0-9")];
            assert_eq!(selected(&with_range), Selected::NotModified, "{known}");
        }
        let late = ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(selected(&[late]), Selected::NotModified);
        assert_eq!(selected(&[("if-none-match", "\"b2\""), late]), Selected::All, "the tag decides");
        assert_eq!(selected(&[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")]), Selected::All);
        assert_eq!(selected(&[("if-match", "\"b2\"")]), Selected::PreconditionFailed);
        assert_eq!(selected(&[("if-match", "\"b2\", \"a1\"")]), Selected::All);
    }
}
