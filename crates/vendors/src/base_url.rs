//! Vendors' addresses: checked when settings are read, so that building a request cannot fail.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The address a vendor's paths are put behind: http or https, a host, perhaps a port and a path.
///
/// Its text has no trailing slash. Credentials, a query and a fragment are refused.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

/// Why a text is no [`BaseUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no base address: use http:// or https://, a host and perhaps a path, nothing else")]
pub struct InvalidBaseUrl {
    text: String,
}

impl BaseUrl {
    /// The address that stands in our own source.
    ///
    /// # Panics
    /// When it is not one.
    pub fn from_static(text: &'static str) -> Self {
        text.parse().expect("an address in our own source is right")
    }

    /// The address as text, without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of a path under it; each segment is percent-encoded, an empty list is the base itself.
    pub fn at(&self, segments: &[&str]) -> Uri {
        self.with_query(segments, &[])
    }

    /// The address of a path under it with a query; names and values are percent-encoded.
    pub fn with_query(&self, segments: &[&str], query: &[(&str, &str)]) -> Uri {
        let mut text = self.0.clone();
        for segment in segments {
            text.push('/');
            encode(segment, &mut text);
        }
        for (i, (name, value)) in query.iter().enumerate() {
            text.push(if i == 0 { '?' } else { '&' });
            encode(name, &mut text);
            text.push('=');
            encode(value, &mut text);
        }
        text.parse().expect("a checked base with encoded segments is an address")
    }

    /// The address of a path under it with a query that is encoded already, such as the vendor's own cursor;
    /// `None` when the query is malformed.
    pub fn with_raw_query(&self, segments: &[&str], query: &str) -> Option<Uri> {
        format!("{}?{query}", self.at(segments)).parse().ok()
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;
    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        let wrong = || InvalidBaseUrl { text: text.chars().take(200).collect() };
        let url = url::Url::parse(text.trim()).map_err(|_| wrong())?;
        let plain = url.username().is_empty() && url.password().is_none();
        let bare = url.query().is_none() && url.fragment().is_none() && url.host_str().is_some();
        if !matches!(url.scheme(), "http" | "https") || !plain || !bare || url.as_str().len() > 1000 {
            return Err(wrong());
        }
        let text = url.as_str().trim_end_matches('/').to_owned();
        text.parse::<Uri>().map_err(|_| wrong())?;
        Ok(Self(text))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Serialize for BaseUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BaseUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

fn encode(text: &str, to: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => to.push(char::from(byte)),
            b'.' if text != "." && text != ".." => to.push('.'),
            _ => to.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_queries_cannot_leave_their_place() {
        let base: BaseUrl = "https://api.example.com/v1/".parse().unwrap();
        assert_eq!(
            base.at(&["tasks", "a/../b?c#d é"]),
            "https://api.example.com/v1/tasks/a%2F..%2Fb%3Fc%23d%20%C3%A9"
        );
        assert_eq!(base.at(&[".."]), "https://api.example.com/v1/%2E%2E");
        assert_eq!(
            base.with_query(&[], &[("a", "1+1"), ("b", "ü")]),
            "https://api.example.com/v1?a=1%2B1&b=%C3%BC"
        );
        let plain: BaseUrl = "http://127.0.0.1:9000".parse().unwrap();
        assert_eq!(plain.at(&["job"]), "http://127.0.0.1:9000/job");
        assert_eq!(
            plain.with_raw_query(&["p"], "cursor=a%3D"),
            Some(Uri::from_static("http://127.0.0.1:9000/p?cursor=a%3D"))
        );
        assert_eq!(plain.with_raw_query(&["p"], "a b"), None);
    }

    #[test]
    fn what_is_no_base_is_refused() {
        for bad in
            ["", "api.example.com", "ftp://a", "https://u:p@a", "https://a?b", "https://a#b", "http://"]
        {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
        }
    }
}
