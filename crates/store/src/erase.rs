//! Erasing what a tenant's ended jobs said: bounded looks through all keys, each of which may be done again.
//!
//! What the accounts need stays: ids, states, times, vendors, counts, costs, the ledger.

use std::collections::HashMap;

use songmill_core::song::Problem;
use songmill_core::view::NoticePayload;
use songmill_core::{BatchRef, Job, JobId, Tenant};

use crate::connection::StoreError;
use crate::facts::Entry;
use crate::notice::Notice;
use crate::record::{decode, encode};
use crate::scripts::ERASE;
use crate::store::Store;
use crate::upload::Refused;

/// A job that has ended and is not erased yet.
#[derive(Clone, Debug)]
pub struct Erasable {
    /// It, as it is: it knows where its audio lies.
    pub job: Job,
    version: u64,
}

/// What a look through a part of all keys found.
#[derive(Debug, Default)]
pub struct Erasing {
    /// Jobs to erase, after their audio.
    pub jobs: Vec<Erasable>,
    /// Other texts that were erased.
    pub texts: u64,
    /// Records that cannot be read: whose they are nobody can tell, and they were left.
    pub unreadable: u64,
    /// Where to look on; none when all keys were looked at.
    pub next: Option<u64>,
}

/// What to do with an answer that is kept for a request that may be sent again.
#[derive(Debug)]
pub struct KeptAnswer {
    /// What the request made: as long as that has not ended, the answer stays.
    pub made: Option<Made>,
    /// What is left of the answer.
    pub left: Vec<u8>,
}

/// What a request made.
#[derive(Debug)]
pub enum Made {
    /// A job.
    Job(JobId),
    /// A batch, or more of one.
    Batch(BatchRef),
}

/// Something to write in place of what was read: key, what it is, what was read, what is left (`erase.lua`).
type Change = (String, &'static str, Vec<u8>, Vec<u8>);

/// Keys looked at in one call.
const KEYS: usize = 1000;
/// Things changed in one call of the script.
const CHANGES: usize = 64;
/// Entries read at once.
const PAGE: usize = 256;

impl Store {
    /// Looks through a part of all keys, from 0 on: erases what is no job (content keys, the texts of notices, refused
    /// lines, answers kept for requests that are sent again, which `answer` reads: nothing where nothing is to be erased)
    /// and says which jobs are to be erased. What belongs to jobs that have not ended stays.
    pub async fn look_to_erase(
        &self,
        tenant: &Tenant,
        from: u64,
        answer: impl Fn(&[u8]) -> Option<KeptAnswer>,
    ) -> Result<Erasing, StoreError> {
        let keys = self.keys();
        let prefix = keys.prefix();
        let mut ask = redis::cmd("SCAN");
        let pattern = prefix.replace('{', "[{]").replace('}', "[}]");
        ask.arg(from).arg("MATCH").arg(format!("{pattern}*")).arg("COUNT").arg(KEYS);
        let (next, found): (u64, Vec<String>) = ask.query_async(&mut self.connection()).await?;
        let (contents, answers) = (keys.content_prefix(tenant), keys.idempotent_prefix(tenant));
        let (mut jobs, mut contents_found, mut notices) = (Vec::new(), Vec::new(), Vec::new());
        let (mut changes, mut texts) = (Vec::new(), 0);
        for key in found {
            if let Some(id) = key.strip_prefix(&keys.job_prefix()) {
                jobs.extend(id.parse::<JobId>().ok());
            } else if key.starts_with(&contents) {
                contents_found.push(key);
            } else if key.starts_with(&answers) {
                changes.extend(self.kept_answer(key, &answer).await?);
            } else if key.starts_with(&keys.notice_prefix()) {
                notices.push(key);
            } else if let Some(batch) = key.strip_prefix(&keys.refused_prefix())
                && batch.parse::<BatchRef>().is_ok_and(|batch| batch.tenant == *tenant)
            {
                texts += self.erase_refused(tenant, &key).await?;
            }
        }
        changes.extend(self.kept_contents(contents_found).await?);
        changes.extend(self.kept_notices(tenant, notices).await?);
        texts += self.put(tenant, &changes).await?;
        let (jobs, unreadable) = self.erasable(tenant, &jobs).await?;
        Ok(Erasing { jobs, texts, unreadable, next: (next != 0).then_some(next) })
    }

    /// Erases jobs of a tenant, each unless it has changed since it was found; how many were.
    pub async fn erase(&self, tenant: &Tenant, found: &[Erasable]) -> Result<u64, StoreError> {
        let mut changes: Vec<Change> = Vec::with_capacity(found.len());
        for Erasable { job, version } in found {
            let Some(left) = job.without_words(self.now()) else { continue };
            changes.push((self.keys().job(job.id), "job", version.to_string().into_bytes(), encode(&left)?));
        }
        self.put(tenant, &changes).await
    }

    /// Takes deliveries that were not understood out of quarantine where they are of a tenant's ended jobs, or of jobs
    /// that are kept no more: nobody can tell whose those were. How many.
    pub async fn erase_quarantined(&self, tenant: &Tenant) -> Result<u64, StoreError> {
        let (mut from, mut erased) = ("-".to_owned(), 0);
        loop {
            let mut ask = redis::cmd("XRANGE");
            ask.arg(self.keys().quarantine()).arg(&from).arg("+").arg("COUNT").arg(PAGE);
            let entries: Vec<Entry> = ask.query_async(&mut self.connection()).await?;
            let Some((last, _)) = entries.last() else { return Ok(erased) };
            from = format!("({last}");
            let job_of = |fields: &[(String, Vec<u8>)]| {
                let (_, source) = fields.iter().find(|(field, _)| field == "source")?;
                std::str::from_utf8(source).ok()?.rsplit(' ').next()?.parse::<JobId>().ok()
            };
            let ids: Vec<_> = entries.iter().filter_map(|(_, fields)| job_of(fields)).collect();
            let jobs = self.load_each(&ids).await?;
            let theirs = |id: JobId| {
                let place = ids.iter().position(|known| *known == id);
                match place.map(|place| &jobs[place]) {
                    Some(Ok(Some(known))) => known.job.tenant == *tenant && known.job.state.name().is_final(),
                    Some(Err(_)) => false,
                    Some(Ok(None)) | None => true,
                }
            };
            let gone = entries.iter().filter(|(_, fields)| job_of(fields).is_none_or(theirs));
            let gone: Vec<_> = gone.map(|(place, _)| place).collect();
            if !gone.is_empty() {
                let mut take = redis::cmd("XDEL");
                take.arg(self.keys().quarantine()).arg(&gone);
                erased += take.query_async::<u64>(&mut self.connection()).await?;
            }
        }
    }

    /// Which of these jobs are a tenant's, have ended and are not erased yet; and how many records cannot be read.
    pub async fn erasable(&self, tenant: &Tenant, ids: &[JobId]) -> Result<(Vec<Erasable>, u64), StoreError> {
        let (mut jobs, mut unreadable) = (Vec::new(), 0);
        for (id, found) in ids.iter().zip(self.fields(ids, false).await?) {
            let read = found.and_then(|found| {
                let Some(found) = found else { return Ok(None) };
                Ok(Some((decode(*id, &found.record)?, found.version)))
            });
            let (job, version) = match read {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(job.id = %id, %error, "the record of job {id} cannot be read, nor erased");
                    unreadable += 1;
                    continue;
                }
            };
            if job.tenant == *tenant && job.state.name().is_final() && job.erased.is_none() {
                jobs.push(Erasable { job, version });
            }
        }
        Ok((jobs, unreadable))
    }

    /// An answer that is kept for a request that may be sent again. As long as what that made has not ended, whoever
    /// lost the answer must get it again: else they would make the same a second time.
    async fn kept_answer(
        &self,
        key: String,
        read: impl Fn(&[u8]) -> Option<KeptAnswer>,
    ) -> Result<Option<Change>, StoreError> {
        let mut ask = redis::cmd("HGET");
        ask.arg(&key).arg("answer");
        let known: Option<Vec<u8>> = ask.query_async(&mut self.connection()).await?;
        let Some(known) = known else { return Ok(None) };
        let Some(KeptAnswer { made, left }) = read(&known) else { return Ok(None) };
        let open = match made {
            None => false,
            Some(Made::Job(id)) => self.open([Some(id)].into_iter()).await?[0],
            Some(Made::Batch(name)) => {
                self.batch(&name).await?.is_some_and(|batch| batch.counts.ended() < batch.total)
            }
        };
        Ok((!open).then_some((key, "answer", known, left)))
    }

    /// Content keys of jobs that are not open any more.
    async fn kept_contents(&self, found: Vec<String>) -> Result<Vec<Change>, StoreError> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut ask = redis::cmd("MGET");
        ask.arg(&found);
        let ids: Vec<Option<String>> = ask.query_async(&mut self.connection()).await?;
        let named = found.into_iter().zip(ids).filter_map(|(key, id)| Some((key, id?)));
        let (keys, ids): (Vec<_>, Vec<_>) = named.unzip();
        let jobs = ids.iter().map(|id| id.parse().ok()).collect::<Vec<Option<JobId>>>();
        let open = self.open(jobs.iter().copied()).await?;
        let ended = keys.into_iter().zip(ids).zip(open).filter(|(_, open)| !open);
        Ok(ended.map(|((key, id), _)| (key, "key", id.into_bytes(), Vec::new())).collect())
    }

    /// The texts of a tenant's notices of jobs that are not open any more.
    async fn kept_notices(&self, tenant: &Tenant, found: Vec<String>) -> Result<Vec<Change>, StoreError> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut ask = redis::pipe();
        for key in &found {
            ask.cmd("HMGET").arg(key).arg(&["e", "d", "p"]);
        }
        type Fields = (Option<String>, Option<Vec<u8>>, Option<Vec<u8>>);
        let fields: Vec<Fields> = ask.query_async(&mut self.connection()).await?;
        let theirs = found.into_iter().zip(fields).filter_map(|(key, (whose, notice, payload))| {
            let (whose, _) = whose.as_deref()?.split_once('/')?;
            let notice = serde_json::from_slice::<Notice>(&notice?).ok();
            (whose == tenant.as_str()).then_some((key, notice.and_then(|notice| notice.job), payload?))
        });
        let theirs: Vec<_> = theirs.collect();
        let open = self.open(theirs.iter().map(|(_, job, _)| *job)).await?;
        let ended = theirs.into_iter().zip(open).filter(|(_, open)| !open);
        let changed = ended.filter_map(|((key, _, payload), _)| {
            let left = wordless(&payload)?;
            Some((key, "p", payload, left))
        });
        Ok(changed.collect())
    }

    /// Refused lines stay as many as they are, and what they were refused for goes.
    async fn erase_refused(&self, tenant: &Tenant, key: &str) -> Result<u64, StoreError> {
        let mut ask = redis::cmd("ZRANGE");
        // A batch keeps so many at the most that they can be read at once.
        ask.arg(key).arg(0).arg(-1);
        let lines: Vec<Vec<u8>> = ask.query_async(&mut self.connection()).await?;
        let read = lines.into_iter().map(|line| (serde_json::from_slice::<Refused>(&line).ok(), line));
        let (left, said): (Vec<_>, Vec<_>) = read
            .partition(|(known, _)| known.as_ref().is_some_and(|known| known.problems.iter().all(is_left)));
        let mut met: HashMap<(String, u64), usize> = HashMap::new();
        for (known, _) in left {
            *met.entry(known.map(|known| (known.upload, known.line)).unwrap_or_default()).or_default() += 1;
        }
        let changes = said.into_iter().map(|(known, line)| {
            let (upload, number) = known.map(|known| (known.upload, known.line)).unwrap_or_default();
            let times = met.entry((upload.clone(), number)).or_default();
            *times += 1;
            // The same line refused for several things is told apart by how often this stands there.
            let problems = vec![what_is_left(); *times];
            let left = Refused { upload, line: number, custom_id: None, title: None, problems };
            (
                key.to_owned(),
                "line",
                line,
                serde_json::to_vec(&left).expect("texts and numbers are always JSON"),
            )
        });
        let changes: Vec<Change> = changes.collect();
        self.put(tenant, &changes).await
    }

    /// Which of these jobs are there and have not ended, as far as their records can be read.
    async fn open(&self, ids: impl Iterator<Item = Option<JobId>>) -> Result<Vec<bool>, StoreError> {
        let ids: Vec<_> = ids.collect();
        let named: Vec<JobId> = ids.iter().copied().flatten().collect();
        let mut jobs = self.load_each(&named).await?.into_iter();
        let open = ids.iter().map(|id| match id.and_then(|_| jobs.next()) {
            Some(Ok(Some(stored))) => !stored.job.state.name().is_final(),
            Some(Err(_)) => true,
            Some(Ok(None)) | None => false,
        });
        Ok(open.collect())
    }

    async fn put(&self, tenant: &Tenant, changes: &[Change]) -> Result<u64, StoreError> {
        let mut done = 0;
        for some in changes.chunks(CHANGES) {
            let own = [self.keys().tenant(tenant), self.keys().events()];
            let keys: Vec<String> = own.into_iter().chain(some.iter().map(|(key, ..)| key.clone())).collect();
            let mut call = ERASE.call(&keys);
            call.arg(self.account_limits());
            for (_, what, read, left) in some {
                call.arg(*what).arg(read).arg(left);
            }
            done += call.run::<u64>(&mut self.connection()).await?;
        }
        Ok(done)
    }
}

/// What stands in place of what was wrong with a refused line.
fn what_is_left() -> Problem {
    Problem {
        field: "(line)".into(),
        fault: "was refused; what for has been erased".into(),
        fix: "submit it again to be told".into(),
    }
}

fn is_left(problem: &Problem) -> bool {
    *problem == what_is_left()
}

/// A payload without the words of its job; none where there is nothing to take out.
fn wordless(payload: &[u8]) -> Option<Vec<u8>> {
    let Ok(mut told) = serde_json::from_slice::<NoticePayload>(payload) else {
        return (payload != b"{}").then(|| b"{}".to_vec());
    };
    told.data.job.as_mut()?.erase();
    let left = serde_json::to_vec(&told).expect("views are always JSON");
    (left != payload).then_some(left)
}
