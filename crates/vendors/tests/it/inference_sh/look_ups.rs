//! Where a look-up of a submission ends without an answer.

use super::*;

#[test]
fn a_search_ends_where_tasks_are_older_than_the_submission() {
    let older = listed(&[("t0", "", "2023-11-14T22:12:19Z")], "c2");
    assert_eq!(end(find(&vendor()).read(reply(200, older))).unwrap(), None);
    assert_eq!(end(find(&vendor()).read(reply(200, listed(&[], "c2")))).unwrap(), None);
    assert_eq!(end(find(&vendor()).read(reply(200, r#"{"data":{"items":null}}"#))).unwrap(), None);
    let endless = listed(&[("t9", "", "2023-11-14T22:20:00Z")], "c2");
    let mut exchange = find(&vendor());
    for _ in 1..30 {
        exchange = then(exchange.read(reply(200, endless.clone())));
    }
    assert_snapshot!(outcome(exchange, reply(200, endless)), @"unavailable look_up_incomplete: 30 pages of tasks do not reach back to the submission");
}

#[test]
fn a_list_without_addresses_gives_no_answer_about_the_same_lyrics() {
    let vendor = vendor();
    let look = |lyrics: &str, webhook: Option<&str>| {
        let item = serde_json::json!(
            {"id": "t1", "input": {"lyrics": lyrics}, "webhook": webhook, "created_at": "2023-11-14T22:13:21Z"}
        );
        let page = serde_json::json!({"data": {"items": [item], "next_cursor": ""}}).to_string();
        let exchange = with_order(&vendor, &song(SUNG), |order| vendor.find(order, SINCE)).unwrap();
        outcome(exchange, reply(200, page))
    };
    assert_snapshot!(look("[verse] la la.", None), @"unavailable look_up_incomplete: a task of the same lyrics shows no webhook: whose it is cannot be told");
    assert_eq!(look("[verse] la la.", Some("https://other.example.com")), "None");
    assert_eq!(look("[verse] other.", None), "None");
}
