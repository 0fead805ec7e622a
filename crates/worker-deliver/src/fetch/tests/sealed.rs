//! Servers behind certificates.

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::guard::tests::Names;

/// Somebody whose certificates are trusted.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn trusted(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
    }

    /// A server that says it is `name` and answers every request with `reply`; its port, and how often it was asked.
    async fn server(&self, name: &str, reply: String) -> (u16, Arc<Mutex<u32>>) {
        let key = KeyPair::generate().unwrap();
        let chain = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![chain.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(0));
        let counted = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                // Who does not trust this server goes away here.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
                *counted.lock().unwrap() += 1;
                stream.write_all(reply.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        (port, asked)
    }
}

/// A fetcher that trusts this authority, to which every name leads to this machine.
fn trusting(authority: &Authority) -> Fetcher {
    let settings = Settings { allow_private: true, ..Settings::default() };
    Fetcher::with(&settings, Names::new(&[&["127.0.0.1"][..]; 9]), authority.trusted(), WINDOW)
}

#[tokio::test]
async fn only_a_server_that_is_who_it_should_be_is_asked() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (authority, nobody) = (Authority::new(), Authority::new());
    let (port, asked) =
        authority.server("cdn.example.com", reply("200 OK", "content-length: 2\r\n", "ok")).await;
    let url = |host: &str| format!("https://{host}:{port}/a");
    assert_eq!(fetch(&trusting(&authority), &url("cdn.example.com")).await.unwrap(), "ok");
    for (fetcher, host) in [
        (trusting(&authority), "other.example.com"),
        (trusting(&authority), "127.0.0.1"),
        (trusting(&nobody), "cdn.example.com"),
        (fetcher(|_| {}), "127.0.0.1"),
    ] {
        let fault = fetch(&fetcher, &url(host)).await.unwrap_err();
        assert_eq!((fault.code.as_ref(), fault.message.as_ref()), ("output_unreachable", "cannot connect"));
    }
    assert_eq!(*asked.lock().unwrap(), 1, "nobody else was asked");
}

#[tokio::test]
async fn a_sealed_address_does_not_lead_to_an_open_one() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = Authority::new();
    let to = |target: &str| reply("302 Found", &format!("location: {target}\r\ncontent-length: 0\r\n"), "");
    let (whole, asked) =
        authority.server("cdn.example.com", reply("200 OK", "content-length: 2\r\n", "ok")).await;
    let sealed = format!("https://cdn.example.com:{whole}/b");
    let open = sealed.replace("https", "http");
    for (target, expected) in [(&sealed, Ok("ok")), (&open, Err("address_refused"))] {
        let (port, _) = authority.server("api.example.com", to(target)).await;
        for allow_http in [false, true] {
            let mut fetcher = trusting(&authority);
            fetcher.guard.allow_http = allow_http;
            let fetched = fetch(&fetcher, &format!("https://api.example.com:{port}/a")).await;
            let fetched = fetched.as_deref().map_err(|fault| fault.code.as_ref());
            assert_eq!(fetched, expected, "{target}");
        }
    }
    assert_eq!(*asked.lock().unwrap(), 2);
}
