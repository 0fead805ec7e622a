//! Uploads: a batch that more lines may come to is not closed, and refused lines are kept with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use songmill_core::job::Trace;
use songmill_core::song::Problem;
use songmill_core::{BatchRef, EndpointId};

use crate::connection::StoreError;
use crate::scripts::{REFUSE, UPLOAD};
use crate::store::Store;

/// Lines of a batch that are on their way.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The batch.
    pub batch: BatchRef,
    /// Ours alone, without a space: two uploads of one name keep the batch open by themselves.
    pub id: String,
    /// What the caller calls it: the request's id. Refused lines are told apart by it.
    pub label: String,
    /// Endpoints that are to be told of the batch and its jobs.
    pub notify: Vec<EndpointId>,
    /// The request it comes with.
    pub trace: Option<Trace>,
    /// What may be spent for the batch from now on, in millionths; none for what was said before.
    pub budget: Option<u64>,
    /// The batch's share beside its tenant's others, from now on; none for what was said before, 1 at first.
    pub weight: Option<f64>,
}

/// A line of an upload that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The upload it stood in.
    #[serde(default)]
    pub upload: String,
    /// Its number in the upload, from 1.
    pub line: u64,
    /// The caller's id, as far as it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_id: Option<String>,
    /// The song's title, as far as it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// An upload that gives no sign of life for so long is over.
const SILENCE: Duration = Duration::from_secs(60);
/// How many refused lines a batch keeps.
const REFUSED: usize = 10_000;

impl Store {
    /// Says that lines of a batch are on their way; false when its tenant has no room for a new batch.
    pub async fn begin_upload(&self, upload: &Upload) -> Result<bool, StoreError> {
        self.tell_upload("begin", upload).await
    }

    /// Says that they still are; at least every 20 s.
    pub async fn go_on_uploading(&self, upload: &Upload) -> Result<(), StoreError> {
        self.tell_upload("on", upload).await.map(drop)
    }

    /// Says that all are there: the batch is closed when its last job has ended.
    pub async fn end_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        self.tell_upload("end", upload).await.map(drop)
    }

    /// Whether the tenant has room for it.
    async fn tell_upload(&self, what: &str, upload: &Upload) -> Result<bool, StoreError> {
        let (keys, batch) = (self.keys(), &upload.batch);
        let tenant = &batch.tenant;
        let mut call = UPLOAD.call(&[
            keys.batch(batch),
            keys.members(batch),
            keys.refused(batch),
            keys.batches(tenant),
            keys.uploads(),
            keys.events(),
            keys.outbox(),
            keys.tenant(tenant),
        ]);
        call.arg(what).arg(batch.to_string()).arg(&upload.id).arg(SILENCE.as_millis() as u64);
        call.arg(self.event_limits()).arg(self.retention().age.get().as_millis() as u64);
        let ids: Vec<_> = upload.notify.iter().map(EndpointId::as_str).collect();
        let trace = upload.trace.as_ref().map(|trace| serde_json::to_string(trace).expect("texts are JSON"));
        call.arg(keys.batch_prefix()).arg(ids.join(" ")).arg(trace.unwrap_or_default());
        call.arg(upload.budget.map(|budget| budget.to_string()).unwrap_or_default());
        call.arg(upload.weight.map(|weight| weight.to_string()).unwrap_or_default());
        call.arg(self.account_limits());
        Ok(call.run::<i64>(&mut self.connection()).await? >= 0)
    }

    /// Ends uploads whose uploaders are gone; how many.
    pub async fn end_silent_uploads(&self) -> Result<usize, StoreError> {
        let mut ask = redis::cmd("ZRANGEBYSCORE");
        ask.arg(self.keys().uploads()).arg("-inf").arg(self.now().as_millis()).arg("LIMIT").arg(0).arg(100);
        let silent: Vec<String> = ask.query_async(&mut self.connection()).await?;
        for entry in &silent {
            let Some((id, batch)) = entry.split_once(' ') else { continue };
            let Ok(batch) = batch.parse() else { continue };
            let (id, label) = (id.to_owned(), String::new());
            let upload = Upload { batch, id, label, notify: vec![], trace: None, budget: None, weight: None };
            self.tell_upload("silent", &upload).await?;
        }
        Ok(silent.len())
    }

    /// Keeps refused lines with their batch, so many of them. A line that was refused for the same before is
    /// kept once, as of the latest upload. Says how many were not kept because the tenant has no room for them.
    pub async fn keep_refused(&self, batch: &BatchRef, lines: &[Refused]) -> Result<u64, StoreError> {
        if lines.is_empty() {
            return Ok(0);
        }
        let keys = self.keys();
        let mut call =
            REFUSE.call(&[keys.refused(batch), keys.batch(batch), keys.tenant(&batch.tenant), keys.events()]);
        call.arg(REFUSED).arg(self.account_limits());
        for line in lines {
            call.arg(line.line).arg(serde_json::to_vec(line).expect("texts and numbers are always JSON"));
        }
        Ok(call.run(&mut self.connection()).await?)
    }

    /// A page of a batch's refused lines, in their order.
    pub async fn refused(
        &self,
        batch: &BatchRef,
        from: usize,
        most: usize,
    ) -> Result<Vec<Refused>, StoreError> {
        let mut ask = redis::cmd("ZRANGE");
        ask.arg(self.keys().refused(batch)).arg(from).arg(from + most.max(1) - 1);
        let lines: Vec<Vec<u8>> = ask.query_async(&mut self.connection()).await?;
        Ok(lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}
