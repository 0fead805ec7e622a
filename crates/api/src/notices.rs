//! Notices: what endpoints were told, and telling them again.

use std::sync::Arc;

use axum::Json as Out;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::{EndpointId, Tenant};
use songmill_store::{Bound, NewNotice, Notice, NoticeState, NoticeType, Scope, StoreError};

use crate::app::App;
use crate::batches::TenantQuery;
use crate::caller::Caller;
use crate::extract::{Id, Query};
use crate::jobs::{page_size, place};
use crate::operation::Operation;
use crate::problem::Problem;
use crate::views::Listed;

/// Which notices are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Whose; the key's own tenant where nothing is said.
    tenant: Option<Tenant>,
    /// Only those to this endpoint.
    endpoint: Option<EndpointId>,
    /// Only those that stand so.
    state: Option<NoticeState>,
    /// Only those of this type.
    #[serde(rename = "event_type")]
    kind: Option<NoticeType>,
    /// Where the list goes on: an earlier page's `next`.
    #[schemars(range(max = 1_000_000))]
    cursor: Option<usize>,
    /// At most so many on a page.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<usize>,
}

/// A notice with what is posted.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "NoticeDetail")]
struct Detail {
    #[serde(flatten)]
    notice: Notice,
    /// What is posted.
    payload: serde_json::Value,
}

/// A notice's id.
#[derive(Debug, JsonSchema)]
#[schemars(transparent)]
pub(crate) struct NoticeId(
    #[schemars(length(min = 1, max = 80), regex(pattern = "^[a-zA-Z0-9_-]+$"))] String,
);

impl std::str::FromStr for NoticeId {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let good = (1..=80).contains(&text.len()) && text.chars().all(fits);
        if good { Ok(Self(text.to_owned())) } else { Err("a notice's id has letters, digits, _ and -") }
    }
}

/// Notices looked at for one page.
const LOOKS: usize = 1000;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/notices", "notices.list", list)
            .says(
                "Lists notices",
                "Newest first, with each try to deliver them; the latest 10,000 of a tenant are kept.",
            )
            .for_scope(Scope::Read)
            .query::<ListQuery>()
            .reply::<Listed<Notice>>(200, "A page"),
        Operation::new(Method::GET, "/v1/notices/{notice}", "notices.get", show)
            .says("Shows a notice", "With what is posted.")
            .for_scope(Scope::Read)
            .query::<TenantQuery>()
            .reply::<Detail>(200, "The notice"),
        Operation::new(Method::POST, "/v1/notices/{notice}/replay", "notices.resend", replay)
            .says(
                "Sends a notice again",
                "Under the same id, now, and if need be by the whole schedule again.",
            )
            .for_scope(Scope::Submit)
            .query::<TenantQuery>()
            .problems(&[409])
            .reply::<Notice>(202, "It is on its way"),
    ]
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Out<Listed<Notice>>, Problem> {
    let tenant = caller.meant(query.tenant.as_ref())?;
    let limit = page_size(query.limit, 200)?;
    let from = place(query.cursor)?;
    let (found, looked) = app.store.notices(&tenant, from, LOOKS).await?;
    let mut data = Vec::new();
    for notice in &found {
        let wanted = query.endpoint.as_ref().is_none_or(|endpoint| *endpoint == notice.1.endpoint)
            && query.state.is_none_or(|state| state == notice.1.state)
            && query.kind.is_none_or(|kind| kind == notice.1.kind);
        if wanted {
            data.push(notice.1.clone());
        }
        if data.len() >= limit && notice.0 + 1 < from + looked {
            return Ok(Out(Listed { data, next: Some((notice.0 + 1).to_string()) }));
        }
    }
    let next = (looked == LOOKS).then(|| (from + looked).to_string());
    Ok(Out(Listed { data, next }))
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(NoticeId(id)): Id<NoticeId>,
    Query(query): Query<TenantQuery>,
) -> Result<Out<Detail>, Problem> {
    let (_, notice, payload) = known(&app, &caller, query.tenant.as_ref(), &id).await?;
    let payload = serde_json::from_str(&payload).unwrap_or(serde_json::Value::Null);
    Ok(Out(Detail { notice, payload }))
}

async fn replay(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(NoticeId(id)): Id<NoticeId>,
    Query(query): Query<TenantQuery>,
) -> Result<Response, Problem> {
    let (tenant, mut notice, payload) = known(&app, &caller, query.tenant.as_ref(), &id).await?;
    let endpoint = app.store.endpoint(&tenant, &notice.endpoint).await?;
    let gone = |detail: String| Problem::new(StatusCode::CONFLICT, "disabled", detail);
    let endpoint = endpoint.ok_or_else(|| gone(format!("its endpoint {} was removed", notice.endpoint)))?;
    if endpoint.disabled.is_some() {
        return Err(gone(format!("its endpoint {} is switched off; switch it on first", notice.endpoint)));
    }
    (notice.state, notice.due_ms, notice.tried) =
        (NoticeState::Waiting, Some(app.store.now().as_millis()), 0);
    let written = app
        .store
        .tell(&[(String::new(), vec![NewNotice { tenant, notice: notice.clone(), payload }])])
        .await?;
    if written == 0 {
        return Err(StoreError::Over(Bound::Bytes).into());
    }
    Ok((StatusCode::ACCEPTED, Out(notice)).into_response())
}

async fn known(
    app: &App,
    caller: &Caller,
    tenant: Option<&Tenant>,
    id: &str,
) -> Result<(Tenant, Notice, String), Problem> {
    let tenant = caller.meant(tenant)?;
    let found = app.store.notice(&tenant, id).await?;
    let (notice, payload) =
        found.ok_or_else(|| Problem::not_found(format!("notice {id} is not known (any more)")))?;
    Ok((tenant, notice, payload))
}
