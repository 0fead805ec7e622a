//! Prices and budgets of the fleet.

use std::sync::Arc;

use axum::Json as Out;
use axum::extract::State;
use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::money::{Amount, limit_micros};
use songmill_core::song::Moment;
use songmill_core::{BatchName, BatchRef, Currency, Price, Tenant, Timestamp, VendorName};
use songmill_store::{BudgetOf, PriceEntry, Scope};

use crate::app::App;
use crate::caller::Caller;
use crate::extract::{Id, Json};
use crate::operation::Operation;
use crate::problem::Problem;

/// What a vendor charges, in its own currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Price")]
pub struct PriceView {
    /// The vendor.
    pub vendor: VendorName,
    /// For lyrics.
    pub lyrics: Amount,
    /// For each song.
    pub song: Amount,
    /// For each second of each song that was asked for.
    pub second: Amount,
    /// For each second that the vendor works on a task.
    pub work_second: Amount,
    /// How many such seconds are reserved for a song of up to a minute.
    pub work_s: f64,
    /// The currency of these amounts.
    pub currency: Currency,
    /// What one unit of it is worth in the currency of the budgets.
    pub rate: Amount,
    /// Whether nobody has set it: it is a list price, or a guess.
    pub estimate: bool,
    /// Where an estimate is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When that was looked up: a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_date: Option<String>,
    /// Who set it; `settings` is the settings file, `songmill` what ships with it.
    pub updated_by: String,
    /// When; not set before the first process that submits has written it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
}

/// What vendors charge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prices {
    /// The currency of budgets and costs.
    pub currency: Currency,
    /// By vendor.
    pub data: Vec<PriceView>,
}

/// A price to set; what is not named is free.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "PriceSetting")]
pub struct NewPrice {
    /// For lyrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lyrics: Option<Amount>,
    /// For each song.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub song: Option<Amount>,
    /// For each second of each song that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<Amount>,
    /// For each second that the vendor works on a task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_second: Option<Amount>,
    /// How many such seconds are reserved for a song of up to a minute; 60 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_s: Option<f64>,
    /// The currency of these amounts; that of the budgets where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// What one unit of it is worth in the currency of the budgets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Amount>,
}

/// A limit on money, and what of it is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Budget")]
pub struct BudgetView {
    /// What it limits.
    pub scope: BudgetScope,
    /// The tenant it is for; not set for the one that holds for every tenant without its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The batch it is for; not set for the one that holds for every batch without its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchName>,
    /// The limit; not set where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Amount>,
    /// What is spent or reserved; not set for one that holds for many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Amount>,
}

/// What a budget limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// What all spend on a day, UTC.
    Day,
    /// What a tenant spends on a day.
    TenantDay,
    /// What a batch costs.
    Batch,
}

/// Limits on money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Budgets {
    /// The currency of all amounts.
    pub currency: Currency,
    /// The fleet's first, then tenants'.
    pub data: Vec<BudgetView>,
}

/// A budget to set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BudgetSetting")]
pub struct NewBudget {
    /// What it limits.
    pub scope: BudgetScope,
    /// The tenant it is for, with `tenant_day`; or the batch's, with `batch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The batch it is for, with `batch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchName>,
    /// The limit, 0 for none; without it a tenant's or a batch's own is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Amount>,
}

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/prices", "prices.list", prices)
            .says(
                "List prices",
                "What each vendor charges. Submissions are priced when they are made; a price that changes later changes no sum \
                 that was reserved. `estimate` says that nobody has set it.",
            )
            .for_scope(Scope::Read)
            .reply::<Prices>(200, "All of them"),
        Operation::new(Method::PUT, "/v1/prices/{vendor}", "prices.set", set_price)
            .says("Set a price", "It holds for the whole fleet from the next submission on, and is written to the audit log.")
            .for_scope(Scope::Admin)
            .body::<NewPrice>()
            .reply::<PriceView>(200, "The price"),
        Operation::new(Method::DELETE, "/v1/prices/{vendor}", "prices.reset", reset_price)
            .says("Go back to the estimate", "The one that ships with Songmill.")
            .for_scope(Scope::Admin)
            .reply::<PriceView>(200, "The price"),
        Operation::new(Method::GET, "/v1/budgets", "budgets.list", budgets)
            .says("List budgets", "An operator sees the fleet's and every tenant's, others their own.")
            .for_scope(Scope::Read)
            .reply::<Budgets>(200, "All of them"),
        Operation::new(Method::PUT, "/v1/budgets", "budgets.set", set_budget)
            .says("Set a budget", "It holds for the whole fleet from the next submission on, and is written to the audit log.")
            .for_scope(Scope::Admin)
            .body::<NewBudget>()
            .reply::<BudgetView>(200, "The budget"),
    ]
}

async fn prices(State(app): State<Arc<App>>, caller: Caller) -> Result<Out<Prices>, Problem> {
    let fleet = app.store.fleet().await?;
    let mut data: Vec<_> =
        fleet.prices.iter().map(|(vendor, entry)| price_view(vendor, entry, fleet.currency)).collect();
    if !caller.may(Scope::Admin) {
        // Which of the operators it was is theirs to know.
        data.iter_mut().for_each(|price| price.updated_by = "operator".into());
    }
    Ok(Out(Prices { currency: fleet.currency, data }))
}

fn price_view(vendor: &VendorName, entry: &PriceEntry, budgets: Currency) -> PriceView {
    let Price { lyrics, song, second, work_second, work_s, currency, rate } = entry.price;
    let estimate = entry.estimate.as_ref();
    PriceView {
        vendor: vendor.clone(),
        lyrics: Amount(lyrics),
        song: Amount(song),
        second: Amount(second),
        work_second: Amount(work_second),
        work_s,
        currency: currency.unwrap_or(budgets),
        rate: Amount(rate),
        estimate: estimate.is_some(),
        source: estimate.map(|estimate| estimate.source.clone()),
        source_date: estimate.map(|estimate| estimate.date.clone()),
        updated_by: entry.by.clone(),
        updated_at: (entry.at != Timestamp::default()).then(|| Moment(entry.at).to_string()),
    }
}

async fn set_price(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(vendor): Id<VendorName>,
    Json(new): Json<NewPrice>,
) -> Result<Out<PriceView>, Problem> {
    crate::vendors::known(&vendor)?;
    let fleet = app.store.fleet().await?;
    let amount = |amount: Option<Amount>| amount.unwrap_or_default().0;
    let price = Price {
        lyrics: amount(new.lyrics),
        song: amount(new.song),
        second: amount(new.second),
        work_second: amount(new.work_second),
        work_s: new.work_s.unwrap_or(60.0),
        currency: new.currency,
        rate: new.rate.map_or(1.0, |rate| rate.0),
    };
    let amounts = [new.lyrics, new.song, new.second, new.work_second];
    if amounts.iter().all(Option::is_none) {
        let fix = "say lyrics, song, second or work_second; 0 where it is free";
        return Err(Problem::field("song", "is missing, and so are the other amounts", fix));
    }
    if !(1.0..=86_400.0).contains(&price.work_s) {
        return Err(Problem::field("work_s", format!("is {}", price.work_s), "use 1 to 86400 seconds"));
    }
    if let Some(problem) = price.problem(fleet.currency) {
        return Err(Problem::field("rate", problem, "set rate, or leave currency out"));
    }
    let entry = app.store.set_price(&vendor, Some(price), caller.label()).await?;
    tracing::info!(%vendor, by = caller.label(), "price of {vendor} set");
    Ok(Out(price_view(&vendor, &entry, fleet.currency)))
}

async fn reset_price(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(vendor): Id<VendorName>,
) -> Result<Out<PriceView>, Problem> {
    crate::vendors::known(&vendor)?;
    let fleet = app.store.fleet().await?;
    let entry = app.store.set_price(&vendor, None, caller.label()).await?;
    tracing::info!(%vendor, by = caller.label(), "price of {vendor} reset to the estimate");
    Ok(Out(price_view(&vendor, &entry, fleet.currency)))
}

fn limit(micros: u64) -> Option<Amount> {
    (micros > 0).then(|| Amount::of_micros(micros))
}

impl BudgetView {
    fn of(scope: BudgetScope, limit: Option<Amount>, spent: Option<u64>) -> Self {
        Self { scope, tenant: None, batch: None, limit, spent: spent.map(Amount::of_micros) }
    }
}

async fn budgets(State(app): State<Arc<App>>, caller: Caller) -> Result<Out<Budgets>, Problem> {
    let fleet = app.store.fleet().await?;
    let mut data = Vec::new();
    let tenants = if caller.may(Scope::Admin) {
        let all = app.store.spent_today(&Tenant::default()).await?.0;
        let own = fleet.budgets;
        let of = |amount: f64| limit(limit_micros(amount));
        data.push(BudgetView::of(BudgetScope::Day, of(own.day), Some(all)));
        data.push(BudgetView::of(BudgetScope::TenantDay, of(own.tenant_day), None));
        data.push(BudgetView::of(BudgetScope::Batch, of(own.batch), None));
        app.store.tenants().await?
    } else {
        vec![caller.meant(None)?]
    };
    for tenant in tenants {
        let usage = app.store.usage(&tenant).await?;
        let view =
            BudgetView::of(BudgetScope::TenantDay, limit(usage.quota.spend_per_day), Some(usage.spent_today));
        data.push(BudgetView { tenant: Some(tenant), ..view });
    }
    Ok(Out(Budgets { currency: fleet.currency, data }))
}

async fn set_budget(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(new): Json<NewBudget>,
) -> Result<Out<BudgetView>, Problem> {
    let NewBudget { scope, tenant, batch, limit: wanted } = new;
    let (of, is_own) = match (scope, &tenant, batch) {
        (BudgetScope::Day, None, None) => (BudgetOf::Day, false),
        (BudgetScope::TenantDay, None, None) => (BudgetOf::EachTenant, false),
        (BudgetScope::TenantDay, Some(tenant), None) => (BudgetOf::Tenant(tenant.clone()), true),
        (BudgetScope::Batch, None, None) => (BudgetOf::EachBatch, false),
        (BudgetScope::Batch, tenant, Some(name)) => {
            let tenant = tenant.clone().unwrap_or_default();
            (BudgetOf::Batch(BatchRef { tenant, name }), true)
        }
        _ => {
            let fix = "name tenant with tenant_day, and batch (with its tenant) with batch";
            return Err(Problem::field("scope", "does not go with tenant and batch", fix));
        }
    };
    if wanted.is_none() && !is_own {
        return Err(Problem::field("limit", "is missing", "say a limit, 0 for none"));
    }
    let by = caller.label();
    if !app.store.set_budget(&of, wanted.map(|limit| limit.0), by).await? {
        return Err(Problem::not_found("there is no such batch"));
    }
    tracing::info!(by, "budget set");
    let view = BudgetView::of(scope, wanted.filter(|limit| limit.0 > 0.0), None);
    let batch = if let BudgetOf::Batch(batch) = &of { Some(batch.name.clone()) } else { None };
    Ok(Out(BudgetView { tenant, batch, ..view }))
}
