//! Each wait for a peer has an end.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::{closed_after, get, limits, serve, to_end, until};

#[tokio::test]
async fn a_peer_that_sends_no_whole_headers_is_cut() {
    let running = serve(limits());
    for begun in ["", "G", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let took = closed_after(&mut running.send(begun).await).await;
        assert!((250..800).contains(&took.as_millis()), "{begun:?} after {took:?}");
    }
}

#[tokio::test]
async fn a_byte_now_and_then_gives_no_more_time() {
    let running = serve(limits());
    for first in ["", &get("/")] {
        let mut stream = running.send(first).await;
        if !first.is_empty() {
            until(&mut stream, "hello").await;
        }
        let (mut reads, mut writes) = stream.into_split();
        let writing = tokio::spawn(async move {
            while writes.write_all(b"G").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let begun = std::time::Instant::now();
        let _ = tokio::io::copy(&mut reads, &mut tokio::io::sink()).await;
        let took = begun.elapsed();
        writing.abort();
        assert!((250..800).contains(&took.as_millis()), "after {first:?}: {took:?}");
    }
}

#[tokio::test]
async fn between_requests_a_connection_stays_open_for_its_own_time() {
    let running = serve(limits());
    let mut stream = running.connect().await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.write_all(get("/").as_bytes()).await.unwrap();
        until(&mut stream, "hello").await;
        // Longer than headers may take, shorter than it may be idle.
        tokio::time::sleep(Duration::from_millis(500)).await;
        stream.write_all(get("/").as_bytes()).await.unwrap();
        until(&mut stream, "hello").await;
    }
    let took = closed_after(&mut stream).await;
    assert!((800..1500).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answer_is_cut() {
    let running = serve(limits());
    let mut silent = running.send(&get("/endless")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // What it gets are the bytes that were on their way; one that reads goes on.
    let read = tokio::time::timeout(Duration::from_secs(10), to_end(&mut silent)).await;
    assert!(read.is_ok_and(|text| text.len() > 1000), "it was not cut");
    let mut reading = running.send(&get("/endless")).await;
    let going_on = tokio::time::timeout(Duration::from_secs(1), crate::closed_after(&mut reading)).await;
    assert!(going_on.is_err(), "it reads and was cut");
}

#[tokio::test]
async fn requests_under_way_are_finished_and_nothing_else_is_waited_for() {
    let running = serve(limits());
    let (mut busy, mut idle, mut silent) =
        (running.send(&get("/slow")).await, running.send(&get("/")).await, running.connect().await);
    until(&mut idle, "hello").await;
    running.shutdown.cancel();
    assert!(closed_after(&mut idle).await < Duration::from_millis(200));
    assert!(closed_after(&mut silent).await < Duration::from_millis(200));
    let answer = to_end(&mut busy).await;
    assert!(answer.contains("connection: close") && answer.ends_with("slow"), "{answer}");
    running.ended.await.unwrap();
}

#[tokio::test]
async fn what_does_not_end_is_cut_after_the_drain() {
    let running = serve(limits());
    let mut hanging = running.send(&get("/hang")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = std::time::Instant::now();
    running.shutdown.cancel();
    running.ended.await.unwrap();
    assert!((500..1500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!(to_end(&mut hanging).await, "");
}
