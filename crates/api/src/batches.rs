//! Batches: how they stand, what came of them, acting on all their jobs.

use std::sync::Arc;

use axum::Json as Out;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::job::StateName;
use songmill_core::view::{FaultView, JobView};
use songmill_core::{BatchName, BatchRef, Event, Tenant};
use songmill_store::{Applied, Batch, Member, Refused, Scope, StoreError};

use crate::app::App;
use crate::caller::Caller;
use crate::extract::{Id, Query, States};
use crate::front::is_request_id;
use crate::jobs::{page_size, place};
use crate::operation::{JSONL, Operation};
use crate::problem::{Problem, busy};
use crate::share::{Place, holding};
use crate::views::{ActedOnAll, BatchErrorView, BatchView, Listed};

/// Whose a batch is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantQuery {
    /// Whose; the key's own tenant where nothing is said.
    pub(crate) tenant: Option<Tenant>,
}

/// Which batches are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Whose; the key's own tenant where nothing is said.
    tenant: Option<Tenant>,
    /// Where the list goes on: an earlier page's `next`.
    #[schemars(range(max = 1_000_000))]
    cursor: Option<usize>,
    /// At most so many on a page.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<usize>,
}

/// Which results are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResultsQuery {
    /// Whose; the key's own tenant where nothing is said.
    tenant: Option<Tenant>,
    /// Only jobs in this state; several with commas between them.
    state: Option<States>,
}

/// Which errors are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ErrorsQuery {
    /// Whose; the key's own tenant where nothing is said.
    tenant: Option<Tenant>,
    /// Only the lines that this upload's answer speaks of, by its request's id.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9._:-]+$"))]
    upload: Option<String>,
}

/// Jobs read, or acted on, at once.
const PAGE: usize = 256;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/batches", "batches.list", list)
            .says("Lists batches", "Newest first.")
            .for_scope(Scope::Read)
            .query::<ListQuery>()
            .reply::<Listed<BatchView>>(200, "A page"),
        Operation::new(Method::GET, "/v1/batches/{batch}", "batches.get", show)
            .says("Shows how a batch stands", "Its counts are exact.")
            .for_scope(Scope::Read)
            .query::<TenantQuery>()
            .reply::<BatchView>(200, "The batch"),
        Operation::new(Method::GET, "/v1/batches/{batch}/results", "batches.results", results)
            .says(
                "Streams what became of each job",
                "A job on each line, in the order of the input. A job that is kept no more is `{\"id\": …, \"state\": \
                 \"gone\"}`. A stream that breaks is cut, never ended as if it were whole. `Accept: application/jsonl` \
                 has it named so.",
            )
            .for_scope(Scope::Read)
            .query::<ResultsQuery>()
            .reply_lines::<JobView>("A `Job` on each line"),
        Operation::new(Method::GET, "/v1/batches/{batch}/errors", "batches.errors", errors)
            .says("Streams what went wrong", "First the lines that were refused, then the jobs that failed or are held.")
            .for_scope(Scope::Read)
            .query::<ErrorsQuery>()
            .reply_lines::<BatchErrorView>("A `BatchError` on each line"),
        Operation::new(Method::POST, "/v1/batches/{batch}/cancel", "batches.cancel", cancel)
            .says("Stops all jobs that have not ended", "Safe to send again.")
            .for_scope(Scope::Submit)
            .query::<TenantQuery>()
            .reply::<ActedOnAll>(200, "What that did"),
        Operation::new(Method::POST, "/v1/batches/{batch}/retry-failed", "batches.retry", retry_failed)
            .says("Tries all failed jobs again", "From the step that failed; this may cost money again.")
            .for_scope(Scope::Submit)
            .query::<TenantQuery>()
            .reply::<ActedOnAll>(200, "What that did"),
    ]
}

impl App {
    /// A batch that the caller may see.
    pub(crate) async fn batch(
        &self,
        caller: &Caller,
        tenant: Option<&Tenant>,
        name: BatchName,
    ) -> Result<(BatchRef, Batch), Problem> {
        let batch = BatchRef { tenant: caller.meant(tenant)?, name };
        let found = self.store.batch(&batch).await?;
        let found = found.ok_or_else(|| Problem::not_found(format!("batch {} is not known", batch.name)))?;
        Ok((batch, found))
    }
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Out<Listed<BatchView>>, Problem> {
    let tenant = caller.meant(query.tenant.as_ref())?;
    let (from, limit) = (place(query.cursor)?, page_size(query.limit, 200)?);
    let names = app.store.batches(&tenant, from, limit).await?;
    let next = (names.len() == limit).then(|| (from + limit).to_string());
    let read = names.iter().map(|name| app.store.batch(name));
    let found = futures_util::future::try_join_all(read).await?;
    let (policy, now) = (app.policy(), app.store.now());
    let data = found.into_iter().flatten().map(|batch| batch.view(now, &policy.money)).collect();
    Ok(Out(Listed { data, next }))
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(name): Id<BatchName>,
    Query(query): Query<TenantQuery>,
) -> Result<Out<BatchView>, Problem> {
    let (_, batch) = app.batch(&caller, query.tenant.as_ref(), name).await?;
    Ok(Out(app.batch_view(&batch, caller.may(Scope::Admin)).await?))
}

async fn results(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(name): Id<BatchName>,
    Query(query): Query<ResultsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (batch, _) = app.batch(&caller, query.tenant.as_ref(), name).await?;
    let place = export(&app, &caller)?;
    let states = query.state.unwrap_or_default().0;
    let viewer = app.clone();
    Ok(lines(
        place,
        &headers,
        pages(app, batch).map_ok(move |members| {
            let mut page = Vec::new();
            for Member { id, stored } in members {
                match stored {
                    Some(stored) if states.is_empty() || states.contains(&stored.job.state.name()) => {
                        line(&mut page, &viewer.view(&stored));
                    }
                    Some(_) => {}
                    None if states.is_empty() => {
                        line(&mut page, &serde_json::json!({ "id": id, "state": "gone" }))
                    }
                    None => {}
                }
            }
            page
        }),
    ))
}

async fn errors(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(name): Id<BatchName>,
    Query(query): Query<ErrorsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (batch, _) = app.batch(&caller, query.tenant.as_ref(), name).await?;
    let place = export(&app, &caller)?;
    let wanted = query.upload.clone();
    if let Some(upload) = query.upload.as_ref().filter(|upload| !is_request_id(upload)) {
        let fault = format!("{upload:?} is no request's id");
        return Err(Problem::query("upload", fault, "use an answer's `upload`"));
    }
    let begin = (app.clone(), batch.clone(), wanted, Some(0));
    let refused = stream::try_unfold(begin, |(app, batch, wanted, from)| async move {
        let Some(from) = from else { return Ok(None) };
        let lines = app.store.refused(&batch, from, PAGE).await?;
        let mut page = Vec::new();
        let of = |refused: &&Refused| wanted.as_ref().is_none_or(|wanted| *wanted == refused.upload);
        for refused in lines.iter().filter(of) {
            line(
                &mut page,
                &BatchErrorView {
                    upload: Some(refused.upload.clone()).filter(|upload| !upload.is_empty()),
                    line: Some(refused.line),
                    custom_id: refused.custom_id.clone(),
                    id: None,
                    state: None,
                    fault: None,
                    errors: crate::upload::errors_of(refused),
                },
            );
        }
        let next = (lines.len() == PAGE).then_some(from + PAGE);
        Ok::<_, StoreError>(Some((page, (app, batch, wanted, next))))
    });
    let failed = pages(app, batch).map_ok(|members| {
        let mut page = Vec::new();
        for stored in members.into_iter().filter_map(|member| member.stored) {
            let job = &stored.job;
            let Some(fault) = job.state.fault() else { continue };
            line(
                &mut page,
                &BatchErrorView {
                    upload: None,
                    line: None,
                    custom_id: job.custom_id.clone(),
                    id: Some(job.id),
                    state: Some(job.state.name()),
                    fault: Some(FaultView::from(fault)),
                    errors: Vec::new(),
                },
            );
        }
        page
    });
    if query.upload.is_some() {
        return Ok(lines(place, &headers, refused));
    }
    Ok(lines(place, &headers, refused.chain(failed)))
}

async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(name): Id<BatchName>,
    Query(query): Query<TenantQuery>,
) -> Result<Out<ActedOnAll>, Problem> {
    let (batch, _) = app.batch(&caller, query.tenant.as_ref(), name).await?;
    act_on_all(app, batch, Event::CancelAsked, |state| !state.is_final()).await
}

async fn retry_failed(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(name): Id<BatchName>,
    Query(query): Query<TenantQuery>,
) -> Result<Out<ActedOnAll>, Problem> {
    let (batch, _) = app.batch(&caller, query.tenant.as_ref(), name).await?;
    act_on_all(app, batch, Event::RetryAsked, |state| state == StateName::Failed).await
}

async fn act_on_all(
    app: Arc<App>,
    batch: BatchRef,
    event: Event,
    wants: fn(StateName) -> bool,
) -> Result<Out<ActedOnAll>, Problem> {
    let name = batch.name.clone();
    let mut acted = ActedOnAll { batch: name, changed: 0, unchanged: 0 };
    let mut pages = std::pin::pin!(pages(app.clone(), batch));
    while let Some(members) = pages.next().await {
        let wanted = members?.into_iter().filter_map(|member| member.stored);
        let wanted = wanted.filter(|stored| wants(stored.job.state.name()));
        let done = wanted.map(|stored| {
            let (app, event) = (app.clone(), event.clone());
            async move { app.store.apply(stored.job.id, &event).await }
        });
        for applied in futures_util::future::try_join_all(done).await? {
            match applied {
                Applied::Changed(_) => acted.changed += 1,
                Applied::Unchanged(_) | Applied::NoSuchJob => acted.unchanged += 1,
            }
        }
    }
    tracing::info!(batch = %acted.batch, changed = acted.changed, "batch acted on");
    Ok(Out(acted))
}

/// A batch's jobs in their order, page by page.
fn pages(
    app: Arc<App>,
    batch: BatchRef,
) -> impl stream::Stream<Item = Result<Vec<Member>, StoreError>> + Send {
    stream::try_unfold((app, batch, Some(0)), |(app, batch, from)| async move {
        let Some(from) = from else { return Ok(None) };
        let members = app.store.members(&batch, from, PAGE).await?;
        let next = (members.len() == PAGE).then_some(from + PAGE);
        Ok(Some((members, (app, batch, next))))
    })
}

fn line(page: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(&mut *page, value).expect("views are always JSON");
    page.push(b'\n');
}

/// A place for an answer of any length, every page of which Redis and a processor have work with.
fn export(app: &App, caller: &Caller) -> Result<Place, Problem> {
    let place = app.exports.take(caller.tenant.as_str());
    place.ok_or_else(|| busy("too many lists of results and errors are being read; try again in a moment"))
}

/// Lines as they are read, plain text unless JSON lines are asked for by name; an error cuts the answer, so that nobody takes a part
/// for the whole.
fn lines(
    place: Place,
    asked: &HeaderMap,
    pages: impl stream::Stream<Item = Result<Vec<u8>, StoreError>> + Send + 'static,
) -> Response {
    let accepted = asked.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    let media = if accepted.contains(JSONL) { JSONL } else { "text/plain; charset=utf-8" };
    let pages = pages.map_ok(Bytes::from).inspect_err(|error| tracing::warn!(%error, "an answer was cut"));
    let mut response = holding(place, Body::from_stream(pages)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
