//! Servers behind certificates.

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::names::Names;

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
                // Who has the whole file may be gone.
                let _ = stream.shutdown().await;
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
    let (other, unknown) = ("is for another name", "its issuer is not trusted");
    for (fetcher, host, words) in [
        (trusting(&authority), "other.example.com", other),
        (trusting(&authority), "127.0.0.1", other),
        (trusting(&nobody), "cdn.example.com", unknown),
        (fetcher_with(Names::new(&[&["127.0.0.1"]]), WINDOW, |_| {}), "cdn.example.com", unknown),
    ] {
        let fault = fetch(&fetcher, &url(host)).await.unwrap_err();
        assert_eq!(fault.code, "output_unreachable");
        assert!(fault.message.contains(words), "{host}: {fault}");
    }
    assert_eq!(fetch(&trusting(&authority), &url("cdn.example.com")).await.unwrap(), "ok");
    assert_eq!(*asked.lock().unwrap(), 2, "nobody else asked");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up_in_time() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/a", socket.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = socket.accept().await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    });
    let impatient = fetcher(|settings| settings.connect_timeout = Span::millis(200));
    let fetched = tokio::time::timeout(WINDOW / 2, fetch(&impatient, &url)).await.expect("it is given up");
    let fault = fetched.unwrap_err();
    assert_eq!((fault.code.as_ref(), fault.message.as_ref()), ("output_unreachable", "timed out"));
    // The connection is closed, too.
    let closed = tokio::time::timeout(WINDOW / 2, server).await.expect("nothing is left open");
    assert!(closed.unwrap().is_ok());
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
            fetcher.policy.allow_http = allow_http;
            let fetched = fetch(&fetcher, &format!("https://api.example.com:{port}/a")).await;
            let fetched = fetched.as_deref().map_err(|fault| fault.code.as_ref());
            assert_eq!(fetched, expected, "{target}");
        }
    }
    assert_eq!(*asked.lock().unwrap(), 2);
}
