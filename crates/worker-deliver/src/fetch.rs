//! Fetching an address into a file: streamed, bounded, resumed after a cut.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{StatusCode, header};
use reqwest::dns::Resolve;
use rustls::ClientConfig;
use songmill_core::{Fault, FaultKind};
use url::Url;

use self::client::{Client, Reply, tls};
use self::reply::{goes_on, sorted, text};
use self::taking::{Pace, Taking};
use crate::guard::{Guard, GuardedResolver, Refused, SystemNames};
use crate::incoming::Incoming;
use crate::settings::Settings;

mod client;
mod reply;
mod taking;

/// Fetches untrusted addresses.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client,
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
            max_bytes: settings.max_bytes,
            timeout: settings.timeout.get(),
            pace: Pace { least: settings.slowest, window },
        }
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
        let reply = match self.open(url.clone(), taking).await {
            Ok(reply) => reply,
            Err(fault) if taking.had > 0 && fault.code == UNREACHABLE && fault.retry_after().is_none() => {
                return Ok(Part::Cut(fault));
            }
            Err(fault) => return Err(fault),
        };
        if taking.had > 0 && !goes_on(&reply, taking) {
            let why = unreachable("the transfer was cut, and the server goes on elsewhere".into());
            if reply.head.status != StatusCode::OK {
                return Ok(Part::Other(why));
            }
            // The server starts over, and so do we.
            taking.begin_anew(&why)?;
        }
        taking.learn(&reply);
        self.read(reply, taking).await
    }

    /// Asks, following redirects that the guard lets through.
    async fn open(&self, mut url: Url, taking: &Taking<'_>) -> Result<Reply, Fault> {
        let rest = taking.mark.as_ref().filter(|_| taking.had > 0).map(|mark| (taking.had, mark));
        for _ in 0..=self.redirects {
            let reply = self.client.get(&url, rest).await?;
            let status = reply.head.status;
            if !status.is_redirection() {
                return sorted(reply, taking.had);
            }
            let Some(target) = text(&reply, header::LOCATION) else {
                return Err(unreachable(format!("the address answers {status} and not where to")));
            };
            url = self.guard.follow(&url, target).map_err(|refused| refuse(&refused))?;
        }
        Err(Fault::new(
            FaultKind::Locked,
            "address_refused",
            format!("more than {} redirects", self.redirects),
        ))
    }

    async fn read(&self, mut reply: Reply, taking: &mut Taking<'_>) -> Result<Part, Fault> {
        let more = reply.content_length().map(|length| taking.had.saturating_add(length));
        if taking.whole.max(more).is_some_and(|whole| whole > self.max_bytes) {
            return Err(too_large(self.max_bytes));
        }
        loop {
            let asked = Instant::now();
            match reply.chunk().await {
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
                Err(why) => return Ok(Part::Cut(why)),
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
