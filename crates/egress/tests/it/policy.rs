//! The policy: what is refused, what passes, and that no form of an address changes that.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use songmill_egress::{AddressPolicy, BlockedAddress};
use url::Host;

use crate::hostile::HOSTILE;

const OPEN: AddressPolicy = AddressPolicy { allow_http: true, allow_private: false };

#[test]
fn no_address_leads_into_our_own_house() {
    assert!(HOSTILE.len() >= 40);
    let passed: Vec<_> = HOSTILE.iter().filter(|address| OPEN.check(address).is_ok()).collect();
    assert!(passed.is_empty(), "must be refused: {passed:#?}");
}

#[test]
fn what_is_refused_is_refused_for_its_own_reason() {
    for (address, why) in [
        ("http://0x7f.1/a", BlockedAddress::Private(Ipv4Addr::LOCALHOST.into())),
        ("http://①②⑦.⓪.⓪.①/a", BlockedAddress::Private(Ipv4Addr::LOCALHOST.into())),
        ("http://[2002:7f00:1::]/a", BlockedAddress::Private("2002:7f00:1::".parse().unwrap())),
        ("http://LOCALHOST./a", BlockedAddress::Local("localhost.".into())),
        ("http://user@example.com/a", BlockedAddress::Credentials),
        ("https://example.com:25/a", BlockedAddress::Port(25)),
        ("gopher://example.com/a", BlockedAddress::Scheme("gopher".into())),
        ("http://example.com\\@127.0.0.1/a", BlockedAddress::Invalid),
        ("http://exa{mple.com/a", BlockedAddress::Invalid),
    ] {
        assert_eq!(OPEN.check(address), Err(why), "{address}");
    }
}

#[test]
fn public_addresses_pass_and_http_only_when_it_is_allowed() {
    for address in [
        "https://cdn.example.com/a b.mp3?sig=%2F&at=127.0.0.1#localhost",
        "https://cdn.example.com./a",
        "https://CDN.example.com:443/a",
        "http://cdn.example.com:80/a",
        "https://cdn.example.com:8443/a",
        "https://bücher.example/a",
        "https://127.0.0.1.example.com/a",
        "https://localhost.example.com/a",
        "https://example.com/@user:secret@localhost/",
        "https://93.184.216.34/a",
        "https://1572395042/a",
        "https://[2606:2800:220:1::1]/a",
        "https://[::ffff:93.184.216.34]/a",
        "http://[64:ff9b::8.8.8.8]/a",
        "https://9.255.255.255/a",
        "https://11.0.0.0/a",
        "https://172.15.255.255/a",
        "https://172.32.0.0/a",
        "https://100.63.255.255/a",
        "https://100.128.0.0/a",
        "https://168.63.129.17/a",
        "https://223.255.255.255/a",
    ] {
        assert!(OPEN.check(address).is_ok(), "{address}: {:?}", OPEN.check(address));
    }
    assert_eq!(
        AddressPolicy::default().check("http://cdn.example.com/a"),
        Err(BlockedAddress::Scheme("http".into()))
    );
    let simulator = AddressPolicy { allow_http: true, allow_private: true };
    for address in ["http://127.0.0.1:90/a", "http://sim:9090/a", "http://localhost:9090/a"] {
        assert!(simulator.check(address).is_ok(), "{address}");
    }
}

/// What is not the public network, as the registries of IANA have it, and the host inside Azure.
const CLOSED_V4: &[(&str, u32)] = &[
    ("0.0.0.0", 8),
    ("10.0.0.0", 8),
    ("100.64.0.0", 10),
    ("127.0.0.0", 8),
    ("168.63.129.16", 32),
    ("169.254.0.0", 16),
    ("172.16.0.0", 12),
    ("192.0.0.0", 24),
    ("192.0.2.0", 24),
    ("192.88.99.0", 24),
    ("192.168.0.0", 16),
    ("198.18.0.0", 15),
    ("198.51.100.0", 24),
    ("203.0.113.0", 24),
    ("224.0.0.0", 4),
    ("240.0.0.0", 4),
];
const CLOSED_V6: &[(&str, u32)] =
    &[("2001::", 23), ("2001:db8::", 32), ("2002::", 16), ("3fff::", 20), ("fe00::", 7)];

fn is_in_v4(ip: u32, nets: &[(&str, u32)]) -> bool {
    nets.iter().any(|(net, bits)| {
        (ip ^ net.parse::<Ipv4Addr>().unwrap().to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
    })
}

fn is_in_v6(ip: u128, nets: &[(&str, u32)]) -> bool {
    nets.iter().any(|(net, bits)| (ip ^ net.parse::<Ipv6Addr>().unwrap().to_bits()) >> (128 - bits) == 0)
}

/// The verdict as the tables have it, worked out another way than the policy does.
fn is_open(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !is_in_v4(ip.to_bits(), CLOSED_V4),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            if is_in_v6(bits, &[("::ffff:0:0", 96), ("64:ff9b::", 96)]) {
                return !is_in_v4(bits as u32, CLOSED_V4);
            }
            is_in_v6(bits, &[("2000::", 3)]) && !is_in_v6(bits, CLOSED_V6)
        }
    }
}

/// Any address, and more of those around the edges of closed networks.
fn any_v4() -> impl Strategy<Value = u32> {
    let edge = (prop::sample::select(CLOSED_V4), 0..4u32).prop_map(|((net, bits), which)| {
        let first = net.parse::<Ipv4Addr>().unwrap().to_bits();
        let last = first + u32::MAX.checked_shr(bits).unwrap_or(0);
        [first, last, first.wrapping_sub(1), last.wrapping_add(1)][which as usize]
    });
    prop_oneof![any::<u32>(), edge]
}

fn any_v6() -> impl Strategy<Value = u128> {
    let nets = [CLOSED_V6, &[("2000::", 3), ("64:ff9b::", 96), ("64:ff9b:1::", 48), ("::", 96)]].concat();
    let edge = (prop::sample::select(nets), 0..4u32).prop_map(|((net, bits), which)| {
        let first = net.parse::<Ipv6Addr>().unwrap().to_bits();
        let last = first + (u128::MAX >> bits);
        [first, last, first.wrapping_sub(1), last.wrapping_add(1)][which as usize]
    });
    let carriers = vec!["::ffff:0:0", "64:ff9b::", "::", "::ffff:0:0:0", "64:ff9b:1::"];
    let inside = (prop::sample::select(carriers), any_v4())
        .prop_map(|(net, inner)| net.parse::<Ipv6Addr>().unwrap().to_bits() | u128::from(inner));
    prop_oneof![
        any::<u128>(),
        (0x2000u128..0x4000, any::<u128>()).prop_map(|(a, b)| a << 112 | b >> 16),
        edge,
        inside
    ]
}

/// A number as programs read it: decimal, octal or hexadecimal.
fn number(n: u32, radix: u8) -> String {
    match radix {
        0 => n.to_string(),
        1 => format!("0{n:o}"),
        2 => format!("0x{n:x}"),
        3 => format!("0X{n:08X}"),
        _ => format!("000{n:o}"),
    }
}

/// An address in one to four parts, each in a form of its own.
fn spelled_v4(ip: u32, parts: usize, radixes: [u8; 4]) -> String {
    let mut text = String::new();
    for (n, radix) in radixes.iter().enumerate().take(parts) {
        let above = 32 - 8 * n as u32;
        let below = u32::MAX.checked_shr(32 - above).unwrap_or(0);
        let part = if n + 1 == parts { ip & below } else { (ip >> (above - 8)) & 0xff };
        let dot = if n == 0 { "" } else { "." };
        write!(text, "{dot}{}", number(part, *radix)).unwrap();
    }
    text
}

/// The same text in other characters that mean the same in a host.
fn disguised(text: &str, how: u8) -> String {
    let one = |c: char| match (how, c) {
        (1, c) => format!("%{:02x}", c as u32),
        (2, '.') => "。".to_owned(),
        (2, c) => char::from_u32(c as u32 - 0x21 + 0xff01).unwrap().to_string(),
        (3, '1'..='9') => char::from_u32(c as u32 - '1' as u32 + '①' as u32).unwrap().to_string(),
        (4, '0'..='9') => char::from_u32(c as u32 - '0' as u32 + '𝟎' as u32).unwrap().to_string(),
        _ => c.to_string(),
    };
    let text: String = text.chars().map(one).collect();
    if how == 5 { format!("{text}.") } else { text }
}

fn spelled_v6(ip: u128, how: u8) -> String {
    let ip = Ipv6Addr::from_bits(ip);
    let [a, b, c, d, e, f, ..] = ip.segments();
    let tail = Ipv4Addr::from_bits(ip.to_bits() as u32);
    match how {
        0 => ip.to_string(),
        1 => ip.segments().map(|part| format!("{part:04X}")).join(":"),
        2 => ip.segments().map(|part| format!("{part:x}")).join(":"),
        _ => format!("{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{tail}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_form_of_an_ipv4_address_changes_the_verdict(
        ip in any_v4(), parts in 1..=4usize, radixes in any::<[u8; 4]>(), how in 0..6u8,
    ) {
        let ip_addr = IpAddr::V4(Ipv4Addr::from_bits(ip));
        prop_assert_eq!(OPEN.check_ip(ip_addr).is_ok(), is_open(ip_addr), "{}", ip_addr);
        let host = disguised(&spelled_v4(ip, parts, radixes.map(|radix| radix % 5)), how);
        let expected = OPEN.check_ip(ip_addr);
        let found = OPEN.check(&format!("http://{host}/a"));
        prop_assert_eq!(found.as_ref().map(drop), expected.as_ref().map(drop), "{}", host);
        if let Ok(url) = found {
            prop_assert_eq!(url.host(), Some(Host::Ipv4(Ipv4Addr::from_bits(ip))));
        }
    }

    #[test]
    fn no_form_of_an_ipv6_address_changes_the_verdict(ip in any_v6(), how in 0..4u8) {
        let ip_addr = IpAddr::V6(Ipv6Addr::from_bits(ip));
        prop_assert_eq!(OPEN.check_ip(ip_addr).is_ok(), is_open(ip_addr), "{}", ip_addr);
        let host = spelled_v6(ip, how);
        let found = OPEN.check(&format!("http://[{host}]/a"));
        prop_assert_eq!(found.map(drop), OPEN.check_ip(ip_addr), "{}", host);
    }

    #[test]
    fn no_text_breaks_the_policy_and_what_passes_passes_again_as_it_was_read(
        head in prop::sample::select(vec!["", "http://", "https://", "https:", "http:/", "//", "https://a.b@", "http://["]),
        text in "(?s).{0,60}",
        tail in prop::sample::select(vec!["", "/a", ":80/", "]/", "@127.0.0.1/", ".example.com/"]),
    ) {
        let Ok(url) = OPEN.check(&format!("{head}{text}{tail}")) else { return Ok(()) };
        prop_assert_eq!(OPEN.check(url.as_str()), Ok(url.clone()));
        match url.host() {
            Some(Host::Ipv4(ip)) => prop_assert!(is_open(ip.into())),
            Some(Host::Ipv6(ip)) => prop_assert!(is_open(ip.into())),
            Some(Host::Domain(name)) => prop_assert!(name.parse::<IpAddr>().is_err()),
            None => prop_assert!(false, "{} has no host", url),
        }
    }
}
