//! Servers that answer, and servers that do not.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use songmill_egress::{AddressPolicy, Client, Failure, Resolve, Resolver, Resolving, Settings, Timeouts};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What a server was asked, one text for each request.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

/// Every name has these addresses.
pub(crate) struct Names(pub(crate) Vec<IpAddr>);

impl Names {
    pub(crate) fn of(ips: &[&str]) -> Arc<Self> {
        Arc::new(Self(ips.iter().map(|ip| ip.parse().unwrap()).collect()))
    }
}

impl Resolve for Names {
    fn resolve(&self, _: &str) -> Resolving {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

/// For servers on this machine.
pub(crate) const ALL: AddressPolicy = AddressPolicy { allow_http: true, allow_private: true };
/// How long a client waits.
pub(crate) const SOON: Duration = Duration::from_millis(700);

/// Somebody whose certificates are trusted.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// A client that trusts it.
    pub(crate) fn client(
        &self,
        policy: AddressPolicy,
        settings: &Settings,
        names: Arc<dyn Resolve>,
    ) -> Client {
        let tls = ClientConfig::builder().with_root_certificates(self.roots()).with_no_client_auth();
        let timeouts = Timeouts { connect: SOON, silence: SOON };
        Client::new(Resolver::new(policy, names), settings, tls, timeouts)
    }

    /// What a server needs to be who it says.
    pub(crate) fn signed(&self, params: &CertificateParams) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.0).unwrap();
        config(chain.der().clone(), &key)
    }
}

impl Authority {
    /// The same for a server that wants a certificate of whoever asks.
    pub(crate) fn wants_certificates(&self, params: &CertificateParams) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.0).unwrap().der().clone();
        let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots())).build().unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder().with_client_cert_verifier(verifier);
        config.with_single_cert(vec![chain], key.into()).unwrap()
    }
}

/// A certificate that nobody else has signed.
pub(crate) fn self_signed(params: &CertificateParams) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    config(params.self_signed(&key).unwrap().der().clone(), &key)
}

fn config(chain: CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    ServerConfig::builder().with_no_client_auth().with_single_cert(vec![chain], key.into()).unwrap()
}

/// A server that speaks TLS as it is told to, and answers every request with this; its port, and what it was asked.
pub(crate) async fn sealed(config: ServerConfig, reply: &'static str) -> (u16, Asked) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, asked) = (socket.local_addr().unwrap().port(), Asked::default());
    let kept = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            // Who does not trust this server goes away here.
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            answer(stream, reply, &kept).await;
        }
    });
    (port, asked)
}

/// The same without TLS.
pub(crate) async fn open(reply: &'static str) -> (u16, Asked) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, asked) = (socket.local_addr().unwrap().port(), Asked::default());
    let kept = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            answer(stream, reply, &kept).await;
        }
    });
    (port, asked)
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, reply: &str, asked: &Asked) {
    let mut request = vec![0; 8192];
    let read = stream.read(&mut request).await.unwrap_or(0);
    asked.lock().unwrap().push(String::from_utf8_lossy(&request[..read]).into_owned());
    // Who asked may be gone.
    let _ = stream.write_all(reply.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// A port that nothing listens on.
pub(crate) async fn nowhere() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Asks for an address; the status, or why there is none.
pub(crate) async fn ask(client: &Client, url: &str) -> Result<u16, Failure> {
    let request = Request::get(url).body(Full::<Bytes>::default()).unwrap();
    client.send(request).await.map(|response| response.head.status.as_u16())
}
