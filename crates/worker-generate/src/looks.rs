//! Looks at tasks, many with one request where the vendor lists them.
//!
//! Handlers ask one by one; what is asked within a moment goes together. A task that the list does not show, or not
//! whole, is asked for by itself.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use songmill_core::job::{StepKind, Via};
use songmill_core::{Event, Fault, FaultKind, Report, TaskId, Timestamp};
use songmill_store::Store;
use songmill_vendors::{Listed, Seen, Slack, TaskRef, Vendor, Watched, Within};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::address::CallbackAddress;
use crate::driver::{Driver, Stopped};
use crate::looks::table::{Search, Table};
use crate::meter::Meter;
use crate::work::To;

mod table;

/// Asks how tasks are.
#[derive(Clone)]
pub(crate) struct Looks(Arc<Inner>);

struct Inner {
    asks: mpsc::UnboundedSender<Ask>,
    asking: Arc<Asking>,
    _gatherer: AbortOnDropHandle<()>,
}

/// One task to ask for.
struct Ask {
    step: StepKind,
    task: Watched,
    /// What was seen earlier says too little.
    after: Timestamp,
    answer: oneshot::Sender<Result<Look, Stopped>>,
}

/// How a task is.
#[derive(Clone)]
pub(crate) struct Look {
    pub(crate) report: Report,
    /// When the vendor was asked.
    pub(crate) at: Timestamp,
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
const MARGIN_MS: u64 = 50;
const ENOUGH: usize = 50;
/// The most that moments differ.
const OFFSET_MOST_MS: i64 = 60_000;
/// How long a list that failed is not asked for.
const WITHOUT: Duration = Duration::from_secs(30);
/// How long others are waited for.
const GATHER: Duration = Duration::from_millis(15);
/// The fewest that are asked for together.
const FEW: usize = 4;
/// The most pages that a group is spread over: one page comes after the other, but groups at once.
const PAGES: u32 = 8;

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
        let gatherer = AbortOnDropHandle::new(tokio::spawn(gather(asking.clone(), asked)));
        Self(Arc::new(Inner { asks, asking, _gatherer: gatherer }))
    }

    /// Asks for this very task: its own answer is newer than what the vendor's list shows.
    pub(crate) async fn look_alone(&self, step: StepKind, task: &TaskId) -> Result<Look, Stopped> {
        self.0.asking.one(step, task, false).await
    }

    /// Asks how a task is; what was seen a moment ago will do, if that was after the given time.
    pub(crate) async fn look(
        &self,
        step: StepKind,
        task: Watched,
        after: Timestamp,
    ) -> Result<Look, Stopped> {
        let (answer, answered) = oneshot::channel();
        let _ = self.0.asks.send(Ask { step, task, after, answer });
        // The gatherer ends with the last who asks; a panic of one look is that of its handler.
        answered.await.unwrap_or(Err(Stopped::LeaseShort))
    }
}

/// What a search tells while it goes on.
enum News {
    /// What the list has shown, and whether all of the part that was asked for was looked through.
    Shown { seen: Vec<Seen>, at: Timestamp, whole: bool },
    /// There is no more to see; or why it came to nothing.
    Over(Search, Result<(), Stopped>),
}

async fn gather(asking: Arc<Asking>, mut asked: mpsc::UnboundedReceiver<Ask>) {
    if asking.vendor.poll_many(&[], Within::default()).is_none() {
        return without_list(&asking, asked).await;
    }
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut table = Table::default();
    let allowed = wait(Duration::ZERO, asking.meter.clone());
    tokio::pin!(allowed);
    let mut is_waiting = false;
    loop {
        if !is_waiting && !table.is_idle() {
            allowed.set(wait(GATHER, asking.meter.clone()));
            is_waiting = true;
        }
        // Cancel-safe: nothing is lost in a channel, and the wait goes on in the next turn.
        tokio::select! {
            ask = asked.recv() => match ask {
                Some(ask) => table.add(ask),
                None => return,
            },
            news = told.recv() => asking.heard(&mut table, news),
            () = &mut allowed, if is_waiting => {
                asking.look_for_next(&mut table, &tell);
                // Those who wait already need not be waited for.
                is_waiting = !table.is_idle();
                if is_waiting {
                    allowed.set(wait(Duration::ZERO, asking.meter.clone()));
                }
            }
        }
    }
}

/// Waits for others who ask, and then until one more request may be made: while the limit has us wait more ask, and go along.
async fn wait(gather: Duration, meter: Meter) {
    if !gather.is_zero() {
        tokio::time::sleep(gather).await;
    }
    meter.take().await;
}

async fn without_list(asking: &Arc<Asking>, mut asked: mpsc::UnboundedReceiver<Ask>) {
    while let Some(first) = asked.recv().await {
        // Several jobs may share a task.
        let mut by_task = HashMap::from([(first.task.id.clone(), vec![first])]);
        while let Ok(ask) = asked.try_recv() {
            by_task.entry(ask.task.id.clone()).or_default().push(ask);
        }
        one_by_one(asking, by_task.into_values(), false);
    }
}

/// Asks for each task by itself, once however many jobs share it; the limit may have allowed one request.
fn one_by_one(asking: &Arc<Asking>, tasks: impl IntoIterator<Item = Vec<Ask>>, mut allowed: bool) {
    for asks in tasks {
        asking.clone().spawn_one(asks, std::mem::take(&mut allowed));
    }
}

/// Looks for many in the list; the limit has allowed one request. Its end is told whatever happens, or who asks would
/// wait for ever.
async fn many(asking: Arc<Asking>, search: Search, tell: mpsc::UnboundedSender<News>) {
    let searched = AssertUnwindSafe(searched(&asking, &search, &tell)).catch_unwind().await;
    let result = searched.unwrap_or_else(|_| {
        let vendor = &asking.vendor.card().name;
        Err(Fault::new(
            FaultKind::Garbled,
            "reply_garbled",
            format!("the list of {vendor} breaks its reader"),
        )
        .into())
    });
    let _ = tell.send(News::Over(search, result));
}

async fn searched(
    asking: &Asking,
    search: &Search,
    tell: &mpsc::UnboundedSender<News>,
) -> Result<(), Stopped> {
    let mut within = Within { slack: asking.slack(), before: None };
    let mut missing = search.tasks.clone();
    let mut allowed = true;
    // As long as the list goes on the rest is looked for there: every page tells of others, too.
    for _ in 0..SEARCHES {
        let Some(exchange) = asking.vendor.poll_many(&missing, within) else { break };
        let at = asking.store.now();
        let listed =
            asking.driver.drive_on(exchange, None, &asking.meter, std::mem::take(&mut allowed)).await?;
        let Listed { seen, whole, before } = listed;
        let found: HashSet<&TaskId> = seen.iter().map(|seen| &seen.task).collect();
        missing.retain(|task| !found.contains(&task.id));
        let whole = whole && !missing.is_empty();
        let _ = tell.send(News::Shown { seen, at, whole });
        within.before = before;
        if before.is_none() || missing.len() < FEW {
            break;
        }
    }
    Ok(())
}

impl Asking {
    /// Looks for those who have waited longest; the limit has allowed one request.
    fn look_for_next(self: &Arc<Self>, table: &mut Table, tell: &mpsc::UnboundedSender<News>) {
        let page = self.page();
        let group = table.group(page + self.span_of_slack(), page * PAGES);
        if self.does_without() || !self.is_worth_a_list(&group, page) {
            return one_by_one(self, table.take(&group), true);
        }
        tokio::spawn(many(self.clone(), table.search(group), tell.clone()));
    }

    /// Takes in what a search tells.
    fn heard(self: &Arc<Self>, table: &mut Table, news: Option<News>) {
        match news {
            Some(News::Shown { seen, at, whole }) => {
                let shown = table.shown(seen, at);
                self.learn(&shown.offsets, whole);
                tokio::spawn(self.clone().tell(shown.others, at));
            }
            Some(News::Over(search, result)) => {
                let missing = table.end(search);
                match result {
                    Ok(()) | Err(Stopped::LeaseShort) => one_by_one(self, missing, false),
                    // Asking for each would be refused as well.
                    Err(Stopped::Fault(fault))
                        if matches!(fault.kind, FaultKind::Throttled | FaultKind::Locked) =>
                    {
                        // What is said of the list may quote any of its tasks.
                        let fault = fault.without_vendor_message();
                        for ask in missing.into_iter().flatten() {
                            let _ = ask.answer.send(Err(Stopped::Fault(fault.clone())));
                        }
                    }
                    // What is wrong with the list says nothing of the tasks.
                    Err(Stopped::Fault(fault)) => {
                        let vendor = &self.vendor.card().name;
                        tracing::warn!(%vendor, %fault, "tasks are asked for one by one for a while: there is no list");
                        *self.again.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(Instant::now() + WITHOUT);
                        one_by_one(self, missing, false);
                    }
                }
            }
            // We hold a sender ourselves.
            None => {}
        }
    }

    /// Tells jobs that nobody has asked for yet how their tasks are: they stood on the same page, and need not be looked
    /// at again so soon.
    async fn tell(self: Arc<Self>, others: Vec<Seen>, asked: Timestamp) {
        let vendor = &self.vendor.card().name;
        let told = others.into_iter().filter_map(|Seen { task, report, mark, .. }| {
            // Another installation may use the same account.
            let mark = mark.filter(|mark| self.address.is_ours(vendor, mark))?;
            let (vendor, task, via) = (vendor.clone(), Some(task), Via::List { asked });
            Some((mark.job, Event::Reported { attempt: mark.attempt, vendor, task, report, via }))
        });
        let store = &self.store;
        let told = told.map(|(job, event)| async move { store.apply(job, &event).await });
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
    fn is_worth_a_list(&self, group: &[Watched], page: Duration) -> bool {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return false };
        let span = last.since.since(first.since) + self.span_of_slack();
        group.len() >= FEW && group.len() as f64 > span.as_secs_f64() / page.as_secs_f64()
    }

    fn slack(&self) -> Slack {
        *self.slack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over how far moments have differed, in ms; when a task was not where it should stand, the most is allowed.
    fn learn(&self, offsets: &[i64], missed: bool) {
        // A task that an operator named, or that was found late, was not made when its submission began.
        let usual = || offsets.iter().filter(|offset| offset.abs() <= OFFSET_MOST_MS);
        let (Some(least), Some(most)) = (usual().min(), usual().max()) else { return };
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
            let result = self.one(*step, &task.id, allowed).await;
            for ask in asks {
                let _ = ask.answer.send(match &result {
                    Ok(look) => Ok(look.clone()),
                    Err(Stopped::Fault(fault)) => Err(Stopped::Fault(fault.clone())),
                    Err(Stopped::LeaseShort) => Err(Stopped::LeaseShort),
                });
            }
        });
    }

    /// Asks for one task; the limit may have allowed the first request.
    async fn one(&self, step: StepKind, task: &TaskId, allowed: bool) -> Result<Look, Stopped> {
        let exchange = self.vendor.poll(&TaskRef { step, id: task });
        let at = self.store.now();
        let report = self.driver.drive_on(exchange, None, &self.meter, allowed).await?;
        Ok(Look { report, at })
    }
}
