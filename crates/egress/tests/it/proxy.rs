//! An outgoing proxy that writes down what it is asked.

use rcgen::CertificateParams;
use songmill_egress::{AddressPolicy, Client, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::servers::{ALL, Asked, Authority, Names, SOON, ask, nowhere, open, sealed};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const NAME: &str = "cdn.example.com";

/// What a proxy does when it is asked.
#[derive(Clone, Copy)]
enum Does {
    /// Connects, to this port of this machine if it is not what it was asked for.
    Connect(Option<u16>),
    /// Refuses the first so many addresses, and connects to the next one.
    RefuseFirst(usize),
    /// Answers this, and hangs up.
    Answer(&'static str),
    Hang,
}

/// Its port, and what it was asked.
async fn proxy(does: Does) -> (u16, Asked) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, asked) = (socket.local_addr().unwrap().port(), Asked::default());
    let kept = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            tokio::spawn(serve(stream, does, kept.clone()));
        }
    });
    (port, asked)
}

async fn serve(mut stream: TcpStream, does: Does, asked: Asked) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let to = head.split(' ').nth(1).unwrap().to_owned();
    let before = asked.lock().unwrap().len();
    asked.lock().unwrap().push(head);
    let port = to.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let port = match does {
        Does::Connect(instead) => instead.unwrap_or(port),
        Does::RefuseFirst(count) if before >= count => port,
        Does::RefuseFirst(_) => {
            stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\nno\n").await.unwrap();
            return;
        }
        Does::Answer(text) => {
            stream.write_all(text.as_bytes()).await.unwrap();
            return;
        }
        Does::Hang => return std::future::pending().await,
    };
    let mut there = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut there).await;
}

fn settings(text: &str) -> Settings {
    toml::from_str(text).unwrap()
}

fn by(port: u16) -> Settings {
    settings(&format!("proxy = 'http://127.0.0.1:{port}'"))
}

fn named() -> CertificateParams {
    CertificateParams::new([NAME.to_owned()]).unwrap()
}

#[tokio::test]
async fn the_proxy_sees_the_address_that_was_checked_and_the_server_its_name() {
    let authority = Authority::new("trusted");
    let (server, asked) = sealed(authority.signed(&named()), OK).await;
    let (port, seen) = proxy(Does::Connect(Some(server))).await;
    // The address is public, and checked by the strictest policy: the proxy alone knows where it leads here.
    let client = authority.client(AddressPolicy::default(), &by(port), Names::of(&["93.184.216.34"]));
    assert_eq!(ask(&client, &format!("https://{NAME}/song.mp3?sig=secret")).await, Ok(200));
    assert_eq!(
        *seen.lock().unwrap(),
        ["CONNECT 93.184.216.34:443 HTTP/1.1\r\nHost: 93.184.216.34:443\r\n\r\n"]
    );
    let asked = asked.lock().unwrap()[0].to_lowercase();
    assert!(asked.starts_with("get /song.mp3?sig=secret http/1.1\r\n"), "{asked}");
    assert!(asked.contains("host: cdn.example.com\r\n"), "{asked}");
    // Without TLS, too, and to addresses of the newer kind.
    let (server, asked) = open(OK).await;
    let (port, seen) = proxy(Does::Connect(Some(server))).await;
    let client = authority.client(ALL, &by(port), Names::of(&["2606:2800:220:1::1"]));
    assert_eq!(ask(&client, &format!("http://{NAME}/a")).await, Ok(200));
    assert!(seen.lock().unwrap()[0].starts_with("CONNECT [2606:2800:220:1::1]:80 HTTP/1.1\r\n"));
    assert!(asked.lock().unwrap()[0].starts_with("GET /a HTTP/1.1\r\n"), "it is asked as without a proxy");
}

#[tokio::test]
async fn what_is_blocked_is_not_asked_of_the_proxy_either() {
    let authority = Authority::new("trusted");
    let (port, seen) = proxy(Does::Hang).await;
    let names = Names::of(&["93.184.216.34", "169.254.169.254"]);
    let client = authority.client(AddressPolicy::default(), &by(port), names);
    assert_eq!(ask(&client, &format!("https://{NAME}/a")).await.unwrap_err().code(), "blocked_address");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn it_is_told_who_asks_and_passed_by_for_hosts_that_need_none() {
    let authority = Authority::new("trusted");
    let (server, asked) = open(OK).await;
    let (port, seen) = proxy(Does::Connect(Some(server))).await;
    let known = settings(&format!("proxy = 'http://me:p%40ss@127.0.0.1:{port}'"));
    assert!(!format!("{known:?}{}", toml::to_string(&known).unwrap()).contains("p%40ss"), "{known:?}");
    let client = authority.client(ALL, &known, Names::of(&["127.0.0.1"]));
    assert_eq!(ask(&client, &format!("http://{NAME}:{server}/a")).await, Ok(200));
    assert!(seen.lock().unwrap()[0].contains("\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n"), "{seen:?}");
    for (entry, host, direct) in [
        ("example.com", NAME, true),
        (".example.com", NAME, true),
        ("*.EXAMPLE.com", NAME, true),
        ("cdn.example.com", NAME, true),
        ("dn.example.com", NAME, false),
        ("example.com.evil", NAME, false),
        ("127.0.0.1", "127.0.0.1", true),
        ("127.0.0.0/8", "127.0.0.1", true),
        ("10.0.0.0/8", "127.0.0.1", false),
        ("127.0.0.1", NAME, false),
        ("*", NAME, true),
    ] {
        let some = settings(&format!("proxy = 'http://127.0.0.1:{port}'\nno_proxy = ['{entry}']"));
        let client = authority.client(ALL, &some, Names::of(&["127.0.0.1"]));
        seen.lock().unwrap().clear();
        assert_eq!(ask(&client, &format!("http://{host}:{server}/a")).await, Ok(200));
        assert_eq!(seen.lock().unwrap().is_empty(), direct, "{entry} {host}");
    }
    assert_eq!(asked.lock().unwrap().len(), 12);
}

#[tokio::test]
async fn a_proxy_that_does_not_do_it_is_named() {
    const NO_KEY: &str = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nforbidden";
    let authority = Authority::new("trusted");
    let client = |port: u16| -> Client { authority.client(ALL, &by(port), Names::of(&["127.0.0.1"])) };
    for (does, code, words) in [
        (Does::Answer(NO_KEY), "proxy_unauthorized", "407"),
        (Does::Answer(FORBIDDEN), "proxy_refused", "403"),
        (Does::Answer("SSH-2.0-OpenSSH_9.2\r\n"), "proxy_failed", "does not speak HTTP"),
        (Does::Answer(""), "proxy_failed", "egress.proxy"),
        (Does::Hang, "proxy_timed_out", "in time"),
    ] {
        let (port, _) = proxy(does).await;
        let begun = std::time::Instant::now();
        let failure = ask(&client(port), &format!("https://{NAME}/a")).await.unwrap_err();
        assert_eq!(failure.code(), code, "{failure}");
        assert!(failure.to_string().contains(words), "{failure}");
        assert!(begun.elapsed() < SOON * 4, "{failure}");
    }
    let gone = ask(&client(nowhere().await), &format!("https://{NAME}/a")).await.unwrap_err();
    assert_eq!(gone.code(), "proxy_unreachable");
}

#[tokio::test]
async fn another_address_of_a_name_is_asked_for_when_the_first_cannot_be_had() {
    let authority = Authority::new("trusted");
    let (server, _) = open(OK).await;
    let (port, seen) = proxy(Does::RefuseFirst(1)).await;
    let client = authority.client(ALL, &by(port), Names::of(&["93.184.216.34", "127.0.0.1"]));
    assert_eq!(ask(&client, &format!("http://{NAME}:{server}/a")).await, Ok(200));
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[test]
fn what_is_no_proxy_is_refused_without_being_quoted() {
    for bad in [
        "https://me:hunter2@proxy:3128",
        "socks5://me:hunter2@proxy",
        "hunter2",
        "http://me:hunter2@proxy/path",
        "http://",
    ] {
        let error = toml::from_str::<Settings>(&format!("proxy = '{bad}'")).unwrap_err();
        let message = error.message();
        assert!(message.contains("http://host:port") && !message.contains("hunter2"), "{message}");
    }
    for bad in ["10.0.0.0/33", "https://example.com", "a b", ""] {
        assert!(toml::from_str::<Settings>(&format!("no_proxy = ['{bad}']")).is_err(), "{bad}");
    }
}
