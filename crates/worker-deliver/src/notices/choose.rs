//! Which endpoints are told of what happened, and what.

use std::collections::HashMap;
use std::sync::LazyLock;

use songmill_core::job::{StateName, Trace};
use songmill_core::money::Money;
use songmill_core::view::{JobView, NoticeData, NoticePayload};
use songmill_core::{BatchRef, EndpointId, JobId, Tenant, Timestamp};
use songmill_store::{
    Batch, Endpoint, Logged, NewNotice, Notice, NoticeType, Store, StoreError, Stored, Told, Untold,
};

use super::moment;

/// The most bytes of a payload.
const PAYLOAD: usize = 20_000;
/// Assets that a payload lists.
const ASSETS: usize = 20;

/// Writes the notices of what happened, at most so much; how much there was.
pub(super) async fn choose(store: &Store, most: usize) -> Result<usize, StoreError> {
    let things = store.untold(most).await?;
    if things.is_empty() {
        return Ok(0);
    }
    let known = Known::read(store, &things).await?;
    let written: Vec<_> = things.iter().map(|thing| (thing.place.clone(), known.notices(thing))).collect();
    store.tell(&written).await?;
    Ok(things.len())
}

/// What choosing needs, read at once.
struct Known {
    endpoints: HashMap<Tenant, Vec<Endpoint>>,
    jobs: HashMap<JobId, Stored>,
    batches: HashMap<BatchRef, Batch>,
    now: Timestamp,
    money: Money,
}

impl Known {
    async fn read(store: &Store, things: &[Untold]) -> Result<Self, StoreError> {
        let told = || things.iter().filter_map(|thing| thing.told.as_ref());
        let mut endpoints = HashMap::new();
        for tenant in told().map(whom) {
            if !endpoints.contains_key(tenant) {
                endpoints.insert(tenant.clone(), store.endpoints(tenant).await?);
            }
        }
        let mut batches = HashMap::new();
        for batch in told().filter_map(Told::batch) {
            if !batches.contains_key(&batch)
                && let Some(found) = store.batch(&batch).await?
            {
                batches.insert(batch, found);
            }
        }
        let ids: Vec<JobId> = told()
            .filter_map(|told| match told {
                Told::Job(logged) => Some(logged.job),
                Told::Closed(_) | Told::News(_) => None,
            })
            .collect();
        // One that cannot be read is told of all the same.
        let read = store.load_each(&ids).await?.into_iter().filter_map(Result::ok).flatten();
        let jobs = read.map(|stored| (stored.job.id, stored)).collect();
        let money = store.policy().money.clone();
        Ok(Self { endpoints, jobs, batches, now: store.now(), money })
    }

    fn notices(&self, thing: &Untold) -> Vec<NewNotice> {
        let Some(told) = &thing.told else {
            tracing::error!(place = thing.place, "something to be told cannot be read: nobody is told");
            return Vec::new();
        };
        let Some(kind) = kind(told) else { return Vec::new() };
        let batch = told.batch().and_then(|batch| self.batches.get(&batch));
        let named: Vec<&EndpointId> = match told {
            Told::Job(logged) => self.jobs.get(&logged.job).map(|stored| &stored.job.notify),
            Told::Closed(_) | Told::News(_) => None,
        }
        .into_iter()
        .chain(batch.map(|batch| &batch.notify))
        .flatten()
        .collect();
        let mut payload = None;
        let wanted = self.endpoints.get(whom(told)).into_iter().flatten().filter(|endpoint| {
            endpoint.disabled.is_none()
                && (endpoint.types.is_empty() || endpoint.types.contains(&kind))
                && (endpoint.all || named.contains(&&endpoint.id))
        });
        wanted
            .map(|endpoint| {
                let id = format!("msg_{}_{}", thing.place, endpoint.id);
                let mut notice = Notice::new(id, endpoint.id.clone(), kind, self.now);
                notice.sequence = thing.sequence;
                notice.batch = told.batch().map(|batch| batch.name);
                if let Told::Job(logged) = told {
                    notice.job = Some(logged.job);
                }
                let payload = payload.get_or_insert_with(|| self.payload(thing, told, kind, batch)).clone();
                NewNotice { tenant: whom(told).clone(), notice, payload }
            })
            .collect()
    }

    fn payload(&self, thing: &Untold, told: &Told, kind: NoticeType, batch: Option<&Batch>) -> String {
        let at = thing.place.split('-').next().and_then(|ms| ms.parse().ok()).map(Timestamp::from_millis);
        let sequence = Some(thing.sequence).filter(|sequence| *sequence > 0);
        let mut data = NoticeData { sequence, ..NoticeData::default() };
        match told {
            Told::Job(logged) => {
                data.job = self.job(logged, batch.and_then(|batch| batch.trace.as_ref())).map(Box::new);
                if data.job.is_none() {
                    data.words = format!("job {} is kept no more", logged.job);
                }
            }
            // Amounts of all tenants are for operators, who look at them with their keys.
            Told::News(news) => {
                data.words = news.message(self.money.currency, news.tenant.is_some());
                data.vendor.clone_from(&news.vendor);
                data.code.clone_from(&news.code);
            }
            Told::Closed(_) => data.batch = batch.map(|batch| Box::new(batch.view(self.now, &self.money))),
        }
        let timestamp = moment(at.unwrap_or(self.now));
        let mut payload = NoticePayload { kind: kind.as_str().to_owned(), timestamp, data };
        let json = |payload: &NoticePayload| serde_json::to_string(payload).expect("views are always JSON");
        let text = json(&payload);
        if text.len() <= PAYLOAD {
            return text;
        }
        // What is too much to be told can be asked for.
        if let Some(job) = &mut payload.data.job {
            job.assets_total = Some(job.assets_total.unwrap_or(job.assets.len()));
            job.assets.clear();
        }
        json(&payload)
    }

    /// The job as it was then; what it has become since is for later notices.
    fn job(&self, logged: &Logged, trace: Option<&Trace>) -> Option<JobView> {
        let stored = self.jobs.get(&logged.job)?;
        let mut view = JobView::of(&stored.job, stored.title(), self.now);
        if view.state != logged.to {
            view.state = logged.to;
            view.waits_for = "it has gone on since".into();
            (view.due_ms, view.ended_ms, view.seconds, view.fault) = (None, None, None, None);
            view.assets.clear();
        }
        if view.assets.len() > ASSETS {
            view.assets_total = Some(view.assets.len());
            view.assets.truncate(ASSETS);
        }
        if let (None, Some(trace)) = (&view.request_id, trace) {
            (view.request_id, view.traceparent) = (Some(trace.request_id.clone()), trace.traceparent.clone());
        }
        Some(view)
    }
}

/// Whose endpoints are told: the default tenant's, who are the operator's, of what concerns everybody.
fn whom(told: &Told) -> &Tenant {
    static OPERATOR: LazyLock<Tenant> = LazyLock::new(Tenant::default);
    told.tenant().unwrap_or(&OPERATOR)
}

fn kind(told: &Told) -> Option<NoticeType> {
    match told {
        Told::News(news) => Some(news.kind),
        Told::Closed(_) => Some(NoticeType::BatchCompleted),
        Told::Job(logged) => match logged.to {
            StateName::Completed => Some(NoticeType::JobCompleted),
            StateName::Failed => Some(NoticeType::JobFailed),
            StateName::Canceled => Some(NoticeType::JobCanceled),
            StateName::Held => Some(NoticeType::JobHeld),
            StateName::Queued
            | StateName::Submitting
            | StateName::Uncertain
            | StateName::Generating
            | StateName::Canceling
            | StateName::Collecting => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use songmill_core::job::{Attempt, Origin, Route, StepKind};
    use songmill_core::{Asset, Extras, Job, State};

    use super::*;

    #[test]
    fn a_payload_stays_below_its_limit_however_much_there_is_to_tell() {
        let now = Timestamp::from_millis(1_795_248_085_598);
        let vendor: songmill_core::VendorName = "tencent".parse().unwrap();
        let route = Route::new(vendor.clone(), vec![StepKind::Song]);
        let mut job = Job::new(JobId::derive("default", "a"), vec![route], now, now);
        let asset = Asset {
            path: format!("album/{}.flac", "夜".repeat(60)),
            bytes: 1,
            sha256: "0".repeat(64),
            format: "flac".into(),
            duration_ms: 1,
            part: None,
            title: Some("夜".repeat(400)),
            flags: vec![],
        };
        let attempt = Attempt { number: 1, since: now };
        let origin = Origin { vendor: vendor.clone(), attempt, task: None };
        job.state = State::Completed { at: now, origin, assets: vec![asset; 100], extra: Extras::default() };
        let logged = Logged {
            job: job.id,
            tenant: Tenant::default(),
            batch: None,
            from: None,
            to: StateName::Completed,
            vendor,
            code: None,
            trace: None,
        };
        let told = Told::Job(logged);
        let thing = Untold { place: "1795248085598-0".into(), told: Some(told.clone()), sequence: 1 };
        let stored = Stored { job: job.clone(), request: "{}".into(), claims: 0 };
        let known = Known {
            endpoints: HashMap::new(),
            jobs: HashMap::from([(job.id, stored)]),
            batches: HashMap::new(),
            now,
            money: Money::default(),
        };
        let payload = known.payload(&thing, &told, NoticeType::JobCompleted, None);
        assert!(payload.len() <= PAYLOAD, "{}", payload.len());
        let said: NoticePayload = serde_json::from_str(&payload).unwrap();
        assert_eq!(said.timestamp, "2026-11-21T08:01:25.598Z");
        assert_eq!(said.data.job.unwrap().assets_total, Some(100), "it says how many there are");
    }
}
