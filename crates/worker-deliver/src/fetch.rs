//! Fetching an address into a file: streamed, bounded, resumed after a cut.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::dns::Resolve;
use reqwest::{Response, StatusCode, header};
use songmill_core::{Fault, FaultKind};
use url::Url;

use self::reply::{goes_on, sorted, text};
use self::taking::{Pace, Taking};
use crate::guard::{self, Guard, Refused, SystemNames};
use crate::incoming::Incoming;
use crate::settings::Settings;

mod reply;
mod taking;

/// Fetches untrusted addresses.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: reqwest::Client,
    guard: Guard,
    redirects: usize,
    max_bytes: u64,
    timeout: Duration,
    pace: Pace,
}

/// How often a cut transfer is taken up again in a row, each time for less than [`PROGRESS`] bytes.
const TRIES: u32 = 5;
/// As many bytes are worth another try.
const PROGRESS: u64 = 64 << 10;
/// Before a transfer that brought little is taken up again; each time as much more.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a transfer may bring nothing, and over which its speed is measured.
const WINDOW: Duration = Duration::from_secs(30);
/// What a connection over HTTP/2 may send ahead, of one file and in all: the rest stays with the server.
const AHEAD: (u32, u32) = (256 << 10, 1 << 20);

impl Fetcher {
    pub(crate) fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        Self::with(settings, Arc::new(SystemNames), WINDOW)
    }

    fn with(settings: &Settings, names: Arc<dyn Resolve>, window: Duration) -> Result<Self, reqwest::Error> {
        let guard = Guard { allow_http: settings.allow_http, allow_private: settings.allow_private };
        let client = guard::client(guard, names)
            .connect_timeout(settings.connect_timeout.get())
            .read_timeout(window)
            .http2_initial_stream_window_size(AHEAD.0)
            .http2_initial_connection_window_size(AHEAD.1)
            .build()?;
        Ok(Self {
            client,
            guard,
            redirects: settings.redirects,
            max_bytes: settings.max_bytes,
            timeout: settings.timeout.get(),
            pace: Pace { least: settings.slowest, window },
        })
    }

    /// Fetches an address into an empty file.
    pub(crate) async fn fetch(&self, url: &str, into: &mut Incoming) -> Result<(), Fault> {
        in_time(self.timeout, self.fetched(url, into)).await
    }

    async fn fetched(&self, url: &str, file: &mut Incoming) -> Result<(), Fault> {
        let url = self.guard.check(url).map_err(|refused| refuse(&refused))?;
        let mut taking = Taking::new(file, self.pace);
        let mut tries = 0;
        loop {
            let had = taking.had;
            let why = match self.part(&url, &mut taking).await? {
                Part::Ended => return Ok(()),
                Part::Cut(why) => {
                    tries = if taking.had >= had + PROGRESS { 0 } else { tries + 1 };
                    why
                }
                Part::Other(why) => {
                    taking.begin_anew(&why)?;
                    continue;
                }
            };
            if tries >= TRIES {
                return Err(why);
            }
            if taking.mark.is_none() {
                taking.begin_anew(&why)?;
            }
            tokio::time::sleep(PAUSE * tries).await;
        }
    }

    /// Asks for what is missing, and takes in what comes.
    async fn part(&self, url: &Url, taking: &mut Taking<'_>) -> Result<Part, Fault> {
        let response = match self.open(url.clone(), taking).await {
            Ok(response) => response,
            Err(fault) if taking.had > 0 && fault.code == UNREACHABLE && fault.retry_after().is_none() => {
                return Ok(Part::Cut(fault));
            }
            Err(fault) => return Err(fault),
        };
        if taking.had > 0 && !goes_on(&response, taking) {
            let why = unreachable("the transfer was cut, and the server goes on elsewhere".into());
            if response.status() != StatusCode::OK {
                return Ok(Part::Other(why));
            }
            // The server starts over, and so do we.
            taking.begin_anew(&why)?;
        }
        taking.learn(&response);
        self.read(response, taking).await
    }

    /// Asks, following redirects that the guard lets through.
    async fn open(&self, mut url: Url, taking: &Taking<'_>) -> Result<Response, Fault> {
        for _ in 0..=self.redirects {
            let mut request = self.client.get(url.clone()).header(header::ACCEPT_ENCODING, "identity");
            if let Some(mark) = taking.mark.as_ref().filter(|_| taking.had > 0) {
                request = request
                    .header(header::RANGE, format!("bytes={}-", taking.had))
                    .header(header::IF_RANGE, mark.clone());
            }
            let response = request.send().await.map_err(|error| lost(&error))?;
            if !response.status().is_redirection() {
                return sorted(response, taking.had);
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
            FaultKind::Locked,
            "address_refused",
            format!("more than {} redirects", self.redirects),
        ))
    }

    async fn read(&self, mut response: Response, taking: &mut Taking<'_>) -> Result<Part, Fault> {
        let more = response.content_length().map(|length| taking.had.saturating_add(length));
        if taking.whole.max(more).is_some_and(|whole| whole > self.max_bytes) {
            return Err(too_large(self.max_bytes));
        }
        loop {
            let asked = Instant::now();
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    taking.keep_pace(asked.elapsed(), chunk.len())?;
                    taking.had += chunk.len() as u64;
                    if taking.had > self.max_bytes {
                        return Err(too_large(self.max_bytes));
                    }
                    taking.file.write(&chunk).await?;
                }
                Ok(None) if taking.is_whole() => return Ok(Part::Ended),
                Ok(None) if taking.is_too_much() => {
                    return Ok(Part::Other(unreachable("the server sent more than the whole".into())));
                }
                Ok(None) => return Ok(Part::Cut(unreachable("the transfer ended early".into()))),
                Err(error) => return Ok(Part::Cut(unreachable(words(&error)))),
            }
        }
    }
}

enum Part {
    /// The file is whole.
    Ended,
    /// There is more.
    Cut(Fault),
    /// What comes does not belong to what is there.
    Other(Fault),
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
