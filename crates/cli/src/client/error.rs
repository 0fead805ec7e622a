//! What can go wrong with a server, in our own words: no library's error reaches a person.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use axum::http::StatusCode;
use rustls::CertificateError;

use super::connect::CONNECT;

/// What a request changes at the server, and so what to do when its answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    /// Nothing.
    Nothing,
    /// It submits lines, which are known when they are submitted again.
    Lines,
    /// Something.
    Something,
}

/// A server that does not answer as it should.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what} ({server})")]
pub(crate) struct ServerError {
    server: String,
    changes: Changes,
    what: What,
}

/// What is wrong.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum What {
    /// There is no connection.
    #[error("cannot connect to the server: {0}")]
    Unreachable(String),
    /// The connection ended without an answer.
    #[error("the server closed the connection before it answered")]
    Closed,
    /// The connection ended within the answer.
    #[error("the server closed the connection in the middle of its answer")]
    Cut,
    /// What is to be sent cannot be read.
    #[error("the input cannot be read to its end: {0}")]
    Input(String),
    /// Nothing came.
    #[error("the server has not answered for {} s", .0.as_secs())]
    Silent(Duration),
    /// What answers is no web server.
    #[error("what answers does not speak HTTP")]
    NotHttp,
    /// It refuses, and not as the API does.
    #[error("the server refuses the request with {}: {}", .0.as_u16(), refusal(.0, .1.as_deref()))]
    Refusal(StatusCode, Option<String>),
    /// It answers with something that the API does not.
    #[error("the server answered with {0}, which is no answer of the API")]
    Unexpected(&'static str),
    /// It acknowledged, or sent, only a part.
    #[error("{0}")]
    Partial(String),
    /// It has moved.
    #[error("the server redirects to {0}")]
    Moved(String),
}

impl What {
    /// At this server, by a request that changes this.
    pub(crate) fn at(self, server: &str, changes: Changes) -> ServerError {
        ServerError { server: server.to_owned(), changes, what: self }
    }
}

impl ServerError {
    /// What to do next.
    pub(crate) fn hint(&self) -> &'static str {
        match (&self.what, self.changes) {
            (What::Input(_), _) => "is it a file that can be read?",
            (What::Unreachable(_), _) => "is `songmill serve api` running there, and is --server right?",
            (What::Moved(_), _) => "give that address to --server",
            (What::Refusal(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _), _) => {
                "is SONGMILL_KEY set to a key of this server?"
            }
            (What::NotHttp | What::Unexpected(_) | What::Refusal(..), Changes::Nothing) => WRONG_SERVER,
            (_, Changes::Nothing) => "run the command again; if it fails again, see the server's log",
            (_, Changes::Lines) => "submit the same file again: lines that are known are not submitted twice",
            (_, Changes::Something) => "it may have been done: check before you run the command again",
        }
    }

    /// The exit code: 1 failed, 2 refused, 3 partly done, 4 no server there.
    pub(crate) fn exit_code(&self) -> u8 {
        match &self.what {
            What::Unreachable(_) | What::Closed | What::Cut | What::Silent(_) => 4,
            What::Refusal(status, _) => refused_code(status.as_u16()),
            What::Partial(_) => 3,
            What::Input(_) | What::Moved(_) => 2,
            What::NotHttp | What::Unexpected(_) => 1,
        }
    }

    /// The same, with the reason that was given.
    pub(super) fn because(self, said: String) -> Self {
        match self.what {
            What::Refusal(status, _) => Self { what: What::Refusal(status, Some(said)), ..self },
            what => Self { what, ..self },
        }
    }
}

const WRONG_SERVER: &str = "is --server the address of a Songmill API, and are both of the same version?";

/// The exit code for a status that says no.
pub(crate) fn refused_code(status: u16) -> u8 {
    match status {
        408 | 429 | 502..=504 => 4,
        400..500 => 2,
        _ => 1,
    }
}

fn refusal(status: &StatusCode, said: Option<&str>) -> String {
    if let Some(said) = said {
        return said.to_owned();
    }
    let why = match *status {
        StatusCode::UNAUTHORIZED => "the key is missing or not valid",
        StatusCode::FORBIDDEN => "the key does not allow it",
        StatusCode::PAYLOAD_TOO_LARGE => "it is too large",
        StatusCode::TOO_MANY_REQUESTS => "there are too many requests",
        _ => return status.canonical_reason().unwrap_or("it gives no reason").to_lowercase(),
    };
    why.to_owned()
}

/// Why there was no answer.
pub(super) fn lost(error: &hyper_util::client::legacy::Error) -> What {
    // For who looks into it with -v.
    tracing::debug!(?error, "no answer");
    if error.is_connect() {
        return What::Unreachable(why(error));
    }
    let of_http = |is: fn(&hyper::Error) -> bool| {
        causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(is)
    };
    if of_http(hyper::Error::is_user) {
        let io = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
        return What::Input(io.map_or_else(|| "it breaks off".to_owned(), ToString::to_string));
    }
    if of_http(hyper::Error::is_parse) { What::NotHttp } else { What::Closed }
}

/// Why there is no connection.
fn why(error: &(dyn Error + 'static)) -> String {
    causes(error).find_map(known).unwrap_or_else(|| "the connection failed".into())
}

fn known(cause: &(dyn Error + 'static)) -> Option<String> {
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        let words = match tls {
            rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => "its certificate has expired",
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => "its certificate is for another name",
            rustls::Error::InvalidCertificate(_) => "its certificate is not trusted here",
            _ => "TLS failed; does it speak https?",
        };
        return Some(words.into());
    }
    let io = cause.downcast_ref::<io::Error>()?;
    let words = match io.kind() {
        ErrorKind::ConnectionRefused => "nothing listens there",
        ErrorKind::TimedOut => return Some(format!("no connection within {} s", CONNECT.as_secs())),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "there is no route to it",
        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => "it closed the connection at once",
        // The resolver's errors have no kind of their own.
        _ if io.to_string().contains("lookup address") => "its name is not known",
        _ => return None,
    };
    Some(words.into())
}

/// An error and what lies below it, also what an IO error holds.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let below = |error: &&'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        let error: &'a (dyn Error + 'static) = *error;
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match held {
            Some(held) => Some(held),
            None => error.source(),
        }
    };
    std::iter::successors(Some(error), below)
}
