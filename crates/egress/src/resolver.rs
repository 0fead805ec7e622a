//! Names: resolved once for a connection, and checked before anything is connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::dns;

use crate::failure::Failure;
use crate::policy::{AddressPolicy, BlockedAddress};

/// Resolves names.
pub trait Resolve: Send + Sync {
    /// The addresses of a name.
    fn resolve(&self, name: &str) -> Resolving;
}

/// The addresses of a name, once they are known.
pub type Resolving = BoxFuture<'static, io::Result<Vec<IpAddr>>>;

/// Resolves names as this machine does.
#[derive(Clone, Copy, Debug)]
pub struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: &str) -> Resolving {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Resolves names to addresses that the policy lets through; all must pass, or a name could hide a private one.
/// Connections are made to these, so that a name cannot lead elsewhere once it is checked.
#[derive(Clone)]
pub struct Resolver {
    policy: AddressPolicy,
    names: Arc<dyn Resolve>,
}

impl Resolver {
    /// Checks what `names` resolves by this policy.
    pub fn new(policy: AddressPolicy, names: Arc<dyn Resolve>) -> Self {
        Self { policy, names }
    }

    /// The addresses of a name, at least one.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        let found = self.names.resolve(name).await.map_err(|_| Failure::NameNotResolved)?;
        for ip in &found {
            self.policy.check_ip(*ip).map_err(|_| BlockedAddress::Leads)?;
        }
        if found.is_empty() { Err(Failure::NameNotResolved) } else { Ok(found) }
    }
}

impl tower::Service<dns::Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Self::Response, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: dns::Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.resolve(name.as_str()).await?;
            Ok(found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect::<Vec<_>>().into_iter())
        })
    }
}

#[cfg(test)]
mod tests;
