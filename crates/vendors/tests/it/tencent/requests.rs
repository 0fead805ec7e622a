//! What every request to Tencent carries: folders, time limits and signatures.

use super::*;

#[test]
fn every_attempt_has_a_folder_of_its_own_that_stays_in_its_place() {
    let folder = |settings: Settings, options: &str| {
        let json = format!(r#"{{"prompt":"海","options":{{"tencent":{options}}}}}"#);
        let exchange = submit(&Tencent::new(settings, clock), &json);
        let body: Value = serde_json::from_slice(exchange.request.body()).unwrap();
        let create = &body["createJobRequest"];
        let own = format!("/{}", create["customId"].as_str().unwrap());
        create["outputs"][0]["destination"].as_str().unwrap().strip_suffix(&own).unwrap().to_owned()
    };
    let at = |destination: &str| Settings { destination: destination.to_owned(), ..settings() };
    assert_eq!(folder(at("/songs/"), "{}"), "/songs");
    assert_eq!(folder(at("/"), "{}"), "");
    assert_eq!(folder(at("/songs"), r#"{"destination":"album/1"}"#), "album/1");
    for bad in ["a/../b", "..", ".", "a//b", r"a\\b", r"a\u0007", ""] {
        let options = format!(r#"{{"destination":"{bad}"}}"#);
        assert_eq!(problems(&options), ["options.tencent.destination"], "{bad}");
    }
    let plan = Tencent::new(at("/songs/../secret"), clock).plan(&song(r#"{"prompt":"海"}"#));
    assert_eq!(plan.unwrap_err().problems[0].field, "vendor");
}

#[test]
fn a_time_limit_is_whole_seconds_and_never_none() {
    let sent = |timeout| {
        let span = songmill_core::time::Span::millis(timeout);
        let vendor = Tencent::new(Settings { timeout: Some(span), ..settings() }, clock);
        let body: Value =
            serde_json::from_slice(submit(&vendor, r#"{"prompt":"海"}"#).request.body()).unwrap();
        body["createJobRequest"]["timeout"].clone()
    };
    assert_eq!([sent(1), sent(1_000), sent(1_001)], [1, 1, 2]);
}

#[test]
fn the_gateway_is_signed_for_where_it_wants_that() {
    let signed = Settings {
        gateway_id: Secret::new("gate"),
        gateway_key: Secret::new("gw-key"),
        gateway_source: "uin_demo".to_owned(),
        gateway_date: DateHeader::XDate,
        ..settings()
    };
    let exchange = Tencent::new(signed, clock).poll(&task(&task_id("x")));
    let headers = &exchange.request.headers();
    assert_eq!(headers["x-date"], "Mon, 02 Jan 2006 15:04:05 GMT");
    assert_eq!(headers["source"], "uin_demo");
    assert!(
        headers["authorization"]
            .to_str()
            .unwrap()
            .starts_with("hmac id=\"gate\", algorithm=\"hmac-sha1\", headers=\"x-date source\"")
    );
    assert!(!vendor().poll(&task(&task_id("x"))).request.headers().contains_key("authorization"));
}
