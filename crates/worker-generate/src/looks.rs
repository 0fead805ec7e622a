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
use songmill_vendors::{Seen, TaskRef, Vendor, Watched};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::driver::{Driver, Stopped};
use crate::meter::Meter;

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
    /// When the list is tried again after it failed.
    again: Mutex<Option<Instant>>,
}

/// How long a list that failed is not asked for.
const WITHOUT: Duration = Duration::from_secs(30);
/// How long others are waited for.
const GATHER: Duration = Duration::from_millis(15);
/// The fewest that are asked for together.
const FEW: usize = 4;
/// The most that are asked for together.
const MANY: usize = 400;

impl Looks {
    pub(crate) fn start(store: Store, vendor: Arc<dyn Vendor>, driver: Driver, meter: Meter) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let asking = Arc::new(Asking { store, vendor, driver, meter, again: Mutex::default() });
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
    let lists = asking.vendor.poll_many(&[]).is_some();
    while let Some(first) = asked.recv().await {
        let mut asks = vec![first];
        if lists {
            tokio::time::sleep(GATHER).await;
        }
        while asks.len() < MANY
            && let Ok(ask) = asked.try_recv()
        {
            asks.push(ask);
        }
        if !lists || asking.does_without() {
            one_by_one(&asking, asks);
            continue;
        }
        if asks.len() < FEW {
            one_by_one(&asking, asks);
            continue;
        }
        // Those that were made together stand together in the list.
        asks.sort_unstable_by_key(|ask| ask.task.since);
        tokio::spawn(many(asking.clone(), asks));
    }
}

/// Asks for many at once, and for those by themselves of which nothing was heard.
async fn many(asking: Arc<Asking>, asks: Vec<Ask>) {
    let tasks: Vec<Watched> = asks.iter().map(|ask| ask.task.clone()).collect();
    let Some(exchange) = asking.vendor.poll_many(&tasks) else { return };
    let asked = asking.store.now();
    let found = match asking.driver.drive(exchange, None, &asking.meter).await {
        Ok(found) => found,
        // Asking for each would be refused as well.
        Err(Stopped::Fault(fault)) if matches!(fault.kind, FaultKind::Throttled | FaultKind::Locked) => {
            let answers = asks.into_iter().map(|ask| ask.answer.send(Err(Stopped::Fault(fault.clone()))));
            answers.for_each(drop);
            return;
        }
        // What is wrong with the list says nothing of the tasks.
        Err(Stopped::Fault(fault)) => {
            tracing::warn!(vendor = %asking.vendor.card().name, %fault, "tasks are asked for one by one: there is no list");
            *asking.again.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + WITHOUT);
            return one_by_one(&asking, asks);
        }
        Err(Stopped::LeaseShort) => return,
    };
    let mut found: HashMap<TaskId, Seen> = found.into_iter().map(|seen| (seen.task.clone(), seen)).collect();
    let (mut missing, mut told) = (Vec::new(), Vec::new());
    for ask in asks {
        match found.get(&ask.task.id) {
            Some(seen) => {
                told.push(seen.task.clone());
                let _ = ask.answer.send(Ok(seen.report.clone()));
            }
            None => missing.push(ask),
        }
    }
    one_by_one(&asking, missing);
    told.iter().for_each(|task| drop(found.remove(task)));
    asking.tell(found.into_values().collect(), asked).await;
}

/// Asks for each task by itself, once however many jobs share it.
fn one_by_one(asking: &Arc<Asking>, asks: Vec<Ask>) {
    let mut by_task: HashMap<TaskId, Vec<Ask>> = HashMap::new();
    for ask in asks {
        by_task.entry(ask.task.id.clone()).or_default().push(ask);
    }
    by_task.into_values().for_each(|asks| asking.clone().spawn_one(asks));
}

impl Asking {
    /// Tells jobs that nobody has asked for yet how their tasks have ended: they stood on the same page.
    async fn tell(&self, ended: Vec<Seen>, asked: Timestamp) {
        let vendor = &self.vendor.card().name;
        let told = ended.into_iter().filter_map(|Seen { task, report, ours }| {
            let (job, attempt) = ours?;
            let (vendor, task, via) = (vendor.clone(), Some(task), Via::Poll { asked });
            Some((job, Event::Reported { attempt, vendor, task, report, via }))
        });
        let told = told.map(|(job, event)| async move { self.store.apply(job, &event).await });
        for result in futures_util::future::join_all(told).await {
            if let Err(error) = result {
                // It is found when its own look is due.
                tracing::debug!(%vendor, %error, "an end that was seen is not written down yet");
            }
        }
    }

    fn does_without(&self) -> bool {
        let again = *self.again.lock().unwrap_or_else(PoisonError::into_inner);
        again.is_some_and(|again| Instant::now() < again)
    }

    fn spawn_one(self: Arc<Self>, asks: Vec<Ask>) {
        tokio::spawn(async move {
            let Some(Ask { step, task, .. }) = asks.first() else { return };
            let exchange = self.vendor.poll(&TaskRef { step: *step, id: &task.id });
            let result = self.driver.drive(exchange, None, &self.meter).await;
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
