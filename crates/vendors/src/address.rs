//! Addresses that vendors give, read as browsers read them.

use url::{Position, Url};

/// An absolute http or https address as browsers read it: blanks and line ends around it are left out, and what may not
/// stand in an address is percent-encoded, bare percent signs included. None when a browser would not take it.
///
/// What may stand there stays byte for byte: buckets compare a signature with exactly what is requested. So dots in
/// paths are not resolved, and nothing is encoded or decoded that need not be.
pub(crate) fn normalized(text: &str) -> Option<String> {
    let text = text.trim_matches(|c: char| c <= ' ').replace(['\t', '\n', '\r'], "");
    let url = Url::parse(&text).ok()?;
    let is_web =
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty());
    let (_, written) = text.split_once(':').filter(|_| is_web)?;
    let written = written.trim_start_matches(['/', '\\']);
    let rest = &written[written.find(['/', '\\', '?', '#']).unwrap_or(written.len())..];
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let mut whole = url[..Position::BeforePath].to_owned();
    if path.is_empty() {
        whole.push('/');
    }
    encode(&path.replace('\\', "/"), "\"<>`{}", &mut whole);
    encode(query, "\"<>", &mut whole);
    Some(whole)
}

/// Adds a text in which these, what is no visible ASCII, and percent signs that escape nothing are percent-encoded.
fn encode(text: &str, forbidden: &str, to: &mut String) {
    for (at, c) in text.char_indices() {
        let is_escape = || {
            let hex = text.as_bytes().get(at + 1..at + 3);
            hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
        };
        if c.is_ascii_graphic() && !forbidden.contains(c) && (c != '%' || is_escape()) {
            to.push(c);
            continue;
        }
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            let digit = |half: u8| char::from(b"0123456789ABCDEF"[usize::from(half)]);
            to.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
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

    #[test]
    fn what_is_signed_is_requested_byte_for_byte() {
        for address in [
            // S3, GCS, COS, OSS and Azure, as their clients sign.
            "https://b.s3.amazonaws.com/a%20b%2Fc.mp3?X-Amz-Credential=AK%2F20250101%2Fus-east-1&X-Amz-Signature=0a",
            "https://storage.googleapis.com/b/a+b~c=d.mp3?X-Goog-Signature=ab&response-content-disposition=attachment%3B",
            "https://b.cos.ap-beijing.myqcloud.com/%e6%98%a5.mp3?q-sign-time=1%3b2&q-signature=ab&q-header-list=host",
            "https://b.oss.aliyuncs.com/a.mp3?Expires=1&OSSAccessKeyId=x&Signature=a+b/c=&x=filename*=UTF-8''a.mp3",
            "https://b.blob.core.windows.net/c/a.mp3?sv=2024&sig=a%2Bb%3D&se=2025-01-01T00:00:00Z&sp=r",
            "https://a.example/a/../b/./c.mp3?sig=1",
            "https://a.example/a/%2e%2E/b.mp3",
            "https://a.example/a.mp3?",
            "https://a.example//a//",
            "https://a.example:8443/a!$&'()*+,;=:@.mp3?!$&'()*+,;=:@/?`{}|^[]",
        ] {
            assert_eq!(normalized(address).as_deref(), Some(address));
        }
        assert_eq!(normalized("https://a.example#t=1").as_deref(), Some("https://a.example/"));
        assert_eq!(normalized("https://a.example/a.mp3#t=1").as_deref(), Some("https://a.example/a.mp3"));
    }

    proptest::proptest! {
        #[test]
        fn what_may_stand_in_an_address_stays(rest in "/[!$&-;=@-Z_a-z~]{0,40}([?][!$&-;=?-Z_a-z~]{0,40})?") {
            let address = format!("https://a.example{rest}");
            proptest::prop_assert_eq!(normalized(&address), Some(address.clone()));
            proptest::prop_assert!(address.parse::<http::Uri>().is_ok());
        }

        #[test]
        fn what_is_normal_stays_as_it_is_and_can_be_requested(path in "\\PC{0,40}") {
            if let Some(once) = normalized(&format!("https://a.example/{path}")) {
                proptest::prop_assert_eq!(normalized(&once), Some(once.clone()));
                proptest::prop_assert!(once.is_ascii());
                proptest::prop_assert!(once.parse::<http::Uri>().is_ok(), "{}", once);
            }
        }
    }
}
