//! Endpoints: where notices go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use songmill_core::{EndpointId, Tenant};

use crate::connection::StoreError;
use crate::notice::NoticeType;
use crate::scripts::ENDPOINT;
use crate::store::Store;

/// Where notices go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Ours.
    pub id: EndpointId,
    /// The address that notices are posted to.
    pub url: String,
    /// What it is, in the owner's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it is told of; empty for everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<NoticeType>,
    /// Whether it is told of all the tenant's jobs and batches, or only of those that name it.
    pub all: bool,
    /// What its notices are signed with: the newest first, all in force are used.
    pub secrets: Vec<EndpointSecret>,
    /// When it was made.
    pub created_ms: u64,
    /// Since when it has only failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since_ms: Option<u64>,
    /// When it last took a notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_ms: Option<u64>,
    /// Since when it is sent nothing, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
}

/// A secret that notices are signed with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSecret {
    /// `whsec_…` for HMAC-SHA256 (`v1`), `whsk_…` for ed25519 (`v1a`).
    pub secret: String,
    /// When it was made.
    pub created_ms: u64,
    /// Until when it is used beside a newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

impl std::fmt::Debug for EndpointSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EndpointSecret({}…)", self.secret.chars().take(6).collect::<String>())
    }
}

/// Why an endpoint is sent nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Disabled {
    /// Since when.
    pub at_ms: u64,
    /// Why, in words.
    pub why: String,
}

impl Endpoint {
    /// The secrets in force.
    pub fn live_secrets(&self, now_ms: u64) -> impl Iterator<Item = &EndpointSecret> {
        self.secrets.iter().filter(move |secret| secret.until_ms.is_none_or(|until| until > now_ms))
    }
}

/// Whether an endpoint's waiting notices are to be sent now that it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// They are: it was switched on again.
    Send,
    /// They stay as they are.
    Leave,
}

impl Store {
    /// A tenant's endpoints, in the order they were made.
    pub async fn endpoints(&self, tenant: &Tenant) -> Result<Vec<Endpoint>, StoreError> {
        let mut ask = redis::cmd("HGETALL");
        ask.arg(self.keys().endpoints(tenant));
        let found: BTreeMap<String, Vec<u8>> = ask.query_async(&mut self.connection()).await?;
        let mut endpoints: Vec<Endpoint> =
            found.values().filter_map(|json| serde_json::from_slice(json).ok()).collect();
        endpoints.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        Ok(endpoints)
    }

    /// One of a tenant's endpoints.
    pub async fn endpoint(&self, tenant: &Tenant, id: &EndpointId) -> Result<Option<Endpoint>, StoreError> {
        let mut ask = redis::cmd("HGET");
        ask.arg(self.keys().endpoints(tenant)).arg(id.as_str());
        let found: Option<Vec<u8>> = ask.query_async(&mut self.connection()).await?;
        Ok(found.and_then(|json| serde_json::from_slice(&json).ok()))
    }

    /// Writes an endpoint, new or changed.
    pub async fn save_endpoint(
        &self,
        tenant: &Tenant,
        endpoint: &Endpoint,
        waiting: Waiting,
    ) -> Result<(), StoreError> {
        let json = serde_json::to_vec(endpoint).expect("texts and numbers are always JSON");
        self.write_endpoint(tenant, &endpoint.id, &json, waiting).await
    }

    /// Removes an endpoint and the notices that wait for it.
    pub async fn remove_endpoint(&self, tenant: &Tenant, id: &EndpointId) -> Result<(), StoreError> {
        self.write_endpoint(tenant, id, b"", Waiting::Leave).await
    }

    async fn write_endpoint(
        &self,
        tenant: &Tenant,
        id: &EndpointId,
        json: &[u8],
        waiting: Waiting,
    ) -> Result<(), StoreError> {
        let keys = self.keys();
        let mut call = ENDPOINT.call(&[
            keys.endpoints(tenant),
            keys.tenant(tenant),
            keys.tenants(),
            keys.waiting(tenant, id),
            keys.notify(),
            keys.outbox(),
        ]);
        call.arg(id.as_str()).arg(json).arg(if waiting == Waiting::Send { "due" } else { "" });
        call.arg(tenant.as_str()).arg(keys.notice_prefix());
        call.run::<i64>(&mut self.connection()).await?;
        Ok(())
    }
}
