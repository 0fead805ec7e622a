//! Whom this machine trusts.

use hyper_rustls::ConfigBuilderExt as _;
use rustls::ClientConfig;

/// TLS with the certificates that this machine trusts.
pub fn tls() -> Result<ClientConfig, rustls::Error> {
    Ok(ClientConfig::builder().try_with_platform_verifier()?.with_no_client_auth())
}
