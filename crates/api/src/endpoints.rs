//! Endpoints: where a tenant's notices go.

use std::sync::Arc;

use axum::Json as Out;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::view::{NoticeData, NoticePayload};
use songmill_core::{EndpointId, Tenant};
use songmill_store::{
    Bound, Disabled, Endpoint, EndpointSecret, NewNotice, Notice, NoticeType, Scope, StoreError,
};
use songmill_worker_deliver::moment;

use crate::app::App;
use crate::batches::TenantQuery;
use crate::caller::Caller;
use crate::extract::{Id, Json, Query};
use crate::operation::Operation;
use crate::problem::Problem;
use crate::secret::{Signing, random_text, signing_secret};
use crate::views::{EndpointView, Listed};

/// An endpoint to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EndpointRequest")]
struct NewEndpoint {
    /// The address that notices are posted to: https, and none of a private network.
    #[schemars(length(min = 8, max = 2000))]
    url: String,
    /// What it is, in your words.
    #[serde(default)]
    #[schemars(length(max = 200))]
    description: String,
    /// What it is told of; everything where nothing is said.
    #[serde(default)]
    types: Vec<NoticeType>,
    /// Whether it is told of all jobs and batches (as where nothing is said), or only of those that name it in `notify`.
    #[serde(default = "yes")]
    all: bool,
    /// How its notices are signed.
    #[serde(default)]
    signing: Signing,
}

/// What of an endpoint is changed; the rest stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "EndpointChange")]
#[serde(deny_unknown_fields)]
struct Change {
    /// The address that notices are posted to.
    #[schemars(length(min = 8, max = 2000))]
    url: Option<String>,
    /// What it is.
    #[schemars(length(max = 200))]
    description: Option<String>,
    /// What it is told of; an empty list for everything.
    types: Option<Vec<NoticeType>>,
    /// Whether it is told of all jobs and batches.
    all: Option<bool>,
    /// Whether it is sent anything. What waits when it is switched off is sent when it is switched on; what happens in
    /// between is not (`GET /v1/events` tells of it).
    enabled: Option<bool>,
}

/// How a secret is replaced.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SecretRotation")]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// How long the old secret is used beside the new one, in seconds; a day where nothing is said.
    #[schemars(range(max = 2_592_000))]
    grace_s: Option<u64>,
    /// How the new one signs; as the old one where nothing is said.
    signing: Option<Signing>,
}

const fn yes() -> bool {
    true
}

/// Endpoints of one tenant.
const MOST: usize = 50;
/// Secrets in force at the same time.
const SECRETS: usize = 5;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::POST, "/v1/endpoints", "endpoints.create", make)
            .says(
                "Makes an endpoint",
                "Notices are posted there by Standard Webhooks. The answer shows its secret.",
            )
            .for_scope(Scope::Submit)
            .query::<TenantQuery>()
            .body::<NewEndpoint>()
            .problems(&[409])
            .once()
            .reply::<EndpointView>(201, "Made; `Location` is its address"),
        Operation::new(Method::GET, "/v1/endpoints", "endpoints.list", list)
            .says("Lists endpoints", "Without their secrets.")
            .for_scope(Scope::Read)
            .query::<TenantQuery>()
            .reply::<Listed<EndpointView>>(200, "All of them"),
        Operation::new(Method::GET, "/v1/endpoints/{endpoint}", "endpoints.get", show)
            .says("Shows an endpoint", "Without its secrets.")
            .for_scope(Scope::Read)
            .query::<TenantQuery>()
            .reply::<EndpointView>(200, "The endpoint"),
        Operation::new(Method::GET, "/v1/endpoints/{endpoint}/secrets", "endpoints.secrets", secrets)
            .says("Shows an endpoint with its secrets", "What the receiver checks signatures with.")
            .for_scope(Scope::Submit)
            .query::<TenantQuery>()
            .reply::<EndpointView>(200, "The endpoint"),
        Operation::new(Method::PATCH, "/v1/endpoints/{endpoint}", "endpoints.update", change)
            .says("Changes an endpoint", "What is not said stays.")
            .for_scope(Scope::Submit)
            .query::<TenantQuery>()
            .body::<Change>()
            .reply::<EndpointView>(200, "The endpoint as it is now"),
        Operation::new(Method::DELETE, "/v1/endpoints/{endpoint}", "endpoints.delete", remove)
            .says("Removes an endpoint", "What waits for it is not sent any more.")
            .for_scope(Scope::Submit)
            .query::<TenantQuery>()
            .reply_empty(204, "It is gone"),
        Operation::new(Method::POST, "/v1/endpoints/{endpoint}/rotate", "endpoints.rotate_secret", rotate)
            .says("Replaces an endpoint's secret", "Both are used until the old one's time is over.")
            .for_scope(Scope::Submit)
            .query::<TenantQuery>()
            .body::<Rotation>()
            .problems(&[409])
            .reply::<EndpointView>(200, "The endpoint with all its secrets in force, the newest first"),
        Operation::new(Method::POST, "/v1/endpoints/{endpoint}/test", "endpoints.test", test)
            .says("Sends a test notice", "Look at `/v1/notices/{id}` for what came of it.")
            .for_scope(Scope::Submit)
            .query::<TenantQuery>()
            .problems(&[409])
            .reply::<Notice>(202, "It is on its way"),
    ]
}

impl App {
    pub(crate) async fn endpoint(
        &self,
        caller: &Caller,
        tenant: Option<&Tenant>,
        id: &EndpointId,
    ) -> Result<(Tenant, Endpoint), Problem> {
        let tenant = caller.meant(tenant)?;
        let found = self.store.endpoint(&tenant, id).await?;
        Ok((tenant, found.ok_or_else(|| no_endpoint(id))?))
    }

    fn with_secrets(
        &self,
        tenant: &Tenant,
        endpoint: Endpoint,
        now_ms: u64,
    ) -> Result<EndpointView, Problem> {
        let id = endpoint.id.clone();
        let open = |secret: &EndpointSecret| self.store.open_secret(tenant, &id, secret);
        EndpointView::with_secrets(endpoint, now_ms, open).map_err(|sealed| {
            tracing::error!(%tenant, endpoint = %id, "{sealed}");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "secret_locked", sealed.to_string())
        })
    }

    fn check_url(&self, url: &str) -> Result<(), Problem> {
        let chars = url.chars().count();
        if !(8..=2000).contains(&chars) {
            return Err(Problem::field("url", format!("has {chars} characters"), "use 8 to 2000"));
        }
        let refused = |refused: songmill_egress::BlockedAddress| {
            Problem::field(
                "url",
                refused.to_string(),
                "give a public https address, such as https://example.com/hooks",
            )
        };
        self.endpoint_policy.check(url).map(drop).map_err(refused)
    }
}

fn check_description(text: &str) -> Result<(), Problem> {
    match text.chars().count() {
        0..=200 => Ok(()),
        chars => Err(Problem::field("description", format!("has {chars} characters"), "use at most 200")),
    }
}

fn sorted(mut types: Vec<NoticeType>) -> Vec<NoticeType> {
    types.sort_unstable();
    types.dedup();
    types
}

async fn make(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<TenantQuery>,
    Json(new): Json<NewEndpoint>,
) -> Result<Response, Problem> {
    let tenant = caller.meant(query.tenant.as_ref())?;
    app.check_url(&new.url)?;
    check_description(&new.description)?;
    if app.store.endpoints(&tenant).await?.len() >= MOST {
        let detail = format!("the tenant has {MOST} endpoints, and may have no more");
        return Err(Problem::new(StatusCode::CONFLICT, "too_many", detail));
    }
    let now = app.store.now().as_millis();
    let id = format!("ep_{}", &random_text()?[..16]);
    let endpoint = Endpoint {
        id: id.parse().map_err(|_| Problem::internal())?,
        url: new.url,
        description: new.description,
        types: sorted(new.types),
        all: new.all,
        secrets: vec![EndpointSecret {
            secret: signing_secret(new.signing)?,
            created_ms: now,
            until_ms: None,
        }],
        created_ms: now,
        failing_since_ms: None,
        last_failure: None,
        last_success_ms: None,
        disabled: None,
    };
    app.store.add_endpoint(&tenant, &endpoint).await?;
    tracing::info!(%tenant, endpoint = %endpoint.id, "endpoint made");
    let location = caller.location(format!("/v1/endpoints/{id}"), &tenant);
    let view = app.with_secrets(&tenant, endpoint, now)?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Out(view)).into_response())
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<TenantQuery>,
) -> Result<Out<Listed<EndpointView>>, Problem> {
    let tenant = caller.meant(query.tenant.as_ref())?;
    let found = app.store.endpoints(&tenant).await?;
    Ok(Out(Listed { data: found.into_iter().map(EndpointView::of).collect(), next: None }))
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<EndpointId>,
    Query(query): Query<TenantQuery>,
) -> Result<Out<EndpointView>, Problem> {
    let (_, endpoint) = app.endpoint(&caller, query.tenant.as_ref(), &id).await?;
    Ok(Out(EndpointView::of(endpoint)))
}

async fn secrets(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<EndpointId>,
    Query(query): Query<TenantQuery>,
) -> Result<Out<EndpointView>, Problem> {
    let (tenant, endpoint) = app.endpoint(&caller, query.tenant.as_ref(), &id).await?;
    Ok(Out(app.with_secrets(&tenant, endpoint, app.store.now().as_millis())?))
}

async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<EndpointId>,
    Query(query): Query<TenantQuery>,
    Json(change): Json<Change>,
) -> Result<Out<EndpointView>, Problem> {
    let tenant = caller.meant(query.tenant.as_ref())?;
    let Change { url, description, types, all, enabled } = change;
    if let Some(url) = &url {
        app.check_url(url)?;
    }
    if let Some(description) = &description {
        check_description(description)?;
    }
    let types = types.map(sorted);
    let at_ms = app.store.now().as_millis();
    let changed = app.store.change_endpoint(&tenant, &id, |endpoint| {
        if let Some(url) = url.as_ref().filter(|url| **url != endpoint.url) {
            // The new address has not failed yet.
            (endpoint.url, endpoint.failing_since_ms) = (url.clone(), None);
        }
        endpoint.description =
            description.clone().unwrap_or_else(|| std::mem::take(&mut endpoint.description));
        endpoint.types = types.clone().unwrap_or_else(|| std::mem::take(&mut endpoint.types));
        endpoint.all = all.unwrap_or(endpoint.all);
        match enabled {
            Some(true) if endpoint.disabled.is_some() => {
                (endpoint.disabled, endpoint.failing_since_ms) = (None, None);
            }
            Some(false) if endpoint.disabled.is_none() => {
                endpoint.disabled = Some(Disabled { at_ms, why: "switched off by its owner".into() });
            }
            Some(_) | None => {}
        }
        Ok::<_, Problem>(())
    });
    Ok(Out(EndpointView::of(changed.await??.ok_or_else(|| no_endpoint(&id))?)))
}

fn no_endpoint(id: &EndpointId) -> Problem {
    Problem::not_found(format!("endpoint {id} is not known"))
}

async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<EndpointId>,
    Query(query): Query<TenantQuery>,
) -> Result<StatusCode, Problem> {
    let (tenant, endpoint) = app.endpoint(&caller, query.tenant.as_ref(), &id).await?;
    app.store.remove_endpoint(&tenant, &endpoint.id).await?;
    tracing::info!(%tenant, endpoint = %endpoint.id, "endpoint removed");
    Ok(StatusCode::NO_CONTENT)
}

async fn rotate(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<EndpointId>,
    Query(query): Query<TenantQuery>,
    Json(rotation): Json<Rotation>,
) -> Result<Out<EndpointView>, Problem> {
    let tenant = caller.meant(query.tenant.as_ref())?;
    let grace_s = rotation.grace_s.unwrap_or(86_400);
    if grace_s > 2_592_000 {
        return Err(Problem::field("grace_s", format!("is {grace_s}"), "use at most 2592000, 30 days"));
    }
    let now = app.store.now().as_millis();
    let changed = app.store.change_endpoint(&tenant, &id, |endpoint| {
        endpoint.secrets.retain(|secret| secret.until_ms.is_none_or(|until| until > now));
        if endpoint.secrets.len() >= SECRETS {
            let detail = format!("{SECRETS} secrets are in force; wait until an old one's time is over");
            return Err(Problem::new(StatusCode::CONFLICT, "too_many", detail));
        }
        let is_pair = endpoint.secrets.first().is_some_and(EndpointSecret::is_pair);
        let as_before = if is_pair { Signing::Ed25519 } else { Signing::Hmac };
        for secret in &mut endpoint.secrets {
            secret.until_ms = Some(secret.until_ms.unwrap_or(u64::MAX).min(now + grace_s * 1000));
        }
        let secret = signing_secret(rotation.signing.unwrap_or(as_before))?;
        endpoint.secrets.insert(0, EndpointSecret { secret, created_ms: now, until_ms: None });
        Ok::<_, Problem>(())
    });
    let endpoint = changed.await??.ok_or_else(|| no_endpoint(&id))?;
    tracing::info!(%tenant, endpoint = %endpoint.id, "endpoint's secret replaced");
    Ok(Out(app.with_secrets(&tenant, endpoint, now)?))
}

async fn test(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<EndpointId>,
    Query(query): Query<TenantQuery>,
) -> Result<Response, Problem> {
    let (tenant, endpoint) = app.endpoint(&caller, query.tenant.as_ref(), &id).await?;
    if let Some(Disabled { why, .. }) = &endpoint.disabled {
        let detail =
            format!("the endpoint is switched off ({why}); switch it on first: PATCH {{\"enabled\": true}}");
        return Err(Problem::new(StatusCode::CONFLICT, "disabled", detail));
    }
    let now = app.store.now();
    let kind = NoticeType::Test;
    let notice = Notice::new(format!("msg_{}", random_text()?), endpoint.id, kind, now);
    let data =
        NoticeData { words: "a test, asked for by the endpoint's owner".into(), ..NoticeData::default() };
    let payload = NoticePayload { kind: kind.as_str().to_owned(), timestamp: moment(now), data };
    let payload = serde_json::to_string(&payload).map_err(|_| Problem::internal())?;
    let new = NewNotice { tenant: tenant.clone(), notice: notice.clone(), payload };
    if app.store.tell(&[(String::new(), vec![new])]).await? == 0 {
        return Err(StoreError::Over(Bound::Bytes).into());
    }
    let location = caller.location(format!("/v1/notices/{}", notice.id), &tenant);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Out(notice)).into_response())
}
