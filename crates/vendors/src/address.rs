//! Addresses that vendors give, read as browsers read them.

use url::Url;

/// An absolute http or https address as browsers read it: blanks and line ends around it are left out, and what may not
/// stand in an address is percent-encoded, bare percent signs included. None when a browser would not take it.
pub(crate) fn normalized(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_web =
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty());
    is_web.then(|| with_whole_escapes(url.as_str()))
}

/// The same with every percent sign that escapes nothing escaped itself: servers read it as that, or refuse it.
fn with_whole_escapes(address: &str) -> String {
    let mut whole = String::with_capacity(address.len());
    let mut rest = address;
    while let Some(at) = rest.find('%') {
        let (before, from) = rest.split_at(at);
        whole.push_str(before);
        let is_escape = from.as_bytes().get(1..3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        whole.push_str(if is_escape { "%" } else { "%25" });
        rest = &from[1..];
    }
    whole.push_str(rest);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_browsers_read_them() {
        for (given, expected) in [
            ("https://a.example/song.mp3", "https://a.example/song.mp3"),
            (
                "https://a.example/my song (final) [v2].mp3",
                "https://a.example/my%20song%20(final)%20[v2].mp3",
            ),
            ("https://a.example/100% pure|mix.mp3", "https://a.example/100%25%20pure|mix.mp3"),
            ("https://a.example/50%25.mp3?x=%", "https://a.example/50%25.mp3?x=%25"),
            ("https://a.example/a//b.mp3", "https://a.example/a//b.mp3"),
            ("  https://a.example/a.mp3\r\n", "https://a.example/a.mp3"),
            ("https://a.example/a\n.mp3", "https://a.example/a.mp3"),
            ("HTTPS://A.Example/A.mp3", "https://a.example/A.mp3"),
            ("https://bücher.example/春天.mp3", "https://xn--bcher-kva.example/%E6%98%A5%E5%A4%A9.mp3"),
            ("https://a.example\\b.mp3", "https://a.example/b.mp3"),
            ("https:a.example/b.mp3", "https://a.example/b.mp3"),
            ("https://a.example?sig=a b\"c", "https://a.example/?sig=a%20b%22c"),
            ("https://a.example/%E6%98.mp3%", "https://a.example/%E6%98.mp3%25"),
        ] {
            assert_eq!(normalized(given).as_deref(), Some(expected), "{given}");
        }
        for odd in [
            "",
            "song.mp3",
            "/song.mp3",
            "ftp://a/b.mp3",
            "https://",
            "data:audio/wav;base64,AA",
            "https://a b/",
        ] {
            assert_eq!(normalized(odd), None, "{odd}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_normal_stays_as_it_is_and_can_be_requested(path in "\\PC{0,40}") {
            if let Some(once) = normalized(&format!("https://a.example/{path}")) {
                proptest::prop_assert_eq!(normalized(&once), Some(once.clone()));
                proptest::prop_assert!(once.is_ascii());
            }
        }
    }
}
