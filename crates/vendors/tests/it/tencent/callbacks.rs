//! What Tencent posts, and what it may be believed.

use super::*;

#[test]
fn callbacks_are_read_in_every_form_and_believed_only_when_set() {
    let headers = HeaderMap::new();
    let trusting = Tencent::new(Settings { callbacks: Callbacks::Accept, ..settings() }, clock);
    for body in
        [done(), json!({ "job": done() }), json!({ "requestId": "r", "getJobResponse": { "job": done() } })]
    {
        let body = body.to_string();
        let delivery = Delivery { headers: &headers, body: body.as_bytes() };
        let reading = vendor().read_delivery(&delivery, clock()).unwrap();
        assert!(!reading.believed && reading.task == Some(task_id("13f342e4-6866")));
        let Report::Done(Product::Audio(outputs)) = reading.report else { panic!("{body}") };
        assert_eq!(
            outputs.audio[1].source,
            Source::Object { store: "store-1".into(), key: "songmill/x/b.mp3".into() }
        );
        assert!(trusting.read_delivery(&delivery, clock()).unwrap().believed);
    }
    let garbled = Delivery { headers: &headers, body: b"{\"job\":{}}" };
    assert!(matches!(vendor().read_delivery(&garbled, clock()), Err(Refusal::Garbled(_))));
}
