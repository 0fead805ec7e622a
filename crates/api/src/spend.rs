//! What was spent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json as Out;
use axum::extract::State;
use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::money::micros;
use songmill_core::song::Moment;
use songmill_core::{Tenant, Timestamp};
use songmill_store::{Scope, Spent};

use crate::app::App;
use crate::caller::Caller;
use crate::extract::Query;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::views::{Spend, SpendRow};

/// What is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SpendQuery {
    /// How many days back, today (UTC) included; 30 where nothing is said.
    #[schemars(range(min = 1, max = 400))]
    days: Option<u64>,
    /// What the rows are for; `day` where nothing is said.
    by: Option<By>,
    /// Whose; the key's own tenant where nothing is said, for operators all together.
    tenant: Option<Tenant>,
}

/// What a row is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    /// A day.
    Day,
    /// A vendor.
    Vendor,
    /// A tenant.
    Tenant,
}

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/spend", "spend.list", spend)
            .says(
                "Says what was spent",
                "By day, vendor or tenant, from the ledger of submissions and the prices in the settings (`money`).",
            )
            .for_scope(Scope::Read)
            .query::<SpendQuery>()
            .reply::<Spend>(200, "The sums"),
    ]
}

async fn spend(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<SpendQuery>,
) -> Result<Out<Spend>, Problem> {
    let days = query.days.unwrap_or(30);
    if !(1..=400).contains(&days) {
        return Err(Problem::query("days", format!("is {days}"), "use 1 to 400"));
    }
    let of = match (&query.tenant, caller.may(Scope::Admin)) {
        (None, true) => None,
        (asked, _) => Some(caller.meant(asked.as_ref())?),
    };
    let by = query.by.unwrap_or(By::Day);
    let policy = app.policy();
    let mut estimated = BTreeSet::new();
    let (mut rows, mut total) = (BTreeMap::<String, SpendRow>::new(), SpendRow::default());
    for (purse, spent) in app.store.spent(days, of.as_ref()).await? {
        let day = date(purse.day);
        let key = match by {
            By::Day => day.clone(),
            By::Vendor => purse.vendor.to_string(),
            By::Tenant => purse.tenant.to_string(),
        };
        if policy.money.is_estimate(&purse.vendor) {
            estimated.insert(purse.vendor.clone());
        }
        let row = rows.entry(key).or_default();
        match by {
            By::Day => row.day = Some(day),
            By::Vendor => row.vendor = Some(purse.vendor),
            By::Tenant => row.tenant = Some(purse.tenant),
        }
        add(row, &spent);
        add(&mut total, &spent);
    }
    let (today, cap) = match &of {
        Some(tenant) => {
            let usage = app.store.usage(tenant).await?;
            (usage.spent_today, usage.quota.spend_per_day)
        }
        None => (app.store.spent_today(&Tenant::default()).await?.0, micros(policy.money.day)),
    };
    Ok(Out(Spend {
        currency: policy.money.currency.to_string(),
        data: rows.into_values().collect(),
        total,
        today: amount(today),
        estimated: estimated.into_iter().collect(),
        cap: (cap > 0).then(|| amount(cap)),
    }))
}

fn amount(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn add(row: &mut SpendRow, spent: &Spent) {
    row.sent += spent.sent;
    row.confirmed += spent.confirmed;
    row.not_done += spent.not_done;
    row.possibly_paid += spent.possibly_paid();
    row.possibly_duplicate_paid_creates += spent.possibly_twice;
    // In whole millionths, so that sums stay what they are.
    row.expected = amount(micros(row.expected) + spent.expected);
    row.cost = amount(micros(row.cost) + spent.cost);
}

/// A day since 1970 as a date.
fn date(day: u64) -> String {
    let moment = Moment(Timestamp::from_millis(day.saturating_mul(86_400_000))).to_string();
    moment.split('T').next().unwrap_or_default().to_owned()
}
