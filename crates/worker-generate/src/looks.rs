//! Looks at tasks, many with one request where the vendor lists them.
//!
//! Handlers ask one by one; what is asked within a moment goes together. A task that the list does not show, or not
//! whole, is asked for by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use songmill_core::job::StepKind;
use songmill_core::{Report, TaskId};
use songmill_vendors::{TaskRef, Vendor, Watched};
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
    vendor: Arc<dyn Vendor>,
    driver: Driver,
    meter: Meter,
}

/// How long others are waited for.
const GATHER: Duration = Duration::from_millis(15);
/// The fewest that are asked for together.
const FEW: usize = 4;
/// The most that are asked for together.
const MANY: usize = 400;

impl Looks {
    pub(crate) fn start(vendor: Arc<dyn Vendor>, driver: Driver, meter: Meter) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let asking = Arc::new(Asking { vendor, driver, meter });
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
        if !lists {
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
    let found: HashMap<TaskId, Report> = match asking.driver.drive(exchange, None, &asking.meter).await {
        Ok(found) => found.into_iter().collect(),
        Err(Stopped::Fault(fault)) => {
            // What keeps the list away keeps the tasks away.
            let answers = asks.into_iter().map(|ask| ask.answer.send(Err(Stopped::Fault(fault.clone()))));
            answers.for_each(drop);
            return;
        }
        Err(Stopped::LeaseShort) => return,
    };
    let mut missing = Vec::new();
    for ask in asks {
        match found.get(&ask.task.id) {
            Some(report) => drop(ask.answer.send(Ok(report.clone()))),
            None => missing.push(ask),
        }
    }
    one_by_one(&asking, missing);
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
