//! What a server answers, and what it means.

use FaultKind::{Locked, Rejected, Throttled, Unavailable};

use super::*;

const WHOLE: &str = "content-length: 2\r\n";

/// What becomes of one answer, `ok` where it is the file: kind, code and the seconds to wait.
async fn means(status: &str, headers: &str, body: &str) -> Result<(), (FaultKind, String, Option<u64>)> {
    let (base, _) = server(vec![reply(status, headers, body)]).await;
    match fetch(&fetcher(|settings| settings.max_bytes = 9), &format!("{base}/a")).await {
        Ok(text) => {
            assert_eq!(text, body);
            Ok(())
        }
        Err(fault) => {
            let wait = fault.retry_after().map(|wait| wait.as_secs());
            Err((fault.kind, fault.code.into_owned(), wait))
        }
    }
}

#[tokio::test]
async fn only_what_is_certain_is_a_verdict() {
    let unreachable = |wait| Err((Unavailable, "output_unreachable".to_owned(), wait));
    let expired = || Err((Rejected, "output_expired".to_owned(), None));
    for status in ["401 Unauthorized", "403 Forbidden", "404 Not Found", "410 Gone"] {
        assert_eq!(means(status, WHOLE, "ok").await, expired(), "{status}");
    }
    assert_eq!(means("200 OK", WHOLE, "ok").await, Ok(()));
    assert_eq!(means("200 Whatever", "", "ok").await, Ok(()), "until the connection ends");
    assert_eq!(means("200 OK", "content-type: text/html\r\ncontent-length: 2\r\n", "ok").await, Ok(()));
    assert_eq!(means("200 OK", "content-length: 0\r\n", "").await, Ok(()), "for whoever listens to it");
    assert_eq!(means("203 Non-Authoritative Information", WHOLE, "ok").await, Ok(()));
    let all = "content-length: 2\r\ncontent-range: bytes 0-1/2\r\n";
    assert_eq!(means("206 Partial Content", all, "ok").await, Ok(()), "a part that is all of it");
    for (status, headers) in [
        ("206 Partial Content", WHOLE),
        ("206 Partial Content", "content-length: 2\r\ncontent-range: bytes 0-1/3\r\n"),
        ("206 Partial Content", "content-length: 2\r\ncontent-range: bytes 1-2/3\r\n"),
        ("206 Partial Content", "content-length: 2\r\ncontent-range: bytes 0-1/*\r\n"),
        ("201 Created", WHOLE),
        ("202 Accepted", WHOLE),
        ("205 Reset Content", WHOLE),
        ("300 Multiple Choices", WHOLE),
        ("302 Found", WHOLE),
        ("302 Found", "location:  \r\ncontent-length: 2\r\n"),
        ("307 Temporary Redirect", WHOLE),
        ("400 Bad Request", WHOLE),
        ("402 Payment Required", WHOLE),
        ("405 Method Not Allowed", WHOLE),
        ("408 Request Timeout", WHOLE),
        ("409 Conflict", WHOLE),
        ("412 Precondition Failed", WHOLE),
        ("416 Range Not Satisfiable", WHOLE),
        ("421 Misdirected Request", WHOLE),
        ("423 Locked", WHOLE),
        ("425 Too Early", WHOLE),
        ("451 Unavailable For Legal Reasons", WHOLE),
        ("500 Internal Server Error", WHOLE),
        ("502 Bad Gateway", WHOLE),
        ("503 Service Unavailable", WHOLE),
        ("504 Gateway Timeout", WHOLE),
        ("599 Whatever", WHOLE),
        ("777 Whatever", WHOLE),
        ("200 OK", "content-length: 3\r\n"),
    ] {
        assert_eq!(means(status, headers, "ok").await, unreachable(None), "{status} {headers}");
    }
    assert_eq!(means("204 No Content", "", "").await, unreachable(None));
    assert_eq!(means("304 Not Modified", "location: /b\r\n", "").await, unreachable(None));
    assert_eq!(means("nonsense", "", "").await, unreachable(None));
    let too_large = Err((Locked, "output_too_large".to_owned(), None));
    assert_eq!(means("200 OK", "content-length: 10\r\n", "0123456789").await, too_large);
    assert_eq!(means("200 OK", "", "0123456789").await, too_large);
}

#[tokio::test]
async fn a_server_that_says_how_long_to_wait_is_obeyed() {
    let monday = "date: Mon, 07 Nov 1994 08:49:37 GMT\r\n";
    for (said, seconds) in [
        ("7", Some(7)),
        ("8.0", Some(8)),
        ("0.2", Some(1)),
        (" 30 ", Some(30)),
        ("Mon, 07 Nov 1994 08:50:37 GMT", Some(60)),
        ("Mon, 07 Nov 1994 08:49:36 GMT", None),
        ("0", None),
        ("-1", None),
        ("NaN", None),
        ("inf", None),
        ("1e30", None),
        ("99999999", Some(86_400)),
        ("soon", None),
        ("", None),
    ] {
        let headers = format!("retry-after: {said}\r\n{monday}content-length: 0\r\n");
        for status in ["202 Accepted", "425 Too Early", "503 Service Unavailable"] {
            let expected = Err((Unavailable, "output_unreachable".to_owned(), seconds));
            assert_eq!(means(status, &headers, "").await, expected, "{said}");
        }
        let expected = Err((Throttled, "rate_limited".to_owned(), seconds));
        assert_eq!(means("429 Too Many Requests", &headers, "").await, expected, "{said}");
    }
    // By our own clock, where the server does not say what its own is.
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(90);
    let headers =
        format!("retry-after: {}\r\ncontent-length: 0\r\n", at.strftime("%a, %d %b %Y %H:%M:%S GMT"));
    let (.., wait) = means("503 Service Unavailable", &headers, "").await.unwrap_err();
    assert!((85..=90).contains(&wait.unwrap()), "{wait:?}");
}

#[tokio::test]
async fn connections_that_break_are_no_verdict_either() {
    let unreachable = (Unavailable, "output_unreachable".to_owned());
    let faulted = async |url: &str| {
        let fault = fetch(&fetcher(|_| {}), url).await.unwrap_err();
        (fault.kind, fault.code.into_owned())
    };
    assert_eq!(faulted("http://127.0.0.1:1/a").await, unreachable);
    for answer in
        ["", "\0\u{1}\u{2}", "HTTP/1.1 200 OK\r\n", "HTTP/2 200 OK\r\n\r\n", "SSH-2.0-OpenSSH_9.6\r\n"]
    {
        let (base, _) = server(vec![answer]).await;
        assert_eq!(faulted(&format!("{base}/a")).await, unreachable, "{answer:?}");
        let (base, _) = server(vec![answer]).await;
        assert_eq!(
            faulted(&format!("{}/a", base.replace("http:", "https:"))).await,
            unreachable,
            "{answer:?}"
        );
    }
    for refused in ["ftp://example.com/a", "http://user@127.0.0.1/a", "", "a.mp3", "http://127.0.0.1\\a"] {
        assert_eq!(faulted(refused).await, (Locked, "address_refused".to_owned()), "{refused}");
    }
}
