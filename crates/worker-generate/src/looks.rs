//! Looks at tasks, many with one request where the vendor lists them.
//!
//! Handlers ask one by one; what is asked within a moment goes together. A task that the list does not show, or not
//! whole, is asked for by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use songmill_core::job::{StepKind, Via};
use songmill_core::{Event, FaultKind, Report, TaskId, Timestamp};
use songmill_store::Store;
use songmill_vendors::{Seen, Slack, TaskRef, Vendor, Watched, Within};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::address::CallbackAddress;
use crate::driver::{Driver, Stopped};
use crate::meter::Meter;
use crate::work::To;

/// Asks how tasks are.
#[derive(Clone)]
pub(crate) struct Looks(Arc<Inner>);

struct Inner {
    asks: mpsc::UnboundedSender<Ask>,
    _gatherer: AbortOnDropHandle<()>,
}

/// One task to ask for.
struct Ask {
    step: StepKind,
    task: Watched,
    answer: oneshot::Sender<Result<Report, Stopped>>,
}

/// What asking needs.
struct Asking {
    store: Store,
    vendor: Arc<dyn Vendor>,
    driver: Driver,
    meter: Meter,
    address: Arc<CallbackAddress>,
    /// When the list is tried again after it failed.
    again: Mutex<Option<Instant>>,
    /// How much the vendor's moments of making differ from ours of submitting, as far as lists have shown.
    slack: Mutex<Slack>,
}

/// Tasks on a page; and submissions a minute where nothing is set.
const PAGE: u32 = 100;
const USUAL: u32 = 600;
/// Searches for one group, each going on where the last one ended.
const SEARCHES: u32 = 20;
/// Beyond what was seen, in ms, and of how many it is believed.
const MARGIN_MS: u64 = 300;
const ENOUGH: usize = 50;
/// How long a list that failed is not asked for.
const WITHOUT: Duration = Duration::from_secs(30);
/// How long others are waited for.
const GATHER: Duration = Duration::from_millis(15);
/// The fewest that are asked for together.
const FEW: usize = 4;
/// The most that are asked for together.
const MANY: usize = 2048;

impl Looks {
    pub(crate) fn start(to: &To) -> Self {
        let To { store, vendor, driver, meter, address, .. } = to;
        let (asks, asked) = mpsc::unbounded_channel();
        let asking = Arc::new(Asking {
            store: store.clone(),
            vendor: vendor.clone(),
            driver: driver.clone(),
            meter: meter.clone(),
            address: address.clone(),
            again: Mutex::default(),
            slack: Mutex::default(),
        });
        let gatherer = AbortOnDropHandle::new(tokio::spawn(gather(asking, asked)));
        Self(Arc::new(Inner { asks, _gatherer: gatherer }))
    }

    /// Asks how a task is.
    pub(crate) async fn look(&self, step: StepKind, task: Watched) -> Result<Report, Stopped> {
        let (answer, answered) = oneshot::channel();
        let _ = self.0.asks.send(Ask { step, task, answer });
        // The gatherer ends with the last who asks; a panic of one look is that of its handler.
        answered.await.unwrap_or(Err(Stopped::LeaseShort))
    }
}

async fn gather(asking: Arc<Asking>, mut asked: mpsc::UnboundedReceiver<Ask>) {
    let lists = asking.vendor.poll_many(&[], Within::default()).is_some();
    while let Some(first) = asked.recv().await {
        let mut asks = vec![first];
        if lists && !asking.does_without() {
            tokio::time::sleep(GATHER).await;
            // While the limit has us wait more are asked for, and go along.
            asking.meter.take().await;
        }
        while asks.len() < MANY
            && let Ok(ask) = asked.try_recv()
        {
            asks.push(ask);
        }
        if !lists || asking.does_without() {
            one_by_one(&asking, asks, false);
        } else if asks.len() < FEW {
            one_by_one(&asking, asks, true);
        } else {
            let mut allowed = true;
            let page = asking.page();
            for group in made_together(asks, page + asking.span_of_slack()) {
                if !asking.is_worth_a_list(&group, page) {
                    one_by_one(&asking, group, std::mem::take(&mut allowed));
                } else {
                    tokio::spawn(many(asking.clone(), group, std::mem::take(&mut allowed)));
                }
            }
        }
    }
}

/// Groups of those that were made together: they stand together in the list.
fn made_together(mut asks: Vec<Ask>, apart: Duration) -> Vec<Vec<Ask>> {
    asks.sort_unstable_by_key(|ask| ask.task.since);
    let mut groups: Vec<Vec<Ask>> = Vec::new();
    for ask in asks {
        let last = groups.last().and_then(|group| group.last()).map(|last| last.task.since);
        match (groups.last_mut(), last) {
            (Some(group), Some(last)) if ask.task.since.since(last) < apart => group.push(ask),
            _ => groups.push(vec![ask]),
        }
    }
    groups
}

/// Asks for many at once, and for those by themselves that the list does not show; the limit may have allowed one request.
async fn many(asking: Arc<Asking>, mut asks: Vec<Ask>, mut allowed: bool) {
    let mut within = Within { slack: asking.slack(), before: None };
    let mut searches = 0;
    while !asks.is_empty() {
        let tasks: Vec<Watched> = asks.iter().map(|ask| ask.task.clone()).collect();
        let Some(exchange) = asking.vendor.poll_many(&tasks, within) else { return };
        let asked = asking.store.now();
        let sent = asking.driver.drive_on(exchange, None, &asking.meter, std::mem::take(&mut allowed)).await;
        let listed = match sent {
            Ok(listed) => listed,
            // Asking for each would be refused as well.
            Err(Stopped::Fault(fault)) if matches!(fault.kind, FaultKind::Throttled | FaultKind::Locked) => {
                for ask in asks {
                    let _ = ask.answer.send(Err(Stopped::Fault(fault.clone())));
                }
                return;
            }
            // What is wrong with the list says nothing of the tasks.
            Err(Stopped::Fault(fault)) => {
                let vendor = &asking.vendor.card().name;
                tracing::warn!(%vendor, %fault, "tasks are asked for one by one for a while: there is no list");
                *asking.again.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + WITHOUT);
                return one_by_one(&asking, asks, false);
            }
            Err(Stopped::LeaseShort) => return,
        };
        let mut found: HashMap<TaskId, Seen> =
            listed.seen.into_iter().map(|seen| (seen.task.clone(), seen)).collect();
        let (mut missing, mut offsets) = (Vec::new(), Vec::new());
        for ask in asks {
            match found.remove(&ask.task.id) {
                Some(seen) => {
                    let offset = |made: Timestamp| {
                        made.as_millis().cast_signed() - ask.task.since.as_millis().cast_signed()
                    };
                    offsets.extend(seen.made.map(offset));
                    let _ = ask.answer.send(Ok(seen.report));
                }
                None => missing.push(ask),
            }
        }
        asking.learn(&offsets, listed.whole && !missing.is_empty());
        asking.tell(found.into_values().collect(), asked).await;
        // As long as the list goes on the rest is looked for there: every page tells of others, too.
        searches += 1;
        if listed.before.is_none() || missing.len() < FEW || searches >= SEARCHES {
            return one_by_one(&asking, missing, false);
        }
        within.before = listed.before;
        asks = missing;
    }
}

/// Asks for each task by itself, once however many jobs share it.
fn one_by_one(asking: &Arc<Asking>, asks: Vec<Ask>, mut allowed: bool) {
    let mut by_task: HashMap<TaskId, Vec<Ask>> = HashMap::new();
    for ask in asks {
        by_task.entry(ask.task.id.clone()).or_default().push(ask);
    }
    // One request may have been allowed already.
    for asks in by_task.into_values() {
        asking.clone().spawn_one(asks, std::mem::take(&mut allowed));
    }
}

impl Asking {
    /// Tells jobs that nobody has asked for yet how their tasks are: they stood on the same page, and need not be looked
    /// at again so soon.
    async fn tell(&self, others: Vec<Seen>, asked: Timestamp) {
        let vendor = &self.vendor.card().name;
        let told = others.into_iter().filter_map(|Seen { task, report, mark, .. }| {
            // Another installation may use the same account.
            let mark = mark.filter(|mark| self.address.is_ours(vendor, mark))?;
            // An end that was not asked for says nothing of whether callbacks come.
            let asked = if report == Report::Pending { asked } else { Timestamp::default() };
            let (vendor, task, via) = (vendor.clone(), Some(task), Via::Poll { asked });
            Some((mark.job, Event::Reported { attempt: mark.attempt, vendor, task, report, via }))
        });
        let told = told.map(|(job, event)| async move { self.store.apply(job, &event).await });
        for result in futures_util::future::join_all(told).await {
            if let Err(error) = result {
                // It is looked at when its own look is due.
                tracing::debug!(%vendor, %error, "what was seen of a task is not written down yet");
            }
        }
    }

    /// In how long a span of time as many tasks are made as a page shows, where as many are made as may be.
    fn page(&self) -> Duration {
        let policy = self.store.policy();
        let a_minute = match policy.vendor(&self.vendor.card().name).limits.creates_per_minute {
            0 => USUAL,
            most => most,
        };
        Duration::from_secs(60) * PAGE / a_minute
    }

    fn span_of_slack(&self) -> Duration {
        let Slack { before, after } = self.slack();
        before + after
    }

    /// Whether a list takes fewer requests than asking for each.
    fn is_worth_a_list(&self, group: &[Ask], page: Duration) -> bool {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return false };
        let span = last.task.since.since(first.task.since) + self.span_of_slack();
        group.len() >= FEW && group.len() as f64 > span.as_secs_f64() / page.as_secs_f64()
    }

    fn slack(&self) -> Slack {
        *self.slack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over how far moments have differed, in ms; when a task was not where it should stand, the most is allowed.
    fn learn(&self, offsets: &[i64], missed: bool) {
        let (Some(least), Some(most)) = (offsets.iter().min(), offsets.iter().max()) else { return };
        let span = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or(0) + MARGIN_MS);
        let found = Slack { before: span(-least), after: span(*most) };
        let mut slack = self.slack.lock().unwrap_or_else(PoisonError::into_inner);
        *slack = if missed {
            let usual = Slack::default();
            Slack { before: usual.before.max(found.before), after: usual.after.max(found.after) }
        } else if offsets.len() >= ENOUGH {
            found
        } else {
            Slack { before: slack.before.max(found.before), after: slack.after.max(found.after) }
        };
    }

    fn does_without(&self) -> bool {
        let again = *self.again.lock().unwrap_or_else(PoisonError::into_inner);
        again.is_some_and(|again| Instant::now() < again)
    }

    fn spawn_one(self: Arc<Self>, asks: Vec<Ask>, allowed: bool) {
        tokio::spawn(async move {
            let Some(Ask { step, task, .. }) = asks.first() else { return };
            let exchange = self.vendor.poll(&TaskRef { step: *step, id: &task.id });
            let result = self.driver.drive_on(exchange, None, &self.meter, allowed).await;
            for ask in asks {
                let _ = ask.answer.send(match &result {
                    Ok(report) => Ok(report.clone()),
                    Err(Stopped::Fault(fault)) => Err(Stopped::Fault(fault.clone())),
                    Err(Stopped::LeaseShort) => Err(Stopped::LeaseShort),
                });
            }
        });
    }
}
