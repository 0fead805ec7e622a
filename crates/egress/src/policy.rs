//! The policy: which addresses may be connected to.
//!
//! Addresses come from vendors and customers and are not trusted. Hosts that are numbers are checked as they stand, names
//! when they are resolved (see [`crate::Resolver`]); every redirect is checked anew.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use percent_encoding::{AsciiSet, percent_encode};
use url::{Host, Url};

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Whether `http:` is allowed.
    pub allow_http: bool,
    /// Whether private networks are allowed.
    pub allow_private: bool,
}

/// Why an address is blocked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockedAddress {
    /// It is none.
    #[error("address is not valid")]
    Invalid,
    /// Its scheme is not allowed.
    #[error("{0}: addresses are not fetched")]
    Scheme(String),
    /// It carries a user or password.
    #[error("address carries credentials")]
    Credentials,
    /// Its port is one of another service than the web.
    #[error("port {0} is not one of the web")]
    Port(u16),
    /// It leads from `https:` to something else.
    #[error("address leads away from https")]
    Unsealed,
    /// Its name is one that only a private network has.
    #[error("{0} is a name of private networks")]
    Local(String),
    /// It leads into a private network.
    #[error("{0} is in a private network")]
    Private(IpAddr),
    /// Its name leads into a private network; where is not said to whoever named it, who may be anybody.
    #[error("its name leads into a private network")]
    Leads,
}

impl AddressPolicy {
    /// Checks an address as it stands; a name is checked when it is resolved. It is read as browsers read it: blanks,
    /// brackets, letters of any script and percent signs that encode nothing are part of it.
    pub fn check(&self, text: &str) -> Result<Url, BlockedAddress> {
        let text = plain(text)?;
        let url = Url::parse(text).map_err(|_| BlockedAddress::Invalid)?;
        self.check_url(&url)?;
        Ok(url)
    }

    /// Checks where an address leads on to, as it stands in a header: in bytes of any encoding.
    pub fn follow(&self, from: &Url, to: &[u8]) -> Result<Url, BlockedAddress> {
        let to = text(to);
        let url = from.join(plain(&to)?).map_err(|_| BlockedAddress::Invalid)?;
        self.check_url(&url)?;
        if from.scheme() == "https" && url.scheme() != "https" {
            return Err(BlockedAddress::Unsealed);
        }
        Ok(url)
    }

    fn check_url(&self, url: &Url) -> Result<(), BlockedAddress> {
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            scheme => return Err(BlockedAddress::Scheme(scheme.to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BlockedAddress::Credentials);
        }
        match url.host() {
            None | Some(Host::Domain("")) => return Err(BlockedAddress::Invalid),
            Some(Host::Domain(name)) if !self.allow_private && is_local(name) => {
                return Err(BlockedAddress::Local(name.to_owned()));
            }
            Some(Host::Domain(_)) => {}
            Some(Host::Ipv4(ip)) => self.check_ip(ip.into())?,
            Some(Host::Ipv6(ip)) => self.check_ip(ip.into())?,
        }
        match url.port() {
            Some(port) if !self.allow_private && port < PORTS && port != 80 && port != 443 => {
                return Err(BlockedAddress::Port(port));
            }
            _ => {}
        }
        // The clients read addresses, too: what they do not take is none.
        uri(url).map(drop).ok_or(BlockedAddress::Invalid)
    }

    /// Checks where a name leads.
    pub fn check_ip(&self, ip: IpAddr) -> Result<(), BlockedAddress> {
        if self.allow_private || is_public(ip) { Ok(()) } else { Err(BlockedAddress::Private(ip)) }
    }
}

/// Ports below are other services', but for the web's two: mail, shells, files.
const PORTS: u16 = 1024;
/// Top-level domains that no public name has.
const LOCAL: [&str; 5] = ["arpa", "internal", "local", "localdomain", "localhost"];

/// Programs read backslashes and control characters in many ways; honest addresses have none, but for what was left at
/// their end, and in a query, where they mean nothing.
fn plain(text: &str) -> Result<&str, BlockedAddress> {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() && !c.is_control());
    let text = text.trim_end();
    let (before, query) = text.split_once(['?', '#']).unwrap_or((text, ""));
    let is_odd =
        before.contains('\\') || before.contains(char::is_control) || query.contains(char::is_control);
    if is_odd { Err(BlockedAddress::Invalid) } else { Ok(text) }
}

/// What a header says, as text. Bytes that are no UTF-8 are the server's own, and stay what they are.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => percent_encode(bytes, &AsciiSet::EMPTY).into(),
    }
}

/// An address with its path and query as they were written, where nothing in them must be encoded and it leads to the
/// same place: a signature is over each of their bytes, and browsers' reading of dots and quotes would break it.
pub fn as_written(address: &[u8], url: &Url) -> Option<Uri> {
    let address = address.trim_ascii();
    let may_stand = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(byte);
    let written = Uri::try_from(address).ok().filter(|_| address.iter().all(may_stand))?;
    let read = uri(url)?;
    let port = |uri: &Uri| uri.port_u16().or(url.port_or_known_default());
    let is_same = written.scheme() == read.scheme()
        && written.host().zip(read.host()).is_some_and(|(own, known)| own.eq_ignore_ascii_case(known))
        && port(&written) == port(&read);
    if !is_same {
        return None;
    }
    let mut parts = read.into_parts();
    parts.path_and_query = written.into_parts().path_and_query;
    Uri::from_parts(parts).ok()
}

/// An address as the client that fetches takes it. Paths and queries are taken as browsers write them; hosts that no name
/// server knows are not, nor what is longer than 64 KiB.
pub fn uri(url: &Url) -> Option<Uri> {
    Uri::try_from(url.as_str()).ok()
}

/// Names without a dot are completed with whatever domain this machine is in.
fn is_local(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.rsplit_once('.').is_none_or(|(_, top)| LOCAL.contains(&top))
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// Looks public, but inside Azure it is the host that machines get their secrets from.
const AZURE_HOST: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        || ip == AZURE_HOST)
}

/// Only the global unicast block 2000::/3, without the parts of it that carry other networks inside.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(ip) {
        return is_public_v4(inner);
    }
    let [a, b, ..] = ip.segments();
    let documentation = (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000);
    // 2001::/23 is for protocols: Teredo, benchmarking, ORCHID. 2002::/16 is 6to4.
    let protocols = (a == 0x2001 && b < 0x0200) || a == 0x2002;
    (0x2000..0x4000).contains(&a) && !documentation && !protocols
}

/// The IPv4 address inside a mapped or translated (64:ff9b::/96) one, the two kinds that are in use.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    if !matches!((a, b, c, d, e, f), (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0)) {
        return None;
    }
    Some(Ipv4Addr::from_bits(u32::from(g) << 16 | u32::from(h)))
}

#[cfg(test)]
mod tests;
