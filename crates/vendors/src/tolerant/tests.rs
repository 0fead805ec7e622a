use super::*;

fn why(body: &[u8]) -> String {
    let fault = object(body, 1000).unwrap_err();
    assert_eq!((fault.kind, &*fault.code), (FaultKind::Garbled, REPLY_GARBLED));
    fault.words()
}

#[test]
fn a_body_that_is_no_object_says_why() {
    assert!(why(b"").contains("empty"));
    assert!(why(b" \r\n").contains("empty"));
    assert_eq!(
        why(b"<html><head><title>502 Bad\n Gateway</title>"),
        "the body is an HTML page, not JSON; an HTML page, \"502 Bad Gateway\""
    );
    assert!(why(br#"{"id": "a"#).contains("too early"));
    assert!(why(b"{\"id\"; 1}").contains("no JSON"));
    assert!(why(b"[1]").contains("array"));
    assert!(why(b"null").contains("no object"));
    assert!(why(&[b'1'; 2000]).contains("more than 1000"));
    assert!(why(b"\xff\xfe\x00").contains("no JSON"));
}

#[test]
fn nesting_is_bounded_and_brackets_in_texts_do_not_count() {
    let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    assert!(object(nested(DEPTH_MAX).as_bytes(), BODY_MAX).is_ok());
    assert!(object(nested(DEPTH_MAX + 1).as_bytes(), BODY_MAX).unwrap_err().message.contains("deeper"));
    let text = format!(r#"{{"a":"{}\"{{"}}"#, "[".repeat(500));
    assert!(object(text.as_bytes(), BODY_MAX).is_ok());
    assert!(object(&b"[".repeat(1_000_000), BODY_MAX).is_err());
}

#[test]
fn waits_are_found_in_headers_and_fields() {
    let headers = |name: &'static str, value: &'static str| {
        HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))])
    };
    assert_eq!(wait_in_headers(&headers("retry-after", " 60 ")), Some(Duration::from_secs(60)));
    assert_eq!(wait_in_headers(&headers("retry-after", "8.2")), Some(Duration::from_secs(9)));
    assert_eq!(wait_in_headers(&headers("retry-after-ms", "1500")), Some(Duration::from_millis(1500)));
    let date = |date: &'static str, until: &'static str| {
        let mut dated = headers("retry-after", until);
        dated.insert("date", HeaderValue::from_static(date));
        wait_in_headers(&dated)
    };
    let minute = Some(Duration::from_secs(60));
    assert_eq!(date("Fri, 31 Dec 1999 23:59:59 GMT", "Sat, 01 Jan 2000 00:00:59 GMT"), minute);
    assert_eq!(date("Fri, 31 Dec 1999 23:59:59 GMT", "Saturday, 01-Jan-00 00:00:59 GMT"), minute);
    assert_eq!(date("Fri, 31 Dec 1999 23:59:59 GMT", "Sat Jan  1 00:00:59 2000"), minute);
    assert_eq!(date("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:58 GMT"), None);
    assert_eq!(wait_in_headers(&headers("retry-after", "Fri, 31 Dec 2999 23:59:59 GMT")), None, "no date");
    assert_eq!(wait_in_headers(&headers("retry-after", "-1")), None);
    assert_eq!(wait_in_headers(&headers("retry-after", "0")), None);
    assert_eq!(reset_in_headers(&headers("x-ratelimit-reset", "1640000000")), None);
    assert_eq!(reset_in_headers(&headers("ratelimit-reset", "1")), Some(Duration::from_secs(1)));
    let body = |json: &str| wait_in_body(&object(json.as_bytes(), BODY_MAX).unwrap());
    assert_eq!(body(r#"{"retry_after":5}"#), Some(Duration::from_secs(5)));
    assert_eq!(body(r#"{"error":{"retry_after":"1.5"}}"#), Some(Duration::from_millis(1500)));
    assert_eq!(body(r#"{"retry_after":null}"#), None);
}

#[test]
fn words_are_found_and_secrets_blotted_out() {
    assert_eq!(words(br#"{"title":"T","detail":"- a\n- b\n"}"#), "- a - b");
    assert_eq!(words(br#"{"error":{"code":1,"message":"m"}}"#), "m");
    assert_eq!(words(b"service not available in your region\n"), "service not available in your region");
    let key = Secret::new("r8_abc");
    assert_eq!(without("bad key r8_abc!".to_owned(), &[&key, &Secret::default()]), "bad key ***!");
}

#[test]
fn numbers_may_be_texts() {
    let body = object(br#"{"a":"","b":" 12 ","c":7.0,"d":1.5,"e":{"f":{"g":"x"}}}"#, BODY_MAX).unwrap();
    assert_eq!(int(&body, &["a", "b"]), Some(12));
    assert_eq!((int(&body, &["c"]), int(&body, &["d"])), (Some(7), None));
    assert_eq!(scalar(&body, &["a", "c"]).as_deref(), Some("7.0"));
    assert_eq!(at(&body, &["e", "f", "g"]).and_then(Value::as_str), Some("x"));
    assert_eq!(first(&body, &["a", "e"]), body.get("e"));
    assert_eq!(text(&body, &["a", "b"]), Some("12"));
}

#[test]
fn keys_are_marked_sensitive_and_a_broken_one_is_left_out() {
    let uri = || Uri::from_static("https://api.example.com/x");
    let good = get(uri(), Some(&Secret::new("k")));
    assert!(good.headers()[AUTHORIZATION].is_sensitive());
    assert!(!format!("{good:?}").contains("Bearer"));
    assert!(!get(uri(), Some(&Secret::new("k\nx"))).headers().contains_key(AUTHORIZATION));
    assert_eq!(post_json(uri(), None, &Value::Null).headers()[CONTENT_TYPE], "application/json");
    assert_eq!(address("ftp://a/b"), None);
    assert_eq!(address("/b"), None);
}

#[test]
fn a_status_code_is_sorted_by_what_to_do_and_the_bodys_wait_counts_before_the_limits_reset() {
    let reply = |status: u16, body: &'static str| {
        let response = Response::builder().status(status).header("ratelimit-reset", "1");
        Reply::from(response.body(Bytes::from_static(body.as_bytes())).unwrap())
    };
    let kind = |status, cost| reply(status, "x").fault(cost).kind;
    let refused = reply(401, "x").fault(Cost::Creates);
    assert_eq!((refused.kind, refused.suspicion()), (FaultKind::Unavailable, Some("key_refused")));
    assert_eq!(reply(402, "{}").fault(Cost::Creates).kind, FaultKind::Locked);
    assert_eq!(reply(402, "<html>").fault(Cost::Creates).suspicion(), Some("balance_empty"));
    assert_eq!(
        (kind(404, Cost::Creates), kind(422, Cost::Creates)),
        (FaultKind::Rejected, FaultKind::Rejected)
    );
    assert_eq!(
        (kind(502, Cost::Creates), kind(502, Cost::Free)),
        (FaultKind::Unknown, FaultKind::Unavailable)
    );
    assert_eq!((kind(200, Cost::Free), kind(302, Cost::Creates)), (FaultKind::Garbled, FaultKind::Garbled));
    assert_eq!(reply(500, "{}").fault(Cost::Free).retry_after(), None);
    assert_eq!(reply(429, "{}").fault(Cost::Free).retry_after(), Some(Duration::from_secs(1)));
    assert_eq!(
        reply(429, r#"{"retry_after":5}"#).fault(Cost::Free).retry_after(),
        Some(Duration::from_secs(5))
    );
}
