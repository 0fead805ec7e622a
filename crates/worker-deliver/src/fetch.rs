//! Fetching an address into a file: streamed, bounded, resumed after a cut.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Response, StatusCode, header};
use songmill_core::{Fault, FaultKind};
use url::Url;

use crate::guard::{self, Guard, Refused, SystemNames};
use crate::incoming::Incoming;
use crate::settings::Settings;

/// Fetches untrusted addresses.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: reqwest::Client,
    guard: Guard,
    redirects: usize,
    max_bytes: u64,
    timeout: Duration,
}

/// How often a cut transfer is taken up again.
const RESUMES: u32 = 2;
/// How long a transfer may bring nothing.
const SILENCE_MOST: Duration = Duration::from_secs(30);

impl Fetcher {
    pub(crate) fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        let guard = Guard { allow_http: settings.allow_http, allow_private: settings.allow_private };
        let client = guard::client(guard, Arc::new(SystemNames))
            .connect_timeout(settings.connect_timeout.get())
            .read_timeout(SILENCE_MOST)
            .build()?;
        let (redirects, max_bytes, timeout) =
            (settings.redirects, settings.max_bytes, settings.timeout.get());
        Ok(Self { client, guard, redirects, max_bytes, timeout })
    }

    /// Fetches an address into an empty file.
    pub(crate) async fn fetch(&self, url: &str, into: &mut Incoming) -> Result<(), Fault> {
        in_time(self.timeout, self.fetched(url, into)).await
    }

    async fn fetched(&self, url: &str, file: &mut Incoming) -> Result<(), Fault> {
        let url = self.guard.check(url).map_err(|refused| refuse(&refused))?;
        let (mut had, mut tag, mut resumes) = (0u64, None, 0);
        loop {
            let response = self.open(url.clone(), had, tag.as_deref()).await?;
            if had > 0 && !goes_on(&response, had, tag.as_deref())? {
                // The server starts over, and so do we.
                file.restart()?;
                had = 0;
            }
            tag = text(&response, header::ETAG).map(str::to_owned);
            let whole = length(&response);
            match self.read(response, file, &mut had).await? {
                Part::Ended if whole.is_none_or(|whole| had >= whole) => return Ok(()),
                Part::Ended | Part::Cut(_) if tag.is_some() && resumes < RESUMES => resumes += 1,
                Part::Ended => return Err(unreachable("the transfer ended early".into())),
                Part::Cut(why) => return Err(unreachable(why)),
            }
        }
    }

    /// Asks, following redirects that the guard lets through.
    async fn open(&self, mut url: Url, had: u64, tag: Option<&str>) -> Result<Response, Fault> {
        for _ in 0..=self.redirects {
            let mut request = self.client.get(url.clone()).header(header::ACCEPT_ENCODING, "identity");
            if let Some(tag) = tag.filter(|_| had > 0) {
                request =
                    request.header(header::RANGE, format!("bytes={had}-")).header(header::IF_RANGE, tag);
            }
            let response = request.send().await.map_err(|error| lost(&error))?;
            if !response.status().is_redirection() {
                return sorted(response, had);
            }
            let Some(target) = text(&response, header::LOCATION) else {
                return Err(unreachable(format!(
                    "the address answers {} and not where to",
                    response.status()
                )));
            };
            url = self.guard.follow(&url, target).map_err(|refused| refuse(&refused))?;
        }
        Err(Fault::new(
            FaultKind::Garbled,
            "address_refused",
            format!("more than {} redirects", self.redirects),
        ))
    }

    async fn read(&self, mut response: Response, file: &mut Incoming, had: &mut u64) -> Result<Part, Fault> {
        if response.content_length().is_some_and(|length| had.saturating_add(length) > self.max_bytes) {
            return Err(too_large(self.max_bytes));
        }
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    *had += chunk.len() as u64;
                    if *had > self.max_bytes {
                        return Err(too_large(self.max_bytes));
                    }
                    file.write(&chunk).await?;
                }
                Ok(None) => return Ok(Part::Ended),
                Err(error) => return Ok(Part::Cut(words(&error))),
            }
        }
    }
}

enum Part {
    Ended,
    Cut(String),
}

/// Sorts the status of a reply to somebody who has `had` bytes already.
fn sorted(response: Response, had: u64) -> Result<Response, Fault> {
    let status = response.status();
    let words = format!("the address answers {status}");
    let wait = || text(&response, header::RETRY_AFTER)?.parse().ok().map(Duration::from_secs);
    match status.as_u16() {
        200 => Ok(response),
        // A part that nobody asked for is not the file.
        206 if had > 0 => Ok(response),
        401 | 403 | 404 | 410 => Err(Fault::new(FaultKind::Rejected, "output_expired", words)),
        429 => Err(Fault::new(FaultKind::Throttled, "rate_limited", words).after(wait())),
        503 => Err(unreachable(words).after(wait())),
        _ => Err(unreachable(words)),
    }
}

/// Whether a reply goes on where the transfer was cut, and not from the start; anything else would spoil the file.
fn goes_on(response: &Response, had: u64, tag: Option<&str>) -> Result<bool, Fault> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(false);
    }
    let same = text(response, header::ETAG).is_none_or(|now| Some(now) == tag);
    if same && range(response).is_some_and(|(from, _)| from == had) {
        return Ok(true);
    }
    Err(unreachable("the transfer was cut, and the server goes on elsewhere".into()))
}

/// How long the whole file is, as far as the server says.
fn length(response: &Response) -> Option<u64> {
    match range(response) {
        Some((_, whole)) if response.status() == StatusCode::PARTIAL_CONTENT => whole,
        _ => response.content_length(),
    }
}

/// Where a part begins and how long the whole is: `bytes 5-9/10`, or `bytes 5-9/*`.
fn range(response: &Response) -> Option<(u64, Option<u64>)> {
    let (part, whole) = text(response, header::CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    Some((part.split_once('-')?.0.parse().ok()?, whole.parse().ok()))
}

fn text(response: &Response, name: header::HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// The result, or the fault of an output that takes too long.
pub(crate) async fn in_time<T>(
    most: Duration,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let late = |_| unreachable(format!("not there after {} s", most.as_secs()));
    tokio::time::timeout(most, work).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}

fn lost(error: &reqwest::Error) -> Fault {
    refused_by_guard(error).map_or_else(|| unreachable(words(error)), refuse)
}

/// What the guard said, where it is the cause.
pub(crate) fn refused_by_guard(error: &reqwest::Error) -> Option<&Refused> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(refused) = current.downcast_ref::<Refused>() {
            return Some(refused);
        }
        cause = current.source();
    }
    None
}

/// What went wrong, without the address: it may carry a signature.
fn words(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the transfer was cut"
    };
    kind.to_owned()
}

fn refuse(refused: &Refused) -> Fault {
    Fault::new(FaultKind::Garbled, "address_refused", refused.to_string())
}

pub(crate) fn unreachable(words: String) -> Fault {
    Fault::new(FaultKind::Unavailable, "output_unreachable", words)
}

pub(crate) fn too_large(most: u64) -> Fault {
    Fault::new(FaultKind::Garbled, "output_too_large", format!("larger than {most} bytes"))
}

/// Our own disk: the operator's to mend.
pub(crate) fn no_room(error: &std::io::Error) -> Fault {
    Fault::new(FaultKind::Locked, "storage_refused", error.to_string())
}

#[cfg(test)]
mod tests;
