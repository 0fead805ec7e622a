//! Why a request got no response: a code for programs, words for people. One reading of the errors of hyper, rustls and
//! the system, for everything that is fetched or posted.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use crate::policy::BlockedAddress;

/// Why an address gave no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The policy does not let it through.
    #[error("the address is blocked: {0}")]
    Blocked(#[from] BlockedAddress),
    /// Its name has no address, or no name server answers.
    #[error("the host name does not resolve")]
    NameNotResolved,
    /// Nothing listens there.
    #[error("the connection was refused: nothing listens on that port")]
    ConnectionRefused,
    /// There is no way there.
    #[error("the host cannot be reached: there is no route to it")]
    NoRoute,
    /// The other side closed the connection before its response was complete.
    #[error("the connection was closed before the response was complete")]
    ConnectionClosed,
    /// It took too long.
    #[error("timed out")]
    TimedOut,
    /// The server's certificate is not accepted.
    #[error(transparent)]
    Certificate(CertificateFault),
    /// What answers there does not speak TLS.
    #[error("the server does not speak TLS on that port")]
    NotTls,
    /// No TLS that both sides can do.
    #[error("the TLS handshake failed: {0}")]
    Tls(TlsFault),
    /// The operator's proxy.
    #[error(transparent)]
    Proxy(ProxyFault),
    /// The response is not HTTP.
    #[error("the response is not valid HTTP")]
    NotHttp,
    /// Nothing that is known here by name.
    #[error("the connection failed")]
    Other,
}

/// What is wrong with a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// Its time is over.
    #[error("the server's certificate has expired")]
    Expired,
    /// Its time has not come; or this machine's clock is wrong.
    #[error("the server's certificate is not valid yet")]
    NotYetValid,
    /// It names other hosts.
    #[error("the server's certificate is for another name")]
    WrongName,
    /// Nobody that this machine trusts has signed it.
    #[error(
        "the server's certificate is self-signed, or its issuer is not trusted (is an intermediate certificate missing?)"
    )]
    Untrusted,
    /// Its issuer has revoked it.
    #[error("the server's certificate was revoked")]
    Revoked,
    /// It breaks a rule.
    #[error("the server's certificate is not valid")]
    Invalid,
}

/// Why two sides find no TLS that both can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// No common version, cipher or the like: old servers.
    #[error("the server offers no version or cipher that is supported here (TLS 1.2 and 1.3 are)")]
    Unsupported,
    /// The server ended it with an alert, such as one who wants a client certificate or knows no such name.
    #[error("the server refused it")]
    Refused,
    /// Anything else.
    #[error("the server broke the protocol")]
    Broken,
}

/// What is wrong with the way by the operator's proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    /// It is not there.
    #[error("the proxy (egress.proxy) cannot be reached")]
    Unreachable,
    /// It wants a user and a password, or others.
    #[error("the proxy (egress.proxy) asks for another user or password: it answers 407")]
    Unauthorized,
    /// It does not connect to this address.
    #[error("the proxy (egress.proxy) does not connect to the address: it answers {0}")]
    Refused(u16),
    /// It does not connect to this address; what it answered is not known.
    #[error("the proxy (egress.proxy) does not connect to the address")]
    Declined,
    /// It did not answer in time.
    #[error("the proxy (egress.proxy) did not answer in time")]
    TimedOut,
    /// It does not speak HTTP.
    #[error("the proxy (egress.proxy) broke the connection, or does not speak HTTP")]
    Broken,
}

impl Failure {
    /// A stable code, `snake_case`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Blocked(_) => "blocked_address",
            Self::NameNotResolved => "name_not_resolved",
            Self::ConnectionRefused => "connection_refused",
            Self::NoRoute => "no_route",
            Self::ConnectionClosed => "connection_closed",
            Self::TimedOut => "timed_out",
            Self::Certificate(CertificateFault::Expired) => "certificate_expired",
            Self::Certificate(CertificateFault::NotYetValid) => "certificate_not_yet_valid",
            Self::Certificate(CertificateFault::WrongName) => "certificate_wrong_name",
            Self::Certificate(CertificateFault::Untrusted) => "certificate_untrusted",
            Self::Certificate(CertificateFault::Revoked) => "certificate_revoked",
            Self::Certificate(CertificateFault::Invalid) => "certificate_invalid",
            Self::NotTls => "not_tls",
            Self::Tls(_) => "tls_failed",
            Self::Proxy(ProxyFault::Unreachable) => "proxy_unreachable",
            Self::Proxy(ProxyFault::Unauthorized) => "proxy_unauthorized",
            Self::Proxy(ProxyFault::Refused(_) | ProxyFault::Declined) => "proxy_refused",
            Self::Proxy(ProxyFault::TimedOut) => "proxy_timed_out",
            Self::Proxy(ProxyFault::Broken) => "proxy_failed",
            Self::NotHttp => "not_http",
            Self::Other => "connection_failed",
        }
    }

    /// Finds what is known by name in an error and what caused it.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let all: Vec<_> = causes(error).collect();
        if let Some(fault) = all.iter().find_map(|cause| of_tunnel(*cause)) {
            return Self::Proxy(fault);
        }
        let first =
            |read: fn(&(dyn Error + 'static)) -> Option<Self>| all.iter().find_map(|cause| read(*cause));
        first(own)
            .or_else(|| first(of_tls))
            .or_else(|| first(of_system))
            .or_else(|| first(of_http))
            .unwrap_or(Self::Other)
    }
}

/// An error, and what caused it; also what an error of the system wraps, which does not name itself as a cause.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| cause.source())
    })
}

fn own(cause: &(dyn Error + 'static)) -> Option<Failure> {
    cause.downcast_ref::<Failure>().cloned()
}

/// What the proxy did of a client that asks it by itself, reqwest: its errors have no names that could be asked for.
fn of_tunnel(cause: &(dyn Error + 'static)) -> Option<ProxyFault> {
    let words = cause.to_string();
    Some(match words.strip_prefix("tunnel error: ")? {
        "proxy authorization required" => ProxyFault::Unauthorized,
        "failed to create underlying connection" => ProxyFault::Unreachable,
        "unsuccessful" => ProxyFault::Declined,
        _ => ProxyFault::Broken,
    })
}

fn of_tls(cause: &(dyn Error + 'static)) -> Option<Failure> {
    Some(match cause.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(error) => Failure::Certificate(CertificateFault::of(error)),
        rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } => Failure::NotTls,
        rustls::Error::PeerIncompatible(_) => Failure::Tls(TlsFault::Unsupported),
        rustls::Error::AlertReceived(
            rustls::AlertDescription::ProtocolVersion | rustls::AlertDescription::HandshakeFailure,
        ) => Failure::Tls(TlsFault::Unsupported),
        rustls::Error::AlertReceived(_) => Failure::Tls(TlsFault::Refused),
        _ => Failure::Tls(TlsFault::Broken),
    })
}

fn of_system(cause: &(dyn Error + 'static)) -> Option<Failure> {
    let error = cause.downcast_ref::<io::Error>()?;
    match error.kind() {
        io::ErrorKind::TimedOut => Some(Failure::TimedOut),
        io::ErrorKind::ConnectionRefused => Some(Failure::ConnectionRefused),
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => Some(Failure::NoRoute),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Some(Failure::ConnectionClosed),
        _ => None,
    }
}

fn of_http(cause: &(dyn Error + 'static)) -> Option<Failure> {
    let error = cause.downcast_ref::<hyper::Error>()?;
    if error.is_parse() {
        Some(Failure::NotHttp)
    } else if error.is_timeout() {
        Some(Failure::TimedOut)
    } else {
        (error.is_incomplete_message() || error.is_closed() || error.is_canceled())
            .then_some(Failure::ConnectionClosed)
    }
}

impl CertificateFault {
    fn of(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            // A signature by another key is one of somebody who only has a known issuer's name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Untrusted,
            CertificateError::Revoked => Self::Revoked,
            // What `openssl req -x509` makes: a certificate that is its own authority.
            CertificateError::Other(other) if is_own_authority(&*other.0) => Self::Untrusted,
            _ => Self::Invalid,
        }
    }
}

fn is_own_authority(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    matches!(error.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity))
}
