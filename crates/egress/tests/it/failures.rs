//! Every way in which a server gives no response has a code of its own, whatever library notices it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, date_time_ymd};
use songmill_egress::{AddressPolicy, Settings, SystemNames};
use tokio::net::TcpListener;

use crate::servers::{ALL, Authority, Names, ask, nowhere, open, sealed, self_signed};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const NAME: &str = "hooks.example.com";

fn named(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

/// What is said of a server that is asked by its name.
async fn code(authority: &Authority, port: u16) -> (&'static str, String) {
    let client = authority.client(ALL, &Settings::default(), Names::of(&["127.0.0.1"]));
    match ask(&client, &format!("https://{NAME}:{port}/a")).await {
        Ok(status) => ("answered", status.to_string()),
        Err(failure) => (failure.code(), failure.to_string()),
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said() {
    let (authority, nobody) = (Authority::new("trusted"), Authority::new("nobody"));
    let namesake = Authority::new("trusted");
    let (mut expired, mut early, mut own_authority) = (named(NAME), named(NAME), named(NAME));
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
    (early.not_before, early.not_after) = (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1));
    // As `openssl req -x509` makes it.
    own_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for (config, expected, words) in [
        (authority.signed(&named(NAME)), "answered", "200"),
        (authority.signed(&expired), "certificate_expired", "expired"),
        (authority.signed(&early), "certificate_not_yet_valid", "not valid yet"),
        (authority.signed(&named("other.example.com")), "certificate_wrong_name", "another name"),
        (nobody.signed(&named(NAME)), "certificate_untrusted", "not trusted"),
        (namesake.signed(&named(NAME)), "certificate_untrusted", "not trusted"),
        (self_signed(&named(NAME)), "certificate_untrusted", "self-signed"),
        (self_signed(&own_authority), "certificate_untrusted", "self-signed"),
    ] {
        let (port, asked) = sealed(config, OK).await;
        let (code, said) = code(&authority, port).await;
        assert_eq!(code, expected, "{said}");
        assert!(said.contains(words), "{code}: {said}");
        assert_eq!(asked.lock().unwrap().len(), usize::from(expected == "answered"), "{code}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_connection_is_said() {
    let authority = Authority::new("trusted");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closes = closing.local_addr().unwrap().port();
    tokio::spawn(async move { while closing.accept().await.is_ok() {} });
    // Whoever wants a certificate of us says so with an alert.
    let wants = authority.wants_certificates(&named(NAME));
    let garbage = authority.signed(&named(NAME));
    for (port, expected) in [
        (nowhere().await, "connection_refused"),
        (silent.local_addr().unwrap().port(), "timed_out"),
        (closes, "connection_closed"),
        (open(OK).await.0, "not_tls"),
        (sealed(garbage, "SSH-2.0-OpenSSH_9.2\r\n\r\n").await.0, "not_http"),
        (sealed(authority.signed(&named(NAME)), "").await.0, "connection_closed"),
        (sealed(wants, OK).await.0, "tls_failed"),
    ] {
        let (code, said) = code(&authority, port).await;
        assert_eq!(code, expected, "{said}");
    }
    drop(silent);
}

#[tokio::test]
async fn names_and_addresses_that_lead_nowhere_are_said_to() {
    let authority = Authority::new("trusted");
    let client = |policy, names| authority.client(policy, &Settings::default(), names);
    let nobody = ask(&client(ALL, Names::of(&[])), "https://gone.example.com/a").await.unwrap_err();
    assert_eq!(
        (nobody.code(), nobody.to_string().as_str()),
        ("name_not_resolved", "the host name does not resolve")
    );
    let system = authority.client(ALL, &Settings::default(), Arc::new(SystemNames));
    let invalid = ask(&system, "https://no-such-name.invalid/a").await.unwrap_err();
    assert!(["name_not_resolved", "timed_out"].contains(&invalid.code()), "{invalid}");
    let inside = client(AddressPolicy::default(), Names::of(&["93.184.216.34", "10.0.0.7"]));
    let blocked = ask(&inside, "https://hooks.example.com/a").await.unwrap_err();
    assert_eq!(blocked.code(), "blocked_address");
    let words = blocked.to_string();
    assert!(
        words.contains("its name leads into a private network") && !words.contains("10.0.0.7"),
        "{words}"
    );
}
