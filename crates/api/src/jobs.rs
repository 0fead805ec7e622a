//! Jobs: taking one in, looking at it, acting on it.

use std::sync::Arc;

use axum::Json as Out;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use songmill_core::job::{Choice, Explanation, StateName, explain};
use songmill_core::view::{EntryView, JobView};
use songmill_core::{
    BatchName, BatchRef, EndpointId, Event, JobId, SongRequest, Tenant, Timestamp, VendorName,
};
use songmill_producer::Submission;
use songmill_store::{Applied, Filter, Scope};

use crate::app::{App, no_job};
use crate::caller::Caller;
use crate::erase::erased;
use crate::extract::{Asked, Id, Json, Query, States, idempotency_key};
use crate::operation::Operation;
use crate::problem::{Problem, of_submit};
use crate::views::{Acted, Blocked, Explained, JobDetail, Listed, Resolution};

/// What beside the song is said of a submission.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubmitQuery {
    /// The batch it belongs to.
    pub(crate) batch: Option<BatchName>,
    /// Whose it is; the key's own tenant where nothing is said.
    pub(crate) tenant: Option<Tenant>,
    /// Endpoints that are to be told of it, with commas between them.
    #[schemars(length(min = 1, max = 200), regex(pattern = "^[a-z0-9_]+(,[a-z0-9_]+){0,3}$"))]
    pub(crate) notify: Option<String>,
}

/// Which jobs are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only those in this state; several with commas between them.
    state: Option<States>,
    /// Only those with this vendor.
    vendor: Option<VendorName>,
    /// Only those of this batch, in the order of its lines.
    batch: Option<BatchName>,
    /// Only the one with this id of the caller's.
    #[schemars(length(min = 1, max = 128))]
    custom_id: Option<String>,
    /// Only those that failed or are held with this code.
    #[schemars(length(min = 1, max = 64))]
    code: Option<String>,
    /// Whose; the key's own tenant where nothing is said.
    tenant: Option<Tenant>,
    /// Where the list goes on: an earlier page's `next`.
    #[schemars(regex(pattern = "^[0-9]{1,15}\\.[0-9]{1,15}$"))]
    cursor: Option<String>,
    /// At most so many on a page.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
}

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::POST, "/v1/jobs", "jobs.create", submit)
            .says(
                "Submits a song",
                "When this answers, the job is durable. A `custom_id` (unique within its batch) or an \
                 `Idempotency-Key` makes it safe to send again. `POST /v1/plan` checks without submitting.",
            )
            .for_scope(Scope::Submit)
            .query::<SubmitQuery>()
            .body::<SongRequest>()
            .once()
            .reply::<JobView>(202, "Taken in; `Location` is the job's address")
            .reply::<JobView>(200, "It was submitted before: nothing was done"),
        Operation::new(Method::GET, "/v1/jobs", "jobs.list", list)
            .says("Lists jobs", "Newest first, or in the order of its lines for a batch; held ones alone (`state=held`) longest held first.")
            .for_scope(Scope::Read)
            .query::<ListQuery>()
            .reply::<Listed<JobView>>(200, "A page"),
        Operation::new(Method::GET, "/v1/jobs/{id}", "jobs.get", show)
            .says("Shows a job", "With its request.")
            .for_scope(Scope::Read)
            .reply::<JobDetail>(200, "The job"),
        Operation::new(Method::GET, "/v1/jobs/{id}/events", "jobs.events", history)
            .says("Lists a job's history", "Every decision so far, oldest first; the latest 24.")
            .for_scope(Scope::Read)
            .reply::<Listed<EntryView>>(200, "Its history"),
        Operation::new(Method::GET, "/v1/jobs/{id}/explain", "jobs.explain", explained)
            .says("Says why a job waits", "What for, until when, and what happens then.")
            .for_scope(Scope::Read)
            .reply::<Explained>(200, "Why"),
        Operation::new(Method::POST, "/v1/jobs/{id}/cancel", "jobs.cancel", cancel)
            .says(
                "Stops a job",
                "In every state: what was submitted is stopped at the vendor's too, where that can be done.",
            )
            .for_scope(Scope::Submit)
            .problems(&[409])
            .reply::<Acted>(200, "What that did; a job that is to stop already is not changed"),
        Operation::new(Method::POST, "/v1/jobs/{id}/retry", "jobs.retry", retry)
            .says(
                "Tries a failed or canceled job again",
                "From the step that failed; this may cost money again.",
            )
            .for_scope(Scope::Submit)
            .problems(&[409, 410])
            .reply::<Acted>(200, "What that did"),
        Operation::new(Method::POST, "/v1/jobs/{id}/resolve", "jobs.resolve", resolve)
            .says(
                "Decides about a held job",
                "For operators: whether there is a task that was paid for nobody else can tell.",
            )
            .for_scope(Scope::Admin)
            .body::<Resolution>()
            .problems(&[409])
            .reply::<Acted>(200, "What that did"),
    ]
}

async fn submit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(trace): Asked,
    Query(query): Query<SubmitQuery>,
    headers: HeaderMap,
    Json(song): Json<SongRequest>,
) -> Result<Response, Problem> {
    let tenant = caller.meant(query.tenant.as_ref())?;
    let notify = endpoints_named(&app, &tenant, query.notify.as_deref()).await?;
    // The same request sent again is the same job, even if its answer was lost.
    let key = match (&song.custom_id, idempotency_key(&headers)?) {
        (None, Some(key)) => Some(format!("once:{key}")),
        _ => None,
    };
    let submission = Submission { song, tenant, batch: query.batch, key, notify, trace: Some(trace) };
    let placed = app.producer.submit(submission).await.map_err(|error| of_submit(error, app.store.now()))?;
    let stored = app.store.load(placed.job).await?.ok_or_else(|| no_job(placed.job))?;
    tracing::info!(job.id = %placed.job, new = placed.new, "job taken in");
    let status = if placed.new { StatusCode::ACCEPTED } else { StatusCode::OK };
    let location = format!("/v1/jobs/{}", placed.job);
    Ok((status, [(header::LOCATION, location)], Out(app.view(&stored))).into_response())
}

/// Endpoints of a tenant that a submission names; each must be there.
pub(crate) async fn endpoints_named(
    app: &App,
    tenant: &Tenant,
    named: Option<&str>,
) -> Result<Vec<EndpointId>, Problem> {
    let mut ids = Vec::new();
    let Some(named) = named else { return Ok(ids) };
    for name in named.split(',') {
        let unknown = || {
            Problem::query(
                "notify",
                format!("{name:?} is no endpoint of {tenant}"),
                "make it first: POST /v1/endpoints",
            )
        };
        let id: EndpointId = name.parse().map_err(|_| unknown())?;
        if ids.len() >= 4 {
            return Err(Problem::query("notify", "names more than 4 endpoints", "name at most 4"));
        }
        app.store.endpoint(tenant, &id).await?.ok_or_else(unknown)?;
        ids.push(id);
    }
    Ok(ids)
}

/// What a page holds where nothing is said, and at most.
pub(crate) fn page_size(limit: Option<usize>, most: usize) -> Result<usize, Problem> {
    match limit {
        None => Ok(50),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(limit) => Err(Problem::query("limit", format!("is {limit}"), format!("use 1 to {most}"))),
    }
}

/// Where a list that counts its places goes on.
pub(crate) fn place(cursor: Option<usize>) -> Result<usize, Problem> {
    match cursor.unwrap_or(0) {
        from @ ..=1_000_000 => Ok(from),
        from => {
            Err(Problem::query("cursor", format!("is {from}"), "use one that an answer of this list gave"))
        }
    }
}

/// A text that is wanted must be one.
fn said(name: &str, text: Option<String>, most: usize) -> Result<Option<String>, Problem> {
    match text.as_ref().map_or(1, |text| text.chars().count()) {
        chars if (1..=most).contains(&chars) => Ok(text),
        chars => Err(Problem::query(name, format!("has {chars} characters"), format!("use 1 to {most}"))),
    }
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Out<Listed<JobView>>, Problem> {
    let tenant = caller.meant(query.tenant.as_ref())?;
    let limit = page_size(query.limit, 1000)?;
    let from = query.cursor.as_deref().map(str::parse).transpose();
    let from =
        from.map_err(|fault: String| Problem::query("cursor", fault, "leave it out for the first page"))?;
    let filter = Filter {
        states: query.state.unwrap_or_default().0,
        vendor: query.vendor,
        batch: query.batch.map(|name| BatchRef { tenant: tenant.clone(), name }),
        custom_id: said("custom_id", query.custom_id, 128)?,
        code: said("code", query.code, 64)?,
    };
    let page = app.store.list(&tenant, &filter, from, limit).await?;
    let data = page.jobs.iter().map(|stored| app.view(stored)).collect();
    Ok(Out(Listed { data, next: page.next.map(|next| next.to_string()) }))
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<JobId>,
) -> Result<Out<JobDetail>, Problem> {
    let stored = app.job(&caller, id).await?;
    let request = serde_json::from_str(&stored.request).map_err(|error| {
        tracing::error!(job.id = %id, %error, "the request of a job cannot be read");
        Problem::internal()
    })?;
    Ok(Out(JobDetail { job: app.view(&stored), request }))
}

async fn history(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<JobId>,
) -> Result<Out<Listed<EntryView>>, Problem> {
    let stored = app.job(&caller, id).await?;
    Ok(Out(Listed { data: EntryView::all(&stored.job), next: None }))
}

async fn explained(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<JobId>,
) -> Result<Out<Explained>, Problem> {
    let stored = app.job(&caller, id).await?;
    let Explanation { waits_for, due } = explain(&stored.job, app.store.now());
    let standing = app.store.standing(&stored).await?;
    let blocked = Blocked::of(
        &standing,
        stored.job.vendor(),
        app.policy().money.currency.as_str(),
        caller.may(Scope::Admin),
    );
    Ok(Out(Explained {
        id,
        state: stored.job.state.name(),
        waits_for,
        due_ms: due.map(Timestamp::as_millis),
        blocked,
        claims: stored.claims,
        history: EntryView::all(&stored.job),
    }))
}

async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<JobId>,
) -> Result<Out<Acted>, Problem> {
    let acted = act(&app, &caller, id, "cancel", &Event::CancelAsked).await?;
    let state = acted.job.state;
    if !acted.changed && state.is_final() && state != StateName::Canceled {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "has_ended",
            format!("job {id} is {state}: it has ended already"),
        ));
    }
    Ok(Out(acted))
}

async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<JobId>,
) -> Result<Out<Acted>, Problem> {
    let acted = act(&app, &caller, id, "retry", &Event::RetryAsked).await?;
    if !acted.changed && acted.job.erased_ms.is_some() {
        return Err(erased(id));
    }
    if !acted.changed {
        let detail = format!(
            "job {id} is {}, neither failed nor canceled: there is nothing to retry",
            acted.job.state
        );
        return Err(Problem::new(StatusCode::CONFLICT, "not_ended", detail));
    }
    Ok(Out(acted))
}

async fn resolve(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<JobId>,
    Json(resolution): Json<Resolution>,
) -> Result<Out<Acted>, Problem> {
    let choice = match resolution {
        Resolution::Resubmit {} => Choice::Resubmit,
        Resolution::Adopt { task } => Choice::Adopt(task),
        Resolution::Store {} => Choice::Store,
        Resolution::Fail {} => Choice::Fail,
    };
    let acted = act(&app, &caller, id, "resolve", &Event::Resolved(choice)).await?;
    if !acted.changed {
        let detail = if acted.job.state == StateName::Held {
            format!("job {id} has no known task whose audio could be stored")
        } else {
            format!("job {id} is {}, not held: there is nothing to decide", acted.job.state)
        };
        return Err(Problem::new(StatusCode::CONFLICT, "not_held", detail));
    }
    Ok(Out(acted))
}

/// Tells a job something; `what` is the action in a word.
async fn act(app: &App, caller: &Caller, id: JobId, what: &str, event: &Event) -> Result<Acted, Problem> {
    let title = app.job(caller, id).await?.title();
    let (changed, job) = match app.store.apply(id, event).await? {
        Applied::Changed(job) => (true, job),
        Applied::Unchanged(job) => (false, job),
        Applied::NoSuchJob => return Err(no_job(id)),
    };
    let by = caller.label();
    tracing::info!(job.id = %id, by, changed, state = %job.state.name(), "job acted on: {what}");
    Ok(Acted { changed, job: JobView::of(&job, title, app.store.now()) })
}
