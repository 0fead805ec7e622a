//! By the operator's proxy.

use super::*;

/// A proxy that answers this to whatever it is asked, and what it was asked first.
async fn answering(answer: &'static str) -> (Egress, Arc<std::sync::Mutex<String>>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let egress = format!(
        r#"{{"proxy": "http://me:p%40ss@{}", "no_proxy": ["direct.example.com"]}}"#,
        socket.local_addr().unwrap()
    );
    let asked = Arc::new(std::sync::Mutex::new(String::new()));
    let kept = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = socket.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            *kept.lock().unwrap() = String::from_utf8_lossy(&head[..read]).to_lowercase();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (serde_json::from_str(&egress).unwrap(), asked)
}

#[tokio::test]
async fn a_vendor_is_asked_by_the_proxy_and_what_that_refuses_was_not_paid_for() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for (answer, words) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
            "asks for another user or password",
        ),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "does not connect to the address"),
        ("nonsense\r\n\r\n", "egress.proxy"),
    ] {
        let (egress, asked) = answering(answer).await;
        let driver = Driver::new(DriverSettings::default(), &egress).unwrap();
        let lost = driver.send(&driver.paid, request("https://api.example.com/create")).await.unwrap_err();
        assert!(lost.never_ran(), "{lost:?}");
        let fault = lost.fault(Cost::Creates);
        assert_eq!(fault.code, "vendor_unreachable");
        assert!(fault.message.contains(words), "{fault}");
        let asked = asked.lock().unwrap().clone();
        assert!(asked.starts_with("connect api.example.com:443 http/1.1\r\n"), "{asked}");
        assert!(asked.contains("proxy-authorization: basic bwu6cebzcw==\r\n"), "{asked}");
    }
}
