//! What is known of a request that got no answer: whether the vendor can have run it.

use std::error::Error;

use songmill_core::{Fault, FaultKind};
use songmill_egress::Failure;
use songmill_vendors::contract::Cost;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// Before the head of a reply came.
    Head(reqwest::Error),
    /// In the middle of a reply.
    Body(reqwest::Error),
    /// The reply is larger than this.
    TooLarge(usize),
}

impl Lost {
    /// Whether it is certain that the vendor has not run the request.
    ///
    /// Certain is what never left us: no connection, or a connection that was found closed before the request was
    /// written to it; and what HTTP/2 calls unprocessed (RFC 9113, 6.8 and 8.7): a stream that was refused, or is above
    /// the last one that a GOAWAY names, whatever its reason. Where the first byte may have been written, nothing is
    /// certain: HTTP/1 cannot tell a request that was dropped from one whose reply was.
    pub(super) fn never_ran(&self) -> bool {
        let Self::Head(error) = self else { return false };
        error.is_builder() || causes(error).any(is_unsent) || causes(error).any(is_unprocessed)
    }

    /// Whether there was no connection at all.
    pub(super) fn is_unconnected(&self) -> bool {
        matches!(self, Self::Head(error) if error.is_builder() || error.is_connect())
    }

    /// What it means for a request of this cost.
    pub(super) fn fault(&self, cost: Cost) -> Fault {
        let error = match self {
            Self::Head(error) | Self::Body(error) => error,
            Self::TooLarge(most) => {
                let words = format!("more than {most} bytes");
                return Fault::new(FaultKind::Garbled, "reply_garbled", words);
            }
        };
        let words = words(error);
        if error.is_builder() {
            return Fault::new(FaultKind::Locked, "address_invalid", words);
        }
        if self.never_ran() {
            return Fault::new(FaultKind::Unavailable, "vendor_unreachable", words);
        }
        match cost {
            Cost::Creates => Fault::new(FaultKind::Unknown, "reply_lost", words),
            Cost::Free if error.is_timeout() => Fault::new(FaultKind::Unavailable, "vendor_slow", words),
            Cost::Free => Fault::new(FaultKind::Unavailable, "vendor_unreachable", words),
        }
    }
}

/// Whether a request was never given to a connection, or given back by one that had not begun with it.
pub(super) fn is_unsent(cause: &(dyn Error + 'static)) -> bool {
    if let Some(error) = cause.downcast_ref::<hyper_util::client::legacy::Error>() {
        // It names the connection as soon as there is one for the request.
        return error.connect_info().is_none();
    }
    cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
}

/// Whether HTTP/2 says that nothing of the stream was processed. h2 ends streams with a received GOAWAY only if they are
/// above its last stream; the others go on, and end with the connection.
fn is_unprocessed(cause: &(dyn Error + 'static)) -> bool {
    let Some(error) = cause.downcast_ref::<h2::Error>().filter(|error| error.is_remote()) else {
        return false;
    };
    error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM)
}

/// An error, and what caused it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

/// What went wrong, without the address: it may carry a signature.
fn words(error: &reqwest::Error) -> String {
    if error.is_builder() {
        return "address is not valid".to_owned();
    }
    match Failure::of(error) {
        Failure::Other if error.is_timeout() => Failure::TimedOut,
        failure => failure,
    }
    .to_string()
}
