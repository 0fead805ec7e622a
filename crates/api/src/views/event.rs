//! Events, as they are shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::job::StateName;
use songmill_core::{BatchName, Currency, JobId, Tenant, VendorName};
use songmill_store::{NoticeType, Told};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Event")]
pub struct EventView {
    /// Its place in the stream: `after` for what follows.
    pub id: String,
    /// `job.<state>`, `batch.completed`, `budget.warning`, `budget.reached`, `vendor.paused` or `vendor.resumed`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When.
    pub at_ms: u64,
    /// Whose; not set where it concerns everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// The batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchName>,
    /// What happened, in words, where its type does not say all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The state the job left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<StateName>,
    /// The state it entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<StateName>,
    /// The vendor it is with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<VendorName>,
    /// The code of the fault that failed or holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The request the job came with, where it came alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The W3C `traceparent` it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl EventView {
    /// Amounts of what concerns everybody are an operator's to see.
    pub(crate) fn of(id: String, told: Told, currency: Currency, for_operator: bool) -> Self {
        let at_ms = id.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let plain = Self {
            id,
            kind: String::new(),
            at_ms,
            tenant: told.tenant().cloned(),
            job: None,
            batch: told.batch().map(|batch| batch.name),
            message: String::new(),
            from: None,
            to: None,
            vendor: None,
            code: None,
            request_id: None,
            traceparent: None,
        };
        match told {
            Told::Job(logged) => {
                let (request_id, traceparent) =
                    logged.trace.map_or((None, None), |trace| (Some(trace.request_id), trace.traceparent));
                Self {
                    kind: format!("job.{}", logged.to),
                    job: Some(logged.job),
                    from: logged.from,
                    to: Some(logged.to),
                    vendor: Some(logged.vendor),
                    code: logged.code,
                    request_id,
                    traceparent,
                    ..plain
                }
            }
            Told::Closed(_) => Self { kind: NoticeType::BatchCompleted.as_str().to_owned(), ..plain },
            Told::News(news) => Self {
                kind: news.kind.as_str().to_owned(),
                message: news.message(currency, for_operator || news.tenant.is_some()),
                vendor: news.vendor,
                code: news.code,
                ..plain
            },
        }
    }
}
