//! Events, to be pulled: whoever was away loses nothing that is kept.

use std::sync::Arc;

use axum::Json as Out;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use songmill_core::{BatchName, JobId, Tenant};
use songmill_store::{EventId, Scope, Told};

use crate::app::App;
use crate::caller::Caller;
use crate::extract::Query;
use crate::jobs::page_size;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::views::{EventView, Listed};

/// Which events are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// Those behind this one, or `latest` for where the next will be; the first that are kept where nothing is said.
    #[schemars(regex(pattern = "^([0-9]{1,15}(-[0-9]{1,15})?|latest)$"))]
    after: Option<String>,
    /// At most so many.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// Whose; the key's own tenant where nothing is said.
    tenant: Option<Tenant>,
    /// Only those of this job.
    job: Option<JobId>,
    /// Only those of this batch.
    batch: Option<BatchName>,
}

/// Events read at once.
const PAGE: usize = 1000;
/// Events looked at for one answer; then it ends, full or not.
const LOOKS: usize = 5_000;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/events", "events.list", list)
            .says(
                "Lists what happened",
                "Oldest first. `next` is always set: keep it, and ask with `after` for what happened since. 410 says that \
                 events behind `after` are kept no more (`retention.events`): look at the jobs, then go on from `0`.",
            )
            .for_scope(Scope::Read)
            .query::<EventsQuery>()
            .problems(&[410])
            .reply::<Listed<EventView>>(200, "A page, maybe an empty one"),
    ]
}

/// Which events somebody wants.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) tenant: Tenant,
    pub(crate) job: Option<JobId>,
    pub(crate) batch: Option<BatchName>,
    pub(crate) for_operator: bool,
}

impl Wanted {
    pub(crate) fn takes(&self, told: &Told) -> bool {
        let of_job = match told {
            Told::Job(logged) => self.job.is_none_or(|job| job == logged.job),
            Told::Closed(_) | Told::News(_) => self.job.is_none(),
        };
        let name = told.batch().map(|batch| batch.name);
        let is_theirs = told.tenant().is_none_or(|tenant| *tenant == self.tenant);
        is_theirs && of_job && (self.batch.is_none() || self.batch == name)
    }
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<EventsQuery>,
) -> Result<Out<Listed<EventView>>, Problem> {
    let tenant = caller.meant(query.tenant.as_ref())?;
    let limit = page_size(query.limit, PAGE)?;
    let wrong = || Problem::query("after", "is no event's id", "use an event's id, or an answer's `next`");
    let mut after = match query.after.as_deref() {
        Some("latest") => app.store.last_event().await?,
        Some(text) => text.parse().map_err(|()| wrong())?,
        None => EventId::default(),
    };
    if !app.store.has_events_since(&tenant, after).await? {
        let detail = "events after this one are kept no more; look at the jobs, then ask with after=0";
        return Err(Problem::new(StatusCode::GONE, "events_gone", detail));
    }
    let for_operator = caller.may(Scope::Admin);
    let wanted = Wanted { tenant, job: query.job, batch: query.batch, for_operator };
    let currency = app.policy().money.currency;
    let (mut data, mut looked) = (Vec::new(), 0);
    'pages: while looked < LOOKS {
        let page = app.store.events(&wanted.tenant, after, PAGE).await?;
        let last = page.len() < PAGE;
        looked += page.len().max(1);
        for (id, told) in page {
            after = id;
            let Some(told) = told.filter(|told| wanted.takes(told)) else { continue };
            data.push(EventView::of(id.to_string(), told, currency, wanted.for_operator));
            if data.len() >= limit {
                break 'pages;
            }
        }
        if last {
            break;
        }
    }
    Ok(Out(Listed { data, next: Some(after.to_string()) }))
}
