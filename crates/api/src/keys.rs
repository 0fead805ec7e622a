//! Keys and tenants: for operators.

use std::sync::Arc;

use axum::Json as Out;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::Tenant;
use songmill_store::{AccessKey, BudgetOf, Scope, TenantQuota};

use crate::app::App;
use crate::caller::Caller;
use crate::extract::{Id, Json};
use crate::operation::Operation;
use crate::problem::Problem;
use crate::secret::new_access_key;
use crate::views::{Listed, NewKeyView, TenantView};

/// A key to make.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KeyRequest")]
struct NewKey {
    /// Whose; the default tenant's where nothing is said.
    #[serde(default)]
    tenant: Tenant,
    /// What it is for, in words.
    #[serde(default)]
    #[schemars(length(max = 100))]
    name: String,
    /// What it allows; `submit` and `read` where nothing is said.
    #[serde(default)]
    scopes: Vec<Scope>,
    /// For how long, in seconds; for good where nothing is said.
    #[schemars(range(min = 1, max = 3_153_600_000_u64))]
    expires_in_s: Option<u64>,
}

/// How a key is replaced.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "KeyReplacement")]
#[serde(deny_unknown_fields)]
struct Replacement {
    /// How long the old key still works, in seconds; a day where nothing is said.
    #[schemars(range(max = 2_592_000))]
    grace_s: Option<u64>,
}

/// What a tenant may have; what is not said is as for all tenants, 0 is any number.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Quota")]
struct NewQuota {
    /// The most jobs that have not ended.
    #[schemars(range(max = MOST))]
    open_jobs: Option<u64>,
    /// The most bytes of their requests.
    #[schemars(range(max = MOST))]
    bytes: Option<u64>,
    /// The most jobs taken in on one day, UTC.
    #[schemars(range(max = MOST))]
    jobs_per_day: Option<u64>,
    /// The most that is spent on one day, UTC, in the settings' currency.
    #[schemars(range(min = 0, max = MOST_MONEY))]
    spend_per_day: Option<f64>,
    /// Its share beside other tenants; 1 where nothing is said.
    #[schemars(range(min = 0.001, max = 1000.0))]
    weight: Option<f64>,
}

/// The part of a key that may be seen.
#[derive(Debug, JsonSchema)]
#[schemars(transparent)]
pub(crate) struct KeyId(#[schemars(length(min = 1, max = 32), regex(pattern = "^[0-9a-z]+$"))] String);

impl std::str::FromStr for KeyId {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err("a key's id has 0-9 and a-z; it stands between the two _ of the key")
        }
    }
}

/// No quota is larger: Redis counts exactly up to here.
const MOST: u64 = 1_000_000_000_000_000;
/// The same for money, of which millionths are counted.
pub(crate) const MOST_MONEY: f64 = 1e9;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::POST, "/v1/keys", "keys.create", make)
            .says("Makes a key", "The answer is the only time that it is shown.")
            .for_scope(Scope::Admin)
            .body::<NewKey>()
            .reply::<NewKeyView>(201, "The key"),
        Operation::new(Method::GET, "/v1/keys", "keys.list", list)
            .says("Lists keys", "Without their secrets, of which only hashes are kept.")
            .for_scope(Scope::Admin)
            .reply::<Listed<AccessKey>>(200, "All of them"),
        Operation::new(Method::POST, "/v1/keys/{key}/rotate", "keys.rotate", rotate)
            .says("Replaces a key", "With a new one that allows the same; the old one works for a while.")
            .for_scope(Scope::Admin)
            .body::<Replacement>()
            .problems(&[409])
            .reply::<NewKeyView>(201, "The new key"),
        Operation::new(Method::DELETE, "/v1/keys/{key}", "keys.revoke", revoke)
            .says("Takes a key back", "It is refused within two seconds.")
            .for_scope(Scope::Admin)
            .reply::<AccessKey>(200, "The key, taken back"),
        Operation::new(Method::GET, "/v1/tenants", "tenants.list", tenants)
            .says("Lists tenants", "What each has, and what it may have.")
            .for_scope(Scope::Admin)
            .reply::<Listed<TenantView>>(200, "All of them"),
        Operation::new(Method::GET, "/v1/tenants/{tenant}", "tenants.get", tenant)
            .says("Shows a tenant", "What it has, and what it may have.")
            .for_scope(Scope::Read)
            .reply::<TenantView>(200, "The tenant"),
        Operation::new(Method::PUT, "/v1/tenants/{tenant}/quota", "tenants.set_quota", quota)
            .says(
                "Says what a tenant may have",
                "What is not said is as for all tenants (`quota` in the settings); its budget stays (`PUT /v1/budgets`).",
            )
            .for_scope(Scope::Admin)
            .body::<NewQuota>()
            .reply::<TenantView>(200, "The tenant as it is now"),
    ]
}

async fn make(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(new): Json<NewKey>,
) -> Result<Response, Problem> {
    let chars = new.name.chars().count();
    if chars > 100 {
        return Err(Problem::field("name", format!("has {chars} characters"), "use at most 100"));
    }
    let now = app.store.now();
    let most = 3_153_600_000;
    if let Some(bad) = new.expires_in_s.filter(|secs| !(1..=most).contains(secs)) {
        return Err(Problem::field("expires_in_s", format!("is {bad}"), format!("use 1 to {most}")));
    }
    let mut scopes = if new.scopes.is_empty() { vec![Scope::Submit, Scope::Read] } else { new.scopes };
    scopes.sort_unstable();
    scopes.dedup();
    let expires = new.expires_in_s.map(|secs| now.as_millis() + secs * 1000);
    let (key, secret) = new_access_key(new.tenant, new.name, scopes, expires, now)?;
    app.store.add_key(&key).await?;
    let by = caller.label();
    tracing::info!(key = %key.id, tenant = %key.tenant, by, "key made");
    Ok((StatusCode::CREATED, Out(NewKeyView { secret, key: shown(key) })).into_response())
}

/// Without the hash, too.
fn shown(key: AccessKey) -> AccessKey {
    AccessKey { hash: String::new(), ..key }
}

async fn list(State(app): State<Arc<App>>) -> Result<Out<Listed<AccessKey>>, Problem> {
    let keys = app.store.access_keys().await?;
    Ok(Out(Listed { data: keys.into_iter().map(shown).collect(), next: None }))
}

fn no_key(id: &str) -> Problem {
    Problem::not_found(format!("key {id} is not known"))
}

async fn rotate(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(KeyId(id)): Id<KeyId>,
    Json(replacement): Json<Replacement>,
) -> Result<Response, Problem> {
    let grace_s = replacement.grace_s.unwrap_or(86_400);
    if grace_s > 2_592_000 {
        return Err(Problem::field("grace_s", format!("is {grace_s}"), "use at most 2592000, 30 days"));
    }
    let now = app.store.now();
    let over = || {
        let detail = format!("key {id} does not work any more; make a new one");
        Problem::new(StatusCode::CONFLICT, "key_over", detail)
    };
    let (old, _) = app.store.access_key(&id).await?;
    let old = old.ok_or_else(|| no_key(&id))?;
    if !old.works(now.as_millis()) {
        return Err(over());
    }
    // First the new one: whatever happens then, there is one that works.
    let (new, secret) = new_access_key(old.tenant, old.name, old.scopes, old.expires_ms, now)?;
    app.store.add_key(&new).await?;
    let until = now.as_millis() + grace_s * 1000;
    let changed = app.store.change_key(&id, |old| {
        if old.revoked_ms.is_some() {
            return Err(over());
        }
        old.replaced_ms = Some(old.replaced_ms.unwrap_or(u64::MAX).min(until));
        Ok(())
    });
    if let Err(problem) = changed.await? {
        // Nobody has seen it.
        app.store
            .change_key(&new.id, |new| {
                new.revoked_ms = Some(now.as_millis());
                Ok::<_, Problem>(())
            })
            .await??;
        return Err(problem);
    }
    let by = caller.label();
    tracing::info!(key = %new.id, replaces = %id, by, "key replaced");
    Ok((StatusCode::CREATED, Out(NewKeyView { secret, key: shown(new) })).into_response())
}

async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(KeyId(id)): Id<KeyId>,
) -> Result<Out<AccessKey>, Problem> {
    let now = app.store.now().as_millis();
    let changed = app.store.change_key(&id, |key| {
        key.revoked_ms.get_or_insert(now);
        Ok::<_, Problem>(())
    });
    let key = changed.await??.ok_or_else(|| no_key(&id))?;
    let by = caller.label();
    tracing::info!(key = %key.id, by, "key taken back");
    Ok(Out(shown(key)))
}

async fn tenants(State(app): State<Arc<App>>) -> Result<Out<Listed<TenantView>>, Problem> {
    let mut data = Vec::new();
    for tenant in app.store.tenants().await? {
        let usage = app.store.usage(&tenant).await?;
        data.push(TenantView::of(tenant, &usage));
    }
    Ok(Out(Listed { data, next: None }))
}

async fn tenant(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(tenant): Id<Tenant>,
) -> Result<Out<TenantView>, Problem> {
    let tenant = caller.meant(Some(&tenant))?;
    let usage = app.store.usage(&tenant).await?;
    Ok(Out(TenantView::of(tenant, &usage)))
}

async fn quota(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(tenant): Id<Tenant>,
    Json(new): Json<NewQuota>,
) -> Result<Out<TenantView>, Problem> {
    let NewQuota { open_jobs, bytes, jobs_per_day, spend_per_day, weight } = new;
    if let Some(bad) = spend_per_day.filter(|most| !(0.0..=MOST_MONEY).contains(most)) {
        let fix = format!("use 0 to {MOST_MONEY}, 0 for no cap");
        return Err(Problem::field("spend_per_day", format!("is {bad}"), fix));
    }
    if let Some(bad) = weight.filter(|weight| !(0.001..=1000.0).contains(weight)) {
        return Err(Problem::field("weight", format!("is {bad}"), "use 0.001 to 1000"));
    }
    for (field, most) in [("open_jobs", open_jobs), ("bytes", bytes), ("jobs_per_day", jobs_per_day)] {
        if let Some(most) = most.filter(|most| *most > MOST) {
            return Err(Problem::field(
                field,
                format!("is {most}"),
                format!("use at most {MOST}, or 0 for any number"),
            ));
        }
    }
    let quota = TenantQuota { open_jobs, bytes, jobs_per_day, spend_per_day: None, weight };
    app.store.set_quota(&tenant, quota).await?;
    if spend_per_day.is_some() {
        app.store.set_budget(&BudgetOf::Tenant(tenant.clone()), spend_per_day, caller.label()).await?;
    }
    let usage = app.store.usage(&tenant).await?;
    Ok(Out(TenantView::of(tenant, &usage)))
}
