//! How endpoints are shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use songmill_core::EndpointId;
use songmill_store::{DeliveryFailure, Disabled, Endpoint, EndpointSecret, NoticeType};

use crate::secret::for_receiver;

/// An endpoint as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Endpoint")]
pub struct EndpointView {
    /// Ours.
    pub id: EndpointId,
    /// The address that notices are posted to.
    pub url: String,
    /// What it is, in the owner's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it is told of; empty for everything.
    pub types: Vec<NoticeType>,
    /// Whether it is told of all jobs and batches, or only of those that name it.
    pub all: bool,
    /// Whether it is sent anything.
    pub enabled: bool,
    /// Since when it is not, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
    /// When it was made.
    pub created_ms: u64,
    /// Since when it has only failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since_ms: Option<u64>,
    /// Why the last delivery failed; not set once one went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<DeliveryFailure>,
    /// When it last took a notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_ms: Option<u64>,
    /// What the receiver checks signatures with, the newest first; shown when it is made, rotated or asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretView>,
}

/// What a receiver checks signatures with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Secret")]
pub struct SecretView {
    /// `whsec_…`, shared; or `whpk_…`, the public half of a pair.
    pub value: String,
    /// When it was made.
    pub created_ms: u64,
    /// Until when it is used beside a newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

impl EndpointView {
    pub(crate) fn of(endpoint: Endpoint) -> Self {
        Self {
            id: endpoint.id,
            url: endpoint.url,
            description: endpoint.description,
            types: endpoint.types,
            all: endpoint.all,
            enabled: endpoint.disabled.is_none(),
            disabled: endpoint.disabled,
            created_ms: endpoint.created_ms,
            failing_since_ms: endpoint.failing_since_ms,
            last_failure: endpoint.last_failure,
            last_success_ms: endpoint.last_success_ms,
            secrets: Vec::new(),
        }
    }

    /// With the secrets in force, opened by `open`.
    pub(crate) fn with_secrets<E>(
        endpoint: Endpoint,
        now_ms: u64,
        open: impl Fn(&EndpointSecret) -> Result<String, E>,
    ) -> Result<Self, E> {
        let view = |secret: &EndpointSecret| {
            Ok(SecretView {
                value: for_receiver(&open(secret)?),
                created_ms: secret.created_ms,
                until_ms: secret.until_ms,
            })
        };
        let secrets = endpoint.live_secrets(now_ms).map(view).collect::<Result<_, E>>()?;
        Ok(Self { secrets, ..Self::of(endpoint) })
    }
}
