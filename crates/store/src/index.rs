//! Lists of jobs: a tenant's, newest first, or a batch's, in the order of its lines.

use std::str::FromStr;

use songmill_core::job::StateName;
use songmill_core::{BatchRef, JobId, Tenant, VendorName};

use crate::connection::StoreError;
use crate::store::{Store, Stored};
use crate::tenant::day;

/// Which jobs are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In these states; none for any.
    pub states: Vec<StateName>,
    /// With this vendor.
    pub vendor: Option<VendorName>,
    /// Of this batch; the caller's own id is unique there.
    pub batch: Option<BatchRef>,
    /// With this id of the caller's.
    pub custom_id: Option<String>,
    /// Failed or held with this code.
    pub code: Option<String>,
}

impl Filter {
    /// Whether a job is wanted.
    pub fn wants(&self, stored: &Stored) -> bool {
        let job = &stored.job;
        (self.states.is_empty() || self.states.contains(&job.state.name()))
            && self.vendor.as_ref().is_none_or(|vendor| vendor == job.vendor())
            && self.batch.as_ref().is_none_or(|batch| Some(batch) == job.batch_ref().as_ref())
            && self.custom_id.as_ref().is_none_or(|id| Some(id) == job.custom_id.as_ref())
            && self.code.as_ref().is_none_or(|code| job.state.fault().is_some_and(|f| f.code == *code))
    }
}

/// Where a list goes on: lists only grow at their end, so a place stays what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    day: u64,
    place: u64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.day, self.place)
    }
}

impl FromStr for Cursor {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is no cursor; use one that an answer of this list gave".to_owned();
        let (day, place) = text.split_once('.').ok_or_else(wrong)?;
        let number = |text: &str| {
            let digits = (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        };
        Ok(Self { day: number(day).ok_or_else(wrong)?, place: number(place).ok_or_else(wrong)? })
    }
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Jobs, fewer than asked for when few are wanted of those that were looked at.
    pub jobs: Vec<Stored>,
    /// Where it goes on; none at its end.
    pub next: Option<Cursor>,
}

/// Ids read at once.
const STRIDE: usize = 256;
/// Jobs looked at for one page; then the page ends, full or not.
const LOOKS: usize = 4096;

impl Store {
    /// A page of at most `most` wanted jobs of a tenant from a cursor on: of a batch in the order of its lines,
    /// else the newest first.
    pub async fn list(
        &self,
        tenant: &Tenant,
        filter: &Filter,
        from: Option<Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        if let Some(found) = self.by_custom_id(tenant, filter).await? {
            return Ok(Page { jobs: vec![found], next: None });
        }
        if filter.states == [StateName::Held] && filter.batch.is_none() {
            return self.list_held(tenant, filter, from, most).await;
        }
        let today = day(self.now());
        let oldest = today.saturating_sub(self.listed_for().as_secs().div_ceil(86_400) + 1);
        let mut at = match from {
            Some(at) => Cursor { day: at.day.min(today), ..at },
            None if filter.batch.is_some() => Cursor::default(),
            None => self.end_of(tenant, today).await?,
        };
        let (mut page, mut looked) = (Page::default(), 0);
        while looked < LOOKS {
            let (ids, forward) = match &filter.batch {
                Some(batch) => (self.ids(&self.keys().members(batch), at.place, STRIDE as u64).await?, true),
                None => {
                    let first = at.place.saturating_sub(STRIDE as u64);
                    let list = self.keys().day(tenant, at.day);
                    let mut ids = self.ids(&list, first, at.place - first).await?;
                    ids.reverse();
                    (ids, false)
                }
            };
            for stored in self.load_many(&ids).await? {
                at.place = if forward { at.place + 1 } else { at.place - 1 };
                let Some(stored) = stored else { continue };
                if stored.job.tenant == *tenant && filter.wants(&stored) {
                    page.jobs.push(stored);
                    if page.jobs.len() >= most {
                        page.next = Some(at);
                        return Ok(page);
                    }
                }
            }
            looked += ids.len().max(1);
            if forward && ids.len() < STRIDE {
                return Ok(page);
            }
            if !forward && (at.place == 0 || ids.is_empty()) {
                if at.day <= oldest {
                    return Ok(page);
                }
                at = self.end_of(tenant, at.day - 1).await?;
            }
        }
        page.next = Some(at);
        Ok(page)
    }

    /// Held jobs wait for an operator for as long as it takes, and are found however old they are: longest held first.
    async fn list_held(
        &self,
        tenant: &Tenant,
        filter: &Filter,
        from: Option<Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        // Jobs leave the set meanwhile, so the place is a job's own: since when it is held, and its id.
        let mut at = from.unwrap_or_default();
        let (mut page, mut looked, mut skip) = (Page::default(), 0, 0);
        while looked < LOOKS {
            let mut ask = redis::cmd("ZRANGEBYSCORE");
            ask.arg(self.keys().held()).arg(at.day).arg("+inf").arg("WITHSCORES");
            ask.arg("LIMIT").arg(skip).arg(STRIDE);
            let found: Vec<(String, f64)> = ask.query_async(&mut self.connection()).await?;
            let (last, place) = (found.len() < STRIDE, at);
            let held =
                found.iter().filter_map(|(id, since)| Some((id.parse::<JobId>().ok()?, *since as u64)));
            let held: Vec<_> =
                held.filter(|(id, since)| (*since, id.top()) > (place.day, place.place)).collect();
            let ids: Vec<JobId> = held.iter().map(|(id, _)| *id).collect();
            for ((id, since), stored) in held.into_iter().zip(self.load_many(&ids).await?) {
                at = Cursor { day: since, place: id.top() };
                let Some(stored) = stored else { continue };
                if stored.job.tenant == *tenant && filter.wants(&stored) {
                    page.jobs.push(stored);
                    if page.jobs.len() >= most {
                        page.next = Some(at);
                        return Ok(page);
                    }
                }
            }
            if last {
                return Ok(page);
            }
            // More than a page since the same moment: on to what is behind it.
            skip = if at == place { skip + STRIDE } else { 0 };
            looked += found.len();
        }
        page.next = Some(at);
        Ok(page)
    }

    /// Behind the last job of a day.
    async fn end_of(&self, tenant: &Tenant, day: u64) -> Result<Cursor, StoreError> {
        let mut ask = redis::cmd("LLEN");
        ask.arg(self.keys().day(tenant, day));
        Ok(Cursor { day, place: ask.query_async(&mut self.connection()).await? })
    }

    /// The one job that is meant when the caller's id is derived from what is known.
    async fn by_custom_id(&self, tenant: &Tenant, filter: &Filter) -> Result<Option<Stored>, StoreError> {
        let Some(custom_id) = &filter.custom_id else { return Ok(None) };
        let batch = filter.batch.as_ref().map_or("", |batch| batch.name.as_str());
        let found = self.load(JobId::of_key(tenant, batch, custom_id)).await?;
        Ok(found.filter(|stored| stored.job.tenant == *tenant && filter.wants(stored)))
    }

    /// So many ids of a list from a place on.
    async fn ids(&self, list: &str, from: u64, most: u64) -> Result<Vec<JobId>, StoreError> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let mut ask = redis::cmd("LRANGE");
        ask.arg(list).arg(from).arg(from + most - 1);
        let ids: Vec<String> = ask.query_async(&mut self.connection()).await?;
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }
}
