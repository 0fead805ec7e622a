//! The outgoing proxy: `http://[user:password@]host:port`, asked by CONNECT.
//!
//! Names are resolved and checked here, and the proxy is asked for the address that was checked: it never learns the name
//! from us before TLS, and cannot be led elsewhere by it.

use std::net::{IpAddr, SocketAddr};
use std::{fmt, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::failure::{Failure, ProxyFault};

/// What leaves this house, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The proxy for vendors, audio and webhooks: `http://[user:password@]host:port`; empty for none.
    pub proxy: ProxyUrl,
    /// Hosts that are connected to without it: names (with all below them), addresses, networks such as `10.0.0.0/8`, or `*`.
    pub no_proxy: Vec<DirectHost>,
}

/// The address of a proxy. Its password is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxyUrl(Option<Url>);

/// Why a text is no address of a proxy. It does not quote the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the address of a proxy; write http://host:port, or http://user:password@host:port with %-encoded characters"
)]
pub struct BadProxy;

impl std::str::FromStr for ProxyUrl {
    type Err = BadProxy;

    fn from_str(text: &str) -> Result<Self, BadProxy> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self(None));
        }
        let url = Url::parse(text).map_err(|_| BadProxy)?;
        let is_plain = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        if url.scheme() == "http" && is_plain && has_host { Ok(Self(Some(url))) } else { Err(BadProxy) }
    }
}

impl ProxyUrl {
    /// The whole address, with its password; none where there is no proxy.
    pub fn expose(&self) -> Option<&str> {
        self.0.as_ref().map(Url::as_str)
    }
}

/// Without the password.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(url) = &self.0 else { return Ok(()) };
        let mut shown = url.clone();
        if url.password().is_some() {
            // It has a host, so it can have a password.
            let _ = shown.set_password(Some("***"));
        }
        f.write_str(shown.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

impl Serialize for ProxyUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ProxyUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A proxy, ready to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    host: String,
    port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<Authorization>,
    direct: Vec<Direct>,
}

#[derive(Clone)]
struct Authorization(String);

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(***)")
    }
}

/// A host that is connected to without the proxy, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DirectHost {
    text: String,
    rule: Direct,
}

/// What is connected to without the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Direct {
    All,
    /// A name, and all below it.
    Name(String),
    /// The addresses whose first bits are these.
    Net(IpAddr, u8),
}

/// No head of a proxy's answer is longer.
const HEAD: usize = 16 << 10;
/// Addresses of a name that a proxy is asked for, one after the other.
const TRIES: usize = 4;

impl Settings {
    /// The proxy, where there is one.
    pub(crate) fn proxy(&self) -> Option<Proxy> {
        let url = self.proxy.0.as_ref()?;
        let host = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
        let authorization = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let pair = [decoded(url.username()), decoded(url.password().unwrap_or_default())].join(&b':');
            Authorization(format!("Basic {}", STANDARD.encode(pair)))
        });
        let direct = self.no_proxy.iter().map(|host| host.rule.clone()).collect();
        Some(Proxy { host, port: url.port_or_known_default()?, authorization, direct })
    }
}

impl TryFrom<String> for DirectHost {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Direct::read(&text) {
            Some(rule) => Ok(Self { text, rule }),
            None => Err(format!(
                "{text:?} is not a host: write a name, an address, a network such as 10.0.0.0/8, or *"
            )),
        }
    }
}

impl From<DirectHost> for String {
    fn from(host: DirectHost) -> Self {
        host.text
    }
}

impl Settings {
    /// The hosts that are connected to without the proxy, as other programs write them: with commas between.
    pub fn no_proxy(&self) -> String {
        self.no_proxy
            .iter()
            .map(|host| host.text.trim().trim_start_matches("*."))
            .collect::<Vec<_>>()
            .join(",")
    }
}

impl Direct {
    fn read(entry: &str) -> Option<Self> {
        let entry = entry.trim();
        let bits = |ip: IpAddr| if ip.is_ipv4() { 32 } else { 128 };
        if entry == "*" {
            return Some(Self::All);
        }
        if let Ok(ip) = entry.trim_matches(['[', ']']).parse() {
            return Some(Self::Net(ip, bits(ip)));
        }
        if let Some((net, prefix)) = entry.split_once('/') {
            let (net, prefix) = (net.parse().ok()?, prefix.parse().ok()?);
            return (prefix <= bits(net)).then_some(Self::Net(net, prefix));
        }
        let name = entry.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase();
        let may_stand = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
        (!name.is_empty() && name.chars().all(may_stand)).then_some(Self::Name(name))
    }

    fn holds(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Name(name) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Self::Net(net, prefix) => match (host.trim_matches(['[', ']']).parse(), net) {
                (Ok(IpAddr::V4(ip)), IpAddr::V4(net)) => {
                    (ip.to_bits() ^ net.to_bits()).checked_shr(32 - u32::from(*prefix)).unwrap_or(0) == 0
                }
                (Ok(IpAddr::V6(ip)), IpAddr::V6(net)) => {
                    (ip.to_bits() ^ net.to_bits()).checked_shr(128 - u32::from(*prefix)).unwrap_or(0) == 0
                }
                _ => false,
            },
        }
    }
}

impl Proxy {
    /// Whether a host is connected to by the proxy.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        !self.direct.iter().any(|direct| direct.holds(host))
    }

    /// A connection to one of these addresses, the first that the proxy gets one to.
    pub(crate) async fn connect(&self, ips: &[IpAddr], port: u16) -> Result<TcpStream, Failure> {
        let mut last = Failure::Proxy(ProxyFault::Unreachable);
        for ip in ips.iter().take(TRIES) {
            match self.tunnel(SocketAddr::new(*ip, port)).await {
                Ok(stream) => return Ok(stream),
                Err(fault) => {
                    let is_of_address = matches!(fault, ProxyFault::Refused(_));
                    last = Failure::Proxy(fault);
                    if !is_of_address {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    async fn tunnel(&self, to: SocketAddr) -> Result<TcpStream, ProxyFault> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let mut stream = stream.map_err(|_| ProxyFault::Unreachable)?;
        let broken = |_: io::Error| ProxyFault::Broken;
        stream.set_nodelay(true).map_err(broken)?;
        let mut head = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        if let Some(Authorization(value)) = &self.authorization {
            head = format!("{head}Proxy-Authorization: {value}\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.map_err(broken)?;
        let mut answer = Vec::new();
        // Neither side behind the proxy has said anything yet: what comes is the head alone.
        while !answer.ends_with(b"\r\n\r\n") {
            let had = answer.len();
            answer.resize(had + 1024, 0);
            let read = stream.read(&mut answer[had..]).await.map_err(broken)?;
            answer.truncate(had + read);
            let refused =
                status(&answer).is_some_and(|status| !(200..300).contains(&status)) && contains_end(&answer);
            if refused {
                break;
            }
            if read == 0 || answer.len() > HEAD {
                return Err(ProxyFault::Broken);
            }
        }
        match status(&answer) {
            Some(200..=299) => Ok(stream),
            Some(407) => Err(ProxyFault::Unauthorized),
            Some(status) => Err(ProxyFault::Refused(status)),
            None => Err(ProxyFault::Broken),
        }
    }
}

fn contains_end(head: &[u8]) -> bool {
    head.windows(4).any(|part| part == b"\r\n\r\n")
}

/// The status of an answer: `HTTP/1.1 200 Connection established`.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut parts = str::from_utf8(line).ok()?.split(' ');
    parts.next().filter(|version| version.starts_with("HTTP/1."))?;
    parts.next()?.parse().ok()
}
