//! Notices: what endpoints are told. Each is written once, waits in its endpoint's own queue, and keeps its history.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use songmill_core::{EndpointId, JobId, Tenant, Timestamp};

use crate::connection::StoreError;
use crate::endpoint::{Endpoint, sealed};
use crate::facts::{Entry, Told};
use crate::notice_type::NoticeType;
use crate::scripts::{NOTIFY, TELL, TOLD};
use crate::store::Store;

/// How a notice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// It is to be sent, or sent again.
    Waiting,
    /// The endpoint took it.
    Delivered,
    /// It was given up.
    Failed,
}

/// One try to deliver a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "DeliveryAttempt")]
pub struct Try {
    /// When.
    pub at_ms: u64,
    /// How long it took.
    pub took_ms: u64,
    /// What the endpoint answered, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong, where it did: a code such as `certificate_expired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A notice to one endpoint, without its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Notice {
    /// Ours; the same in every try: `webhook-id`.
    pub id: String,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// What it tells of.
    #[serde(rename = "type")]
    pub kind: NoticeType,
    /// Which notice of the job or batch it is, from 1.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sequence: u64,
    /// The job it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub job: Option<JobId>,
    /// The batch it tells of, or that the job belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<songmill_core::BatchName>,
    /// When it was written.
    pub created_ms: u64,
    /// How it stands.
    pub state: NoticeState,
    /// When it is sent next, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<u64>,
    /// The latest tries to deliver it, oldest first; bounded.
    pub tries: Vec<Try>,
    /// How often it was tried.
    pub tried: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How many tries a notice remembers.
const TRIES: usize = 10;
/// How many notices a tenant's history keeps.
const HISTORY: usize = 10_000;

impl Notice {
    /// A notice that is to be sent now.
    pub fn new(id: String, endpoint: EndpointId, kind: NoticeType, now: Timestamp) -> Self {
        Self {
            id,
            endpoint,
            kind,
            sequence: 0,
            job: None,
            batch: None,
            created_ms: now.as_millis(),
            state: NoticeState::Waiting,
            due_ms: Some(now.as_millis()),
            tries: Vec::new(),
            tried: 0,
        }
    }

    /// Writes a try down.
    pub fn tried(&mut self, one: Try) {
        if self.tries.len() >= TRIES {
            self.tries.remove(0);
        }
        self.tries.push(one);
        self.tried += 1;
    }
}

/// Something to be told to endpoints that are not chosen yet.
#[derive(Clone, Debug)]
pub struct Untold {
    /// Its place in the outbox: what makes it one.
    pub place: String,
    /// What happened; none when it cannot be read, which nobody can be told of.
    pub told: Option<Told>,
    /// Which notice of the job or batch it is, from 1.
    pub sequence: u64,
}

/// A notice to write.
#[derive(Clone, Debug)]
pub struct NewNotice {
    /// Whose endpoint it goes to.
    pub tenant: Tenant,
    /// It.
    pub notice: Notice,
    /// What is posted.
    pub payload: String,
}

/// An endpoint that is ours for a while, with notices that are due.
#[derive(Debug)]
pub struct Claimed {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its id.
    pub endpoint: EndpointId,
    /// Whether its last delivery failed.
    pub slow: bool,
    /// The notices and their payloads.
    pub notices: Vec<(Notice, String)>,
    fence: u64,
}

/// The places of a process: each is for one endpoint that is sent to.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// How many are free.
    pub free: usize,
    /// How many of these may go to endpoints whose last delivery failed.
    pub slow: usize,
    /// Who has the others.
    pub held: BTreeMap<Tenant, Held>,
}

/// A tenant's places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// All of them.
    pub all: usize,
    /// Those of endpoints whose last delivery failed.
    pub slow: usize,
}

/// What notices there were to be taken.
#[derive(Debug, Default)]
pub struct Taken {
    /// Endpoints with their notices.
    pub claimed: Vec<Claimed>,
    /// When there will be more.
    pub next_due: Option<Timestamp>,
}

/// How long notices are kept after they are settled; twice as long they wait.
const KEEP: Duration = Duration::from_secs(7 * 86_400);
/// Who found nothing to take asks no sooner again: what is due now may be another's.
const BREATH: Duration = Duration::from_millis(10);
/// The longest sleep without being woken.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

impl Store {
    /// What is to be told next, at most so much; it stays until its notices are written.
    pub async fn untold(&self, most: usize) -> Result<Vec<Untold>, StoreError> {
        let mut ask = redis::cmd("XRANGE");
        ask.arg(self.keys().outbox()).arg("-").arg("+").arg("COUNT").arg(most);
        let entries: Vec<Entry> = ask.query_async(&mut self.connection()).await?;
        let read = |(place, fields): Entry| {
            let sequence = fields.iter().find(|(field, _)| field == "s");
            let sequence = sequence.and_then(|(_, number)| std::str::from_utf8(number).ok()?.parse().ok());
            Untold { place, told: Told::read(&fields), sequence: sequence.unwrap_or(0) }
        };
        Ok(entries.into_iter().map(read).collect())
    }

    /// Writes the notices of what is in the outbox, each once, and takes it out; also of what nobody is told of. What
    /// has no place was never there: a test, or a notice that is sent again under its id. A tenant that has no room for
    /// more loses the oldest ones. Says how many were written.
    pub async fn tell(&self, things: &[(String, Vec<NewNotice>)]) -> Result<u64, StoreError> {
        let keys = self.keys();
        let mut call = TELL.call(&[keys.outbox(), keys.notify(), keys.notifying(), keys.events()]);
        call.arg(keys.notice_prefix()).arg(keys.waiting_prefix()).arg(keys.notices_prefix()).arg(HISTORY);
        call.arg(KEEP.as_millis() as u64 * 2).arg(keys.tenant_prefix()).arg(self.account_limits());
        for (place, notices) in things {
            call.arg(place).arg(notices.len());
            for NewNotice { tenant, notice, payload } in notices {
                call.arg(&notice.id).arg(tenant.as_str()).arg(notice.endpoint.as_str());
                call.arg(encode(notice)).arg(payload);
            }
        }
        let [written, lost]: [u64; 2] = call.run(&mut self.connection()).await?;
        if lost > 0 {
            let tenants: BTreeSet<_> =
                things.iter().flat_map(|(_, notices)| notices).map(|new| new.tenant.as_str()).collect();
            let tenants = Vec::from_iter(tenants).join(", ");
            tracing::warn!(
                lost,
                tenants,
                "{lost} webhooks are lost: as many wait as the quota of bytes allows; their endpoints do not take them"
            );
        }
        Ok(written)
    }

    /// Takes endpoints that have notices due, as many as there are places for: tenants take turns, and who has none yet
    /// always finds a place.
    pub async fn take_notices(
        &self,
        places: &Places,
        each: usize,
        lease: Duration,
    ) -> Result<Taken, StoreError> {
        let keys = self.keys();
        let mut call = NOTIFY.call(&[keys.notify(), keys.notifying(), keys.outbox()]);
        call.arg(places.free).arg(places.slow).arg(each).arg(lease.as_millis() as u64);
        call.arg(keys.notice_prefix()).arg(keys.waiting_prefix()).arg(LONGEST_SLEEP.as_millis() as u64);
        for (tenant, held) in &places.held {
            call.arg(tenant.as_str()).arg(held.all).arg(held.slow);
        }
        let mut out = call.run::<Vec<redis::Value>>(&mut self.connection()).await?.into_iter();
        let next: Option<i64> = out.next().and_then(|next| redis::from_redis_value(next).ok());
        let mut taken = Taken {
            claimed: Vec::new(),
            next_due: next.and_then(|next| u64::try_from(next).ok()).map(Timestamp::from_millis),
        };
        let out = out.map(|value| redis::from_redis_value(value).map_err(redis::RedisError::from));
        let out: Vec<Vec<u8>> = out.collect::<Result<_, _>>()?;
        let mut unreadable = redis::pipe();
        for fields in out.chunks_exact(6) {
            let [whose, slow, fence, id, notice, payload] = fields else { continue };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let whose = text(whose);
            let Some((tenant, endpoint)) = whose.split_once('/') else { continue };
            let (Ok(tenant), Ok(endpoint)) = (tenant.parse(), endpoint.parse()) else { continue };
            let Ok(fence) = text(fence).parse() else { continue };
            let is_of = |last: &Claimed| last.endpoint == endpoint && last.tenant == tenant;
            if !taken.claimed.last().is_some_and(is_of) {
                let slow = slow == b"slow";
                taken.claimed.push(Claimed { tenant, endpoint, slow, notices: Vec::new(), fence });
            }
            let claimed = taken.claimed.last_mut().expect("there is one now");
            match serde_json::from_slice(notice) {
                Ok(notice) => claimed.notices.push((notice, text(payload))),
                Err(error) => {
                    let (id, tenant, endpoint) = (text(id), &claimed.tenant, &claimed.endpoint);
                    tracing::error!(%tenant, %endpoint, id, %error, "a webhook is not sent: it cannot be read");
                    unreadable.cmd("ZREM").arg(keys.waiting(tenant, endpoint)).arg(id).ignore();
                }
            }
        }
        if !unreadable.is_empty() {
            unreadable.query_async::<()>(&mut self.connection()).await?;
            // An endpoint of which nothing else was taken waits for nobody.
            for claimed in taken.claimed.extract_if(.., |claimed| claimed.notices.is_empty()) {
                self.told(&claimed, &[], None).await?;
            }
        }
        Ok(taken)
    }

    /// Sleeps until there may be notices to write or to send.
    pub async fn wait_for_notices(&self, next_due: Option<Timestamp>) {
        let bell = self.wake().bell(&self.keys().outbox());
        let wait = next_due.map_or(LONGEST_SLEEP, |due| due.since(self.now())).clamp(BREATH, LONGEST_SLEEP);
        // Being rung early or late is all the same.
        let _ = tokio::time::timeout(wait, bell.notified()).await;
    }

    /// Writes what became of an endpoint's notices, and what that says of the endpoint, unless somebody else changed it
    /// meanwhile; whether that was written.
    pub async fn told(
        &self,
        claimed: &Claimed,
        notices: &[Notice],
        endpoint: Option<(&Endpoint, &Endpoint)>,
    ) -> Result<bool, StoreError> {
        let keys = self.keys();
        let (tenant, id) = (&claimed.tenant, &claimed.endpoint);
        let mut call = TOLD.call(&[
            keys.notify(),
            keys.notifying(),
            keys.waiting(tenant, id),
            keys.endpoints(tenant),
            keys.tenant(tenant),
            keys.events(),
        ]);
        call.arg(format!("{tenant}/{id}")).arg(claimed.fence).arg(keys.notice_prefix());
        call.arg(KEEP.as_millis() as u64).arg(id.as_str());
        let json = |endpoint: &Endpoint| serde_json::to_vec(endpoint).expect("texts are always JSON");
        match endpoint {
            Some((before, after)) => {
                // What stands there plain already may stay so until it can be encrypted.
                let sealed = sealed(after, tenant, &self.secret_keys()).unwrap_or_else(|_| after.clone());
                call.arg(json(before)).arg(json(&sealed))
            }
            None => call.arg("").arg(""),
        };
        call.arg(match endpoint {
            Some((_, after)) if after.disabled.is_some() => "off",
            Some((_, after)) if after.failing_since_ms.is_some() => "failing",
            Some(_) | None => "",
        });
        call.arg(self.account_limits());
        for notice in notices {
            call.arg(&notice.id).arg(encode(notice));
            match notice.due_ms.filter(|_| notice.state == NoticeState::Waiting) {
                Some(due) => call.arg(due),
                None => call.arg(""),
            };
        }
        Ok(call.run::<i64>(&mut self.connection()).await? == 2)
    }

    /// A page of a tenant's notices with their places, newest first, and how many places were looked at: what has had
    /// its time leaves holes.
    pub async fn notices(
        &self,
        tenant: &Tenant,
        from: usize,
        most: usize,
    ) -> Result<(Vec<(usize, Notice)>, usize), StoreError> {
        let mut ask = redis::cmd("LRANGE");
        ask.arg(self.keys().notices(tenant)).arg(from).arg(from + most.max(1) - 1);
        let ids: Vec<String> = ask.query_async(&mut self.connection()).await?;
        if ids.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let mut ask = redis::pipe();
        ids.iter().for_each(|id| {
            ask.cmd("HGET").arg(self.keys().notice(id)).arg("d");
        });
        let found: Vec<Option<Vec<u8>>> = ask.query_async(&mut self.connection()).await?;
        let read = |(n, json): (usize, &Option<Vec<u8>>)| {
            Some((from + n, serde_json::from_slice(json.as_deref()?).ok()?))
        };
        Ok((found.iter().enumerate().filter_map(read).collect(), ids.len()))
    }

    /// One of a tenant's notices, with its payload.
    pub async fn notice(&self, tenant: &Tenant, id: &str) -> Result<Option<(Notice, String)>, StoreError> {
        let mut ask = redis::cmd("HMGET");
        ask.arg(self.keys().notice(id)).arg(&["d", "p", "e"]);
        type Fields = (Option<Vec<u8>>, Option<String>, Option<String>);
        let (notice, payload, whose): Fields = ask.query_async(&mut self.connection()).await?;
        let theirs = whose.as_deref().and_then(|whose| whose.split_once('/')).map(|(tenant, _)| tenant);
        if theirs != Some(tenant.as_str()) {
            return Ok(None);
        }
        let notice = notice.and_then(|json| serde_json::from_slice(&json).ok());
        Ok(notice.map(|notice| (notice, payload.unwrap_or_default())))
    }
}

fn encode(notice: &Notice) -> Vec<u8> {
    serde_json::to_vec(notice).expect("texts and numbers are always JSON")
}
