//! `songmill budget`: limits on money.

use anyhow::Result;
use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use songmill_api::views::{BudgetScope, BudgetView, Budgets, NewBudget};
use songmill_core::money::Amount;
use songmill_core::{BatchRef, Tenant};
use songmill_store::Store;

use crate::args::Global;
use crate::client::{Ask, Client};
use crate::exit::{Exit, usage};
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum BudgetCommand {
    /// List budgets and what of them is used
    List,
    /// Set a budget, for the whole fleet
    #[command(after_help = EXAMPLES)]
    Set(SetArgs),
}

const EXAMPLES: &str = "\
Examples:
  songmill budget set day 100
  songmill budget set tenant 20 --tenant acme
  songmill budget set batch 5 --batch spring";

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// What it limits
    #[arg(value_enum)]
    scope: Scope,
    /// Limit; 0 for none [default: take a tenant's or a batch's own away]
    #[arg(value_name = "AMOUNT", allow_negative_numbers = true)]
    limit: Option<Amount>,
    /// Tenant, for a budget of its own
    #[arg(long)]
    tenant: Option<Tenant>,
    /// Batch, for a budget of its own
    #[arg(long)]
    batch: Option<BatchRef>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// What all spend on a day, UTC
    Day,
    /// What a tenant spends on a day
    Tenant,
    /// What a batch costs
    Batch,
}

impl From<Scope> for BudgetScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Day => Self::Day,
            Scope::Tenant => Self::TenantDay,
            Scope::Batch => Self::Batch,
        }
    }
}

/// `songmill budget`.
pub(crate) async fn run(global: &Global, command: BudgetCommand) -> Result<Exit> {
    let client = Client::open(global).await?;
    match command {
        BudgetCommand::List => {
            let budgets: Budgets = client.value(Ask::get("/v1/budgets")).await?;
            if global.json {
                output::json(&budgets)?;
            } else {
                list(&budgets)?;
            }
        }
        BudgetCommand::Set(SetArgs { scope, limit, tenant, batch }) => {
            if tenant.is_some() && batch.is_some() {
                return Err(usage(
                    "--tenant and --batch do not go together; a batch of another tenant is TENANT/NAME",
                ));
            }
            let of_batch = batch.as_ref().map(|batch| &batch.tenant).filter(|tenant| !tenant.is_default());
            let new = NewBudget {
                scope: scope.into(),
                tenant: tenant.as_ref().or(of_batch).cloned(),
                batch: batch.as_ref().map(|batch| batch.name.clone()),
                limit,
            };
            let budget: BudgetView = client.value(Ask::new(Method::PUT, "/v1/budgets").json(&new)?).await?;
            if global.json {
                output::json(&budget)?;
            } else {
                output::line(format_args!("Budget {}: {}", name(&budget), limit_of(&budget)))?;
            }
        }
    }
    Ok(Exit::Ok)
}

pub(crate) fn name(budget: &BudgetView) -> String {
    match (budget.scope, &budget.tenant, &budget.batch) {
        (BudgetScope::Day, _, _) => "per day, all tenants".into(),
        (BudgetScope::TenantDay, None, _) => "per day, each tenant".into(),
        (BudgetScope::TenantDay, Some(tenant), _) => format!("per day, tenant {tenant}"),
        (BudgetScope::Batch, _, None) => "each batch".into(),
        (BudgetScope::Batch, _, Some(batch)) => format!("batch {batch}"),
    }
}

fn limit_of(budget: &BudgetView) -> String {
    budget.limit.map_or_else(|| "no limit".into(), |limit| limit.to_string())
}

fn list(budgets: &Budgets) -> Result<()> {
    let mut table = output::table(&["BUDGET", "LIMIT", "SPENT", "USED"]);
    for budget in &budgets.data {
        let spent = budget.spent.map_or_else(String::new, |spent| spent.to_string());
        let used = match (budget.limit, budget.spent) {
            (Some(limit), Some(spent)) if limit.0 > 0.0 => format!("{:.0} %", 100.0 * spent.0 / limit.0),
            _ => String::new(),
        };
        table.add_row([name(budget), limit_of(budget), spent, used]);
    }
    output::print(&table)?;
    output::line(format_args!("Amounts in {}; spent or reserved today (UTC).", budgets.currency))
}

/// What the settings of this process say of prices and budgets that the fleet's record says otherwise, and budgets that
/// can never hold, in sentences.
pub(crate) async fn differences(store: &Store) -> Result<Vec<String>> {
    let fleet = store.fleet().await?;
    let own = store.configured();
    let mut found = Vec::new();
    if own.currency != fleet.currency {
        found.push(format!(
            "money.currency is {} in the settings, but budgets are kept in {}; the settings file has no effect any longer",
            own.currency, fleet.currency
        ));
    }
    for (name, scope, ours, theirs) in [
        ("day", "day", own.day, fleet.budgets.day),
        ("tenant_day", "tenant", own.tenant_day, fleet.budgets.tenant_day),
        ("batch", "batch", own.batch, fleet.budgets.batch),
    ] {
        if ours > 0.0 && Amount(ours).to_string() != Amount(theirs).to_string() {
            found.push(format!(
                "money.{name} is {} in the settings, but the fleet's budget is {}; change it with `songmill budget set {scope} {ours}`",
                Amount(ours),
                Amount(theirs)
            ));
        }
    }
    for (vendor, price) in &own.prices {
        let theirs = fleet.prices.get(vendor).map(|entry| entry.price);
        if theirs != Some(*price) {
            found.push(format!(
                "money.prices.{vendor} in the settings is not what the fleet goes by; see `songmill price list`, change it with `songmill price set {vendor}`"
            ));
        }
    }
    for (vendor, entry) in &fleet.prices {
        let estimate = own.estimates.get(vendor).filter(|_| entry.estimate.is_some());
        if let Some(problem) = estimate.and_then(|estimate| estimate.problem(fleet.currency)) {
            found.push(format!("{vendor}: {problem} with `songmill price set {vendor}`"));
        }
    }
    let has_budget = fleet.budgets.day > 0.0 || fleet.budgets.tenant_day > 0.0 || fleet.budgets.batch > 0.0;
    for (vendor, entry) in fleet.prices.iter().filter(|(_, entry)| has_budget && entry.price.is_free()) {
        let by = &entry.by;
        found.push(format!(
            "a budget is set, but {vendor} is free (set by {by}): no budget can ever hold it; say what it charges with `songmill price set {vendor}`"
        ));
    }
    Ok(found)
}
