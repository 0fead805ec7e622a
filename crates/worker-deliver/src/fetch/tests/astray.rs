//! Servers and names that lead astray.

use super::*;
use crate::names::Names;

fn to(target: &str) -> String {
    reply("302 Found", &format!("location: {target}\r\ncontent-length: 0\r\nset-cookie: a=b\r\n"), "")
}

/// Asks a server of this machine although the policy blocks it; what it answers is judged as ever.
async fn first_hop_let_through(fetcher: &Fetcher, base: &str) -> Result<Response, Fault> {
    let written = format!("{base}/a");
    Address { fetcher, written: &written, url: Url::parse(&written).unwrap() }.open(None).await
}

#[tokio::test]
async fn redirects_are_counted_and_checked_anew() {
    let (base, _) = server(vec![to("/b"), reply("200 OK", "content-length: 2\r\n", "ok")]).await;
    assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), "ok");
    let (base, asked) = server(vec![to("/a"); 9]).await;
    let fault = fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap_err();
    assert_eq!((fault.code.as_ref(), asked.lock().unwrap().len()), ("address_refused", 4));
    for target in ["file:///etc/passwd", "http://user@127.0.0.1/", "javascript:alert(1)", "/\\127.0.0.1/"] {
        assert_eq!(code(&fetcher(|_| {}), vec![to(target)]).await, "address_refused", "{target}");
    }
    assert_eq!(code(&fetcher(|_| {}), vec![reply("302 Found", "", "")]).await, "output_unreachable");
}

#[tokio::test]
async fn no_redirect_leads_into_our_own_house_by_number_or_by_name() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = port.local_addr().unwrap().port();
    for host in ["169.254.169.254", "127.1", "[::1]", "localhost", "metadata", "inside.example.com"] {
        let names = Names::new(&[&["127.0.0.1"]]);
        let fetcher = fetcher_with(names.clone(), WINDOW, |settings| settings.allow_private = false);
        let (base, asked) = server(vec![to(&format!("http://{host}:{at}/latest")), to("/b")]).await;
        let fault = first_hop_let_through(&fetcher, &base).await.unwrap_err();
        assert_eq!(fault.code, "address_refused", "{host}: {fault}");
        assert_eq!(asked.lock().unwrap().len(), 1);
        assert_eq!(names.left(), usize::from(host != "inside.example.com"), "{host}");
    }
    let nobody = tokio::time::timeout(Duration::from_millis(100), port.accept()).await;
    assert!(nobody.is_err(), "somebody connected");
}

#[tokio::test]
async fn a_name_is_resolved_once_for_a_connection_and_what_was_checked_is_connected_to() {
    // Two servers on one port, at two addresses of this machine.
    let (one, other) = loop {
        let one = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(other) = TcpListener::bind(("127.0.0.2", one.local_addr().unwrap().port())).await {
            break (one, other);
        }
    };
    let port = one.local_addr().unwrap().port();
    let half = reply("200 OK", "content-length: 4\r\netag: \"v1\"\r\n", "on");
    let rest = reply("206 Partial Content", "content-length: 2\r\ncontent-range: bytes 2-3/4\r\n", "ce");
    let (first, second) = (answering(one, vec![half]), answering(other, vec![rest]));
    let names = Names::new(&[&["127.0.0.1"], &["127.0.0.2"], &["127.0.0.3"]]);
    let fetcher = fetcher_with(names.clone(), WINDOW, |_| {});
    assert_eq!(fetch(&fetcher, &format!("http://cdn.example.com:{port}/a")).await.unwrap(), "once");
    assert_eq!((first.lock().unwrap().len(), second.lock().unwrap().len(), names.left()), (1, 1, 1));
    assert!(first.lock().unwrap()[0].contains(&format!("host: cdn.example.com:{port}")));
}

#[tokio::test]
async fn a_name_that_leads_into_our_own_house_is_refused_when_it_is_resolved() {
    let strict = |settings: &mut Settings| settings.allow_private = false;
    for answer in
        [&["127.0.0.1"][..], &["93.184.216.34", "10.0.0.1"], &["169.254.169.254"], &["fd00:ec2::254"]]
    {
        let fetcher = fetcher_with(Names::new(&[answer]), WINDOW, strict);
        let fault = fetch(&fetcher, "http://cdn.example.com/a").await.unwrap_err();
        assert_eq!(fault.code, "address_refused", "{answer:?}");
    }
    assert_eq!(fetch(&fetcher(strict), "http://localhost:1/a").await.unwrap_err().code, "address_refused");
}

#[tokio::test]
async fn nobody_is_told_who_asks_or_where_from() {
    let cut = reply("200 OK", "content-length: 4\r\netag: \"v1\"\r\nset-cookie: c=d\r\n", "on");
    let denied =
        reply("401 Unauthorized", "www-authenticate: Basic realm=\"a\"\r\ncontent-length: 0\r\n", "");
    let (base, asked) = server(vec![to("/b?secret=1"), to("/c"), cut, to("/c"), denied]).await;
    let fault = fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap_err();
    assert_eq!(fault.code, "output_expired");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 5);
    for request in asked.iter() {
        let (line, headers) = request.split_once("\r\n").unwrap();
        assert!(line.starts_with("GET /"));
        let mut names: Vec<String> = headers
            .lines()
            .filter_map(|line| Some(line.split_once(':')?.0.to_lowercase()))
            .filter(|name| name != "range" && name != "if-range")
            .collect();
        names.sort();
        assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"], "{request}");
    }
}
