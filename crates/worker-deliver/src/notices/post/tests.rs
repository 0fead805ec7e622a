//! Posting to addresses that lead astray.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::names::Names;

#[path = "../../../../egress/tests/it/hostile.rs"]
mod hostile;

fn outlet(names: Arc<dyn Resolve>, change: impl FnOnce(&mut NoticeSettings)) -> Outlet {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut settings = NoticeSettings { allow_http: true, ..NoticeSettings::default() };
    change(&mut settings);
    Outlet::new(&settings, &Egress::default(), names, tls().unwrap())
}

fn headers() -> [(&'static str, String); 3] {
    ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| (name, "1".to_owned()))
}

#[tokio::test]
async fn no_notice_is_posted_into_our_own_house() {
    let outlet = outlet(Arc::new(SystemNames), |_| {});
    for address in hostile::HOSTILE {
        let posted = outlet.post(address, headers(), "{}".into()).await;
        let (code, words) = posted.failure.unwrap_or_default();
        assert_eq!(code, "blocked_address", "{address}: {words}");
    }
}

#[tokio::test]
async fn a_name_that_leads_into_our_own_house_is_refused_when_it_is_resolved() {
    let names = Names::new(&[&["127.0.0.1"], &["93.184.216.34", "fd00:ec2::254"]]);
    let outlet = outlet(names.clone(), |_| {});
    for _ in 0..2 {
        let posted = outlet.post("http://hooks.example.com/a", headers(), "{}".into()).await;
        let expected = "the address is blocked: its name leads into a private network".to_owned();
        assert_eq!(posted.failure, Some(("blocked_address", expected)));
    }
    assert_eq!(names.left(), 0);
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed_and_nothing_is_sent_that_is_not_meant() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = socket.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        let reply = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{addr}/b\r\nset-cookie: a=b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(reply.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        drop(stream);
        let again = tokio::time::timeout(Duration::from_millis(200), socket.accept()).await;
        (String::from_utf8_lossy(&request[..read]).to_lowercase(), again.is_ok())
    });
    let outlet = outlet(Arc::new(SystemNames), |settings| settings.allow_private = true);
    let posted = outlet.post(&format!("http://{addr}/a"), headers(), "{}".into()).await;
    assert_eq!(posted.status, Some(StatusCode::TEMPORARY_REDIRECT));
    assert_eq!(posted.failure.unwrap().0, "redirect");
    let (request, again) = server.await.unwrap();
    assert!(!again, "it was followed");
    for name in ["authorization", "cookie", "referer", "accept-encoding"] {
        assert!(!request.contains(name), "{request}");
    }
}
