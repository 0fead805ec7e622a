//! Transfers that are cut.

use super::*;
use crate::fetch::transfer::{PROGRESS, TRIES};

#[tokio::test]
async fn a_cut_transfer_is_taken_up_where_it_was_cut() {
    let (base, asked) = server(vec![
        reply("200 OK", "content-length: 10\r\netag: \"v1\"\r\n", "01234"),
        reply(
            "206 Partial Content",
            "content-length: 5\r\netag: \"v1\"\r\ncontent-range: bytes 5-9/10\r\n",
            "56789",
        ),
    ])
    .await;
    assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), "0123456789");
    let second = asked.lock().unwrap()[1].clone();
    assert!(second.contains("range: bytes=5-") && second.contains("if-range: \"v1\""), "{second}");
}

#[tokio::test]
async fn a_long_transfer_comes_in_whole_cut_or_begun_anew() {
    let whole: String = (0..90_000).map(|n| format!("{n:05}")).collect();
    let (first, rest) = whole.split_at(333_333);
    let cut = || reply("200 OK", "content-length: 450000\r\netag: \"v1\"\r\n", first);
    let range = "content-length: 116667\r\netag: \"v1\"\r\ncontent-range: bytes 333333-449999/450000\r\n";
    for second in
        [reply("206 Partial Content", range, rest), reply("200 OK", "content-length: 450000\r\n", &whole)]
    {
        let (base, _) = server(vec![cut(), second]).await;
        assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), whole);
    }
}

#[tokio::test]
async fn a_server_that_starts_over_is_followed() {
    let (base, _) = server(vec![
        reply("200 OK", "content-length: 10\r\netag: \"v1\"\r\n", "01234"),
        reply("200 OK", "content-length: 3\r\netag: \"v2\"\r\n", "new"),
    ])
    .await;
    assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), "new");
}

#[tokio::test]
async fn a_part_of_something_else_is_never_joined_to_what_is_there() {
    for (tag, range) in [("v1", "bytes 4-9/10"), ("v2", "bytes 5-9/10"), ("v1", "bytes */10")] {
        let part = format!("content-length: 5\r\netag: \"{tag}\"\r\ncontent-range: {range}\r\n");
        let replies = vec![
            reply("200 OK", "content-length: 10\r\netag: \"v1\"\r\n", "01234"),
            reply("206 Partial Content", &part, "56789"),
        ];
        assert_eq!(code(&fetcher(|_| {}), replies).await, "output_unreachable", "{tag} {range}");
    }
}

/// The first five bytes of ten, with these headers beside their length.
fn half(headers: &str) -> String {
    reply("200 OK", &format!("content-length: 10\r\n{headers}"), "01234")
}

fn rest(headers: &str) -> String {
    let headers = format!("content-length: 5\r\ncontent-range: bytes 5-9/10\r\n{headers}");
    reply("206 Partial Content", &headers, "56789")
}

const CHANGED: &str = "last-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
const LATER: &str = "date: Mon, 07 Nov 1994 08:49:37 GMT\r\n";

#[tokio::test]
async fn without_a_tag_the_date_of_the_last_change_tells_whether_it_is_the_same() {
    let (base, asked) = server(vec![half(&format!("{CHANGED}{LATER}")), rest(CHANGED)]).await;
    assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), "0123456789");
    let second = asked.lock().unwrap()[1].clone();
    assert!(second.contains("range: bytes=5-"), "{second}");
    assert!(second.contains("if-range: Sun, 06 Nov 1994 08:49:37 GMT"), "{second}");
}

#[tokio::test]
async fn what_does_not_tell_bytes_is_no_reason_to_go_on_and_the_transfer_begins_anew() {
    let same_second = CHANGED.replace("last-modified", "date");
    let weak = format!("etag: W/\"v1\"\r\n{CHANGED}{LATER}");
    for headers in ["", "etag: W/\"v1\"\r\n", &weak, CHANGED, &format!("{CHANGED}{same_second}")] {
        let whole = reply("200 OK", "content-length: 10\r\n", "0123456789");
        let (base, asked) = server(vec![half(headers), whole]).await;
        assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), "0123456789");
        let second = asked.lock().unwrap()[1].clone();
        assert!(!second.contains("range"), "{headers}: {second}");
    }
}

#[tokio::test]
async fn a_server_that_has_something_else_by_now_is_asked_for_all_of_it_once() {
    let other = reply(
        "206 Partial Content",
        "content-length: 5\r\netag: \"v2\"\r\ncontent-range: bytes 5-9/10\r\n",
        "56789",
    );
    let longer =
        reply("206 Partial Content", "content-length: 5\r\ncontent-range: bytes 5-9/11\r\n", "56789");
    let none = reply("416 Range Not Satisfiable", "content-length: 0\r\ncontent-range: bytes */3\r\n", "");
    for second in [other, longer, none] {
        let tagged = || half("etag: \"v1\"\r\n");
        let new = reply("200 OK", "content-length: 3\r\netag: \"v2\"\r\n", "new");
        let (base, asked) = server(vec![tagged(), second.clone(), new.clone()]).await;
        assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), "new");
        assert!(!asked.lock().unwrap()[2].contains("range"));
        let (base, asked) = server(vec![tagged(), second.clone(), tagged(), second, new]).await;
        let fault = fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap_err();
        assert_eq!(fault.code, "output_unreachable");
        assert_eq!(asked.lock().unwrap().len(), 4, "it begins anew once");
    }
}

#[tokio::test]
async fn a_transfer_goes_on_as_long_as_it_gets_on() {
    let whole = "0123456789abcdef".repeat(16 << 10);
    let last = whole.len() - 1;
    // The rest from here on, cut there.
    let part = |from: usize, to: usize| {
        let left = whole.len() - from;
        match from {
            0 => reply("200 OK", &format!("content-length: {left}\r\netag: \"v1\"\r\n"), &whole[..to]),
            _ => reply(
                "206 Partial Content",
                &format!("content-length: {left}\r\ncontent-range: bytes {from}-{last}/{}\r\n", last + 1),
                &whole[from..to],
            ),
        }
    };
    let (little, much) = (1000, 1000 + PROGRESS as usize);
    let none = || reply("500 Internal Server Error", "content-length: 0\r\n", "");
    let gets_on = [
        vec![part(0, little), none(), none(), none(), part(little, much)],
        vec![none(), part(much, much + 1), none(), none(), part(much + 1, whole.len())],
    ];
    let (base, _) = server(gets_on.concat()).await;
    assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), whole);
    let does_not: Vec<_> = (0..9).map(|n| part(n * 1000, (n + 1) * 1000)).collect();
    let (base, asked) = server(does_not).await;
    let fault = fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap_err();
    assert_eq!((fault.code.as_ref(), asked.lock().unwrap().len()), ("output_unreachable", TRIES as usize));
}

#[tokio::test]
async fn a_chunked_reply_is_whole_only_with_its_last_chunk() {
    let chunked = |body: &str| reply("200 OK", "transfer-encoding: chunked\r\n", body);
    let (base, _) = server(vec![chunked("5\r\n01234\r\n0\r\n\r\n")]).await;
    assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), "01234");
    for body in ["5\r\n01234\r\n", "5\r\n01234", "5\r\n012", "5\r\n01234\r\n5\r\n", "5\r\n01234\r\n0\r\n"] {
        let replies = vec![chunked(body), chunked(body)];
        assert_eq!(code(&fetcher(|_| {}), replies).await, "output_unreachable", "{body:?}");
    }
    // What is longer than it said is not taken either.
    let more = reply(
        "206 Partial Content",
        "transfer-encoding: chunked\r\ncontent-range: bytes 5-9/10\r\n",
        "6\r\n56789x\r\n0\r\n\r\n",
    );
    let (base, _) =
        server(vec![half("etag: \"v1\"\r\n"), more, reply("200 OK", "content-length: 3\r\n", "new")]).await;
    assert_eq!(fetch(&fetcher(|_| {}), &format!("{base}/a")).await.unwrap(), "new");
}
