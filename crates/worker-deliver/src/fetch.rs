//! Fetching an address into a file: streamed, bounded, resumed after a cut.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use reqwest::dns::Resolve;
use rustls::ClientConfig;
use songmill_core::{Fault, FaultKind};
use url::Url;

use self::reply::sorted;
use crate::guard::{Guard, GuardedResolver, Refused, SystemNames, as_written, uri};
use crate::incoming::Incoming;
use crate::settings::Settings;

mod client;
mod coding;
mod decode;
mod framing;
mod reply;
mod taking;
mod transfer;

pub(crate) use self::client::{Client, Reply, tls};
pub(crate) use self::reply::{brings_bytes, retry_after};
pub(crate) use self::transfer::{Limits, Rest, Target};

/// Fetches untrusted addresses.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client,
    guard: Guard,
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
        let guard = Guard { allow_http: settings.allow_http, allow_private: settings.allow_private };
        let resolver = GuardedResolver { guard, names };
        Self {
            client: Client::new(resolver, tls, settings.connect_timeout.get(), window),
            guard,
            redirects: settings.redirects,
            limits: Limits::new(settings, window),
        }
    }

    /// Fetches an address into an empty file.
    pub(crate) async fn fetch(&self, url: &str, into: &mut Incoming) -> Result<(), Fault> {
        let checked = self.guard.check(url).map_err(|refused| refuse(&refused))?;
        self.limits.fetch(&Address { fetcher: self, written: url, url: checked }, into).await
    }
}

/// An address that the guard let through.
struct Address<'a> {
    fetcher: &'a Fetcher,
    written: &'a str,
    url: Url,
}

impl Target for Address<'_> {
    /// Asks, following redirects that the guard lets through.
    async fn open(&self, rest: Option<Rest<'_>>) -> Result<Reply, Fault> {
        let Fetcher { client, guard, redirects, .. } = self.fetcher;
        let mut url = self.url.clone();
        let mut written = as_written(self.written.as_bytes(), &url);
        for _ in 0..=*redirects {
            let to = written.take().or_else(|| uri(&url)).ok_or_else(|| refuse(&Refused::Invalid))?;
            let reply = client.get(to, HeaderMap::new(), rest).await?;
            let location = match reply.head.status {
                // It was not asked whether it had changed.
                StatusCode::NOT_MODIFIED => None,
                status if status.is_redirection() => reply.head.headers.get(header::LOCATION),
                _ => None,
            };
            match location.map(|to| to.as_bytes().trim_ascii()).filter(|to| !to.is_empty()) {
                Some(to) => {
                    url = guard.follow(&url, to).map_err(|refused| refuse(&refused))?;
                    written = as_written(to, &url);
                }
                None => return sorted(reply, rest.is_some()),
            }
        }
        Err(Fault::new(FaultKind::Locked, "address_refused", format!("more than {redirects} redirects")))
    }
}

/// What the guard said, where it is the cause.
pub(crate) fn refused_by_guard<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refused> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// An error, and what caused it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

fn refuse(refused: &Refused) -> Fault {
    Fault::new(FaultKind::Locked, "address_refused", refused.to_string())
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
