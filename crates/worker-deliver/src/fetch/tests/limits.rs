//! Replies that are too large, too slow, or not what they seem.

use super::*;

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a", socket.local_addr().unwrap());
    let fetcher = fetcher(|settings| settings.timeout = Span::millis(200));
    let waited = tokio::time::timeout(Duration::from_secs(5), fetch(&fetcher, &url)).await.unwrap();
    assert_eq!(waited.unwrap_err().code, "output_unreachable");
}

/// A server that says this at once and then a byte every 10 ms, until nobody listens.
async fn dripping(at_once: &'static str, drip: &'static [u8]) -> String {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a", socket.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            tokio::spawn(async move {
                let read = stream.read(&mut [0; 4096]).await;
                let mut sent = stream.write_all(at_once.as_bytes()).await.and(read);
                while sent.is_ok() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    sent = stream.write_all(drip).await.map(|()| 0);
                }
            });
        }
    });
    url
}

/// What became of a fetch that must not take long.
async fn soon(fetcher: &Fetcher, url: &str) -> Result<String, Fault> {
    tokio::time::timeout(Duration::from_secs(5), fetch(fetcher, url)).await.expect("it is given up in time")
}

#[tokio::test]
async fn a_server_that_drips_is_given_up_and_one_that_is_only_slow_is_not() {
    let window = Duration::from_millis(200);
    let slowest =
        |slowest| move |settings: &mut Settings| (settings.slowest, settings.max_bytes) = (slowest, 300);
    let names = || Arc::new(SystemNames);
    let with_length = "HTTP/1.1 200 OK\r\ncontent-length: 300\r\netag: \"v1\"\r\n\r\n";
    for at_once in [with_length, "HTTP/1.1 200 OK\r\n\r\n"] {
        let url = dripping(at_once, b"x").await;
        let fault = soon(&fetcher_with(names(), window, slowest(10_000)), &url).await.unwrap_err();
        assert_eq!(fault.code, "output_unreachable");
        assert!(fault.message.contains("slower than 10000 bytes"), "{fault}");
    }
    let url = dripping("HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n", b"x").await;
    for least in [10, 0] {
        assert_eq!(soon(&fetcher_with(names(), window, slowest(least)), &url).await.unwrap().len(), 60);
    }
    // Neither does a head that never ends keep anybody.
    let url = dripping("HTTP/1.1 200 OK\r\nx: ", b"x").await;
    let impatient = |settings: &mut Settings| settings.connect_timeout = Span::millis(200);
    let fault = soon(&fetcher_with(names(), window, impatient), &url).await.unwrap_err();
    assert_eq!((fault.code.as_ref(), fault.message.as_ref()), ("output_unreachable", "timed out"));
    // And whatever comes comes to an end, by its size or by the time.
    let endless = dripping("HTTP/1.1 200 OK\r\n\r\n", &[0; 100]).await;
    let fault = soon(&fetcher_with(names(), window, slowest(0)), &endless).await.unwrap_err();
    assert_eq!(fault.code, "output_too_large");
    let late = fetcher_with(names(), window, |settings| settings.timeout = Span::millis(300));
    assert_eq!(soon(&late, &endless).await.unwrap_err().code, "output_unreachable");
}

#[tokio::test]
async fn what_says_that_it_is_too_large_is_refused_before_it_comes() {
    for length in ["10737418240", "268435457", "18446744073709551613"] {
        let head = reply("200 OK", &format!("content-length: {length}\r\n"), "");
        assert_eq!(code(&fetcher(|_| {}), vec![head]).await, "output_too_large", "{length}");
    }
    // More than any length can be is none.
    for none in ["18446744073709551614", "99999999999999999999999", "-1"] {
        let head = reply("200 OK", &format!("content-length: {none}\r\n"), "");
        assert_eq!(code(&fetcher(|_| {}), vec![head]).await, "output_unreachable");
    }
    // A part of what is too large.
    let cut = reply("200 OK", "transfer-encoding: chunked\r\netag: \"v1\"\r\n", "5\r\n01234\r\n");
    let range = "content-length: 5\r\ncontent-range: bytes 5-9/10737418240\r\n";
    let part = reply("206 Partial Content", range, "56789");
    assert_eq!(code(&fetcher(|_| {}), vec![cut, part]).await, "output_too_large");
    // Chunks are counted.
    let chunks = "4\r\n0123\r\n4\r\n4567\r\n1\r\n8\r\n0\r\n\r\n";
    let eight = fetcher(|settings| settings.max_bytes = 8);
    let replies = vec![reply("200 OK", "transfer-encoding: chunked\r\n", chunks)];
    assert_eq!(code(&eight, replies).await, "output_too_large");
}
