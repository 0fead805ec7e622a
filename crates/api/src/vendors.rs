//! Vendors: what they can do, how much goes on there, and their gates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json as Out;
use axum::extract::State;
use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::pace::Kind;
use songmill_core::{Stage, Tenant, VendorName};
use songmill_store::{Scope, WaitsOf};
use songmill_vendors::Vendors;
use songmill_vendors::contract::Card;

use crate::app::App;
use crate::caller::Caller;
use crate::extract::{Id, Json};
use crate::operation::Operation;
use crate::problem::Problem;
use crate::views::{FlowView, GateView, Listed, VendorView};

/// For how long, and why.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GateShut")]
#[serde(deny_unknown_fields)]
struct Shut {
    /// For how long, in seconds; until it is opened where nothing is said.
    #[schemars(range(min = 1, max = 31_536_000))]
    for_s: Option<u64>,
    /// Why, for those who read what their jobs wait for.
    #[serde(default)]
    #[schemars(length(max = 200))]
    words: String,
}

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/vendors", "vendors.list", list)
            .says(
                "Lists vendors",
                "What each can do and whether its gate is shut; an operator sees its limits and how many jobs wait there, too.",
            )
            .for_scope(Scope::Read)
            .reply::<Listed<VendorView>>(200, "All of them"),
        Operation::new(Method::POST, "/v1/vendors/{vendor}/shut", "vendors.pause", shut)
            .says(
                "Shuts a vendor's gate",
                "Nothing is submitted to it. Jobs that name other vendors behind it go on to those; tasks under way are \
                 followed to their end.",
            )
            .for_scope(Scope::Admin)
            .body::<Shut>()
            .reply::<VendorView>(200, "The vendor"),
        Operation::new(Method::POST, "/v1/vendors/{vendor}/open", "vendors.resume", open)
            .says(
                "Opens a vendor's gate",
                "Whatever shut it. Pauses that the vendor asked for end, too; what refusals taught of its limits stays.",
            )
            .for_scope(Scope::Admin)
            .reply::<VendorView>(200, "The vendor"),
    ]
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Out<Listed<VendorView>>, Problem> {
    let mut data = Vec::new();
    for card in Vendors::catalogue().cards() {
        let for_operator = caller.may(Scope::Admin);
        let own = caller.meant(None)?;
        let of = if for_operator { WaitsOf::All } else { WaitsOf::Tenant(&own) };
        let waits = app.waits(std::slice::from_ref(&card.name), of, for_operator).await?;
        data.push(VendorView { waits, ..view(&app, card, (!for_operator).then_some(&own)).await? });
    }
    Ok(Out(Listed { data, next: None }))
}

/// How the length of usual songs is known: those that name none.
const USUAL: Kind = Kind(1);

/// A vendor as it is for a tenant, or for an operator.
async fn view(app: &App, card: &Card, tenant: Option<&Tenant>) -> Result<VendorView, Problem> {
    let name = &card.name;
    let flow = app.store.flow(name).await?;
    let gate = tenant.map_or_else(|| flow.gate_of_all(), |tenant| flow.gate_for(tenant));
    let of_tenant = flow.gate.as_ref().filter(|_| tenant.is_none() && gate.is_none());
    let tenant_gate = of_tenant.map(|gate| GateView { tenant: gate.only.clone(), ..GateView::from(gate) });
    let (mut waiting, mut shown) = (None, None);
    if tenant.is_none() {
        let depths = app.store.depths(name).await?;
        let named = |(stage, count): (Stage, u64)| (stage.to_string(), count);
        waiting = Some(depths.into_iter().map(named).collect::<BTreeMap<_, _>>());
        let pace = app.store.read_pace(std::slice::from_ref(name)).await?;
        let all = pace.took.get(name).into_iter().flatten().max_by_key(|(_, took)| took.count());
        let usual = pace.quantile(name, all.map_or(USUAL, |(kind, _)| *kind), 0.5);
        let usual = usual.map(|usual| usual.as_secs_f64());
        shown = Some(FlowView::of(&flow, pace.health(name), usual, app.store.now().as_millis()));
    }
    let creates = app.policy().vendor(name).limits.creates_per_minute;
    Ok(VendorView {
        name: name.clone(),
        title: card.title.to_owned(),
        usable: app.vendors.get(name).is_some(),
        honours: card.honours.to_vec(),
        most_songs: card.most_songs,
        calls_back: card.calls_back,
        look_up: card.policy.look_up,
        cancel: card.policy.cancel,
        creates_per_minute: (creates > 0).then_some(creates),
        gate: gate.map(GateView::from),
        tenant_gate,
        flow: shown,
        waiting,
        waits: Vec::new(),
        options: card.options.clone().to_value(),
    })
}

/// The card of a vendor that there is, configured or not.
pub(crate) fn known(name: &VendorName) -> Result<&'static Vendors, Problem> {
    let all = Vendors::catalogue();
    if all.get(name).is_some() {
        return Ok(all);
    }
    let names: Vec<_> = all.names().map(ToString::to_string).collect();
    Err(Problem::not_found(format!("vendor {name} is not known; there are {}", names.join(", "))))
}

async fn shown(app: &App, all: &Vendors, name: &VendorName) -> Result<Out<VendorView>, Problem> {
    let card = all.cards().find(|card| card.name == *name);
    let card = card.ok_or_else(|| Problem::not_found(format!("vendor {name} is not known")))?;
    Ok(Out(view(app, card, None).await?))
}

async fn shut(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(name): Id<VendorName>,
    Json(Shut { for_s, words }): Json<Shut>,
) -> Result<Out<VendorView>, Problem> {
    let all = known(&name)?;
    if let Some(bad) = for_s.filter(|secs| !(1..=31_536_000).contains(secs)) {
        return Err(Problem::field("for_s", format!("is {bad}"), "use 1 to 31536000, a year"));
    }
    let chars = words.chars().count();
    if chars > 200 {
        return Err(Problem::field("words", format!("has {chars} characters"), "use at most 200"));
    }
    if words.chars().any(char::is_control) {
        return Err(Problem::field("words", "has control characters", "use printable characters"));
    }
    let until = for_s.map(|secs| app.store.now() + Duration::from_secs(secs));
    app.store.shut_gate(&name, until, &words).await?;
    tracing::warn!(vendor = %name, by = caller.label(), words, "gate of {name} is shut by hand");
    shown(&app, all, &name).await
}

async fn open(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(name): Id<VendorName>,
) -> Result<Out<VendorView>, Problem> {
    let all = known(&name)?;
    app.store.open_gate(&name).await?;
    tracing::info!(vendor = %name, by = caller.label(), "gate of {name} is opened by hand");
    shown(&app, all, &name).await
}
