//! Answers reach whoever asked, also when the body was not wanted.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use crate::{get, limits, serve, to_end, until};

#[tokio::test]
async fn what_is_refused_unread_is_answered_before_the_body_has_come() {
    let running = serve(limits());
    let begun = Instant::now();
    let answer = running.ask("POST /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nabc").await;
    assert!(answer.contains("connection: close") && answer.ends_with("refused"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_peer_that_is_still_sending_can_read_why_it_was_refused() {
    let running = serve(limits());
    let head = "POST /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n";
    for _ in 0..20 {
        let mut stream = running.send(head).await;
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            stream.write_all(&[b'x'; 10_000]).await.unwrap();
        }
        let answer = to_end(&mut stream).await;
        assert!(answer.ends_with("refused"), "{answer:?}");
    }
}

#[tokio::test]
async fn no_more_than_a_little_is_discarded_for_it() {
    let running = serve(limits());
    let mut stream =
        running.send("POST /refuse HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let begun = Instant::now();
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    while stream.write_all(chunk.as_bytes()).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(5), "it is read on and on");
    }
    let mut trickling =
        running.send("POST /refuse HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let begun = Instant::now();
    while trickling.write_all(b"1\r\nx\r\n").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "it is read on and on");
    }
}

#[tokio::test]
async fn a_small_body_that_nobody_read_does_not_cost_the_connection() {
    let running = serve(limits());
    let mut stream = running.connect().await;
    for _ in 0..3 {
        stream.write_all(b"POST /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        let answer = until(&mut stream, "refused").await;
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn a_peer_that_asks_first_is_not_told_to_send_what_is_refused() {
    let running = serve(limits());
    let head = "POST /PATH HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    let refused = running.ask(&head.replace("PATH", "refuse")).await;
    assert!(refused.starts_with("HTTP/1.1 200 ") && refused.contains("connection: close"), "{refused}");
    let mut wanted = running.send(&head.replace("PATH", "echo")).await;
    until(&mut wanted, "100 Continue\r\n\r\n").await;
    wanted.write_all(b"hello").await.unwrap();
    until(&mut wanted, "hello").await;
}

#[tokio::test]
async fn bodies_and_pipelined_requests_are_read_as_they_are() {
    let running = serve(limits());
    let body = "x".repeat(300_000);
    let text = format!("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n{body}");
    let mut stream = running.send(&format!("{text}{}{}", get("/slow"), get("/"))).await;
    let answers = until(&mut stream, "hello").await;
    assert!(answers.contains(&body) && answers.contains("slow"));
}

#[tokio::test]
async fn what_is_no_request_is_answered_at_once() {
    let running = serve(limits());
    for (wrong, status) in [
        ("\u{16}\u{3}\u{1}\u{2}", "400"),
        ("GET / HTTP/9.9\r\n\r\n", "400"),
        (&format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(40_000)), "431"),
    ] {
        let answer = running.ask(wrong).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}
