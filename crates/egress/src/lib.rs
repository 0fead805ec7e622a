//! Connects to addresses that are not trusted: vendors' audio, customers' webhook endpoints.
//!
//! A [`Client`] connects only to what the [`AddressPolicy`] lets through: a name is resolved once, and what was checked
//! is what is connected to. Time and memory of a transfer are bounded, and what goes wrong is a [`Failure`] with a code
//! and plain words, never a library's error and never an address, which may carry a signature.

// What may be connected to.
mod policy;

// Why a request got no response.
mod failure;

// Connections.
mod client;
mod proxy;
mod resolver;
mod tls;

pub use client::{Client, Response, Timeouts};
pub use failure::{CertificateFault, Failure, ProxyFault, TlsFault};
pub use policy::{AddressPolicy, BlockedAddress, as_written, uri};
pub use proxy::{BadProxy, DirectHost, ProxyUrl, Settings};
pub use resolver::{Resolve, Resolver, Resolving, SystemNames};
pub use tls::tls;
