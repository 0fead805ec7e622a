//! Over HTTP/1.1, where a request that was written is in doubt until its reply has come.

use super::*;
use crate::driver::lost::is_unsent;

const CREATED: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";

/// Reads one request, up to the end of its body.
async fn read(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut read = Vec::new();
    while !read.ends_with(b"}") {
        read.push(stream.read_u8().await?);
    }
    Ok(())
}

#[tokio::test]
async fn what_costs_money_is_not_sent_over_a_connection_that_was_idle_for_more_than_a_second() {
    // As vendors do that close a connection just as it is used again.
    let (url, connections) = server(|mut stream, _| async move {
        read(&mut stream).await?;
        stream.write_all(CREATED).await?;
        read(&mut stream).await
    })
    .await;
    let driver = driver();
    for sent in 1..=3 {
        assert_eq!(paid(&driver, &url).await, Ok(201));
        assert_eq!(connections.load(Ordering::SeqCst), sent);
        tokio::time::pause();
        tokio::time::advance(Duration::from_millis(1100)).await;
        tokio::time::resume();
    }
}

#[tokio::test]
async fn requests_that_follow_each_other_share_a_connection_and_those_that_cost_money_have_their_own() {
    let (url, connections) = keeping().await;
    let driver = driver();
    for _ in 0..5 {
        assert_eq!(paid(&driver, &url).await, Ok(201));
        tokio::time::pause();
        tokio::time::advance(Duration::from_millis(500)).await;
        tokio::time::resume();
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert!(driver.send(&driver.free, request(&url)).await.is_ok());
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

/// A server that answers whatever comes, over as many connections as it takes.
async fn keeping() -> (String, Arc<AtomicUsize>) {
    server(|mut stream, _| async move {
        tokio::spawn(async move {
            while read(&mut stream).await.is_ok() {
                stream.write_all(CREATED).await.unwrap();
            }
        });
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_connection_that_was_closed_before_a_request_is_not_used_for_it() {
    let (url, connections) = server(|mut stream, _| async move {
        read(&mut stream).await?;
        stream.write_all(CREATED).await
    })
    .await;
    let driver = driver();
    for sent in 1..=20 {
        assert_eq!(paid(&driver, &url).await, Ok(201));
        round_trip().await;
        assert_eq!(connections.load(Ordering::SeqCst), sent);
    }
}

#[tokio::test]
async fn a_request_that_was_written_and_not_answered_may_have_run_and_is_not_sent_again() {
    for part in
        [&b""[..], b"HTTP/1.1 201 Cr", b"HTTP/1.1 201 Created\r\ncontent-length: 9\r\n\r\n{}", b"\0\0\0\0"]
    {
        for abrupt in [true, false] {
            let (url, connections) = server(move |mut stream, _| async move {
                read(&mut stream).await?;
                stream.write_all(part).await?;
                if abrupt { stream.set_zero_linger() } else { stream.shutdown().await }
            })
            .await;
            assert_eq!(
                sorted(paid(&driver(), &url).await),
                reply_lost(),
                "{}",
                String::from_utf8_lossy(part)
            );
            assert_eq!(connections.load(Ordering::SeqCst), 1);
        }
    }
    let slow = DriverSettings { request_timeout: Span::millis(200), ..DriverSettings::default() };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (url, connections) = server(|mut stream, _| async move {
        read(&mut stream).await?;
        std::future::pending().await
    })
    .await;
    assert_eq!(sorted(paid(&Driver::new(slow, &Egress::default()).unwrap(), &url).await), reply_lost());
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_used_connection_that_breaks_with_the_request_on_it_leaves_it_in_doubt() {
    let (url, connections) = server(|mut stream, _| async move {
        read(&mut stream).await?;
        stream.write_all(CREATED).await?;
        read(&mut stream).await?;
        stream.set_zero_linger()
    })
    .await;
    let driver = driver();
    assert_eq!(paid(&driver, &url).await, Ok(201));
    assert_eq!(sorted(paid(&driver, &url).await), reply_lost());
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn where_nobody_can_be_connected_to_nothing_was_sent() {
    let quick = DriverSettings { connect_timeout: Span::millis(200), ..DriverSettings::default() };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let driver = Driver::new(quick, &Egress::default()).unwrap();
    let refused = {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/create", socket.local_addr().unwrap())
    };
    assert_eq!(sorted(paid(&driver, &refused).await), unreachable());
    // A server that does not speak TLS, one that goes away, and one that says nothing.
    for say in [Some(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]), Some(b""), None] {
        let (url, connections) = server(move |mut stream, _| async move {
            stream.read_u8().await?;
            match say {
                Some(say) => stream.write_all(say).await,
                None => stream.read_to_end(&mut Vec::new()).await.map(drop),
            }
        })
        .await;
        let sealed = url.replace("http:", "https:");
        assert_eq!(sorted(paid(&driver, &sealed).await), unreachable(), "{say:?}");
        assert_eq!(connections.load(Ordering::SeqCst), 1, "another try at once finds the same");
    }
    let fault = paid(&driver, "gopher://127.0.0.1/").await.unwrap_err();
    assert_eq!(fault, (Locked, "address_invalid: address is not valid".into()));
}

#[tokio::test]
async fn a_request_that_a_connection_gives_back_was_not_sent() {
    let (here, there) = tokio::io::duplex(64);
    let stream = hyper_util::rt::TokioIo::new(here);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, http_body_util::Empty<Bytes>>(stream).await.unwrap();
    drop((connection, there));
    let given_back = sender.try_send_request(Request::default()).await.unwrap_err();
    assert!(is_unsent(given_back.error()));

    let (here, mut there) = tokio::io::duplex(64);
    let stream = hyper_util::rt::TokioIo::new(here);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let sent = sender.try_send_request(Request::new(http_body_util::Empty::<Bytes>::new()));
    let closed = async {
        there.read_u8().await.unwrap();
        drop(there);
    };
    let (_, sent, ()) = tokio::join!(connection, sent, closed);
    assert!(!is_unsent(sent.unwrap_err().error()), "a byte of it was written");
}
