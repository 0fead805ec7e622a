//! Requests that may be sent again: each is done once, and its answer is given again.

use std::time::Duration;

use songmill_core::Tenant;

use crate::connection::StoreError;
use crate::scripts::IDEMPOTENT;
use crate::store::Store;

/// What is known of a request that may be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is to be done, and by the caller.
    New,
    /// Somebody is doing it.
    UnderWay,
    /// It was answered with this.
    Answered(Vec<u8>),
    /// Its tenant has no room for one more answer.
    Full,
}

/// One doing of a request that may be sent again.
#[derive(Clone)]
pub struct Doing {
    store: Store,
    tenant: Tenant,
    key: String,
    owner: String,
}

/// Whoever gives no sign of life for so long does it no more.
const SILENCE: Duration = Duration::from_secs(60);

impl Store {
    /// Begins a request that a tenant knows by `key`, unless it is under way or was answered.
    pub async fn begin_once(&self, tenant: &Tenant, key: &str) -> Result<(Begun, Doing), StoreError> {
        let owner = format!("{:x}", getrandom::u64().unwrap_or_default());
        let key = self.keys().idempotent(tenant, key);
        let doing = Doing { store: self.clone(), tenant: tenant.clone(), key, owner };
        let (code, answer) = doing.tell("begin", SILENCE, b"").await?;
        let begun = match (code, answer) {
            (2, Some(answer)) => Begun::Answered(answer),
            (1, _) => Begun::UnderWay,
            (3, _) => Begun::Full,
            _ => Begun::New,
        };
        Ok((begun, doing))
    }
}

impl Doing {
    /// Says that it is still being done; at least every 20 s.
    pub async fn go_on(&self) -> Result<(), StoreError> {
        self.tell("on", SILENCE, b"").await.map(drop)
    }

    /// Keeps its answer for so long.
    pub async fn answer(&self, answer: &[u8], keep: Duration) -> Result<(), StoreError> {
        self.tell("answer", keep, answer).await.map(drop)
    }

    /// Forgets that it was begun: it may be sent again at once.
    pub async fn forget(&self) -> Result<(), StoreError> {
        self.tell("forget", SILENCE, b"").await.map(drop)
    }

    async fn tell(
        &self,
        what: &str,
        keep: Duration,
        answer: &[u8],
    ) -> Result<(i64, Option<Vec<u8>>), StoreError> {
        let keys = self.store.keys();
        let mut call = IDEMPOTENT.call(&[self.key.clone(), keys.tenant(&self.tenant), keys.events()]);
        call.arg(what).arg(&self.owner).arg(keep.as_millis() as u64).arg(answer);
        call.arg(self.store.account_limits());
        let told: Vec<redis::Value> = call.run(&mut self.store.connection()).await?;
        let code = told.first().and_then(|code| redis::from_redis_value_ref(code).ok()).unwrap_or(0);
        Ok((code, told.get(1).and_then(|answer| redis::from_redis_value_ref(answer).ok())))
    }
}
