//! Whoever fills the server up locks nobody out.

use std::time::{Duration, Instant};

use songmill_http_server::Limits;
use tokio::io::AsyncWriteExt as _;

use crate::{get, limits, serve, to_end, until};

#[tokio::test]
async fn silent_and_idle_connections_make_room_for_new_ones() {
    let running = serve(Limits { max_connections: 20, header_timeout: Duration::from_secs(60), ..limits() });
    let mut silent = Vec::new();
    for n in 0..60 {
        silent.push(running.send(if n % 2 == 0 { "" } else { "GET / HTTP/1.1\r\n" }).await);
        if n % 10 == 9 {
            let begun = Instant::now();
            assert!(
                running
                    .ask("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    .await
                    .ends_with("hello")
            );
            assert!(begun.elapsed() < Duration::from_millis(500));
        }
    }
    // Those that came first had to go.
    assert_eq!(to_end(&mut silent[0]).await, "");
    silent[59].write_all(b"host: x\r\n\r\n").await.unwrap();
    until(&mut silent[59], "hello").await;
}

#[tokio::test]
async fn connections_on_which_requests_are_served_are_not_closed_for_others() {
    let running = serve(Limits { max_connections: 4, ..limits() });
    let mut busy = Vec::new();
    for _ in 0..4 {
        busy.push(running.send(&get("/slow")).await);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = running.ask(&get("/")).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: "), "{refused}");
    assert!(refused.contains("connection: close") && refused.contains("\"code\":\"busy\""), "{refused}");
    for stream in &mut busy {
        until(stream, "slow").await;
    }
    assert!(running.ask("GET / HTTP/1.0\r\n\r\n").await.ends_with("hello"), "an idle one made room");
}

#[tokio::test]
async fn no_more_requests_are_served_at_a_time_than_allowed() {
    let running = serve(Limits { max_requests: 2, ..limits() });
    let (mut a, mut b) = (running.send(&get("/slow")).await, running.send(&get("/slow")).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(running.ask(&get("/")).await.starts_with("HTTP/1.1 503 "));
    until(&mut a, "slow").await;
    until(&mut b, "slow").await;
    // Both are idle now and keep what they need for a request; a new one takes it over.
    until(&mut running.send(&get("/")).await, "hello").await;
    assert_eq!(to_end(&mut a).await, "");
}

#[tokio::test]
async fn what_is_no_whole_request_takes_no_place_among_them() {
    let limits = Limits { max_requests: 4, max_header_bytes: 1024, ..limits() };
    let running = serve(Limits { header_timeout: Duration::from_secs(60), ..limits });
    let long = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(4000));
    let mut held = Vec::new();
    for begun in ["!", "1", "~", "GET", "'", "\n#", &long] {
        for _ in 0..4 {
            held.push(running.send(begun).await);
        }
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    until(&mut running.send(&get("/")).await, "hello").await;
    drop(held);
}
