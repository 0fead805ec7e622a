//! Access keys of the API: who may do what, for which tenant. Only hashes of their secrets are kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use songmill_core::Tenant;

use crate::connection::StoreError;
use crate::scripts::SWAP;
use crate::store::Store;

/// What a key allows.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// To submit, cancel and retry jobs, and to say where notices go.
    Submit,
    /// To look at jobs and batches, and fetch their audio.
    Read,
    /// Everything, for every tenant.
    Admin,
}

/// How often a change is tried on a key that others change at the same time.
const TRIES: usize = 16;

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AccessKey {
    /// The part of the key that may be seen.
    pub id: String,
    /// Whose.
    pub tenant: Tenant,
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// The secret's SHA-256, in lower-case hex.
    #[serde(rename = "sha256", skip_serializing_if = "String::is_empty", default)]
    #[schemars(skip)]
    pub hash: String,
    /// When it was made.
    pub created_ms: u64,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Until when it works beside the key that replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_ms: Option<u64>,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
}

impl AccessKey {
    /// Whether it opens anything at this moment.
    pub fn works(&self, now_ms: u64) -> bool {
        let over = |until: Option<u64>| until.is_some_and(|until| until <= now_ms);
        self.revoked_ms.is_none() && !over(self.expires_ms) && !over(self.replaced_ms)
    }
}

impl Store {
    /// Changes a key; what others change at the same time stays. The key as it is then; none when there is none.
    pub async fn change_key<E>(
        &self,
        id: &str,
        mut change: impl FnMut(&mut AccessKey) -> Result<(), E>,
    ) -> Result<Result<Option<AccessKey>, E>, StoreError> {
        for _ in 0..TRIES {
            let mut ask = redis::cmd("HGET");
            ask.arg(self.keys().access_keys()).arg(id);
            let found: Option<Vec<u8>> = ask.query_async(&mut self.connection()).await?;
            let Some(before) = found else { return Ok(Ok(None)) };
            let broken = |source: serde_json::Error| StoreError::Record {
                job: format!("key {id}"),
                source: source.into(),
            };
            let mut key: AccessKey = serde_json::from_slice(&before).map_err(broken)?;
            if let Err(error) = change(&mut key) {
                return Ok(Err(error));
            }
            let after = serde_json::to_vec(&key).expect("texts and numbers are always JSON");
            let mut call = SWAP.call(&[self.keys().access_keys()]);
            call.arg(id).arg(before).arg(after);
            if call.run::<i64>(&mut self.connection()).await? == 1 {
                return Ok(Ok(Some(key)));
            }
        }
        Err(StoreError::Contended(format!("key {id}")))
    }

    /// Keeps a new key.
    pub async fn add_key(&self, key: &AccessKey) -> Result<(), StoreError> {
        let json = serde_json::to_vec(key).expect("texts and numbers are always JSON");
        let mut write = redis::pipe();
        write.atomic().cmd("HSET").arg(self.keys().access_keys()).arg(&key.id).arg(json).ignore();
        write.cmd("SADD").arg(self.keys().tenants()).arg(key.tenant.as_str()).ignore();
        Ok(write.query_async(&mut self.connection()).await?)
    }

    /// The key of this id, and whether there is any key at all.
    pub async fn access_key(&self, id: &str) -> Result<(Option<AccessKey>, bool), StoreError> {
        let mut ask = redis::pipe();
        ask.cmd("HGET").arg(self.keys().access_keys()).arg(id);
        ask.cmd("HLEN").arg(self.keys().access_keys());
        let (key, count): (Option<Vec<u8>>, u64) = ask.query_async(&mut self.connection()).await?;
        Ok((key.and_then(|key| serde_json::from_slice(&key).ok()), count > 0))
    }

    /// All keys, the newest last.
    pub async fn access_keys(&self) -> Result<Vec<AccessKey>, StoreError> {
        let mut ask = redis::cmd("HGETALL");
        ask.arg(self.keys().access_keys());
        let keys: BTreeMap<String, Vec<u8>> = ask.query_async(&mut self.connection()).await?;
        let mut keys: Vec<AccessKey> =
            keys.values().filter_map(|key| serde_json::from_slice(key).ok()).collect();
        keys.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        Ok(keys)
    }
}
