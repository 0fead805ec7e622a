//! Endpoints: where notices go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use songmill_core::{EndpointId, Tenant};

use crate::connection::StoreError;
use crate::notice_type::NoticeType;
use crate::scripts::ENDPOINT;
use crate::secret_key::{NoRandomBytes, SealedSecret, SecretKeys, is_pair};
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
    /// Why the last delivery failed; none once one went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<DeliveryFailure>,
    /// When it last took a notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_ms: Option<u64>,
    /// Since when it is sent nothing, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
}

/// Why a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeliveryFailure {
    /// When.
    pub at_ms: u64,
    /// A stable code, such as `certificate_expired`.
    pub code: String,
    /// The same in words.
    pub message: String,
}

/// A secret that notices are signed with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSecret {
    /// `whsec_…` for HMAC-SHA256 (`v1`), `whsk_…` for ed25519 (`v1a`); or one of these encrypted, see
    /// [`Store::open_secret`].
    pub secret: String,
    /// When it was made.
    pub created_ms: u64,
    /// Until when it is used beside a newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

impl EndpointSecret {
    /// Whether a pair of keys signs, instead of a shared secret.
    pub fn is_pair(&self) -> bool {
        is_pair(&self.secret)
    }
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

/// An endpoint as it is written: with its secrets encrypted where there is a key.
pub(crate) fn sealed(
    endpoint: &Endpoint,
    tenant: &Tenant,
    keys: &SecretKeys,
) -> Result<Endpoint, NoRandomBytes> {
    let mut endpoint = endpoint.clone();
    for secret in &mut endpoint.secrets {
        if let Some(sealed) = keys.seal(tenant, &endpoint.id, &secret.secret)? {
            secret.secret = sealed;
        }
    }
    Ok(endpoint)
}

impl Store {
    /// An endpoint's secret as it signs: `whsec_…` or `whsk_…`.
    pub fn open_secret(
        &self,
        tenant: &Tenant,
        endpoint: &EndpointId,
        secret: &EndpointSecret,
    ) -> Result<String, SealedSecret> {
        self.secret_keys().open(tenant, endpoint, &secret.secret)
    }

    /// Endpoints with a secret in force that no key here opens, and why not.
    pub async fn sealed_endpoints(&self) -> Result<Vec<(Tenant, EndpointId, SealedSecret)>, StoreError> {
        let (mut sealed, now) = (Vec::new(), self.now().as_millis());
        for tenant in self.tenants().await? {
            for endpoint in self.endpoints(&tenant).await? {
                let open = |secret| self.open_secret(&tenant, &endpoint.id, secret).err();
                if let Some(why) = endpoint.live_secrets(now).find_map(open) {
                    sealed.push((tenant.clone(), endpoint.id.clone(), why));
                }
            }
        }
        Ok(sealed)
    }

    /// A tenant's endpoints, in the order they were made.
    pub async fn endpoints(&self, tenant: &Tenant) -> Result<Vec<Endpoint>, StoreError> {
        let mut ask = redis::cmd("HGETALL");
        ask.arg(self.keys().endpoints(tenant));
        let found: BTreeMap<String, Vec<u8>> = ask.query_async(&mut self.connection()).await?;
        // One that cannot be read, such as a newer version's, is no obstacle to the others.
        let read = |(id, json): (&String, &Vec<u8>)| match decode(id, json) {
            Ok(endpoint) => Some(endpoint),
            Err(error) => {
                tracing::error!(%tenant, endpoint = id, %error, "an endpoint is told nothing: its record cannot be read");
                None
            }
        };
        let mut endpoints: Vec<Endpoint> = found.iter().filter_map(read).collect();
        endpoints.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        Ok(endpoints)
    }

    /// One of a tenant's endpoints.
    pub async fn endpoint(&self, tenant: &Tenant, id: &EndpointId) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.read_endpoint(tenant, id).await?.map(|(endpoint, _)| endpoint))
    }

    async fn read_endpoint(
        &self,
        tenant: &Tenant,
        id: &EndpointId,
    ) -> Result<Option<(Endpoint, Vec<u8>)>, StoreError> {
        let mut ask = redis::cmd("HGET");
        ask.arg(self.keys().endpoints(tenant)).arg(id.as_str());
        let found: Option<Vec<u8>> = ask.query_async(&mut self.connection()).await?;
        found.map(|json| Ok((decode(id.as_str(), &json)?, json))).transpose()
    }

    /// Writes a new endpoint.
    pub async fn add_endpoint(&self, tenant: &Tenant, endpoint: &Endpoint) -> Result<(), StoreError> {
        self.write_endpoint(tenant, endpoint, b"").await.map(drop)
    }

    /// Changes an endpoint; what others change at the same time stays. One that is switched on is sent what waited.
    ///
    /// The answer is the endpoint as it is then; none when there is none.
    pub async fn change_endpoint<E>(
        &self,
        tenant: &Tenant,
        id: &EndpointId,
        mut change: impl FnMut(&mut Endpoint) -> Result<(), E>,
    ) -> Result<Result<Option<Endpoint>, E>, StoreError> {
        for _ in 0..TRIES {
            let Some((mut endpoint, before)) = self.read_endpoint(tenant, id).await? else {
                return Ok(Ok(None));
            };
            if let Err(error) = change(&mut endpoint) {
                return Ok(Err(error));
            }
            if self.write_endpoint(tenant, &endpoint, &before).await? {
                return Ok(Ok(Some(endpoint)));
            }
        }
        Err(StoreError::Contended(id.to_string()))
    }

    /// Removes an endpoint and the notices that wait for it.
    pub async fn remove_endpoint(&self, tenant: &Tenant, id: &EndpointId) -> Result<(), StoreError> {
        self.call_endpoint(tenant, id, b"", "", b"").await.map(drop)
    }

    /// Whether it was still as it was read.
    async fn write_endpoint(
        &self,
        tenant: &Tenant,
        endpoint: &Endpoint,
        before: &[u8],
    ) -> Result<bool, StoreError> {
        let sealed = sealed(endpoint, tenant, &self.secret_keys())?;
        let json = serde_json::to_vec(&sealed).expect("texts and numbers are always JSON");
        let on = match (&endpoint.disabled, endpoint.failing_since_ms) {
            (Some(_), _) => "",
            (None, Some(_)) => "failing",
            (None, None) => "on",
        };
        self.call_endpoint(tenant, &endpoint.id, &json, on, before).await
    }

    async fn call_endpoint(
        &self,
        tenant: &Tenant,
        id: &EndpointId,
        json: &[u8],
        on: &str,
        before: &[u8],
    ) -> Result<bool, StoreError> {
        let keys = self.keys();
        let mut call = ENDPOINT.call(&[
            keys.endpoints(tenant),
            keys.tenant(tenant),
            keys.tenants(),
            keys.waiting(tenant, id),
            keys.notify(),
            keys.outbox(),
            keys.notifying(),
            keys.events(),
        ]);
        call.arg(id.as_str()).arg(json).arg(on).arg(tenant.as_str()).arg(keys.notice_prefix()).arg(before);
        call.arg(self.account_limits()).arg(keys.waiting_prefix());
        Ok(call.run::<i64>(&mut self.connection()).await? == 1)
    }
}

/// How often a change is tried on an endpoint that others change at the same time.
const TRIES: usize = 16;

fn decode(id: &str, json: &[u8]) -> Result<Endpoint, StoreError> {
    let broken = |source: serde_json::Error| StoreError::Record { job: id.to_owned(), source: source.into() };
    serde_json::from_slice(json).map_err(broken)
}
