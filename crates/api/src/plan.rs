//! What an upload would come to: nothing is submitted.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::Json as Out;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use songmill_core::song::{Change, Field, IgnoredField, PlannedChange};
use songmill_core::{BatchName, JobId, Tenant, VendorName};
use songmill_producer::Outlook;
use songmill_store::{Refused, Scope};

use crate::app::App;
use crate::caller::Caller;
use crate::extract::Query;
use crate::operation::Operation;
use crate::problem::{Problem, ProblemError};
use crate::upload::{Songs, TableQuery, broken, errors_of, place, reading};
use crate::views::{PlanView, PlannedVendor, Range};

/// What the plan is for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlanQuery {
    /// The batch the songs would go to: what was submitted to it before is counted as known.
    name: Option<BatchName>,
    /// Whose; the key's own tenant where nothing is said.
    tenant: Option<Tenant>,
    #[serde(flatten)]
    table: TableQuery,
}

/// How many refused lines an answer names.
const NAMED: usize = 100;
/// Lines of one plan: each is remembered in a few bytes.
const MOST: usize = 4_000_000;
/// Ids looked up at once.
const PAGE: usize = 512;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::POST, "/v1/plan", "plans.create", plan)
            .says(
                "Says what an upload would come to",
                "Takes what `POST /v1/batches` takes, and submits nothing.",
            )
            .for_scope(Scope::Read)
            .query::<PlanQuery>()
            .body::<Songs>()
            .or_file()
            .reply::<PlanView>(200, "The plan"),
    ]
}

/// What is known so far.
#[derive(Default)]
struct Plan {
    counted: Counted,
    /// Good lines so far, each once: eight bytes of its id.
    seen: HashSet<u64>,
    /// Lines that may be known already.
    asked: Vec<Line>,
}

/// A good line.
struct Line {
    id: JobId,
    vendor: VendorName,
    songs: u64,
    steps: u64,
    /// What it is expected to cost, in millionths.
    price: u64,
    changes: Vec<Change>,
    ignored: Vec<Field>,
}

/// Lines by what became of them.
#[derive(Default)]
struct Counted {
    good: u64,
    refused: u64,
    repeated: u64,
    known: u64,
    vendors: BTreeMap<VendorName, PlannedVendor>,
    /// What they are expected to cost, in millionths.
    prices: BTreeMap<VendorName, u64>,
    changes: Vec<PlannedChange>,
    ignored: Vec<IgnoredField>,
    errors: Vec<ProblemError>,
}

async fn plan(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<PlanQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Out<PlanView>, Problem> {
    let tenant = caller.meant(query.tenant.as_ref())?;
    let _place = place(&app, &caller)?;
    let (mut reading, _) = reading(&app, body, query.table.options(&headers)?);
    let batch = query.name.as_ref().map_or("", BatchName::as_str);
    let mut plan = Plan::default();
    let money = &app.policy().money.clone();
    let outlook = Outlook::read(&app.store, &app.vendors).await?;
    while let Some(row) = reading.rows.recv().await {
        let row = row.map_err(|error| broken(&error))?;
        let planned = row.read.and_then(|(song, key)| {
            let routes = songmill_producer::plan(&song, &app.producer.planner(), &outlook)?;
            let first = &routes[0];
            let line = Line {
                id: JobId::of_key(&tenant, batch, &key),
                vendor: first.vendor.clone(),
                songs: u64::from(first.size.songs),
                steps: first.steps.len() as u64,
                price: money.of_route(first),
                changes: first.changes.clone(),
                ignored: first.dropped.clone(),
            };
            Ok(line)
        });
        match planned {
            Ok(line) => {
                plan.counted.good += 1;
                if plan.seen.len() >= MOST {
                    let detail = format!("a plan takes at most {MOST} lines; plan a part of them");
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many", detail));
                }
                if !plan.seen.insert(line.id.short()) {
                    plan.counted.repeated += 1;
                    continue;
                }
                plan.asked.push(line);
                if plan.asked.len() >= PAGE {
                    plan.ask(&app).await?;
                }
            }
            Err(invalid) => {
                plan.counted.refused += 1;
                if plan.counted.errors.len() < NAMED {
                    let refused = Refused {
                        upload: String::new(),
                        line: row.number,
                        custom_id: row.custom_id,
                        title: row.title,
                        problems: invalid.problems,
                    };
                    plan.counted.errors.extend(errors_of(&refused));
                }
            }
        }
    }
    plan.ask(&app).await?;
    Ok(Out(PlanView { notes: reading.about.get().notes, ..plan.counted.priced(&app) }))
}

impl Plan {
    /// Finds out which lines are known already, and counts the others.
    async fn ask(&mut self, app: &App) -> Result<(), Problem> {
        let asked = std::mem::take(&mut self.asked);
        let ids: Vec<JobId> = asked.iter().map(|line| line.id).collect();
        for (line, known) in asked.into_iter().zip(app.store.known(&ids).await?) {
            if known {
                self.counted.known += 1;
                continue;
            }
            PlannedChange::collect(&mut self.counted.changes, &line.vendor, &line.changes);
            IgnoredField::collect(&mut self.counted.ignored, &line.vendor, &line.ignored);
            *self.counted.prices.entry(line.vendor.clone()).or_default() += line.price;
            let of = self.counted.vendors.entry(line.vendor).or_default();
            of.jobs += 1;
            of.songs += line.songs;
            of.submissions += line.steps;
        }
        Ok(())
    }
}

impl Counted {
    fn priced(self, app: &App) -> PlanView {
        let (mut cost, mut estimated) = (BTreeMap::<String, Range>::new(), Vec::new());
        let all = app.policy();
        let mut seconds = Range::default();
        for (name, of) in &self.vendors {
            let policy = all.vendor(name);
            if all.money.price(name).is_some() {
                let expected = self.prices.get(name).copied().unwrap_or(0) as f64 / 1e6;
                let sum = cost.entry(all.money.currency.to_string()).or_default();
                sum.low += expected;
                sum.high += expected * f64::from(policy.attempts.max(1));
            }
            if all.money.is_estimate(name) {
                estimated.push(name.clone());
            }
            let to_submit = match policy.limits.creates_per_minute {
                0 => 0.0,
                most => of.submissions as f64 * 60.0 / f64::from(most),
            };
            // Vendors work beside each other.
            seconds.low = seconds.low.max(to_submit + policy.poll_first.get().as_secs_f64());
            seconds.high = seconds.high.max(to_submit + policy.patience.get().as_secs_f64());
        }
        let sum = |of: fn(&PlannedVendor) -> u64| self.vendors.values().map(of).sum();
        PlanView {
            good: self.good,
            refused: self.refused,
            repeated: self.repeated,
            known: self.known,
            jobs: sum(|of| of.jobs),
            songs: sum(|of| of.songs),
            vendors: self.vendors,
            cost,
            estimated,
            changes: self.changes,
            seconds,
            notes: Vec::new(),
            ignored: self.ignored,
            errors: self.errors.into_iter().take(NAMED).collect(),
        }
    }
}
