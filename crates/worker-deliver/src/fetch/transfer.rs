//! A transfer: whatever it is that is fetched, streamed into a file, bounded, taken up again after a cut.

use std::time::{Duration, Instant};

use http::header::HeaderValue;
use songmill_core::Fault;
use songmill_egress::Response;

use super::reply::{goes_on, is_whole};
use super::taking::{Pace, Taking};
use super::{UNREACHABLE, coding, fault, too_large, unreachable};
use crate::incoming::Incoming;
use crate::settings::Settings;

/// What is fetched.
pub(crate) trait Target: Sync {
    /// Asks for it, or for the rest of it; a reply that brings none is a fault.
    fn open(&self, rest: Option<Rest<'_>>) -> impl Future<Output = Result<Response, Fault>> + Send;
}

/// From which byte on a file is asked for, and what tells it from another one.
pub(crate) type Rest<'a> = (u64, &'a HeaderValue);

/// What a transfer may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(super) max_bytes: u64,
    pub(super) timeout: Duration,
    pub(super) pace: Pace,
}

/// How often a cut transfer is taken up again in a row, each time for less than [`PROGRESS`] bytes.
pub(super) const TRIES: u32 = 5;
/// As many bytes are worth another try.
pub(super) const PROGRESS: u64 = 64 << 10;
/// Before a transfer that brought little is taken up again; each time as much more.
const PAUSE: Duration = Duration::from_millis(50);

impl Limits {
    pub(crate) fn new(settings: &Settings, window: Duration) -> Self {
        Self {
            max_bytes: settings.max_bytes,
            timeout: settings.timeout.get(),
            pace: Pace { least: settings.slowest, window },
        }
    }

    /// Fetches all of it into an empty file, and makes it what it was before it was coded.
    pub(crate) async fn fetch(&self, target: &impl Target, into: &mut Incoming) -> Result<(), Fault> {
        let fetched = async {
            let mut taking = Taking::new(into, self.pace);
            self.transfer(target, &mut taking).await?;
            let codings = taking.codings;
            coding::settle(into, codings, self.max_bytes).await
        };
        let late = |_| unreachable(format!("not there after {} s", self.timeout.as_secs()));
        tokio::time::timeout(self.timeout, fetched).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }

    async fn transfer(&self, target: &impl Target, taking: &mut Taking<'_>) -> Result<(), Fault> {
        let mut tries = 0;
        loop {
            let had = taking.had;
            let why = match self.part(target, taking).await? {
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
    async fn part(&self, target: &impl Target, taking: &mut Taking<'_>) -> Result<Part, Fault> {
        let rest = taking.mark.as_ref().filter(|_| taking.had > 0).map(|mark| (taking.had, mark));
        let reply = match target.open(rest).await {
            Ok(reply) => reply,
            Err(fault) if taking.had > 0 && fault.code == UNREACHABLE && fault.retry_after().is_none() => {
                return Ok(Part::Cut(fault));
            }
            Err(fault) => return Err(fault),
        };
        if taking.had > 0 && !goes_on(&reply, taking) {
            let why = unreachable("the transfer was cut, and the server goes on elsewhere".into());
            if !is_whole(reply.head.status) {
                return Ok(Part::Other(why));
            }
            // The server starts over, and so do we.
            taking.begin_anew(&why)?;
        }
        taking.learn(&reply);
        self.read(reply, taking).await
    }

    async fn read(&self, mut reply: Response, taking: &mut Taking<'_>) -> Result<Part, Fault> {
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
                Err(failure) => return Ok(Part::Cut(fault(&failure))),
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
