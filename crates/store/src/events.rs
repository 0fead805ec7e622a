//! Events, as they are read: a tenant's own, or all of them as they happen.

use std::str::FromStr;

use songmill_core::Tenant;

use crate::connection::StoreError;
use crate::facts::{Entry, Told};
use crate::store::Store;

/// An event's id: the moment in ms, and its number among those of that moment. No two events have the same, whosever
/// they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId {
    ms: u64,
    number: u64,
}

impl FromStr for EventId {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (ms, number) = text.split_once('-').unwrap_or((text, "0"));
        let read = |text: &str| {
            let digits = (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits).ok_or(())
        };
        Ok(Self { ms: read(ms)?, number: read(number)? })
    }
}

impl EventId {
    /// The moment, in ms since 1970.
    pub fn ms(self) -> u64 {
        self.ms
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.number)
    }
}

/// An event; none where it cannot be read, which has its place all the same.
pub type Listed = (EventId, Option<Told>);

/// No tenant's name.
const BEGUN: &str = "=";

/// About how many bytes an event takes in its stream: what `events.lua` says.
pub(crate) const EVENT_BYTES: u64 = 256;

fn read(entries: Vec<Entry>) -> impl Iterator<Item = Listed> {
    entries.into_iter().filter_map(|(id, fields)| Some((id.parse().ok()?, Told::read(&fields))))
}

impl Store {
    /// What concerns a tenant, its own events and those that concern everybody, after this one (the default id: from
    /// the first that is kept), at most so many.
    pub async fn events(
        &self,
        tenant: &Tenant,
        after: EventId,
        most: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let mut ask = redis::pipe();
        for whose in [tenant.as_str(), ""] {
            let stream = self.keys().events_of(whose);
            ask.cmd("XRANGE").arg(stream).arg(format!("({after}")).arg("+").arg("COUNT").arg(most);
        }
        let (own, of_all): (Vec<Entry>, Vec<Entry>) = ask.query_async(&mut self.connection()).await?;
        let mut events: Vec<_> = read(own).chain(read(of_all)).collect();
        events.sort_unstable_by_key(|(id, _)| *id);
        events.truncate(most);
        Ok(events)
    }

    /// Whether all that concerns a tenant and happened after this event is still kept.
    pub async fn has_events_since(&self, tenant: &Tenant, after: EventId) -> Result<bool, StoreError> {
        if after == EventId::default() {
            return Ok(true);
        }
        let mut ask = redis::pipe();
        ask.cmd("HMGET").arg(self.keys().events_kept()).arg(tenant.as_str()).arg("").arg(BEGUN);
        for whose in [tenant.as_str(), ""] {
            ask.cmd("XRANGE").arg(self.keys().events_of(whose)).arg("-").arg("+").arg("COUNT").arg(1);
        }
        type Firsts = (Vec<Option<String>>, Vec<Entry>, Vec<Entry>);
        let (trimmed, own, of_all): Firsts = ask.query_async(&mut self.connection()).await?;
        let trimmed = trimmed.iter().flatten().filter_map(|id| id.parse::<EventId>().ok()).max();
        let first = read(own).chain(read(of_all)).map(|(id, _)| id).min();
        // A stream that nothing is written to goes after that time, whole.
        let age = self.retention().age.get();
        let is_recent = u128::from(self.now().as_millis()) <= u128::from(after.ms) + age.as_millis();
        Ok(trimmed.is_none_or(|first| first <= after)
            && (is_recent || first.is_some_and(|first| first <= after)))
    }

    /// Everybody's events as they happen, after this one, at most so many; and the first one that is still there: when
    /// that is later, some were missed, and are found with their tenants' (`events`).
    pub async fn follow_events(
        &self,
        after: EventId,
        most: usize,
    ) -> Result<(Option<EventId>, Vec<Listed>), StoreError> {
        let stream = self.keys().events();
        let mut ask = redis::pipe();
        ask.cmd("XRANGE").arg(&stream).arg("-").arg("+").arg("COUNT").arg(1);
        ask.cmd("XRANGE").arg(&stream).arg(format!("({after}")).arg("+").arg("COUNT").arg(most);
        let (first, entries): (Vec<Entry>, Vec<Entry>) = ask.query_async(&mut self.connection()).await?;
        Ok((read(first).next().map(|(id, _)| id), read(entries).collect()))
    }

    /// The id of the last event; the default one where there is none.
    pub async fn last_event(&self) -> Result<EventId, StoreError> {
        let mut ask = redis::cmd("XREVRANGE");
        ask.arg(self.keys().events()).arg("+").arg("-").arg("COUNT").arg(1);
        let last: Vec<Entry> = ask.query_async(&mut self.connection()).await?;
        Ok(read(last).next().map(|(id, _)| id).unwrap_or_default())
    }

    /// Writes down once from which event on tenants have streams of their own: what was before, in a Redis that an
    /// earlier version wrote to, is not in them.
    pub(crate) async fn begin_events(&self) -> Result<(), StoreError> {
        let last = self.last_event().await?;
        let mut set = redis::cmd("HSETNX");
        set.arg(self.keys().events_kept()).arg(BEGUN).arg(last.to_string());
        Ok(set.query_async(&mut self.connection()).await?)
    }

    /// How many events a tenant keeps: what `events.lua` takes.
    pub(crate) fn event_limits(&self) -> String {
        let retention = self.retention();
        let bound = self.bound_of_events();
        let (age, kept) = (retention.events_age.get().as_millis(), retention.age.get().as_millis());
        format!("{} {age} {bound} {kept}", retention.events.min(bound))
    }
}
