//! The connection to Redis: one that survives restarts and stalls, and a clock kept by Redis.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::IntoConnectionInfo as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use songmill_core::Timestamp;
use songmill_core::time::Span;

use crate::link::Link;
use crate::passing::{Passing, has_code};
use crate::secret_key::NoRandomBytes;
use crate::untrusted::Untrusted;

/// How Redis is reached.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `redis://[user:password@]host:port/db`, `rediss://…` for TLS, `unix:/path` for a socket.
    #[serde(serialize_with = "redacted")]
    pub url: String,
    /// The password, where it does not stand in the address.
    #[serde(serialize_with = "stars")]
    pub password: String,
    /// With `rediss://`, the certificates of those who may sign Redis' own, in PEM; empty for the public ones.
    pub ca_file: PathBuf,
    /// Our certificate, in PEM, where Redis wants one.
    pub cert_file: PathBuf,
    /// Its key, in PEM.
    pub key_file: PathBuf,
    /// What all keys begin with, so that several installations can share a Redis.
    pub namespace: String,
    /// How long a reply may take before the call counts as failed.
    pub reply_timeout: Span,
    /// How long a connection attempt may take.
    pub connect_timeout: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::new(),
            password: String::new(),
            ca_file: PathBuf::new(),
            cert_file: PathBuf::new(),
            key_file: PathBuf::new(),
            namespace: "sm".into(),
            reply_timeout: Span::secs(10),
            connect_timeout: Span::secs(3),
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settings({})", without_password(&self.url))
    }
}

/// An address without its password.
pub fn without_password(url: &str) -> String {
    let socket = url.split_once('?').map_or(url, |(socket, _)| socket);
    match socket.split_once("://") {
        // A socket's stands in the query.
        None => return socket.to_owned(),
        Some((scheme, rest)) if scheme.to_ascii_lowercase().ends_with("unix") => {
            return match rest.split_once('/') {
                Some((user, path)) if !user.is_empty() => format!("{scheme}://***@/{path}"),
                _ => socket.to_owned(),
            };
        }
        Some(_) => {}
    }
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        _ => url.to_owned(),
    }
}

fn redacted<S: serde::Serializer>(url: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&without_password(url))
}

fn stars<S: serde::Serializer>(secret: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(if secret.is_empty() { "" } else { "***" })
}

/// Whether Redis can be reached by such an address.
pub fn is_redis_url(url: &str) -> bool {
    url.into_connection_info().is_ok()
}

/// What the store could not do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is not one of Redis.
    #[error("redis url is not valid; write redis://host:6379/0 or unix:/path/to/socket")]
    Url(#[source] redis::RedisError),
    /// The files for a connection by TLS cannot be used.
    #[error("{0}")]
    Files(String),
    /// Redis, or we, do not trust the other's certificate.
    #[error("{}", .0.message())]
    Tls(Untrusted, redis::RedisError),
    /// Redis did not answer, or not in time.
    #[error("redis is away")]
    Away(#[source] redis::RedisError),
    /// Redis has no memory left: nothing was written.
    #[error("redis is full (maxmemory): nothing was written; give it more memory or shorten retention")]
    Full(redis::RedisError),
    /// Redis refuses for a while.
    #[error("{}", .0.message())]
    Passing(Passing, redis::RedisError),
    /// Redis does not let us in, or not do what we need.
    #[error(
        "redis denies access ({}): check user and password in redis.url, and what its ACL lets that user do (`songmill doctor` names what it lacks)",
        .0.detail().unwrap_or_default().trim()
    )]
    Denied(redis::RedisError),
    /// Redis refused.
    #[error("redis refused the command: {}", said(.0))]
    Refused(redis::RedisError),
    /// A record is not what we wrote, or a newer version did.
    #[error("record of {job} cannot be read")]
    Record {
        /// Of which job, endpoint or vendor.
        job: String,
        /// What is wrong with it.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// A secret cannot be encrypted: nothing was written.
    #[error(transparent)]
    Random(#[from] NoRandomBytes),
    /// Others changed the job again and again while we tried.
    #[error("job {0} changes too often")]
    Contended(String),
    /// A tenant has as much as it may have: nothing was written.
    #[error("quota: {0}")]
    Over(crate::tenant::Bound),
    /// The process is ending.
    #[error("the store is closed")]
    Closing,
}

/// What Redis said, without the words of its client.
fn said(error: &redis::RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {}", detail.trim()),
        (Some(code), None) => code.to_owned(),
        (None, Some(detail)) => detail.trim().to_owned(),
        (None, None) => "it answered in a way that is not known".to_owned(),
    }
}

impl From<redis::RedisError> for StoreError {
    fn from(error: redis::RedisError) -> Self {
        if has_code(&error, "OOM") {
            return Self::Full(error);
        }
        if let Some(passing) = Passing::of(&error) {
            return Self::Passing(passing, error);
        }
        let in_script = error.to_string().contains("user executing the script can't");
        let is_denied =
            in_script || ["NOAUTH", "WRONGPASS", "NOPERM"].iter().any(|code| has_code(&error, code));
        if is_denied || error.kind() == redis::ErrorKind::AuthenticationFailed {
            return Self::Denied(error);
        }
        if let Some(untrusted) = Untrusted::of(&error) {
            return Self::Tls(untrusted, error);
        }
        let away = error.is_io_error()
            || error.is_timeout()
            || error.is_connection_dropped()
            || error.is_connection_refusal();
        if away { Self::Away(error) } else { Self::Refused(error) }
    }
}

/// What a record holds; nothing where it is of another type, which scripts set aside.
pub(crate) fn nothing_if_corrupt<T: Default>(reply: redis::RedisResult<T>) -> Result<T, StoreError> {
    match reply {
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(T::default()),
        reply => Ok(reply?),
    }
}

impl StoreError {
    /// Whether it is one job's own: no waiting helps, and no other job is to wait for it.
    pub(crate) fn is_of_a_job(&self) -> bool {
        match self {
            Self::Record { .. } => true,
            Self::Refused(error) => error.code() == Some("WRONGTYPE"),
            Self::Url(_)
            | Self::Files(_)
            | Self::Tls(..)
            | Self::Away(_)
            | Self::Full(_)
            | Self::Passing(..)
            | Self::Denied(_)
            | Self::Random(_)
            | Self::Contended(_)
            | Self::Over(_)
            | Self::Closing => false,
        }
    }

    /// Whether waiting helps.
    pub fn will_pass(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Full(_) | Self::Passing(..) | Self::Contended(_) | Self::Closing)
    }
}

/// How Redis is reached, by TLS with the certificates of the settings where the address says so.
fn client(settings: &Settings) -> Result<redis::Client, StoreError> {
    let mut info = settings.url.as_str().into_connection_info().map_err(StoreError::Url)?;
    if !settings.password.is_empty() {
        let redis = info.redis_settings().clone().set_password(&settings.password);
        info = info.set_redis_settings(redis);
    }
    let root_cert = pem("ca_file", &settings.ca_file, CERTIFICATE)?;
    let ours = pem("cert_file", &settings.cert_file, CERTIFICATE)?;
    let client_tls = match (ours, pem("key_file", &settings.key_file, KEY)?) {
        (Some(client_cert), Some(client_key)) => Some(redis::ClientTlsConfig { client_cert, client_key }),
        (None, None) => None,
        _ => {
            let message = "redis.cert_file and redis.key_file belong together: set both, or neither";
            return Err(StoreError::Files(message.to_owned()));
        }
    };
    let is_tls = matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. });
    if root_cert.is_none() && client_tls.is_none() {
        return redis::Client::open(info).map_err(StoreError::Url);
    }
    if !is_tls {
        let message = "redis.ca_file, cert_file and key_file are for TLS: write rediss:// in redis.url, or leave them out";
        return Err(StoreError::Files(message.to_owned()));
    }
    redis::Client::build_with_tls(info, redis::TlsCertificates { client_tls, root_cert }).map_err(|error| {
        tracing::debug!(%error, "redis.ca_file, cert_file or key_file");
        let message = "redis.ca_file, cert_file or key_file cannot be used: they are to be certificates and a key in PEM";
        StoreError::Files(message.to_owned())
    })
}

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
/// With `RSA` or `EC` before it, or neither.
const KEY: &str = "PRIVATE KEY-----";

/// What stands in a file that a setting names, if it names one.
fn pem(setting: &str, file: &Path, has: &str) -> Result<Option<Vec<u8>>, StoreError> {
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let (file_name, what) = (file.display(), if has == KEY { "private key" } else { "certificate" });
    let bytes = std::fs::read(file).map_err(|error| {
        let error = error.to_string();
        let error = error.split(" (os error").next().unwrap_or_default().to_owned();
        StoreError::Files(format!("redis.{setting}: {file_name} cannot be read: {error}"))
    })?;
    match String::from_utf8_lossy(&bytes).contains(has) {
        true => Ok(Some(bytes)),
        false => Err(StoreError::Files(format!("redis.{setting}: {file_name} has no {what} in PEM"))),
    }
}

/// Opens a connection that reconnects by itself; the first connection must succeed.
pub(crate) async fn open(settings: &Settings) -> Result<(redis::Client, Link), StoreError> {
    let client = client(settings)?;
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(settings.reply_timeout.get()))
        .set_connection_timeout(Some(settings.connect_timeout.get()))
        .set_number_of_retries(1)
        .set_max_delay(Duration::from_millis(500));
    let manager = ConnectionManager::new_with_config(client.clone(), config).await?;
    Ok((client, Link::new(manager)))
}

/// Redis's clock, as the offset from ours: due times are compared by Redis, so they are made on its clock.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicI64);

impl Clock {
    pub(crate) fn learn(&self, redis_now: Timestamp) {
        let offset = redis_now.as_millis() as i64 - local_millis() as i64;
        self.0.store(offset, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(local_millis().saturating_add_signed(self.0.load(Ordering::Relaxed)))
    }

    /// How far ours is behind Redis's, in ms.
    pub(crate) fn offset_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn local_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_shows_its_password() {
        for scheme in ["redis", "rediss", "valkey", "valkeys"] {
            for more in ["secret@", "user:secret@", ":secret@", "user:a@secret@", "user:se/cret@"] {
                let url = format!("{scheme}://{more}host:1/2");
                assert_eq!(without_password(&url), format!("{scheme}://***@host:1/2"), "{url}");
            }
            let url = format!("{scheme}://host:1/2?protocol=resp3");
            assert!(is_redis_url(&url) && without_password(&url) == url, "{url}");
        }
        for scheme in ["unix:", "unix://", "redis+unix://", "valkey+unix://", "UNIX://", "Redis+Unix://"] {
            let socket = format!("{scheme}/run/a@b/redis.sock");
            for query in ["?pass=secret", "?db=1&user=me&pass=s@cret", "?pass=://secret@x/"] {
                let url = format!("{socket}{query}");
                assert!(is_redis_url(&url), "{url}");
                assert_eq!(without_password(&url), socket, "{url}");
            }
            assert_eq!(without_password(&socket), socket);
        }
        assert_eq!(without_password("unix://me:secret@/run/s?pass=secret"), "unix://***@/run/s");
        assert_eq!(without_password("/run/redis.sock?pass=secret"), "/run/redis.sock");
    }
}
