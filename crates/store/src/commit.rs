//! Writing down what became of jobs.

use songmill_core::job::StateName;
use songmill_core::{Job, Stage};

use crate::connection::StoreError;
use crate::record::encode;
use crate::scripts::COMMIT;
use crate::store::{Logged, Store};

/// What is to become of a job, if its version is still the one that was read.
pub(crate) struct Commit<'a> {
    pub(crate) version: u64,
    pub(crate) before: &'a Job,
    pub(crate) after: &'a Job,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    Done,
    Stale,
    NoSuchJob,
}

/// The most commits in one script call.
pub(crate) const COMMIT_CHUNK: usize = 64;

impl Store {
    /// Writes what became of jobs; each for itself, in one call.
    pub(crate) async fn commit(&self, commits: &[Commit<'_>]) -> Result<Vec<Committed>, StoreError> {
        let keys = self.keys();
        let mut named = vec![keys.events(), keys.ended(), keys.totals(), keys.outbox()];
        for Commit { before, after, .. } in commits {
            let record = keys.job(after.id);
            let queue = |job: &Job| match job.place() {
                Some(place) => keys.queue(place.stage, place.vendor),
                None if job.state.name() == StateName::Held => keys.held(),
                None => record.clone(),
            };
            let (leaves, enters) = (queue(before), queue(after));
            let tenant = keys.tenant(&after.tenant);
            let [batch, members, refused] = match &after.batch_ref() {
                Some(batch) => [keys.batch(batch), keys.members(batch), keys.refused(batch)],
                None => [record.clone(), record.clone(), record.clone()],
            };
            let ledger = keys.ledger(u64::from(before.booked));
            named.extend([record, leaves, enters, tenant, batch, members, refused, ledger]);
        }
        let mut call = COMMIT.call(&named);
        call.arg(self.event_limits()).arg(keys.wake());
        call.arg(self.retention().age.get().as_millis() as u64)
            .arg(self.retention().jobs)
            .arg(keys.job_prefix())
            .arg(self.account_limits());
        for Commit { version, before, after } in commits {
            let (from, to) = (before.state.name(), after.state.name());
            let due = if to == StateName::Held { self.now() } else { after.due };
            call.arg(after.id.to_string()).arg(*version).arg(encode(after)?).arg(due.as_millis());
            call.arg(from.as_str()).arg(to.as_str()).arg(after.vendor().as_str()).arg(flags(before, after));
            call.arg(if from == to { Vec::new() } else { Logged::of(after, Some(from)).encode() });
            let lane = |job: &Job| if job.is_at(Stage::Submit) { job.lane() } else { String::new() };
            call.arg(lane(before)).arg(lane(after)).arg(after.priced_by()).arg(booked(before, after));
        }
        let codes: Vec<i64> = call.run(&mut self.connection()).await?;
        let read = |code| match code {
            0 => Committed::Stale,
            -1 => Committed::NoSuchJob,
            _ => Committed::Done,
        };
        Ok(codes.into_iter().map(read).collect())
    }
}

/// What a change means for the ledger: `field by field by …`.
fn booked(before: &Job, after: &Job) -> String {
    let (vendor, tenant) = (before.vendor(), &before.tenant);
    let mut text = String::new();
    let mut book = |what: &str, by: i64| {
        if by != 0 {
            text.push_str(&format!("{what} {by} "));
        }
    };
    let more = |field: fn(&Job) -> u32| i64::from(field(after)) - i64::from(field(before));
    let (done, undone) = (more(|job| job.confirmed), more(|job| job.undone));
    book(&format!("done|{vendor}|{tenant}"), done);
    book(&format!("undone|{vendor}|{tenant}"), undone);
    book(&format!("twice|{vendor}|{tenant}"), more(|job| job.maybe_paid_twice));
    let spent = after.spent.cast_signed() - before.spent.cast_signed();
    book(&format!("done_price|{vendor}|{tenant}"), spent);
    // What was reserved when a submission began becomes what it has really cost.
    let change = spent - (after.settled.cast_signed() - before.settled.cast_signed());
    for purse in ["=".to_owned(), format!("={tenant}"), "spent".to_owned()] {
        book(&purse, change);
    }
    text
}

fn flags(before: &Job, after: &Job) -> String {
    let mut flags = String::new();
    let stands = |job: &Job| job.place().is_some() || job.state.name() == StateName::Held;
    if stands(before) {
        flags.push('l');
    }
    if stands(after) {
        flags.push('e');
    }
    if after.batch.is_some() {
        flags.push('b');
    }
    if after.state.name().is_final() || after.state.name() == StateName::Held {
        flags.push('n');
    }
    if after.state.name().is_final() {
        flags.push('f');
    } else if before.state.name().is_final() {
        flags.push('w');
    }
    flags
}
