//! Fetching an address into a file: streamed, bounded, resumed after a cut.

use std::path::Path;
use std::time::Duration;

use reqwest::{Response, StatusCode, header};
use songmill_core::{Fault, FaultKind};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use url::Url;

use crate::guard::{Guard, GuardedResolver, Refused};
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

impl Fetcher {
    pub(crate) fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        let guard = Guard { allow_http: settings.allow_http, allow_private: settings.allow_private };
        let client = reqwest::Client::builder()
            .dns_resolver(GuardedResolver(guard))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(settings.connect_timeout.get())
            .read_timeout(Duration::from_secs(30))
            .user_agent(concat!("songmill/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let (redirects, max_bytes, timeout) =
            (settings.redirects, settings.max_bytes, settings.timeout.get());
        Ok(Self { client, guard, redirects, max_bytes, timeout })
    }

    /// Fetches an address into a file.
    pub(crate) async fn fetch(&self, url: &str, into: &Path) -> Result<(), Fault> {
        match tokio::time::timeout(self.timeout, self.fetched(url, into)).await {
            Ok(result) => result,
            Err(_) => Err(unreachable(format!("not there after {} s", self.timeout.as_secs()))),
        }
    }

    async fn fetched(&self, url: &str, into: &Path) -> Result<(), Fault> {
        let url = self.guard.check(url).map_err(|refused| refuse(&refused))?;
        let mut file = File::create(into).await.map_err(|error| no_room(&error))?;
        let (mut had, mut tag, mut resumes) = (0u64, None, 0);
        loop {
            let response = self.open(url.clone(), had, tag.as_deref()).await?;
            if had > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
                // The server starts over, and so do we.
                file = File::create(into).await.map_err(|error| no_room(&error))?;
                had = 0;
            }
            tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
            match self.read(response, &mut file, &mut had).await? {
                Part::Whole => break,
                Part::Cut(_) if tag.is_some() && resumes < RESUMES => resumes += 1,
                Part::Cut(why) => return Err(unreachable(why)),
            }
        }
        file.flush().await.map_err(|error| no_room(&error))
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
                return sorted(response);
            }
            let target = response.headers().get(header::LOCATION).and_then(|target| target.to_str().ok());
            let next =
                target.and_then(|target| url.join(target).ok()).ok_or_else(|| refuse(&Refused::Invalid))?;
            self.guard.check_url(&next).map_err(|refused| refuse(&refused))?;
            url = next;
        }
        Err(Fault::new(
            FaultKind::Garbled,
            "address_refused",
            format!("more than {} redirects", self.redirects),
        ))
    }

    async fn read(&self, mut response: Response, file: &mut File, had: &mut u64) -> Result<Part, Fault> {
        if response.content_length().is_some_and(|length| *had + length > self.max_bytes) {
            return Err(too_large(self.max_bytes));
        }
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    *had += chunk.len() as u64;
                    if *had > self.max_bytes {
                        return Err(too_large(self.max_bytes));
                    }
                    file.write_all(&chunk).await.map_err(|error| no_room(&error))?;
                }
                Ok(None) => return Ok(Part::Whole),
                Err(error) => return Ok(Part::Cut(words(&error))),
            }
        }
    }
}

enum Part {
    Whole,
    Cut(String),
}

/// Sorts a reply's status.
fn sorted(response: Response) -> Result<Response, Fault> {
    let status = response.status();
    let words = format!("the address answers {status}");
    match status.as_u16() {
        200 | 206 => Ok(response),
        401 | 403 | 404 | 410 | 416 => Err(Fault::new(FaultKind::Rejected, "output_expired", words)),
        429 => {
            let wait =
                response.headers().get(header::RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
            Err(Fault::new(FaultKind::Throttled, "rate_limited", words).after(wait.map(Duration::from_secs)))
        }
        _ => Err(unreachable(words)),
    }
}

fn lost(error: &reqwest::Error) -> Fault {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(refused) = current.downcast_ref::<Refused>() {
            return refuse(refused);
        }
        cause = current.source();
    }
    unreachable(words(error))
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

fn unreachable(words: String) -> Fault {
    Fault::new(FaultKind::Unavailable, "output_unreachable", words)
}

fn too_large(most: u64) -> Fault {
    Fault::new(FaultKind::Garbled, "output_too_large", format!("larger than {most} bytes"))
}

/// Our own disk: the operator's to mend.
pub(crate) fn no_room(error: &std::io::Error) -> Fault {
    Fault::new(FaultKind::Locked, "storage_refused", error.to_string())
}

#[cfg(test)]
mod tests;
