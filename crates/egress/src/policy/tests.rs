//! Addresses that lead on.

use super::*;

const OPEN: AddressPolicy = AddressPolicy { allow_http: true, allow_private: false };

#[test]
fn where_an_address_leads_on_to_is_checked_like_the_first() {
    let from = |text: &str| Url::parse(text).unwrap();
    let sealed = from("https://cdn.example.com/a/b");
    for (to, expected) in [
        ("c", "https://cdn.example.com/a/c"),
        ("/c?d", "https://cdn.example.com/c?d"),
        ("//other.example/c", "https://other.example/c"),
        ("https://93.184.216.34/", "https://93.184.216.34/"),
    ] {
        assert_eq!(OPEN.follow(&sealed, to.as_bytes()).unwrap().as_str(), expected);
    }
    for (to, why) in [
        ("http://cdn.example.com/a", BlockedAddress::Unsealed),
        ("//localhost/a", BlockedAddress::Local("localhost".into())),
        ("//127.1/a", BlockedAddress::Private(Ipv4Addr::LOCALHOST.into())),
        ("//user@example.com/a", BlockedAddress::Credentials),
        ("file:///etc/passwd", BlockedAddress::Scheme("file".into())),
        ("/\\127.0.0.1/a", BlockedAddress::Invalid),
        ("/\t/127.0.0.1/a", BlockedAddress::Invalid),
        ("https://[", BlockedAddress::Invalid),
    ] {
        assert_eq!(OPEN.follow(&sealed, to.as_bytes()), Err(why), "{to}");
    }
    assert!(OPEN.follow(&from("http://example.com/"), b"http://example.org/").is_ok());
    assert!(OPEN.follow(&from("http://example.com/"), b"https://example.org/").is_ok());
    let strict = AddressPolicy::default();
    assert_eq!(strict.follow(&sealed, b"http://example.org/"), Err(BlockedAddress::Scheme("http".into())));
}
