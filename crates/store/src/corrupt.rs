//! Records that cannot be read: set aside, so that they stop nobody else, and told of, so that somebody mends them.

use std::sync::Arc;

use redis::RedisResult;
use serde::de::Error as _;
use songmill_core::job::StateName;
use songmill_core::{Job, JobId, Stage, Timestamp};

use crate::connection::StoreError;
use crate::record::decode;
use crate::scripts::{ASIDE, BACK};
use crate::store::Store;

/// What was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// A job's id, or the key of another record.
    pub what: String,
    /// Since when, in ms since 1970.
    pub since_ms: u64,
    /// How it is now.
    pub condition: Condition,
}

/// How a record is that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It cannot be read: why.
    Broken(String),
    /// It can be read again.
    Readable,
    /// It was never in anybody's way: a counter that was no number began anew.
    Repaired,
}

/// The fields of a job's hash that are read together; the last one, its request, only where it is wanted.
const FIELDS: [&str; 6] = ["d", "v", "x", "p", "c", "r"];

/// A job's hash.
pub(crate) struct Fields {
    pub(crate) record: Vec<u8>,
    pub(crate) version: u64,
    /// When its submission began, in ms; 0 for none.
    pub(crate) began: u64,
    pub(crate) price: Option<String>,
    pub(crate) claims: u32,
    pub(crate) request: String,
}

/// What a job's hash holds by what `HMGET` of [`FIELDS`] gave; none where there is no such job.
pub(crate) fn read(
    id: JobId,
    reply: RedisResult<Vec<Option<Vec<u8>>>>,
) -> Result<Option<Fields>, StoreError> {
    let unreadable = |what: String| {
        let source = Arc::new(serde_json::Error::custom(what));
        StoreError::Record { job: id.to_string(), source }
    };
    let fields = reply.map_err(|error| match StoreError::from(error.clone()) {
        _ if error.code() == Some("WRONGTYPE") => unreadable("it is not a hash".into()),
        error => error,
    })?;
    let mut fields = fields.into_iter();
    let mut next = || fields.next().flatten();
    let (record, version, began, price, claims, request) = (next(), next(), next(), next(), next(), next());
    let number = |field: &str, bytes: Option<Vec<u8>>| {
        let Some(bytes) = bytes else { return Ok(None) };
        let wrong =
            || unreadable(format!("field {field} is {:?}, not a number", String::from_utf8_lossy(&bytes)));
        digits(&bytes, NUMBER).map(Some).ok_or_else(wrong)
    };
    let version = number("v", version)?;
    let (record, version) = match (record, version) {
        (Some(record), Some(version)) => (record, version),
        (Some(_), None) => return Err(unreadable("field v, its version, is missing".into())),
        (None, Some(_)) => return Err(unreadable("field d, its record, is missing".into())),
        (None, None) => return Ok(None),
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some(Fields {
        record,
        version,
        began: number("x", began)?.unwrap_or(0),
        price: price.map(text),
        // The next claim begins a count anew that is no number.
        claims: claims.and_then(|bytes| digits(&bytes, COUNT)).map_or(0, |claims| claims as u32),
        request: request.map(text).unwrap_or_default(),
    }))
}

/// The most digits of a number, and of a count; `taking.lua` says the same.
const NUMBER: usize = 15;
const COUNT: usize = 9;

fn digits(bytes: &[u8], most: usize) -> Option<u64> {
    let is_number = bytes.len() <= most && bytes.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(bytes).ok().filter(|_| is_number)?.parse().ok()
}

impl Store {
    /// The hashes of jobs, each for itself, in one round trip.
    pub(crate) async fn fields(
        &self,
        ids: &[JobId],
        with_request: bool,
    ) -> Result<Vec<Result<Option<Fields>, StoreError>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let fields = if with_request { &FIELDS[..] } else { &FIELDS[..FIELDS.len() - 1] };
        let mut ask = redis::pipe();
        for id in ids {
            ask.cmd("HMGET").arg(self.keys().job(*id)).arg(fields);
        }
        let replies: Vec<RedisResult<Vec<Option<Vec<u8>>>>> =
            ask.ignore_errors().query_async(&mut self.connection()).await?;
        Ok(ids.iter().zip(replies).map(|(id, reply)| read(*id, reply)).collect())
    }

    /// Sets jobs aside that were claimed and cannot be read, each if it is still of that version. What was claimed of
    /// them does not count.
    pub(crate) async fn set_aside(&self, queue: &str, jobs: &[(JobId, u64)]) -> Result<(), StoreError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let records = jobs.iter().map(|(id, _)| self.keys().job(*id));
        let keys: Vec<_> = std::iter::once(queue.to_owned()).chain(records).collect();
        let mut call = ASIDE.call(&keys);
        for (id, version) in jobs {
            call.arg(id.to_string()).arg(version);
        }
        Ok(call.run(&mut self.connection()).await?)
    }

    /// What was set aside, at most so many, oldest first, and then what was repaired in the last days.
    pub async fn corrupt(&self, most: usize) -> Result<Vec<Corrupt>, StoreError> {
        let mut ask = redis::pipe();
        for set in [self.keys().corrupt(), self.keys().repaired()] {
            ask.cmd("ZRANGE").arg(set).arg(0).arg(most.max(1) - 1).arg("WITHSCORES");
        }
        let [found, repaired]: [Vec<(String, f64)>; 2] = ask.query_async(&mut self.connection()).await?;
        let mut corrupt = Vec::with_capacity(found.len());
        for (what, since) in found {
            // What is gone needs nobody; it is forgotten in time.
            if let Some(condition) = self.condition(&what).await? {
                corrupt.push(Corrupt { what, since_ms: since as u64, condition });
            }
        }
        for (what, since) in repaired {
            corrupt.push(Corrupt { what, since_ms: since as u64, condition: Condition::Repaired });
        }
        corrupt.truncate(most);
        Ok(corrupt)
    }

    /// How a record is that was set aside; none where it is gone.
    async fn condition(&self, what: &str) -> Result<Option<Condition>, StoreError> {
        if let Ok(id) = what.parse::<JobId>() {
            return match self.readable(id).await {
                Ok(job) => Ok(job.map(|_| Condition::Readable)),
                Err(StoreError::Record { source, .. }) => Ok(Some(Condition::Broken(source.to_string()))),
                Err(error) => Err(error),
            };
        }
        let mut ask = redis::cmd("TYPE");
        let kind: String = ask.arg(what).query_async(&mut self.connection()).await?;
        Ok(match kind.as_str() {
            "none" => None,
            "hash" => Some(Condition::Broken("it, or a field of it, is not what it should be".to_owned())),
            kind => Some(Condition::Broken(format!("it is a {kind}, which it should not be"))),
        })
    }

    /// A job that can be read, as it stands, and its version.
    async fn readable(&self, id: JobId) -> Result<Option<(Job, u64)>, StoreError> {
        let Some(found) = self.fields(&[id], false).await?.pop().transpose()?.flatten() else {
            return Ok(None);
        };
        let job = decode(id, &found.record)?;
        Ok(Some((self.begun(job, found.began, found.price.as_deref()), found.version)))
    }

    /// Puts jobs that were set aside and can be read again back where they belong, and forgets what is not there any
    /// more or was another record; how many jobs were put back.
    pub async fn put_back(&self) -> Result<u64, StoreError> {
        let put = self.mend().await?;
        let mut forget = redis::cmd("ZREM");
        let others = self.aside().await?.into_iter().filter(|what| what.parse::<JobId>().is_err());
        let others: Vec<_> = others.collect();
        if !others.is_empty() {
            forget.arg(self.keys().corrupt()).arg(others).query_async::<()>(&mut self.connection()).await?;
        }
        let mut forget = redis::cmd("UNLINK");
        forget.arg(self.keys().repaired()).query_async::<()>(&mut self.connection()).await?;
        Ok(put)
    }

    /// Puts jobs back that were set aside and that this process can read, such as those that only an older one could
    /// not, and forgets what is gone; how many jobs were put back.
    pub async fn mend(&self) -> Result<u64, StoreError> {
        let (corrupt, mut put) = (self.keys().corrupt(), 0);
        for what in self.aside().await? {
            let job = match what.parse::<JobId>() {
                Ok(id) => match self.readable(id).await {
                    Ok(job) => job,
                    Err(StoreError::Record { .. }) => continue,
                    Err(error) => return Err(error),
                },
                Err(_) if self.condition(&what).await?.is_some() => continue,
                Err(_) => None,
            };
            let Some((job, version)) = job else {
                let mut forget = redis::cmd("ZREM");
                forget.arg(&corrupt).arg(&what).query_async::<()>(&mut self.connection()).await?;
                continue;
            };
            let record = self.keys().job(job.id);
            let (queue, lane) = match job.place() {
                Some(place) => {
                    let lane = if place.stage == Stage::Submit { job.lane() } else { String::new() };
                    (self.keys().queue(place.stage, place.vendor), lane)
                }
                None if job.state.name() == StateName::Held => (self.keys().held(), String::new()),
                None => (record.clone(), String::new()),
            };
            let mut call = BACK.call(&[corrupt.clone(), record, queue]);
            call.arg(&what).arg(version).arg(lane);
            put += call.run::<u64>(&mut self.connection()).await?;
        }
        Ok(put)
    }

    /// What was set aside, as many as are looked at together.
    async fn aside(&self) -> Result<Vec<String>, StoreError> {
        let mut ask = redis::cmd("ZRANGE");
        ask.arg(self.keys().corrupt()).arg(0).arg(MENDED - 1);
        Ok(ask.query_async(&mut self.connection()).await?)
    }
}

/// The most records that are looked at to be put back.
const MENDED: usize = 10_000;

impl Corrupt {
    /// It in a sentence.
    pub fn message(&self) -> String {
        let Self { what, since_ms, condition } = self;
        let since = Timestamp::from_millis(*since_ms);
        let whose = if what.parse::<JobId>().is_ok() { "job" } else { "record" };
        match condition {
            Condition::Broken(why) => format!("{whose} {what} cannot be read since {since}: {why}"),
            Condition::Readable => format!("{whose} {what} can be read again"),
            Condition::Repaired => {
                format!("a counter of {whose} {what} was no number at {since}, and was begun anew")
            }
        }
    }
}
