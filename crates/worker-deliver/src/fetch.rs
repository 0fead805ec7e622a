//! Fetching an address into a file: streamed, bounded, resumed after a cut.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use rustls::ClientConfig;
use songmill_core::{Fault, FaultKind};
use songmill_egress::{
    AddressPolicy, BlockedAddress, Client, Failure, Resolve, Resolver, Response, SystemNames, Timeouts,
    as_written, tls, uri,
};
use url::Url;

use self::reply::sorted;
use crate::incoming::Incoming;
use crate::settings::Settings;

mod coding;
mod decode;
mod framing;
mod get;
mod reply;
mod taking;
mod transfer;

pub(crate) use self::get::get;
pub(crate) use self::reply::{brings_bytes, retry_after};
pub(crate) use self::transfer::{Limits, Rest, Target};

/// Fetches untrusted addresses.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client,
    policy: AddressPolicy,
    redirects: usize,
    limits: Limits,
}

/// How long a transfer may bring nothing, and over which its speed is measured.
pub(crate) const WINDOW: Duration = Duration::from_secs(30);

impl Fetcher {
    pub(crate) fn new(settings: &Settings) -> Result<Self, rustls::Error> {
        Ok(Self::with(settings, Arc::new(SystemNames), tls()?, WINDOW))
    }

    fn with(settings: &Settings, names: Arc<dyn Resolve>, tls: ClientConfig, window: Duration) -> Self {
        let policy = settings.address_policy();
        let timeouts = Timeouts { connect: settings.connect_timeout.get(), silence: window };
        Self {
            client: Client::new(Resolver::new(policy, names), &settings.egress, tls, timeouts),
            policy,
            redirects: settings.redirects,
            limits: Limits::new(settings, window),
        }
    }

    /// Fetches an address into an empty file.
    pub(crate) async fn fetch(&self, url: &str, into: &mut Incoming) -> Result<(), Fault> {
        let checked = self.policy.check(url).map_err(|blocked| refuse(&blocked))?;
        self.limits.fetch(&Address { fetcher: self, written: url, url: checked }, into).await
    }
}

/// An address that the policy let through.
struct Address<'a> {
    fetcher: &'a Fetcher,
    written: &'a str,
    url: Url,
}

impl Target for Address<'_> {
    /// Asks, following redirects that the policy lets through.
    async fn open(&self, rest: Option<Rest<'_>>) -> Result<Response, Fault> {
        let Fetcher { client, policy, redirects, .. } = self.fetcher;
        let mut url = self.url.clone();
        let mut written = as_written(self.written.as_bytes(), &url);
        for _ in 0..=*redirects {
            let to = written.take().or_else(|| uri(&url)).ok_or_else(|| refuse(&BlockedAddress::Invalid))?;
            let reply = get(client, to, HeaderMap::new(), rest).await?;
            let location = match reply.head.status {
                // It was not asked whether it had changed.
                StatusCode::NOT_MODIFIED => None,
                status if status.is_redirection() => reply.head.headers.get(header::LOCATION),
                _ => None,
            };
            match location.map(|to| to.as_bytes().trim_ascii()).filter(|to| !to.is_empty()) {
                Some(to) => {
                    url = policy.follow(&url, to).map_err(|blocked| refuse(&blocked))?;
                    written = as_written(to, &url);
                }
                None => return sorted(reply, rest.is_some()),
            }
        }
        Err(Fault::new(FaultKind::Locked, "address_refused", format!("more than {redirects} redirects")))
    }
}

/// Why there was no answer, or no more of it.
pub(crate) fn fault(failure: &Failure) -> Fault {
    match failure {
        Failure::Blocked(blocked) => refuse(blocked),
        other => unreachable(other.to_string()),
    }
}

fn refuse(blocked: &BlockedAddress) -> Fault {
    Fault::new(FaultKind::Locked, "address_refused", blocked.to_string())
}

const UNREACHABLE: &str = "output_unreachable";

pub(crate) fn unreachable(words: String) -> Fault {
    Fault::new(FaultKind::Unavailable, UNREACHABLE, words)
}

pub(crate) fn too_large(most: u64) -> Fault {
    Fault::new(FaultKind::Locked, "output_too_large", format!("larger than {most} bytes"))
}

/// Our own disk: the operator's to mend.
pub(crate) fn no_room(error: &std::io::Error) -> Fault {
    Fault::new(FaultKind::Locked, "storage_refused", error.to_string())
}

#[cfg(test)]
mod tests;
