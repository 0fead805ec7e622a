//! Taking many songs in at once: a JSON array, JSON lines or CSV, of any length in constant memory.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Json as Out;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use songmill_core::money::{Amount, limit_micros};
use songmill_core::{BatchName, BatchRef, SongRequest, Tenant};
use songmill_producer::Tally;
use songmill_producer::parse::{self, Input, Mapping, Options, ReadError, Reading};
use songmill_store::{Refused, Scope, Upload};
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::app::App;
use crate::caller::Caller;
use crate::extract::{Asked, Query, format, idempotency_key};
use crate::jobs::endpoints_named;
use crate::keys::MOST_MONEY;
use crate::once::{Once, whole};
use crate::operation::Operation;
use crate::problem::{Problem, ProblemError, busy};
use crate::secret::{hashed, hex, random_text};
use crate::share::Place;
use crate::views::Uploaded;

/// What beside the songs is said of an upload.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UploadQuery {
    /// The batch; one with a name of its own is made where nothing is said. Uploading to a batch again adds what is
    /// new.
    name: Option<BatchName>,
    /// Whose it is; the key's own tenant where nothing is said.
    tenant: Option<Tenant>,
    /// Endpoints that are to be told of the batch and its jobs, with commas between them.
    #[schemars(length(min = 1, max = 200), regex(pattern = "^[a-z0-9_]+(,[a-z0-9_]+){0,3}$"))]
    notify: Option<String>,
    /// What may be spent for the batch, in the settings' currency: nothing is submitted that could pass it. 0 for no cap;
    /// as before where nothing is said.
    #[schemars(range(min = 0, max = MOST_MONEY))]
    budget: Option<f64>,
    /// The batch's share beside its tenant's others; as before where nothing is said, 1 at first.
    #[schemars(range(min = 0.001, max = 1000.0))]
    weight: Option<f64>,
    #[serde(flatten)]
    table: TableQuery,
}

/// How what is sent is to be read.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct TableQuery {
    /// What columns of a table mean beside what their names say: a JSON object of fields by names, such as
    /// `{"Dauer":"duration_s","Notes":""}`; an empty field for a column that is not read.
    columns: Option<String>,
    /// Fields of each request that does not set them itself: a JSON object, such as `{"vendor":"replicate"}`.
    defaults: Option<String>,
    /// The encoding of a table, such as `gb18030`; told by its bytes where nothing is said.
    encoding: Option<String>,
}

/// The most bytes of a workbook: it is held in memory.
const WORKBOOK_BYTES: usize = 8 << 20;

impl TableQuery {
    pub(crate) fn options(&self, headers: &HeaderMap) -> Result<Options, Problem> {
        let no_object = |name, fix| move |_| Problem::query(name, "is not a JSON object of texts", fix);
        let mapping: Mapping = match &self.columns {
            Some(text) => serde_json::from_str(text).map_err(no_object(
                "columns",
                "write fields by columns, such as {\"Dauer\":\"duration_s\"}",
            ))?,
            None => Mapping::new(),
        };
        let defaults = match &self.defaults {
            Some(text) => serde_json::from_str(text).map_err(|_| {
                Problem::query(
                    "defaults",
                    "is not a JSON object",
                    "write fields, such as {\"vendor\":\"replicate\"}",
                )
            })?,
            None => serde_json::Map::new(),
        };
        let request = serde_json::Value::Object(defaults.clone());
        if let Err(error) = serde_json::from_value::<SongRequest>(request) {
            let words = error.to_string();
            let name = words.split('`').nth(1).unwrap_or_default();
            return Err(Problem::query(
                "defaults",
                format!("has a field that no song has, or of another kind: {name}"),
                "see /docs for the fields of a song",
            ));
        }
        let encoding = self.encoding.clone();
        Ok(Options {
            format: format(headers)?,
            named: None,
            encoding,
            mapping,
            defaults,
            workbook_bytes: Some(WORKBOOK_BYTES),
        })
    }
}

/// Many song requests. Each is checked by itself: one that does not fit is refused, and the others are taken.
#[derive(JsonSchema)]
#[schemars(rename = "Songs", transparent)]
pub(crate) struct Songs(#[expect(dead_code, reason = "lines are read one by one")] Vec<SongRequest>);

/// How many refused lines an answer names.
const NAMED: usize = 100;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::POST, "/v1/batches", "batches.upload", upload)
            .says(
                "Submits many songs",
                "A table (CSV with any of four delimiters in any encoding, or `.xlsx` of at most 8 MiB; a header of field names in \
                 English or Chinese, `options.<vendor>.<field>` makes objects), JSON lines, JSON objects or an array of them, \
                 gzipped or not, of any length. With `application/octet-stream` what is in it tells which of them it is. \
                 A table whose quotes cannot be trusted is refused as a whole. Good lines are taken in as they come, bad ones are refused and kept for `/errors`. A line is known \
                 by its `custom_id`, else by what it says, so sending a cut upload again to the same `name` or with the \
                 same `Idempotency-Key` ends with every line exactly once.",
            )
            .for_scope(Scope::Submit)
            .query::<UploadQuery>()
            .heeding()
            .body::<Songs>()
            .or_file()
            .problems(&[503])
            .reply::<Uploaded>(202, "Taken in; `Location` is the batch's address"),
    ]
}

/// What makes two bodies the same, once all is read.
pub(crate) type Print = Arc<Mutex<Sha256>>;

pub(crate) fn printed(print: &Print) -> String {
    hex(&print.lock().unwrap_or_else(PoisonError::into_inner).clone().finalize())
}

/// Reads a body's rows on a thread of its own, in constant memory.
pub(crate) fn reading(app: &App, body: Body, options: Options) -> (Reading, Print) {
    let print = Print::default();
    let (hashed, silence) = (print.clone(), app.settings.upload_silence.get());
    let until = tokio::time::Instant::now() + app.settings.upload_time.get();
    let chunks = body.into_data_stream();
    let chunks = stream::unfold(chunks, move |mut chunks| async move {
        let silence = until.min(tokio::time::Instant::now() + silence);
        let next = match tokio::time::timeout_at(silence, chunks.next()).await {
            Ok(next) => next?.map_err(std::io::Error::other),
            Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "nothing came any more")),
        };
        Some((next, chunks))
    });
    let chunks = chunks.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            hashed.lock().unwrap_or_else(PoisonError::into_inner).update(chunk);
        }
    });
    let bridge = SyncIoBridge::new(StreamReader::new(Box::pin(chunks)));
    let body = Input::Stream(Box::new(std::io::BufReader::with_capacity(1 << 16, bridge)));
    (parse::read(body, options), print)
}

pub(crate) fn broken(error: &ReadError) -> Problem {
    match error {
        ReadError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body brought nothing any more")
        }
        ReadError::Io(_) => Problem::bad_request(
            "body_cut",
            "the body was cut; what came before is taken in, and sending all of it again adds the rest",
        ),
        ReadError::Form(_) | ReadError::Empty => {
            Problem::bad_request("bad_body", format!("the body {error}"))
        }
    }
}

/// Whoever is no operator may lower what a batch may cost, and no more.
async fn may_set_budget(app: &App, batch: &BatchRef, wanted: f64) -> Result<(), Problem> {
    let own = app.store.spent_for(batch).await?.1;
    let limit = own.unwrap_or(limit_micros(app.policy().money.batch));
    let wanted = limit_micros(wanted);
    if limit > 0 && (wanted == 0 || wanted > limit) {
        let limit = Amount::of_micros(limit);
        let fix = "use less, or have an operator raise it (`songmill budget set batch`)";
        return Err(Problem::query("budget", format!("is more than the batch may cost, {limit}"), fix));
    }
    Ok(())
}

async fn upload(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(trace): Asked,
    Query(query): Query<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let tenant = caller.meant(query.tenant.as_ref())?;
    let options = query.table.options(&headers)?;
    let notify = endpoints_named(&app, &tenant, query.notify.as_deref()).await?;
    let place = place(&app, &caller)?;
    let key = idempotency_key(&headers)?;
    let name = match (&query.name, key) {
        (Some(name), _) => name.clone(),
        // The same upload sent again goes to the same batch.
        (None, Some(key)) => named(&hashed(key)[..20])?,
        (None, None) => named(&random_text()?[..20])?,
    };
    let batch = BatchRef { tenant: tenant.clone(), name };
    let (id, label) = (random_text()?, trace.request_id.clone());
    let (budget, weight) = (query.budget, query.weight);
    if let Some(bad) = budget.filter(|budget| !(0.0..=MOST_MONEY).contains(budget)) {
        return Err(Problem::query("budget", format!("is {bad}"), format!("use 0 to {MOST_MONEY}")));
    }
    if let Some(wanted) = budget.filter(|_| !caller.may(Scope::Admin)) {
        may_set_budget(&app, &batch, wanted).await?;
    }
    if let Some(bad) = weight.filter(|weight| !(0.001..=1000.0).contains(weight)) {
        return Err(Problem::query("weight", format!("is {bad}"), "use 0.001 to 1000"));
    }
    let told =
        Upload { batch, id, label, notify, trace: Some(trace), budget: budget.map(limit_micros), weight };
    let how = format!("POST /v1/batches {} {}", told.batch, query.notify.as_deref().unwrap_or_default());
    let location = caller.location(format!("/v1/batches/{}", encoded(&told.batch.name)), &tenant);
    let Some(key) = key else {
        let (reading, _) = reading(&app, body, options);
        return Ok(take(&app, &told, reading, location).await?.0);
    };
    let once = match Once::begin(&app, &tenant, key).await {
        Ok(once) => once,
        Err(problem) => {
            drain(body).await;
            return Err(problem);
        }
    };
    let (mut reading, print) = reading(&app, body, options);
    match once {
        // The lines end when the caller goes, and then this does.
        Ok(once) => {
            let done = async move {
                let _place = place;
                match take(&app, &told, reading, location).await {
                    Ok((answer, true)) => once.end(&app, format!("{how} {}", printed(&print)), answer).await,
                    Ok((answer, false)) => once.forget(answer).await,
                    Err(problem) => once.forget(problem.into_response()).await,
                }
            };
            whole(done).await
        }
        Err(answer) => {
            while let Some(row) = reading.rows.recv().await {
                row.map_err(|error| broken(&error))?;
            }
            Ok(answer.again(&format!("{how} {}", printed(&print))))
        }
    }
}

/// Reads what the caller is sending, within reason: whoever is not read to the end does not hear the answer.
async fn drain(body: Body) {
    let mut left = DRAINED;
    let mut chunks = body.into_data_stream();
    let reading = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    };
    // Whoever sends slower than this hears nothing.
    let _ = tokio::time::timeout(DRAIN, reading).await;
}

/// How much of a body is read only to be answered, and for how long.
const DRAINED: usize = 64 << 20;
const DRAIN: std::time::Duration = std::time::Duration::from_secs(10);

/// A place for reading many lines, which takes a thread.
pub(crate) fn place(app: &App, caller: &Caller) -> Result<Place, Problem> {
    let place = app.uploads.take(caller.tenant.as_str());
    place.ok_or_else(|| busy("too many uploads are under way; try again in a moment"))
}

/// A name as a segment of a path.
fn encoded(name: &BatchName) -> String {
    percent_encoding::utf8_percent_encode(name.as_str(), percent_encoding::CONTROLS).to_string()
}

fn named(text: &str) -> Result<BatchName, Problem> {
    BatchName::new(&format!("b-{text}")).map_err(|_| Problem::internal())
}

/// Takes lines in as they come; the answer, and whether it would be the same another time.
async fn take(
    app: &App,
    upload: &Upload,
    reading: Reading,
    location: String,
) -> Result<(Response, bool), Problem> {
    let Reading { rows, about } = reading;
    let taken = app.producer.submit_lines(upload, rows, |_| {}).await?;
    let songmill_producer::Uploaded { tally, refused: rows, over, ignored, broke } = taken;
    if let Some(error) = broke {
        return Err(broken(&error));
    }
    let count = tally.refused;
    let errors: Vec<_> = rows.iter().flat_map(errors_of).take(NAMED).collect();
    if tally.created + tally.known == 0 {
        let detail = format!("all {count} {}s were refused", about.get().part.as_str());
        if over > 0 {
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "quota", detail);
            return Err(problem.with(errors).refusing(count).after(std::time::Duration::from_secs(60)));
        }
        return Err(Problem::invalid(detail, errors).refusing(count));
    }
    let (name, Tally { created, known, .. }) = (upload.batch.name.clone(), tally);
    tracing::info!(batch = %upload.batch, created, known, refused = count, "upload taken in");
    let upload = upload.label.clone();
    let uploaded = Uploaded {
        batch: name,
        upload,
        created,
        known,
        refused: count,
        errors,
        notes: about.get().notes,
        ignored,
    };
    let answer = (StatusCode::ACCEPTED, [(header::LOCATION, location)], Out(uploaded)).into_response();
    Ok((answer, over == 0))
}

/// What is wrong with a refused line, one by one.
pub(crate) fn errors_of(refused: &Refused) -> Vec<ProblemError> {
    let of = |problem| ProblemError {
        line: Some(refused.line),
        custom_id: refused.custom_id.clone(),
        title: refused.title.clone(),
        ..ProblemError::of(problem)
    };
    refused.problems.iter().map(of).collect()
}
