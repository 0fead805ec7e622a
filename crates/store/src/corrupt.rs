//! Records that cannot be read: set aside, so that they stop nobody else, and told of, so that somebody mends them.

use std::sync::Arc;

use redis::RedisResult;
use serde::de::Error as _;
use songmill_core::job::StateName;
use songmill_core::{Job, JobId, Timestamp};

use crate::connection::StoreError;
use crate::record::decode;
use crate::store::Store;

/// What was set aside.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Corrupt {
    /// A job's id, or the key of another record.
    pub what: String,
    /// Since when, in ms since 1970.
    pub since_ms: u64,
    /// What is wrong with it; none where it can be read again.
    pub wrong: Option<String>,
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
        let read = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse::<u64>().ok());
        let wrong =
            || unreadable(format!("field {field} is {:?}, not a number", String::from_utf8_lossy(&bytes)));
        read.map(Some).ok_or_else(wrong)
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
        claims: u32::try_from(number("c", claims)?.unwrap_or(0)).unwrap_or(u32::MAX),
        request: request.map(text).unwrap_or_default(),
    }))
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

    /// Sets jobs aside that were taken out of a queue and cannot be read. What was claimed of them does not count.
    pub(crate) async fn set_aside(&self, queue: &str, jobs: &[JobId]) -> Result<(), StoreError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let mut write = redis::pipe();
        write.atomic();
        for id in jobs {
            let id = id.to_string();
            write.cmd("ZREM").arg(queue).arg(&id).ignore();
            write
                .cmd("ZADD")
                .arg(self.keys().corrupt())
                .arg("NX")
                .arg(self.now().as_millis())
                .arg(&id)
                .ignore();
        }
        Ok(write.query_async(&mut self.connection()).await?)
    }

    /// What was set aside, at most so many, oldest first.
    pub async fn corrupt(&self, most: usize) -> Result<Vec<Corrupt>, StoreError> {
        let mut ask = redis::cmd("ZRANGE");
        ask.arg(self.keys().corrupt()).arg(0).arg(most.max(1) - 1).arg("WITHSCORES");
        let found: Vec<(String, f64)> = ask.query_async(&mut self.connection()).await?;
        let mut corrupt = Vec::with_capacity(found.len());
        for (what, since) in found {
            let wrong = match what.parse::<JobId>() {
                Ok(id) => match self.readable(id).await {
                    Ok(Some(_)) => None,
                    Ok(None) => Some("there is no such job any more".to_owned()),
                    Err(StoreError::Record { source, .. }) => Some(source.to_string()),
                    Err(error) => return Err(error),
                },
                Err(_) => {
                    let kind: String =
                        redis::cmd("TYPE").arg(&what).query_async(&mut self.connection()).await?;
                    Some(match kind.as_str() {
                        "hash" => "a field of it is not what it should be".to_owned(),
                        kind => format!("it is a {kind}, not a hash"),
                    })
                }
            };
            corrupt.push(Corrupt { what, since_ms: since as u64, wrong });
        }
        Ok(corrupt)
    }

    async fn readable(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        let Some(found) = self.fields(&[id], false).await?.pop().transpose()?.flatten() else {
            return Ok(None);
        };
        let job = decode(id, &found.record)?;
        Ok(Some(self.begun(job, found.began, found.price.as_deref())))
    }

    /// Puts jobs that were set aside and can be read again back where they belong, and forgets what is not there any
    /// more or was another record; how many jobs were put back.
    pub async fn put_back(&self) -> Result<u64, StoreError> {
        let corrupt = self.keys().corrupt();
        let mut put = 0;
        let found: Vec<String> =
            redis::cmd("ZRANGE").arg(&corrupt).arg(0).arg(-1).query_async(&mut self.connection()).await?;
        for what in found {
            let mut write = redis::pipe();
            write.atomic();
            if let Ok(id) = what.parse::<JobId>() {
                let job = match self.readable(id).await {
                    Ok(job) => job,
                    Err(StoreError::Record { .. }) => continue,
                    Err(error) => return Err(error),
                };
                let queue = job.as_ref().and_then(|job| match job.place() {
                    Some(place) => Some(self.keys().queue(place.stage, place.vendor)),
                    None => (job.state.name() == StateName::Held).then(|| self.keys().held()),
                });
                if let Some(queue) = queue {
                    // Whoever is due now is claimed next, or goes into its lane.
                    write.cmd("ZADD").arg(queue).arg(self.now().as_millis()).arg(&what).ignore();
                    put += 1;
                }
            }
            write.cmd("ZREM").arg(&corrupt).arg(&what).ignore();
            write.query_async::<()>(&mut self.connection()).await?;
        }
        Ok(put)
    }
}

impl Corrupt {
    /// It in a sentence.
    pub fn message(&self) -> String {
        let Self { what, since_ms, wrong } = self;
        let since = Timestamp::from_millis(*since_ms);
        let whose = if what.parse::<JobId>().is_ok() { "job" } else { "record" };
        match wrong {
            Some(wrong) => format!("{whose} {what} cannot be read since {since}: {wrong}"),
            None => format!("{whose} {what} can be read again"),
        }
    }
}
