//! Who calls, and what that allows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, StatusCode, Version, header};
use songmill_core::Tenant;
use songmill_http_server::Peer;
use songmill_store::{AccessKey, Scope, Store};

use crate::problem::Problem;
use crate::secret::{opens, split};

/// Who calls: a key's owner, or whoever may do everything because there are no keys yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose jobs it is about where nothing else is said.
    pub tenant: Tenant,
    /// What is allowed.
    pub scopes: Vec<Scope>,
    /// The key's id; none for the operator.
    pub key: Option<String>,
}

impl Caller {
    /// Whoever has the store itself: everything is allowed.
    pub fn operator() -> Self {
        Self { tenant: Tenant::default(), scopes: vec![Scope::Admin], key: None }
    }

    /// What tells callers apart in logs and where things are shared.
    pub(crate) fn label(&self) -> &str {
        self.key.as_deref().unwrap_or("operator")
    }

    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&Scope::Admin) || self.scopes.contains(&scope)
    }

    /// Whether what belongs to a tenant is there for the caller.
    pub(crate) fn sees(&self, tenant: &Tenant) -> bool {
        self.tenant == *tenant || self.may(Scope::Admin)
    }

    /// The address of something of a tenant's, as the caller finds it.
    pub(crate) fn location(&self, path: String, tenant: &Tenant) -> String {
        if self.tenant == *tenant { path } else { format!("{path}?tenant={tenant}") }
    }

    /// The tenant that is meant: the caller's own, or the named one where that is allowed.
    pub(crate) fn meant(&self, named: Option<&Tenant>) -> Result<Tenant, Problem> {
        match named {
            Some(tenant) if !self.sees(tenant) => Err(forbidden("the key is not for this tenant")),
            Some(tenant) => Ok(tenant.clone()),
            None => Ok(self.tenant.clone()),
        }
    }
}

pub(crate) fn forbidden(why: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", why)
}

pub(crate) fn unauthorized(why: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", why)
}

/// Keys as they were read a moment ago: taking one back takes effect within that moment.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    read: Mutex<HashMap<String, (Instant, Option<AccessKey>)>>,
    /// Until when it is known that there are no keys at all.
    keyless: Mutex<Option<Instant>>,
    /// Whether there ever was one: a store that is suddenly empty opens nothing.
    were_keys: AtomicBool,
}

/// How long a key that was read is believed.
const MOMENT: Duration = Duration::from_secs(1);
/// Keys remembered at the same time.
const REMEMBERED: usize = 10_000;

impl Keyring {
    /// Who sends a request of this version with these headers.
    pub(crate) async fn caller(
        &self,
        store: &Store,
        headers: &HeaderMap,
        version: Version,
        peer: Option<Peer>,
    ) -> Result<Caller, Problem> {
        let Some(said) = headers.get(header::AUTHORIZATION) else {
            return if self.is_keyless(store).await? {
                local(headers, version, peer)?;
                Ok(Caller::operator())
            } else {
                Err(unauthorized("send a key: Authorization: Bearer sm_…"))
            };
        };
        let wrong = || unauthorized("the key is not known (any more)");
        let said = said.to_str().map_err(|_| wrong())?;
        let token = said.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (id, secret) = token.and_then(|(_, token)| split(token.trim())).ok_or_else(wrong)?;
        let key = self.key(store, id).await?.filter(|key| opens(key, secret)).ok_or_else(wrong)?;
        if !key.works(store.now().as_millis()) {
            return Err(wrong());
        }
        Ok(Caller { tenant: key.tenant, scopes: key.scopes, key: Some(key.id) })
    }

    /// Whether a caller who was let in would be let in now, to do as much.
    pub(crate) async fn still(&self, store: &Store, caller: &Caller) -> Result<bool, Problem> {
        let Some(id) = &caller.key else { return self.is_keyless(store).await };
        let allows = |key: AccessKey| {
            let has_scopes = caller.scopes.iter().all(|scope| key.scopes.contains(scope));
            key.works(store.now().as_millis()) && has_scopes && key.tenant == caller.tenant
        };
        Ok(self.key(store, id).await?.is_some_and(allows))
    }

    async fn key(&self, store: &Store, id: &str) -> Result<Option<AccessKey>, Problem> {
        // What is sent may be anything: only what looks like one of ours is looked up and remembered.
        if id.len() > 32 {
            return Ok(None);
        }
        if let Some((at, key)) = self.lock().get(id)
            && at.elapsed() < MOMENT
        {
            return Ok(key.clone());
        }
        let (key, any) = store.access_key(id).await?;
        if any {
            self.were_keys.store(true, Ordering::Relaxed);
        }
        let mut read = self.lock();
        if read.len() >= REMEMBERED {
            read.retain(|_, (at, _)| at.elapsed() < MOMENT);
        }
        if read.len() < REMEMBERED {
            read.insert(id.to_owned(), (Instant::now(), key.clone()));
        }
        Ok(key)
    }

    pub(crate) async fn is_keyless(&self, store: &Store) -> Result<bool, Problem> {
        let known = *self.keyless.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|until| Instant::now() < until) {
            return Ok(true);
        }
        let (_, any) = store.access_key("").await?;
        if any {
            self.were_keys.store(true, Ordering::Relaxed);
        }
        let any = any || self.were_keys.load(Ordering::Relaxed);
        let until = (!any).then(|| Instant::now() + MOMENT);
        *self.keyless.lock().unwrap_or_else(PoisonError::into_inner) = until;
        Ok(!any)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Option<AccessKey>)>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Headers that proxies add, besides all whose names begin with `x-forwarded`.
const OF_PROXIES: [&str; 3] = ["forwarded", "via", "x-real-ip"];

/// Whether a proxy shows that it sent this, if only by HTTP/1.0, which few but nginx speak. One that does neither cannot
/// be told from a program of this machine.
fn by_proxy(headers: &HeaderMap, version: Version) -> bool {
    let mut names = headers.keys().map(HeaderName::as_str);
    version < Version::HTTP_11
        || names.any(|name| OF_PROXIES.contains(&name) || name.starts_with("x-forwarded"))
}

/// Without keys we are for this machine alone: a web page that a browser here shows must not reach us, neither by
/// its own name made to point here nor by asking across origins, nor whoever is behind a proxy that shows itself.
fn local(headers: &HeaderMap, version: Version, peer: Option<Peer>) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_local = |host: &str| {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map_or("?", |(_, host)| host));
    let near = peer.is_some_and(|Peer(addr)| addr.ip().is_loopback());
    let direct = near && !by_proxy(headers, version);
    let fits = direct && text(header::HOST).is_some_and(is_local) && origin.is_none_or(is_local);
    if fits {
        Ok(())
    } else {
        Err(unauthorized("without a key only this machine may ask; `songmill key create` makes one"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_keys_only_this_machine_is_heard() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let near = Some(Peer(([127, 0, 0, 1], 4000).into()));
        let far = Some(Peer(([203, 0, 113, 7], 4000).into()));
        let local = |headers: &HeaderMap, peer| super::local(headers, Version::HTTP_11, peer);
        assert!(local(&headers(&[("host", "localhost")]), far).is_err());
        assert!(local(&headers(&[("host", "localhost")]), None).is_err());
        for good in [
            &[("host", "127.0.0.1:8181")][..],
            &[("host", "localhost")],
            &[("host", "[::1]:8181"), ("origin", "http://localhost:3000")],
        ] {
            assert!(local(&headers(good), near).is_ok(), "{good:?}");
        }
        for bad in [
            &[][..],
            &[("host", "evil.example")],
            &[("host", "127.0.0.1.evil.example")],
            &[("host", "localhost"), ("origin", "https://evil.example")],
            &[("host", "localhost"), ("origin", "null")],
        ] {
            assert!(local(&headers(bad), near).is_err(), "{bad:?}");
        }
        for name in [
            "forwarded",
            "via",
            "x-real-ip",
            "x-forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-prefix",
        ] {
            let by_proxy = headers(&[("host", "localhost"), (name, "anything")]);
            assert!(local(&by_proxy, near).is_err(), "{name}");
        }
        let bare = headers(&[("host", "localhost")]);
        assert!(super::local(&bare, Version::HTTP_10, near).is_err());
    }
}
