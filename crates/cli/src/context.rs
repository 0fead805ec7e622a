//! What most commands need: settings, store, vendors.

use anyhow::{Context as _, Result};
use songmill_api::{Api, Parts};
use songmill_producer::Producer;
use songmill_store::{Store, without_password};
use songmill_vendors::Vendors;
use songmill_worker_deliver::Library;
use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::config::Config;
use crate::exit::usage;
use crate::roles::Role;
use crate::{grants, redis_server};

/// Settings, store and vendors.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) vendors: Vendors,
}

impl Context {
    /// Connects to the Redis in the settings, or to the private one that `songmill up` runs in the data folder.
    pub(crate) async fn open(global: &Global) -> Result<Self> {
        let mut config = Config::load(global)?;
        if config.redis.url.is_empty() {
            config.redis.url = redis_server::running(&config.data_dir.0).ok_or_else(|| {
                usage(format!(
                    "no Redis: set redis.url (--redis-url), or start one with `songmill up` (none runs in {})",
                    config.data_dir.0.display()
                ))
            })?;
        }
        Self::with(config).await
    }

    /// Connects to the Redis in these settings, for a process that has these roles.
    pub(crate) async fn for_roles(config: Config, roles: &[Role]) -> Result<Self> {
        let (config, vendors) = grants::for_roles(config, roles);
        Self::connect(config, vendors).await
    }

    /// Connects to the Redis in these settings.
    pub(crate) async fn with(config: Config) -> Result<Self> {
        let vendors = vendors(&config);
        Self::connect(config, vendors).await
    }

    async fn connect(config: Config, vendors: Vendors) -> Result<Self> {
        let secret_keys =
            config.secret_keys().map_err(|(path, message)| usage(format!("{path} {message}")))?;
        let store = Store::connect(&config.redis, config.retention.clone(), config.policy())
            .await
            .with_context(|| format!("cannot connect to {}", without_password(&config.redis.url)))?
            .with_quota(config.quota)
            .with_secret_keys(secret_keys);
        Ok(Self { config, store, vendors })
    }

    /// The API on this store; live streams end with `shutdown`.
    pub(crate) fn api(&self, shutdown: CancellationToken) -> Result<Api> {
        let parts = Parts {
            store: self.store.clone(),
            vendors: self.vendors.clone(),
            default_vendor: self.config.default_vendor.clone(),
            library: Library::open(&self.config.deliver)?,
            audio_policy: self.config.deliver.address_policy(),
            endpoint_policy: self.config.deliver.notices.address_policy(),
        };
        Ok(Api::new(parts, self.config.api.clone(), shutdown))
    }

    /// A producer on this store.
    pub(crate) fn producer(&self) -> Producer {
        Producer::new(self.store.clone(), self.vendors.clone())
            .with_default_vendor(self.config.default_vendor.clone())
            .with_address_policy(self.config.deliver.address_policy())
    }
}

/// The vendors that have their keys set.
pub(crate) fn vendors(config: &Config) -> Vendors {
    Vendors::from_settings(&config.vendors, now)
}

/// When so much time from now will have passed, for people.
pub(crate) fn until(span: songmill_core::time::Span) -> String {
    let millis = u64::try_from(span.get().as_millis()).unwrap_or(u64::MAX);
    crate::output::moment(now().as_millis().saturating_add(millis))
}

/// The moment by this machine's clock.
pub(crate) fn now() -> songmill_core::Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    songmill_core::Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
